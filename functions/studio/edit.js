// Edit: pictures and an instruction, perhaps a mask, and then turn after turn.

import * as api from "./api.js";
import { failed, onKey } from "./app.js";
import { models, named } from "./catalogue.js";
import { Choosing } from "./choose.js";
import { addCompare } from "./compare.js";
import { announce, button, buttons, confirmed, h, problem } from "./dom.js";
import { Fields } from "./fields.js";
import { filled, invalid, onSend } from "./form.js";
import { Mask } from "./mask.js";
import { ended, follow } from "./progress.js";
import { Sources } from "./sources.js";
import { Templates } from "./template.js";
import { body, same, title } from "./turn.js";

// How many models a sentence names.
const NAMED = 3;

let editing;

/** Build the form. */
export async function start(section) {
  editing = new Editing(section);
  await editing.fields.load();
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
  #begun = 0; // counts the beginnings, so that what comes late is not for a newer one
  #preparing = false;

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
    this.choice = h("div", {
      role: "group",
      "aria-label": "What to do with the picture",
      class: "problem",
      hidden: true,
    });
    this.masking = h("div", { class: "mask" });
    const [templates, settings, strip] = ["template", "fields", "sources"].map((id) =>
      h("div", { id: `edit-${id}` }),
    );
    this.begins = h("fieldset", {}, h("legend", {}, "Pictures"), this.choice, strip, this.masking);
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
    this.#fill(section, { templates, settings, strip, estimate });
    onSend(this.form, this.prompt, () => this.#send());
    onKey((before) => this.#forget(before));
    this.#refresh();
  }

  /** What stands in the form's places, and tells it what changes. */
  #fill(section, { templates, settings, strip, estimate }) {
    this.mask = new Mask({ changed: () => this.#masked() });
    section.append(this.mask.dialog);
    // What opened it was drawn again meanwhile.
    this.mask.dialog.addEventListener("close", () => this.masking.querySelector("button")?.focus());
    this.sources = new Sources(strip, { first: () => this.#mayLoseMask(), changed: () => this.#changed() });
    this.sources.accept(section);
    this.fields = new Fields("edit", settings, {
      estimate,
      extra: () => this.#extra(),
      chosen: () => this.#refresh(),
    });
    this.template = new Templates("edit", templates, { prompt: this.prompt, fields: this.fields });
    new Choosing("edit", this.fields);
  }

  /** What one key was given is not for the next; what the reader brought along stays. */
  #forget(before) {
    this.#anew();
    if (!before) return;
    this.#turns.clear();
    this.choice.hidden = true;
    if (this.sources.list[0]?.imageId) this.mask.drop();
    this.sources.forget();
  }

  /** Begin with a picture of the gallery; asks what to do with those that are there. */
  async begin(image) {
    this.#anew();
    const there = this.sources.list.length;
    if (!there) return this.sources.addImage(image);
    const add = () => this.sources.addImage(image);
    const answer = (text, run) =>
      button(text, () => {
        this.choice.hidden = true;
        this.sources.file.focus();
        run();
      });
    this.choice.replaceChildren(
      h(
        "p",
        {},
        there === 1 ? "There is a picture here already." : `There are ${there} pictures here already.`,
      ),
      buttons(
        answer("Begin anew with the new one", async () => (await this.sources.clear()) && add()),
        answer("Add it to them", add),
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
    this.#anew();
    if (!earlier)
      return this.sources.refuse("Add the pictures of that edit again: they are not kept with it.");
    const begun = this.#begun;
    try {
      const turn = this.#turns.get(earlier) ?? { request: await api.request(earlier), number: 1 };
      if (begun === this.#begun) this.#goOn(turn);
    } catch (error) {
      if (begun !== this.#begun) return;
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
    this.fields.changed();
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
    const { model } = this.fields;
    this.begins.hidden = this.#continued !== null;
    this.sources.sayFor(model, this.mask.painted);
    const focused = this.masking.contains(document.activeElement);
    this.masking.replaceChildren(...this.#maskLine(model));
    if (focused) (this.masking.querySelector("button") ?? this.sources.file).focus();
    this.#showTalk(model);
  }

  #maskLine(model) {
    const [first] = this.sources.list;
    if (!model || !first) return [];
    const painted = this.mask.painted;
    const offered = [
      model.mask && button(painted ? "Change the mask" : "Paint a mask", () => this.mask.open(first)),
      painted && button("Remove the mask", () => this.mask.clear()),
    ].filter(Boolean);
    return [
      h("p", { class: painted && !model.mask ? "wrong" : "fine" }, this.#aboutMask(model, first)),
      !model.mask && this.#instead((other) => other.mask),
      offered.length > 0 && buttons(...offered),
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
    const able = this.fields.able(can).slice(0, NAMED);
    return buttons(able.map(({ id, name }) => button(`Use ${name}`, () => this.fields.choose(id))));
  }

  async #mayLoseMask() {
    if (!this.mask.painted) return true;
    const yes = await confirmed(
      "The mask lies on the first picture, and goes when another takes its place.",
      "Drop the mask",
      "Keep it",
    );
    if (yes) this.mask.drop();
    return yes;
  }

  /** Have the next turn go on from a turn, or offer that it could. */
  #goOn(turn, offered = this.#offered) {
    this.#begun += 1;
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
    if (turn) this.talk.replaceChildren(...this.#continuing(turn, model));
    else if (offered) {
      this.talk.replaceChildren(
        h("p", {}, "Go on from the newest picture: the model remembers what was said."),
        buttons(button("Continue the conversation", () => this.#continue(offered))),
      );
    } else this.talk.replaceChildren();
    if (focused) (this.talk.querySelector("button") ?? this.prompt).focus();
  }

  #continuing({ request, number }, model) {
    const [image] = request.images;
    const unable = model && !model.multi_turn;
    const leave = () => {
      this.#anew();
      this.sources.file.focus();
      announce("The next edit begins from the pictures.");
    };
    return [
      image && h("img", { src: api.link(image), alt: "", width: image.width, height: image.height }),
      h("p", {}, h("strong", {}, `Turn ${number + 1}`), ` goes on from turn ${number}: “${request.prompt}”`),
      unable && h("p", { class: "wrong" }, `${model.name} cannot continue a conversation. These can:`),
      unable && this.#instead((other) => other.multi_turn),
      buttons(button("Start anew", leave)),
    ].filter(Boolean);
  }

  #anew() {
    this.#goOn(null, null);
  }

  /** Whether the form can be sent as it is; leads to what is in the way. */
  #ready(template) {
    if (!template.template && !filled(this.prompt, "Say what to change.")) return false;
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
    // Files are read and a mask is written: a second click meanwhile is the same.
    if (this.#preparing) return;
    this.#preparing = true;
    let turn = null;
    try {
      await this.sources.settled();
      turn = await this.#turn();
    } catch (error) {
      this.sources.refused.replaceChildren(problem(error));
    } finally {
      this.#preparing = false;
    }
    if (turn) await this.#make(turn);
  }

  /** The turn that the form says; null where it cannot be sent. */
  async #turn() {
    const template = this.template.body();
    if (!this.#ready(template)) return null;
    this.sources.refused.replaceChildren();
    const previous = this.#continued;
    return {
      prompt: this.prompt.value,
      template,
      settings: this.fields.body(),
      model: this.fields.model,
      previous,
      number: previous ? previous.number + 1 : 1,
      sources: previous ? [] : [...this.sources.list],
      mask: !previous && this.mask.painted ? await this.mask.png() : null,
    };
  }

  async #make(turn) {
    const request = await follow(this.results, {
      send: async (once) => api.edit(await body(turn), once),
      same: same(turn),
      model: turn.model,
      prompt: turn.template.template?.name ?? turn.prompt,
      invalid: (error) => this.#invalid(error),
    });
    if (!request) return;
    turn.request = request;
    this.#turns.set(request.id, turn);
    const card = this.results.querySelector(`[data-request="${CSS.escape(request.id)}"]`);
    if (request.status !== "succeeded") {
      // So that trying again is a turn of this thread too.
      const again = () => {
        card.remove();
        this.#make(turn);
      };
      card.replaceChildren(title(turn), ...ended(request, again));
      return;
    }
    const made = named(await models().catch(() => []), request.model);
    if (!card.isConnected) return;
    turn.goesOn = request.images.length > 0 && made?.multi_turn === true;
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
      card.append(buttons(button("Continue from here", () => this.#continue(turn))));
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
    return invalid(error, this);
  }
}
