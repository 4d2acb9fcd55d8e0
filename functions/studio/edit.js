// Edit: pictures and an instruction, perhaps a mask, and then turn after turn.

import * as api from "./api.js";
import { failed, onKey } from "./app.js";
import { find, models } from "./catalogue.js";
import { Choosing } from "./choose.js";
import { addCompare } from "./compare.js";
import { announce, h } from "./dom.js";
import { Fields } from "./fields.js";
import { Mask } from "./mask.js";
import { ended, follow } from "./progress.js";
import { Sources } from "./sources.js";
import { Templates } from "./template.js";
import { body, title } from "./turn.js";

// How many models a sentence names.
const NAMED = 3;
const UNKNOWN_S = 20;

let editing;

/** Build the form. */
export async function start(section) {
  editing = new Editing(section);
  await editing.load();
}

/** `given.image` is a picture to edit; `given.request` alone is an edit to make again; `given.model`
 * and `resolution` are to edit with. */
export async function show(given) {
  if (given?.image) await editing.begin(given.image);
  else if (given?.request) await editing.again(given.request);
  else if (given?.model) editing.fields.fill({ ...editing.fields.values(), ...given });
}

/** The form and the thread of its turns. A turn is what was asked with, and how it ended:
 * {prompt, template, settings, model, sources, mask, previous, number, request, goesOn}. */
class Editing {
  #continued = null; // the turn that the next goes on from
  #offered = null; // the one that it could go on from
  #turns = new Map(); // by the id of their request
  #priced = false; // whether the estimate knows of a mask

  constructor(section) {
    this.prompt = h("textarea", {
      id: "edit-prompt",
      name: "prompt",
      rows: 3,
      placeholder: "Make it night, with lit windows",
    });
    this.results = h(
      "div",
      { class: "results", role: "region", "aria-label": "Turns" },
      h("p", { class: "empty" }, "What becomes of your pictures appears here, the newest first."),
    );
    this.talk = h("div", { class: "talk", hidden: true });
    const [templates, settings, strip] = ["template", "fields", "sources"].map((id) =>
      h("div", { id: `edit-${id}` }),
    );
    this.choice = h("div", {
      role: "group",
      "aria-label": "What to do with the picture",
      class: "problem",
      hidden: true,
    });
    this.begins = h("fieldset", {}, h("legend", {}, "Pictures"), this.choice, strip);
    this.masking = h("div", { class: "mask" });
    this.begins.append(this.masking);
    const estimate = h("p", { class: "estimate", "aria-live": "polite" });
    this.form = h(
      "form",
      { class: "panel" },
      this.talk,
      this.begins,
      templates,
      h("p", { class: "field" }, h("label", { for: "edit-prompt" }, "What to change"), this.prompt),
      settings,
      h("div", { class: "send" }, estimate, h("button", { type: "submit", class: "main" }, "Edit")),
    );
    section.append(h("div", { class: "columns" }, this.form, this.results));
    this.mask = new Mask({ changed: () => this.#masked() });
    section.append(this.mask.dialog);
    // What opened it was drawn again meanwhile.
    this.mask.dialog.addEventListener("close", () => this.masking.querySelector("button")?.focus());
    this.sources = new Sources(strip, { first: () => this.#mayLoseMask(), changed: () => this.#changed() });
    this.sources.accept(section);
    this.fields = new Fields("edit", settings, { estimate, extra: () => this.#extra() });
    this.template = new Templates("edit", templates, { prompt: this.prompt, fields: this.fields });
    new Choosing("edit", this.fields.cards, this.fields);
    // Its settings are drawn again whenever another model is chosen.
    new MutationObserver(() => this.#refresh()).observe(this.fields.settings, { childList: true });
    onKey(() => this.#goOn(null, null));
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    this.prompt.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) this.form.requestSubmit();
    });
  }

  async load() {
    this.#refresh();
    await Promise.all([this.fields.load(), this.template.load()]);
    this.all = (await models().catch(() => [])).filter((model) => model.operations.includes("edit"));
    this.#refresh();
  }

  /** Begin with a picture of the gallery; asks what to do with those that are there. */
  async begin(image) {
    this.#goOn(null, null);
    const there = this.sources.list.length;
    if (!there) return this.sources.addImage(image);
    const answer = (text, run) =>
      h(
        "button",
        { type: "button", onclick: () => ((this.choice.hidden = true), this.sources.file.focus(), run()) },
        text,
      );
    this.choice.replaceChildren(
      h(
        "p",
        {},
        there === 1 ? "There is a picture here already." : `There are ${there} pictures here already.`,
      ),
      h(
        "p",
        { class: "buttons" },
        answer(
          "Begin anew with the new one",
          async () => (await this.sources.clear()) && this.sources.addImage(image),
        ),
        answer("Add it to them", () => this.sources.addImage(image)),
        answer("Leave it", () => {}),
      ),
    );
    this.choice.hidden = false;
    this.choice.querySelector("button").focus();
  }

  /** Fill the form from an earlier request. */
  async again(request) {
    const { prompt, parameters, previous_request_id: earlier } = request;
    this.template.clear();
    this.prompt.value = prompt;
    this.fields.fill(parameters);
    this.#goOn(null, null);
    if (!earlier)
      return this.sources.refuse("Add the pictures of that edit again: they are not kept with it.");
    try {
      this.#goOn(this.#turns.get(earlier) ?? { request: await api.request(earlier), number: 1 });
    } catch (error) {
      this.talk.replaceChildren(failed(error, () => this.again(request)));
      this.talk.hidden = false;
    }
  }

  #extra() {
    const begun = this.#continued
      ? { previous_request_id: this.#continued.request.id }
      : { source_count: this.sources.list.length, ...(this.mask.painted && { masked: true }) };
    return { ...begun, ...this.template.body() };
  }

  #changed() {
    this.fields?.changed();
    this.#refresh();
  }

  /** A stroke changes the price only if there was no mask before. */
  #masked() {
    if (this.mask.painted === this.#priced) return this.#refresh();
    this.#priced = this.mask.painted;
    this.#changed();
  }

  /** Say what fits the chosen model, and what does not. */
  #refresh() {
    const model = this.fields?.model;
    this.begins.hidden = this.#continued !== null;
    this.sources?.sayFor(model, this.mask.painted);
    const focused = this.masking.contains(document.activeElement);
    this.masking.replaceChildren(...this.#maskLine(model));
    if (focused) (this.masking.querySelector("button") ?? this.sources.file).focus();
    this.#showTalk(model);
  }

  #maskLine(model) {
    const [first] = this.sources?.list ?? [];
    if (!model || !first) return [];
    const painted = this.mask.painted;
    const button = (text, run) => h("button", { type: "button", onclick: run }, text);
    const buttons = [
      model.mask && button(painted ? "Change the mask" : "Paint a mask", () => this.mask.open(first)),
      painted && button("Remove the mask", () => this.mask.clear()),
    ].filter(Boolean);
    return [
      h("p", { class: painted && !model.mask ? "wrong" : "fine" }, this.#aboutMask(model, first)),
      !model.mask && this.#instead((other) => other.mask),
      buttons.length > 0 && h("p", { class: "buttons" }, buttons),
    ].filter(Boolean);
  }

  #aboutMask(model, first) {
    if (!model.mask) {
      return `${model.name} takes no mask${this.mask.painted ? ", and one is painted: remove it" : ""}. These do:`;
    }
    if (this.mask.painted) return `A mask lies on ${first.name}. ${this.mask.summary()}`;
    return `A mask limits the change to a part of ${this.sources.list.length > 1 ? "the first picture" : "the picture"}.`;
  }

  /** Models that could, to choose by a click. */
  #instead(can) {
    const able = (this.all ?? []).filter((model) => model.status === "live" && can(model)).slice(0, NAMED);
    return h(
      "p",
      { class: "buttons" },
      able.map((model) =>
        h("button", { type: "button", onclick: () => this.fields.choose(model.id) }, `Use ${model.name}`),
      ),
    );
  }

  async #mayLoseMask() {
    if (!this.mask.painted) return true;
    const yes = await asked(
      "The mask lies on the first picture, and goes when another takes its place.",
      "Drop the mask",
      "Keep it",
    );
    if (yes) this.mask.drop();
    return yes;
  }

  /** Have the next turn go on from a turn, or offer that it could. */
  #goOn(turn, offered = this.#offered) {
    this.#continued = turn;
    this.#offered = offered;
    this.#changed();
  }

  #continue(turn) {
    this.template.clear();
    this.#goOn(turn);
    this.prompt.value = "";
    this.prompt.focus();
    announce(`The next turn goes on from turn ${turn.number}.`);
  }

  #showTalk(model) {
    const turn = this.#continued;
    const offered = turn ? null : this.#offered;
    const focused = this.talk.contains(document.activeElement);
    this.talk.hidden = !turn && !offered;
    if (turn) {
      const [image] = turn.request.images;
      this.talk.replaceChildren(
        h("img", { src: api.link(image), alt: "", width: image.width, height: image.height }),
        h(
          "p",
          {},
          h("strong", {}, `Turn ${turn.number + 1}`),
          ` goes on from turn ${turn.number}: “${turn.request.prompt}”`,
        ),
        ...(model && !model.multi_turn
          ? [
              h("p", { class: "wrong" }, `${model.name} cannot continue a conversation. These can:`),
              this.#instead((other) => other.multi_turn),
            ]
          : []),
        h(
          "p",
          { class: "buttons" },
          h("button", { type: "button", onclick: () => this.#anew() }, "Start anew"),
        ),
      );
    } else if (offered) {
      this.talk.replaceChildren(
        h("p", {}, "Go on from the newest picture: the model remembers what was said."),
        h(
          "p",
          { class: "buttons" },
          h(
            "button",
            { type: "button", onclick: () => this.#continue(offered) },
            "Continue the conversation",
          ),
        ),
      );
    }
    if (focused) (this.talk.querySelector("button") ?? this.prompt).focus();
  }

  #anew() {
    this.#goOn(null, null);
    this.sources.file.focus();
    announce("The next edit begins from the pictures.");
  }

  /** Whether the form can be sent as it is; leads to what is in the way. */
  #ready(template) {
    if (!template.template && !this.prompt.value.trim()) {
      this.prompt.setCustomValidity("Say what to change.");
      this.prompt.reportValidity();
      this.prompt.addEventListener("input", () => this.prompt.setCustomValidity(""), { once: true });
      return false;
    }
    const { model } = this.fields;
    if (this.#continued) {
      const able = model?.multi_turn ?? true;
      if (!able) this.talk.querySelector("button").focus();
      return able;
    }
    const wrong =
      (!this.sources.list.length && "Add a picture to edit first.") ||
      this.sources.trouble(model, this.mask.painted) ||
      (this.mask.painted && model && !model.mask && this.#aboutMask(model, this.sources.list[0]));
    if (wrong) this.sources.refuse(wrong);
    return !wrong;
  }

  async #send() {
    await this.sources.settled();
    const template = this.template.body();
    if (!this.#ready(template)) return;
    this.sources.refused.replaceChildren();
    const previous = this.#continued;
    const turn = {
      prompt: this.prompt.value,
      template,
      settings: this.fields.body(),
      model: this.fields.model,
      previous,
      number: previous ? previous.number + 1 : 1,
      sources: previous ? [] : [...this.sources.list],
      mask: !previous && this.mask.painted ? await this.mask.png() : null,
    };
    await this.#make(turn);
  }

  async #make(turn) {
    const request = await follow(this.results, {
      send: async (once) => api.edit(await body(turn), once),
      // Before the models are there, the server chooses one.
      typicalS: turn.model?.typical_seconds ?? UNKNOWN_S,
      prompt: turn.template.template?.name ?? turn.prompt,
      invalid: (error) => this.#invalid(error),
    });
    if (!request) return;
    turn.request = request;
    this.#turns.set(request.id, turn);
    const card = this.results.querySelector(`[data-request="${CSS.escape(request.id)}"]`);
    if (request.status !== "succeeded") {
      // So that trying again is a turn of this thread too.
      card.replaceChildren(...ended(request, () => (card.remove(), this.#make(turn))));
      card.prepend(title(turn));
      return;
    }
    turn.goesOn = request.images.length > 0 && (await find(request.model))?.multi_turn === true;
    this.#dress(card, turn);
    if (this.#continued !== turn.previous) return;
    if (turn.previous && this.prompt.value === turn.prompt) this.prompt.value = "";
    this.#goOn(turn.previous && turn.goesOn ? turn : turn.previous, turn.goesOn ? turn : null);
  }

  /** What a turn's card has beside its result. */
  #dress(card, turn) {
    const before = turn.previous?.request.images[0] ?? turn.sources[0];
    if (before) {
      card
        .querySelectorAll(".picture")
        .forEach((figure, at) => addCompare(figure, before, turn.request.images[at]));
    }
    if (turn.goesOn) {
      const run = () => this.#continue(turn);
      card.append(
        h("p", { class: "buttons" }, h("button", { type: "button", onclick: run }, "Continue from here")),
      );
    } else if (turn.request.images.length) {
      card.append(
        h(
          "p",
          { class: "fine" },
          `${turn.model?.name ?? turn.request.model} does not continue conversations: “Edit this” begins a new edit with the picture.`,
        ),
      );
    }
    card.prepend(title(turn));
  }

  /** Show an error where it can be put right; whether there is such a place. */
  #invalid(error) {
    const [, name, at] = /^(images|mask)(?:\[(\d+)\])?/.exec(error.param ?? "") ?? [];
    if (name && !this.#continued) {
      this.sources.refuse(error.message, at === undefined ? null : Number(at));
      return true;
    }
    return this.template.invalid(error) || this.fields.invalid(error);
  }
}

/** Ask before something is lost: whether to do it. */
function asked(text, yes, no) {
  return new Promise((done) => {
    const answer = (value, ...more) => h("button", { value, class: value && "main" }, ...more);
    const dialog = h(
      "dialog",
      { "aria-label": yes },
      h(
        "form",
        { method: "dialog" },
        h("p", {}, text),
        h("p", { class: "buttons" }, answer("yes", yes), answer("", no)),
      ),
    );
    dialog.addEventListener("close", () => {
      dialog.remove();
      done(dialog.returnValue === "yes");
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
