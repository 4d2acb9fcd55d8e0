// One request of the gallery in a dialog: all there is to know of it, and what can be done with it.

import * as api from "./api.js";
import { failed, go } from "./app.js";
import { button, buttons, facts, h, problem } from "./dom.js";
import { asset, mend, picture } from "./picture.js";
import { OPERATIONS, STATUSES, attempts, cost, open, stop, took } from "./request.js";
import { money, when, worded } from "./words.js";

/** Letters of a prompt that push what can be done with it out of sight. */
const LONG = 600;
const LINES = 8;

/** The dialog. `changed(request)` is told how a request is now, `removed(id)` that it is gone,
 * `closed(id)` that the dialog is. */
export class Detail {
  #shown = h("div");
  #dialog = h("dialog", { class: "detail", "aria-labelledby": "detail-title" }, this.#shown);
  #request = null;
  #told;
  #said = h("div", { role: "status" });
  #actions;
  #asking = false;

  constructor(section, told) {
    this.#told = told;
    section.append(this.#dialog);
    this.#dialog.addEventListener("close", () => this.#request && told.closed(this.#request.id));
  }

  /** Show a request. */
  open(request) {
    this.#request = request;
    this.#asking = false;
    this.#said.replaceChildren();
    this.#draw();
    this.#dialog.showModal();
    this.#dialog.scrollTop = 0;
  }

  /** Show how the request is now, if it is the one that is shown. */
  update(request) {
    if (!this.#dialog.open || this.#request?.id !== request.id) return;
    this.#request = request;
    if (!open(request)) this.#said.querySelector("[data-code=still_running]")?.remove();
    this.#draw();
  }

  /** Put the dialog away with what it shows; nobody is told. */
  close() {
    this.#request = null;
    this.#dialog.close();
    this.#shown.replaceChildren();
  }

  #draw() {
    const request = this.#request;
    const held = this.#dialog.querySelector(":focus");
    this.#actions = h("div", {}, this.#asking ? this.#question() : this.#offered());
    this.#shown.replaceChildren(
      h(
        "div",
        { class: "top" },
        h(
          "h2",
          { id: "detail-title" },
          `${OPERATIONS[request.operation]}: ${STATUSES[request.status].toLowerCase()}`,
        ),
        action("close", "Close", () => this.#dialog.close()),
      ),
      h(
        "div",
        { class: "split" },
        pictures(request),
        h("div", {}, this.#asked(), made(request), this.#actions, this.#said, facts("known", known(request))),
      ),
    );
    if (held?.isConnected) held.focus();
    else if (held) this.#focus(held.dataset.do);
  }

  #focus(name) {
    (this.#dialog.querySelector(`[data-do="${name}"]`) ?? this.#dialog.querySelector("button")).focus();
  }

  #asked() {
    const { prompt, id } = this.#request;
    const long = prompt.length > LONG || prompt.split("\n").length > LINES;
    const text = prompt && h("p", { class: `prompt ${long ? "clamped" : ""}` }, prompt);
    const name = h("code", {}, id);
    const whole = () => {
      const all = !text.classList.toggle("clamped");
      this.#dialog.querySelector("[data-do=whole]").textContent = all ? "Show less" : "Show all";
    };
    return [
      text,
      buttons(
        long && action("whole", "Show all", whole),
        text && action("copy", "Copy the prompt", () => this.#copy(text)),
        action("copy-id", "Copy the request's id", () => this.#copy(name)),
        name,
      ),
    ].filter(Boolean);
  }

  async #copy(shown) {
    try {
      await navigator.clipboard.writeText(shown.textContent);
      this.#said.textContent = "Copied.";
    } catch {
      // There is no clipboard without https, or without leave.
      getSelection().selectAllChildren(shown);
      this.#said.textContent = "Selected: copy it with your keyboard.";
    }
  }

  #offered() {
    const request = this.#request;
    const again = {
      generate: ["Run it again", () => go("generate", { request })],
      edit: ["Edit again like this", () => go("edit", { request })],
    }[request.operation];
    return [
      buttons(
        open(request) && action("cancel", "Cancel", () => this.#cancel()),
        again && action("again", ...again),
        action("delete", "Delete", () => this.#ask()),
      ),
      request.operation === "edit" &&
        h("p", { class: "fine" }, "To edit again, its sources have to be put in again: they are not kept."),
    ].filter(Boolean);
  }

  #ask() {
    this.#asking = true;
    this.#actions.replaceChildren(...this.#question());
    this.#focus("keep");
  }

  #keep() {
    this.#asking = false;
    this.#said.replaceChildren();
    this.#actions.replaceChildren(...this.#offered());
    this.#focus("delete");
  }

  #question() {
    const keep = action("keep", "Keep it", () => this.#keep());
    keep.setAttribute("aria-describedby", "detail-ask");
    return [
      h(
        "p",
        { id: "detail-ask" },
        "Delete this request and all it made? It cannot be brought back, and what it cost stays charged.",
      ),
      buttons(
        keep,
        action("really", "Delete for good", () => this.#delete()),
      ),
    ];
  }

  async #delete() {
    const { id } = this.#request;
    try {
      await api.remove(id);
    } catch (error) {
      // Already gone is as good.
      if (error.code !== "not_found") return this.#fail(error, () => this.#delete());
    }
    this.close();
    this.#told.removed(id);
  }

  async #cancel() {
    try {
      this.#told.changed(await stop(this.#request));
    } catch (error) {
      this.#fail(error, () => this.#cancel());
    }
  }

  #fail(error, again) {
    const message = "It is still being made. Cancel it, or delete it once it has ended.";
    const running = error.code === "in_progress";
    this.#said.replaceChildren(running ? problem({ code: "still_running", message }) : failed(error, again));
  }
}

/** A button that finds itself again when the dialog is drawn anew. */
const action = (name, text, run) => button(text, run, { "data-do": name });

function pictures(request) {
  const shown = request.images.map((image) => {
    const figure = picture(request, image);
    mend(figure.querySelector("img"), request, image);
    return figure;
  });
  return shown.length > 0 && h("div", { class: "pictures" }, shown);
}

/** What there is beside pictures. */
function made(request) {
  return [
    ...request.assets.map(asset),
    request.text && h("p", {}, request.text),
    request.status === "cancelled" && h("p", {}, "Cancelled. Nothing was charged."),
    request.status !== "cancelled" && request.error && problem(request.error),
  ].filter(Boolean);
}

/** All there is to know, as [name, text or nodes]; what a request does not have is left out. */
function known(request) {
  const { model, n, template, images, ...rest } = request.parameters;
  const { input_tokens: read, output_tokens: written } = request.usage;
  const rows = [
    ["Model", model && model !== request.model ? `${request.model}, asked for as ${model}` : request.model],
    ["Provider", request.provider],
    ["Cost", cost(request)],
    ["Credits of the provider", request.cost.credits],
    ["Estimated", request.sandbox ? null : money(request.cost.estimated_usd)],
    ["Asked", when(request.created_at)],
    ["Took", took(request)],
    ["Pictures asked for", n],
    ["Sources", images],
    ["Template", template && `${template.name}, version ${template.version}`],
    ...Object.entries(template?.variables ?? {}).map(([name, value]) => [`Variable ${name}`, value]),
    ...Object.entries(rest).map(([name, value]) => [worded(name), text(value)]),
    ["Tokens", read + written > 0 && `${read} in, ${written} out`],
    ["Tries", request.attempts.length > 0 && attempts(request.attempts)],
    ["Continues", request.previous_request_id],
    ["Came by", request.surface !== "native" && `the API in the shapes of ${request.surface}`],
    ["Idempotency key", request.idempotency_key],
    ...Object.entries(request.metadata).map(([name, value]) => [`Metadata ${name}`, value]),
  ];
  return rows.filter(([, value]) => ![null, undefined, false, ""].includes(value));
}

const text = (value) => (value instanceof Object ? JSON.stringify(value) : value);
