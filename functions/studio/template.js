// A form that begins from a template: the picker, its variables as fields, and the prompt they make.

import { failed } from "./app.js";
import { find, models, templates } from "./catalogue.js";
import { announce, field, h, right, wrong } from "./dom.js";

const MANY = 10;
const LONG = 100;
const PLACE = /\{([a-z][a-z0-9_]*)\}/g;

/** "needs 2 to 5 pictures": what a template works on; nothing where it works on none. */
export function sources({ min_sources: least, max_sources: most }) {
  if (!most) return "";
  const pictures = `${most} picture${most > 1 ? "s" : ""}`;
  if (!least) return `takes up to ${pictures}`;
  return least === most ? `needs ${pictures}` : `needs ${least} to ${pictures}`;
}

/** The prompt as the server makes it, in pieces: text, and {place, value} for each variable. */
export function pieces(template, values) {
  const named = Object.fromEntries(template.variables.map((variable) => [variable.name, variable]));
  const made = template.prompt.split(PLACE).map((piece, at) => {
    if (at % 2 === 0) return piece;
    return { place: `{${piece}}`, value: values[piece] ?? named[piece]?.default ?? null };
  });
  if (template.avoid.length) made.push(` Avoid: ${template.avoid.join(", ")}.`);
  return made;
}

/** The template of a form. It stands in `root`; while one is in use, `prompt` is hidden. */
export class Templates {
  #operation;
  #root;
  #prompt;
  #fields;
  #chosen = null;
  #dialog = null;

  constructor(operation, root, { prompt, fields }) {
    this.#operation = operation;
    this.#root = root;
    this.#prompt = prompt;
    this.#fields = fields;
    root.classList.add("template");
    this.clear();
  }

  /** Have them ready. That they are not is said when somebody wants one. */
  async load() {
    await this.#usable().catch(() => null);
  }

  /** Go on without a template. */
  clear() {
    this.#chosen = null;
    this.#show(true);
    const open = h(
      "button",
      { type: "button", "aria-haspopup": "dialog", onclick: () => this.#pick() },
      "Start from a template",
    );
    this.#root.replaceChildren(open);
  }

  /** Show an error at the variable it is about; whether it is about the template. */
  invalid(error) {
    const [part, kind, name] = (error.param ?? "").split(".");
    if (part !== "template" || !this.#chosen) return false;
    const control = kind === "variables" && this.#root.querySelector(`[name="${CSS.escape(name ?? "")}"]`);
    right(this.#root);
    wrong(control || this.#root.querySelector("button"), error.message);
    return true;
  }

  /** `{template: {name, variables}}`, or nothing where none is chosen. */
  body() {
    if (!this.#chosen) return {};
    const { name, fields } = this.#chosen;
    return { ...this.#unset(fields), template: { name, variables: this.#values() } };
  }

  async #usable() {
    return (await templates()).filter((template) => template.operations.includes(this.#operation));
  }

  /** What the model makes by itself, for settings of the template that were taken back: left out they
   * would be the template's. The shape of an edit is the first picture's, which has no name. */
  #unset(fields) {
    const model = this.#fields.model;
    const now = this.#fields.values();
    const own = {
      aspect_ratio: this.#operation === "generate" && model?.aspect_ratios[0],
      resolution: model?.resolutions[0],
      quality: model?.qualities[0],
      background: model?.backgrounds[0],
      output_format: model?.output_formats[0],
    };
    const back = Object.keys(fields).filter((name) => !(name in now) && own[name]);
    return Object.fromEntries(back.map((name) => [name, own[name]]));
  }

  #values() {
    const filled = [...this.#root.querySelectorAll("[name]")].filter((control) => control.value.trim());
    return Object.fromEntries(filled.map((control) => [control.name, control.value]));
  }

  async #pick() {
    const title = h("h2", { id: `${this.#operation}-templates` }, "Start from a template");
    const list = h("div", { class: "templates" }, h("p", { class: "fine" }, "Loading templates…"));
    const close = h("button", { type: "button" }, "Cancel");
    const top = h("div", {}, title);
    this.#dialog = h(
      "dialog",
      { class: "picker", "aria-labelledby": title.id },
      top,
      list,
      h("p", { class: "buttons" }, close),
    );
    const dialog = this.#dialog;
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    try {
      const [usable, known] = [await this.#usable(), await models()];
      const cards = usable.map((template) => this.#card(template, known));
      list.replaceChildren(
        ...(cards.length ? cards : [h("p", { class: "empty" }, "There is no template for this.")]),
      );
      if (usable.length > MANY) top.append(search(list, cards));
      (top.querySelector("input") ?? cards[0] ?? close).focus();
    } catch (error) {
      const again = () => {
        dialog.close();
        this.#pick();
      };
      list.replaceChildren(failed(error, again));
    }
  }

  #card(template, known) {
    const model = known.find(({ id }) => id === template.model)?.name ?? template.model;
    const needs = sources(template);
    return h(
      "button",
      { type: "button", "data-template": template.name, onclick: () => this.#use(template) },
      h("strong", {}, template.title),
      h("span", {}, template.description),
      h("span", { class: "fine" }, [`Best with ${model}`, needs].filter(Boolean).join(" · ")),
    );
  }

  async #use(template) {
    this.#chosen = template;
    this.#dialog?.close();
    this.#show(false);
    const preview = h("p", { class: "preview" });
    const rows = template.variables.map(variableField);
    const model = await find(template.model).catch(() => null);
    this.#root.replaceChildren(
      h(
        "fieldset",
        {},
        h("legend", {}, `Template: ${template.title}`),
        h(
          "p",
          { class: "fine" },
          [
            template.description,
            sources(template) && `It ${sources(template)}.`,
            model && `Best with ${model.name}.`,
          ]
            .filter(Boolean)
            .join(" "),
        ),
        rows,
        h("h3", {}, "The prompt it makes"),
        preview,
        h(
          "p",
          { class: "buttons" },
          h("button", { type: "button", onclick: () => this.#asText() }, "Use as text"),
          h("button", { type: "button", onclick: () => this.#pick() }, "Another template"),
          h("button", { type: "button", onclick: () => this.#leave() }, "Without template"),
        ),
      ),
    );
    const draw = () => preview.replaceChildren(...pieces(template, this.#values()).map(shown));
    this.#root.querySelector("fieldset").addEventListener("input", ({ target }) => {
      right(this.#root);
      check(target);
      draw();
    });
    draw();
    this.#fields.fill({ ...this.#fields.values(), model: template.model, ...template.fields });
    announce(`Template ${template.title}`);
    const first = ["[name]:invalid", "[name]", "button"].map((sought) => this.#root.querySelector(sought));
    first.find(Boolean).focus();
  }

  #asText() {
    const text = pieces(this.#chosen, this.#values())
      .map((piece) => piece.value ?? piece.place ?? piece)
      .join("");
    this.#leave();
    this.#prompt.value = text;
    const open = text.search(PLACE);
    const end = open < 0 ? text.length : text.indexOf("}", open) + 1;
    this.#prompt.setSelectionRange(open < 0 ? end : open, end);
  }

  #leave() {
    this.clear();
    this.#prompt.focus();
    this.#fields.changed();
  }

  /** Show or hide the prompt. What it lacks must not stop a form that does not use it. */
  #show(free) {
    (this.#prompt.closest(".field") ?? this.#prompt).hidden = !free;
    this.#prompt.disabled = !free;
    this.#prompt.setCustomValidity("");
  }
}

/** A variable as a field, which says itself what it lacks. */
function variableField(variable) {
  const { name, description, example, values, required } = variable;
  const given = { name, required, maxlength: variable.max_length, value: variable.default ?? "" };
  const texts = { ...given, placeholder: required ? example : variable.default, autocomplete: "off" };
  const control = values.length
    ? h(
        "select",
        { name, required },
        [
          required && h("option", { value: "" }, "Choose…"),
          values.map((value) => h("option", { value, selected: value === variable.default }, value)),
        ].flat(),
      )
    : variable.max_length > LONG
      ? h("textarea", { ...texts, rows: 2 })
      : h("input", texts);
  const label = name[0].toUpperCase() + name.slice(1).replaceAll("_", " ");
  const hint = required || values.length ? description : `${description}, such as “${example}”`;
  const row = field([label, required && h("span", { class: "tag" }, "needed")], control, hint);
  check(control);
  return row;
}

function check(control) {
  const missing = control.required && !control.value.trim();
  control.setCustomValidity(missing ? "The template needs this." : "");
}

function shown(piece) {
  if (typeof piece === "string") return piece;
  return piece.value === null ? h("mark", {}, piece.place) : h("strong", {}, piece.value);
}

function search(list, cards) {
  const input = h("input", { type: "search" });
  const none = h("p", { class: "empty", hidden: true }, "No template has these words.");
  list.append(none);
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/);
    for (const card of cards)
      card.hidden = !words.every((word) => card.textContent.toLowerCase().includes(word));
    none.hidden = cards.some((card) => !card.hidden);
  });
  return field("Search", input);
}
