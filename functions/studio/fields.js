// The settings of a request: model cards, and only those fields that the chosen model has.

import * as api from "./api.js";
import { failed } from "./app.js";
import { CHOICES, largest, models, named } from "./catalogue.js";
import { field, h, right, select, unfold, wrong } from "./dom.js";
import { counted, money, seconds } from "./words.js";

const DEFAULT = "";
const WAIT_MS = 250;
const MAX_SEED = 2 ** 31 - 1;
const ORDERS = {
  listed: ["As listed", () => 0],
  price: ["Cheapest first", (a, b) => a.price - b.price],
  speed: ["Fastest first", (a, b) => a.model.typical_seconds - b.model.typical_seconds],
  grade: ["Best first", (a, b) => b.model.grade - a.model.grade],
};
const ROUTES = { [DEFAULT]: "In the listed order", cost: "Cheapest first", speed: "Fastest first" };

/** The settings of one form, for an operation. `root` is where they stand, `estimate` where the price
 * is said; `extra()` is what the estimate has to know beside them, such as `source_count`, and
 * `chosen()` is told when the model is another. */
export class Fields {
  #operation;
  #said;
  #extra;
  #tell;
  #models = [];
  #priced = new Map();
  #chosen = null;
  #wanted = null;
  #timer = null;
  #asked = 0;

  constructor(operation, root, { estimate, extra = () => ({}), chosen = () => null }) {
    this.#operation = operation;
    this.#said = estimate;
    this.#extra = extra;
    this.#tell = chosen;
    this.cards = h(
      "div",
      { class: "cards", role: "radiogroup", "aria-label": "Model" },
      h("p", { class: "fine" }, "Loading models…"),
    );
    const orders = Object.entries(ORDERS).map(([name, [text]]) => [name, text]);
    this.sort = select("sort", orders, "listed");
    this.settings = h("div", { class: "settings" });
    root.append(
      h("fieldset", {}, h("legend", {}, "Model"), field("Sort models", this.sort), this.cards),
      h("fieldset", {}, h("legend", {}, "Settings"), this.settings),
    );
    this.sort.addEventListener("change", () => this.#list());
    root.addEventListener("input", (event) => event.target !== this.sort && this.changed());
    // What is folded away the browser could not show to be wrong, and would not send the form.
    this.settings.addEventListener("invalid", ({ target }) => unfold(target), true);
  }

  /** Load the models; shows why that failed, and tries again when asked to. */
  async load() {
    try {
      this.#models = (await models()).filter((model) => model.operations.includes(this.#operation));
    } catch (error) {
      this.cards.replaceChildren(failed(error, () => this.load()));
      return;
    }
    if (!this.#models.length) {
      this.cards.replaceChildren(h("p", { class: "wrong" }, "This server has no model for it."));
      return;
    }
    this.choose(this.#models[0].id);
    if (this.#wanted) this.fill(this.#wanted);
  }

  /** The chosen model; null before they are loaded. */
  get model() {
    return this.#chosen;
  }

  /** The live models that fit a condition. */
  able(can) {
    return this.#models.filter((model) => model.status === "live" && can(model));
  }

  /** Choose a model by id or alias; one that there is not, or that cannot do this, changes nothing. */
  choose(name) {
    const found = named(this.#models, name);
    if (!found) return;
    const before = this.values();
    this.#chosen = found;
    this.#list();
    this.#reveal();
    this.#offer(before);
  }

  /** Fill in what an earlier request's `parameters` say, as far as the model still has it. */
  fill(parameters) {
    this.choose(parameters.model);
    // Before the models are there, it has to wait for them.
    this.#wanted = this.#chosen ? null : parameters;
    if (this.#chosen) this.#offer(parameters);
  }

  /** The fields as a body's, without those left to the model. */
  values() {
    const values = {};
    for (const control of this.settings.querySelectorAll("[name]")) {
      const text = control.value.trim();
      if (text === DEFAULT) continue;
      if (control.name === "options") Object.assign(values, parsed(control));
      else if (control.name === "route") values.route = { prefer: text };
      else values[control.name] = control.type === "number" ? Number(text) : text;
    }
    if (values.n === 1) delete values.n;
    return values;
  }

  /** The body's part that these settings are. */
  body() {
    return { model: this.#chosen?.id, ...this.values() };
  }

  /** Show an error at the field it is about; whether there is one. */
  invalid(error) {
    right(this.settings);
    const name = (error.param ?? "").split(/[.[]/)[0];
    const control = name && this.settings.querySelector(`[name="${CSS.escape(name)}"]`);
    if (!control) return false;
    wrong(control, error.message);
    return true;
  }

  /** Ask again what it costs, soon. */
  changed() {
    right(this.settings);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#estimate(), WAIT_MS);
  }

  #list() {
    const entries = this.#models.map((model) => {
      const route = this.#first(model);
      return { model, route, price: route ? Number(route.unit_usd) : Infinity };
    });
    const [, order] = ORDERS[this.sort.value];
    const focused = this.cards.contains(document.activeElement);
    const top = this.cards.scrollTop;
    this.cards.replaceChildren(...entries.toSorted(order).map((entry) => this.#card(entry)));
    this.cards.scrollTop = top;
    if (focused) this.cards.querySelector(":checked")?.focus();
  }

  /** Scroll the chosen model into the list's view, and nothing else. */
  #reveal() {
    const list = this.cards.getBoundingClientRect();
    const card = this.cards.querySelector(":checked").closest("label").getBoundingClientRect();
    if (card.top < list.top) this.cards.scrollTop -= list.top - card.top;
    else if (card.bottom > list.bottom) this.cards.scrollTop += card.bottom - list.bottom;
  }

  #card({ model, route }) {
    const can = [
      largest(model),
      model.max_sources > 1 && `${model.max_sources} sources`,
      model.mask && "mask",
      model.seed && "seed",
      model.routes.some((one) => one.batch_price) && "batch",
    ];
    let price = "not with these settings";
    if (route) price = `${money(route.unit_usd)} a picture`;
    else if (!this.#priced.has(model.id)) price = "…";
    const radio = h("input", {
      type: "radio",
      name: `${this.#operation}-model`,
      value: model.id,
      checked: model.id === this.#chosen?.id,
      onchange: () => this.choose(model.id),
    });
    const said = h(
      "span",
      {},
      h("strong", {}, model.name),
      model.status !== "live" && h("span", { class: "tag" }, model.status),
      h("span", {}, `${price} · ${seconds(model.typical_seconds)}`),
      h("span", { class: "fine" }, can.filter(Boolean).join(" · ")),
    );
    return h("label", { class: "model" }, radio, said);
  }

  /** The route that is tried first: in the catalogue's order, unless the cheapest is wanted. */
  #first(model) {
    const priced = this.#priced.get(model.id) ?? [];
    if (this.values().route?.prefer === "cost") return priced[0];
    const listed = model.routes.map(({ provider }) => priced.find((route) => route.provider === provider));
    return listed.find(Boolean);
  }

  /** Only the fields of the chosen model, with the values they had where it has those too. */
  #offer(before) {
    const more = this.#further(before);
    this.settings.replaceChildren(
      ...this.#usual(before),
      ...(more.length ? [h("details", {}, h("summary", {}, "More settings"), ...more)] : []),
    );
    this.changed();
    this.#tell();
  }

  #usual(before) {
    const model = this.#chosen;
    const choices = Object.entries(CHOICES).map(([name, [list, label]]) => {
      const values = model[list];
      if (values.length < 2) return null;
      const follows = this.#operation === "edit" && name === "aspect_ratio";
      const unset = follows ? "As the first picture" : `Default (${values[0]})`;
      const kept = values.includes(before[name]) ? before[name] : DEFAULT;
      return field(label, select(name, [[DEFAULT, unset], ...values], kept));
    });
    const most = model.max_images;
    const similar = "The same seed and prompt give a similar picture";
    return [
      ...choices,
      most > 1 && field("Pictures", number("n", 1, most, before), `1 to ${most}`),
      model.seed && field("Seed", number("seed", 0, MAX_SEED, before), similar),
    ].filter(Boolean);
  }

  #further(before) {
    const { routes, output_formats: formats, options } = this.#chosen;
    const route = () => select("route", Object.entries(ROUTES), before.route?.prefer ?? DEFAULT);
    const lossy = formats.some((format) => format !== "png");
    const json = () =>
      h("textarea", {
        name: "options",
        oninput: (event) => parsed(event.target),
        rows: 2,
        spellcheck: "false",
        placeholder: "{}",
        value: before.options ? JSON.stringify(before.options) : "",
      });
    return [
      routes.length > 1 && field("Provider", route()),
      lossy && field("File quality", number("output_quality", 1, 100, before), "1 to 100, for jpeg and webp"),
      options.length > 0 && field("Options as JSON", json(), `This model has ${options.join(", ")}`),
    ].filter(Boolean);
  }

  /** What it costs by the chosen model, and by each of the others. */
  async #estimate() {
    const asked = ++this.#asked;
    let found;
    try {
      // Of every model: a template alone would be priced by its own.
      const wanted = { model: "auto", ...this.values(), ...this.#extra(), operation: this.#operation };
      found = await api.estimate(wanted);
    } catch (error) {
      if (asked === this.#asked) this.#say(error.message, true);
      return;
    }
    if (asked !== this.#asked || !this.#chosen) return;
    this.#priced = new Map(
      this.#models.map(({ id }) => [id, found.routes.filter((route) => route.model === id)]),
    );
    this.#list();
    const route = this.#first(this.#chosen);
    const why = found.excluded.find(({ model }) => model === this.#chosen.id)?.reason;
    const count = this.values().n ?? 1;
    const pictures = count === 1 ? "a picture" : counted(count, "picture");
    if (route)
      this.#say(`About ${money(route.total_usd)} for ${pictures}, in some ${seconds(route.seconds)}`);
    else this.#say(`Not with these settings: ${why ?? "no provider has it"}`, true);
  }

  #say(text, bad = false) {
    this.#said.textContent = text;
    this.#said.classList.toggle("wrong", bad);
  }
}

function number(name, min, max, before) {
  const value = before[name] ?? "";
  return h("input", { type: "number", name, min, max, step: 1, value, inputmode: "numeric" });
}

/** The options of a control, which says so itself where they are no JSON object. */
function parsed(control) {
  control.setCustomValidity("");
  if (!control.value.trim()) return {};
  try {
    const options = JSON.parse(control.value);
    if (options instanceof Object && !Array.isArray(options)) return { options };
  } catch {
    // Said below.
  }
  control.setCustomValidity('Write JSON, an object such as {"temperature": 0.7}.');
  return {};
}
