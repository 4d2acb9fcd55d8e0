// Help with choosing a model: what is wanted, and which model does it for how much.

import * as api from "./api.js";
import { failed, go, onKey } from "./app.js";
import { models } from "./catalogue.js";
import { announce, button, buttons, field, h, select, table } from "./dom.js";
import { many, money, seconds } from "./words.js";

const WAIT_MS = 300;
const NEXT = 5;
const LARGE = "4K";
const PRESETS = {
  "100,000 a month, cheapest": { count: 100_000 },
  "Best under $0.05": { limit: 0.05, choose: "best" },
  "Needs 4K": { large: true },
  "Needs a seed": { seed: true },
  "Needs a mask": { mask: true },
  "Can wait 24 h": { wait: true },
};

/** Questions above the model cards of a form with `fields`, answered as they change. */
export class Choosing {
  #operation;
  #fields;
  #asked = 0;
  #timer = null;
  #said = "";

  constructor(operation, fields) {
    this.#operation = operation;
    this.#fields = fields;
    // Of no form: they are not sent with it, and cannot keep it from being sent.
    const number = (given) => h("input", { type: "number", form: "", ...given });
    this.count = number({ min: 1, max: 100_000_000, step: 1, value: "1000", inputmode: "numeric" });
    this.limit = number({
      min: 0.000001,
      max: 999_999,
      step: "any",
      inputmode: "decimal",
      placeholder: "any",
    });
    this.sources = number({
      min: 0,
      max: 20,
      step: 1,
      inputmode: "numeric",
      placeholder: operation === "edit" ? "1" : "0",
    });
    this.choose = select(
      "",
      [
        ["cheapest", "The lowest price"],
        ["fastest", "The shortest wait"],
        ["best", "The best pictures"],
      ],
      "cheapest",
      { form: "" },
    );
    this.ticks = {
      large: tick(`In ${LARGE}`),
      seed: tick("With a seed"),
      mask: tick("With a mask"),
      wait: tick("Can wait 24 hours"),
    };
    this.answer = h("div", { class: "answer" });
    const asks = this.#drawn();
    for (const heard of ["input", "change"]) {
      asks.addEventListener(heard, (event) => {
        // The settings of the form itself have not changed.
        event.stopPropagation();
        this.#soon();
      });
    }
    asks.addEventListener("toggle", () => asks.open && !this.answer.hasChildNodes() && this.#ask());
    onKey(() => asks.open && this.#ask());
    fields.cards.before(asks);
  }

  #drawn() {
    const presets = Object.entries(PRESETS).map(([text, given]) => button(text, () => this.#preset(given)));
    return h(
      "details",
      { class: "choosing" },
      h("summary", {}, "Help me choose"),
      h("div", { class: "buttons", role: "group", "aria-label": "Common questions" }, presets),
      h(
        "div",
        { class: "asks" },
        field("Pictures a month", this.count),
        field("Most dollars a picture", this.limit),
        field("Pictures to work from", this.sources),
        field("What matters", this.choose),
      ),
      h(
        "div",
        { class: "ticks", role: "group", "aria-label": "It has to be" },
        Object.values(this.ticks).map(({ label }) => label),
      ),
      this.answer,
    );
  }

  #preset(given) {
    this.count.value = given.count ?? 1000;
    this.limit.value = given.limit ?? "";
    this.sources.value = "";
    this.choose.value = given.choose ?? "cheapest";
    for (const [name, { input }] of Object.entries(this.ticks)) input.checked = given[name] ?? false;
    this.#ask();
  }

  #soon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#ask(), WAIT_MS);
  }

  /** The question as a body of an estimate; a mask or pictures to work from make it an edit. */
  #question() {
    const { large, seed, mask, wait } = this.ticks;
    const sources = Number(this.sources.value);
    const edits = this.#operation === "edit" || mask.input.checked || sources > 0;
    return {
      operation: edits ? "edit" : this.#operation,
      count: Number(this.count.value || 1),
      choose: this.choose.value,
      ...(this.limit.value && { max_unit_usd: Number(this.limit.value).toFixed(6) }),
      ...(large.input.checked && { resolution: LARGE }),
      ...(seed.input.checked && { seed: 1 }),
      ...(mask.input.checked && { masked: true }),
      ...(edits && { source_count: Math.max(1, sources) }),
      ...(wait.input.checked && { can_wait: true }),
    };
  }

  async #ask() {
    clearTimeout(this.#timer);
    const asked = ++this.#asked;
    let wrong = null;
    for (const control of [this.limit, this.count, this.sources]) {
      const fits = control.checkValidity();
      control.setAttribute("aria-invalid", String(!fits));
      if (!fits) wrong = control;
    }
    if (wrong) {
      const of = wrong.closest(".field").querySelector("label").textContent;
      this.answer.replaceChildren(h("p", { class: "wrong" }, `${of}: ${wrong.validationMessage}`));
      return;
    }
    const question = this.#question();
    try {
      const [found, known] = await Promise.all([api.estimate(question), models()]);
      if (asked === this.#asked) this.#show(question, found, known);
    } catch (error) {
      if (asked === this.#asked) this.answer.replaceChildren(failed(error, () => this.#ask()));
    }
  }

  #show(question, found, known) {
    const named = new Map(known.map((model) => [model.id, model]));
    const name = (id) => named.get(id)?.name ?? id;
    const { choice, excluded } = found;
    const left = excluded.length > 0 && leftOut(excluded, name);
    const said = choice ? `${name(choice.model)}, ${money(choice.unit_usd)} a picture.` : found.choice_reason;
    if (said !== this.#said) announce(said);
    this.#said = said;
    if (!choice) {
      this.answer.replaceChildren(
        h("p", {}, h("strong", {}, "None can. "), found.choice_reason),
        ...(left ? [left] : []),
      );
      return;
    }
    const others = next(found, question, named);
    this.answer.replaceChildren(
      h("h3", {}, `${name(choice.model)} by ${choice.provider}`),
      h(
        "p",
        {},
        h("strong", {}, `${money(choice.total_usd)} a month`),
        ` for ${many(question.count)} at ${money(choice.unit_usd)}${choice.mode === "batch" ? " in batches" : ""}`,
      ),
      h("p", {}, choice.reason),
      this.#buttons(question, choice),
      ...(others.length ? [nextBest(others, name, question.count)] : []),
      ...(left ? [left] : []),
    );
  }

  #buttons({ operation, resolution }, { model, mode }) {
    const here = operation === this.#operation;
    const wanted = { model, ...(resolution && { resolution }) };
    const use = () => {
      if (!here) return go(operation, wanted);
      this.#fields.fill({ ...this.#fields.values(), ...wanted });
      announce(`${this.#fields.model.name} is chosen.`);
      this.#fields.cards.querySelector(":checked")?.focus();
    };
    return buttons(
      button(`Use this model${here ? "" : " to edit"}`, use, { class: "main" }),
      mode === "batch" && button("Make a batch", () => go("batch")),
    );
  }
}

function tick(text) {
  const input = h("input", { type: "checkbox", form: "" });
  return { input, label: h("label", {}, input, ` ${text}`) };
}

/** The other ways, in the order of what matters, each at its lower price where there is time. */
function next({ routes, choice }, { choose, can_wait: waits }, named) {
  const ways = routes
    .filter((route) => route.model !== choice.model || route.provider !== choice.provider)
    .map((route) => {
      const batch =
        waits && route.batch_total_usd !== null && Number(route.batch_total_usd) < Number(route.total_usd);
      return { ...route, batch, total: Number(batch ? route.batch_total_usd : route.total_usd) };
    });
  const grade = (way) => named.get(way.model)?.grade ?? 0;
  const orders = {
    cheapest: (a, b) => a.total - b.total,
    fastest: (a, b) => a.seconds - b.seconds,
    best: (a, b) => grade(b) - grade(a),
  };
  return ways.toSorted(orders[choose]).slice(0, NEXT);
}

function nextBest(ways, name, count) {
  const heads = ["Model", "A picture", "A month", "Seconds"];
  const number = (text) => h("td", { class: "number" }, text);
  const rows = ways.map((way) =>
    h(
      "tbody",
      {},
      h(
        "tr",
        {},
        h("th", { scope: "row" }, name(way.model), h("small", {}, `by ${way.provider}`)),
        number(money(way.total / count)),
        number(money(way.total)),
        number(way.batch ? "batch" : seconds(way.seconds).replace(/ s$/, "")),
      ),
      h("tr", {}, h("td", { colspan: heads.length, class: "fine" }, way.why)),
    ),
  );
  return table(heads, rows, { caption: "Next best", numbers: true });
}

function leftOut(excluded, name) {
  const said = excluded.map((one) => h("li", {}, `${name(one.model)} by ${one.provider}: ${one.reason}`));
  return h(
    "details",
    {},
    h("summary", {}, `${excluded.length} ways left out`),
    h("ul", { class: "fine" }, said),
  );
}
