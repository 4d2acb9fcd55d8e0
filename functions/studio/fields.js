// The settings of a request: model cards, and only those fields that the chosen model has.

import * as api from "./api.js";
import { failed } from "./app.js";
import { largest, models } from "./catalogue.js";
import { field, h, money, right, seconds, select, unfold, wrong } from "./dom.js";

const DEFAULT = "";
const WAIT_MS = 250;
const SORTS = {
  listed: () => 0,
  price: (a, b) => a.price - b.price,
  speed: (a, b) => a.model.typical_seconds - b.model.typical_seconds,
  grade: (a, b) => b.model.grade - a.model.grade,
};

/** The settings of one form, for an operation. `root` is where they stand, `estimate` where the price
 * is said; `extra()` is what the estimate has to know beside them, such as `source_count`. */
export class Fields {
  #operation;
  #said;
  #extra;
  #models = [];
  #priced = new Map();
  #chosen = null;
  #timer = null;
  #asked = 0;

  constructor(operation, root, { estimate, extra = () => ({}) }) {
    this.#operation = operation;
    this.#said = estimate;
    this.#extra = extra;
    this.cards = h(
      "div",
      { class: "cards", role: "radiogroup", "aria-label": "Model" },
      h("p", { class: "fine" }, "Loading models…"),
    );
    this.sort = select(
      "sort",
      [
        ["listed", "As listed"],
        ["price", "Cheapest first"],
        ["speed", "Fastest first"],
        ["grade", "Best first"],
      ],
      "listed",
    );
    this.settings = h("div", { class: "settings" });
    root.append(
      h(
        "fieldset",
        { class: "models" },
        h("legend", {}, "Model"),
        field("Sort models", this.sort),
        this.cards,
      ),
      h("fieldset", {}, h("legend", {}, "Settings"), this.settings),
    );
    this.sort.addEventListener("change", () => this.#list());
    root.addEventListener("change", (event) => event.target !== this.sort && this.changed());
    root.addEventListener("input", () => this.changed());
    // What is folded away the browser could not show to be wrong, and would not send the form.
    this.settings.addEventListener("invalid", ({ target }) => unfold(target), true);
  }

  /** Load the models; shows why that failed, and tries again when asked to. */
  async load(wanted = null) {
    try {
      this.#models = (await models()).filter((model) => model.operations.includes(this.#operation));
    } catch (error) {
      this.cards.replaceChildren(failed(error, () => this.load(wanted)));
      return;
    }
    this.choose(wanted ?? this.#models[0].id);
  }

  /** The chosen model; null before they are loaded. */
  get model() {
    return this.#chosen;
  }

  /** Choose a model by id or alias; one that there is not, or that cannot do this, changes nothing. */
  choose(name) {
    const found = this.#models.find((model) => model.id === name || model.aliases.includes(name));
    if (!found) return;
    const before = this.values();
    this.#chosen = found;
    this.#list();
    this.#reveal();
    this.#offer(before);
    this.changed();
  }

  /** Fill in what an earlier request's `parameters` say, as far as the model still has it. */
  fill(parameters) {
    this.choose(parameters.model);
    if (!this.#chosen) return;
    this.#offer(parameters);
    this.changed();
  }

  /** The fields as a body's, without those left to the model. */
  values() {
    const values = {};
    for (const control of this.settings.querySelectorAll("[name]")) {
      const text = control.value.trim();
      if (text === DEFAULT) continue;
      if (control.name === "options") Object.assign(values, parsed(control));
      else if (control.name === "route") values.route = { prefer: text };
      else values[control.name] = "number" in control.dataset ? Number(text) : text;
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
      const routes = this.#priced.get(model.id);
      const route = this.#first(model);
      return { model, routes, route, price: route ? Number(route.unit_usd) : Infinity };
    });
    const focused = this.cards.contains(document.activeElement);
    const top = this.cards.scrollTop;
    this.cards.replaceChildren(...entries.toSorted(SORTS[this.sort.value]).map((entry) => this.#card(entry)));
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

  #card({ model, routes, route }) {
    const can = [
      largest(model),
      model.max_sources > 1 && `${model.max_sources} sources`,
      model.mask && "mask",
      model.seed && "seed",
      model.routes.some((one) => one.batch_price) && "batch",
    ];
    const price =
      routes === undefined ? "…" : route ? `${money(route.unit_usd)} a picture` : "not with these settings";
    return h(
      "label",
      { class: "model" },
      h("input", {
        type: "radio",
        name: `${this.#operation}-model`,
        value: model.id,
        checked: model.id === this.#chosen?.id,
        onchange: () => this.choose(model.id),
      }),
      h(
        "span",
        {},
        h("strong", {}, model.name),
        model.status !== "live" && h("span", { class: "tag" }, model.status),
        h("span", { class: "price" }, `${price} · ${seconds(model.typical_seconds)}`),
        h("span", { class: "fine" }, can.filter(Boolean).join(" · ")),
      ),
    );
  }

  /** The route that is tried first: in the catalogue's order, unless the cheapest is wanted. */
  #first(model) {
    const open = this.#priced.get(model.id) ?? [];
    if (this.values().route?.prefer === "cost") return open[0];
    const inOrder = model.routes.flatMap(({ provider }) =>
      open.filter((route) => route.provider === provider),
    );
    return inOrder[0];
  }

  /** Only the fields of the chosen model, with the values they had where it has those too. */
  #offer(before) {
    const model = this.#chosen;
    const choice = (name, label, values, unset = `Default (${values[0]})`) => {
      if (values.length < 2) return null;
      const kept = values.includes(before[name]) ? before[name] : DEFAULT;
      return field(label, select(name, [[DEFAULT, unset], ...values], kept));
    };
    const number = (name, label, most, hint, least = 1) =>
      field(
        label,
        h("input", {
          type: "number",
          name,
          min: least,
          max: most,
          step: 1,
          "data-number": true,
          value: before[name] ?? "",
          inputmode: "numeric",
        }),
        hint,
      );
    const rows = [
      choice(
        "aspect_ratio",
        "Aspect ratio",
        model.aspect_ratios,
        this.#operation === "edit" ? "As the first picture" : undefined,
      ),
      choice("resolution", "Resolution", model.resolutions),
      choice("quality", "Quality", model.qualities),
      choice("background", "Background", model.backgrounds),
      choice("output_format", "File format", model.output_formats),
      model.max_images > 1 && number("n", "Pictures", model.max_images, `1 to ${model.max_images}`),
      model.seed && number("seed", "Seed", 2 ** 31 - 1, "The same seed and prompt give a similar picture", 0),
    ].filter(Boolean);
    const lossy = model.output_formats.some((format) => format !== "png");
    const more = [
      model.routes.length > 1 &&
        field(
          "Provider",
          select(
            "route",
            [
              [DEFAULT, "In the listed order"],
              ["cost", "Cheapest first"],
              ["speed", "Fastest first"],
            ],
            before.route?.prefer ?? DEFAULT,
          ),
        ),
      lossy && number("output_quality", "File quality", 100, "1 to 100, for jpeg and webp"),
      model.options.length > 0 &&
        field(
          "Options as JSON",
          h("textarea", {
            name: "options",
            oninput: (event) => parsed(event.target),
            rows: 2,
            spellcheck: "false",
            placeholder: "{}",
            value: before.options ? JSON.stringify(before.options) : "",
          }),
          `This model has ${model.options.join(", ")}`,
        ),
    ].filter(Boolean);
    this.settings.replaceChildren(
      ...rows,
      ...(more.length ? [h("details", {}, h("summary", {}, "More settings"), ...more)] : []),
    );
  }

  /** What it costs by the chosen model, and by each of the others. */
  async #estimate() {
    const asked = ++this.#asked;
    let found;
    try {
      found = await api.estimate({ ...this.values(), ...this.#extra(), operation: this.#operation });
    } catch (error) {
      if (asked === this.#asked) this.#said.textContent = error.message;
      return;
    }
    if (asked !== this.#asked || !this.#chosen) return;
    this.#priced = new Map(
      this.#models.map((model) => [model.id, found.routes.filter((route) => route.model === model.id)]),
    );
    this.#list();
    const route = this.#first(this.#chosen);
    const why = found.excluded.find((one) => one.model === this.#chosen.id)?.reason;
    const pictures = this.values().n ?? 1;
    this.#said.textContent = route
      ? `About ${money(Number(route.unit_usd) * pictures)} for ${pictures === 1 ? "a picture" : `${pictures} pictures`}, in some ${seconds(route.seconds)}`
      : `Not with these settings: ${why ?? "no provider has it"}`;
    this.#said.classList.toggle("wrong", !route);
  }
}

/** The options of a control, which says so itself where they are no JSON object. */
function parsed(control) {
  control.setCustomValidity("");
  if (!control.value.trim()) return {};
  try {
    return { options: JSON.parse(control.value) };
  } catch {
    control.setCustomValidity('Write JSON, such as {"temperature": 0.7}.');
    return {};
  }
}
