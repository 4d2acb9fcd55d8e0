// A form that begins from a template: the picker, its variables as fields, and the prompt they make.

import { failed } from "./app.js";
import { CHOICES, models, named, templates } from "./catalogue.js";
import { announce, button, buttons, field, h, right, wrong } from "./dom.js";
import { counted, worded } from "./words.js";

const MANY = 10;
const LONG = 100;
const PLACE = /\{([a-z][a-z0-9_]*)\}/g;

/** "needs 2 to 5 pictures": what a template works on; nothing where it works on none. */
function sources({ min_sources: least, max_sources: most }) {
  if (!most) return "";
  const pictures = counted(most, "picture");
  if (!least) return `takes up to ${pictures}`;
  return least === most ? `needs ${pictures}` : `needs ${least} to ${pictures}`;
}

/** The prompt as the server makes it, in pieces: text, and {place, value} for each variable. */
function pieces(template, values) {
  const defaults = Object.fromEntries(
    template.variables.map((variable) => [variable.name, variable.default]),
  );
  const made = template.prompt.split(PLACE).map((piece, at) => {
    if (at % 2 === 0) return piece;
    return { place: `{${piece}}`, value: values[piece] ?? defaults[piece] ?? null };
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

  constructor(operation, root, { prompt, fields }) {
    this.#operation = operation;
    this.#root = root;
    this.#prompt = prompt;
    this.#fields = fields;
    root.classList.add("template");
    this.clear();
  }

  /** Go on without a template. */
  clear() {
    this.#chosen = null;
    this.#show(true);
    this.#root.replaceChildren(
      button("Start from a template", () => this.#pick(), { "aria-haspopup": "dialog" }),
    );
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
    const { model } = this.#fields;
    const now = this.#fields.values();
    const own = Object.entries(CHOICES).map(([name, [list]]) => [name, model?.[list][0]]);
    const back = own.filter(([name, value]) => name in fields && !(name in now) && value);
    const shaped = this.#operation === "edit" ? back.filter(([name]) => name !== "aspect_ratio") : back;
    return Object.fromEntries(shaped);
  }

  #values() {
    const filled = [...this.#root.querySelectorAll("[name]")].filter((control) => control.value.trim());
    return Object.fromEntries(filled.map((control) => [control.name, control.value]));
  }

  async #pick() {
    const title = h("h2", { id: `${this.#operation}-templates` }, "Start from a template");
    const list = h("div", { class: "templates" }, h("p", { class: "fine" }, "Loading templates…"));
    const close = button("Cancel", () => dialog.close());
    const top = h("div", {}, title);
    const dialog = h("dialog", { class: "picker", "aria-labelledby": title.id }, top, list, buttons(close));
    dialog.addEventListener("close", () => dialog.remove());
    document.body.append(dialog);
    dialog.showModal();
    try {
      const [usable, known] = [await this.#usable(), await models()];
      const use = (template) => {
        dialog.close();
        this.#use(template);
      };
      const cards = usable.map((template) => card(template, known, () => use(template)));
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

  async #use(template) {
    this.#chosen = template;
    const known = await models().catch(() => []);
    if (this.#chosen !== template) return;
    this.#show(false);
    const preview = h("p", { class: "preview" });
    const draw = () => preview.replaceChildren(...pieces(template, this.#values()).map(shown));
    const set = h(
      "fieldset",
      {},
      h("legend", {}, `Template: ${template.title}`),
      h("p", { class: "fine" }, described(template, named(known, template.model))),
      template.variables.map(variableField),
      h("h3", {}, "The prompt it makes"),
      preview,
      buttons(
        button("Use as text", () => this.#asText()),
        button("Another template", () => this.#pick()),
        button("Without template", () => this.#leave()),
      ),
    );
    set.addEventListener("input", ({ target }) => {
      right(this.#root);
      check(target);
      draw();
    });
    this.#root.replaceChildren(set);
    draw();
    this.#fields.fill({ ...this.#fields.values(), model: template.model, ...template.fields });
    announce(`Template ${template.title}`);
    const first = ["[name]:invalid", "[name]", "button"].map((sought) => set.querySelector(sought));
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

/** A template in the picker. */
function card(template, known, use) {
  const model = named(known, template.model)?.name ?? template.model;
  return h(
    "button",
    { type: "button", "data-template": template.name, onclick: use },
    h("strong", {}, template.title),
    h("span", {}, template.description),
    h("span", { class: "fine" }, [`Best with ${model}`, sources(template)].filter(Boolean).join(" · ")),
  );
}

function described(template, model) {
  const needs = sources(template);
  const said = [template.description, needs && `It ${needs}.`, model && `Best with ${model.name}.`];
  return said.filter(Boolean).join(" ");
}

/** A variable as a field, which says itself what it lacks. */
function variableField(variable) {
  const { name, description, example, values, required } = variable;
  const given = { name, required, maxlength: variable.max_length, value: variable.default ?? "" };
  const texts = { ...given, placeholder: required ? example : variable.default, autocomplete: "off" };
  let control;
  if (values.length) {
    const options = values.map((value) =>
      h("option", { value, selected: value === variable.default }, value),
    );
    control = h("select", { name, required }, required && h("option", { value: "" }, "Choose…"), options);
  } else if (variable.max_length > LONG) control = h("textarea", { ...texts, rows: 2 });
  else control = h("input", texts);
  const hint = required || values.length ? description : `${description}, such as “${example}”`;
  const row = field([worded(name), required && h("span", { class: "tag" }, "needed")], control, hint);
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
    for (const one of cards) {
      one.hidden = !words.every((word) => one.textContent.toLowerCase().includes(word));
    }
    none.hidden = cards.some((one) => !one.hidden);
  });
  return field("Search", input);
}
