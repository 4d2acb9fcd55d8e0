// One request of the gallery in a dialog: all there is to know of it, and what can be done with it.

import * as api from "./api.js";
import { failed, go } from "./app.js";
import { h, money, problem, seconds, when } from "./dom.js";
import { asset, picture } from "./picture.js";
import { attempts } from "./progress.js";

export const OPERATIONS = { generate: "Generated", edit: "Edited", three_d: "3D model" };
export const STATUSES = {
  succeeded: "Succeeded",
  failed: "Failed",
  running: "Being made",
  queued: "Waiting for its turn",
  cancelled: "Cancelled",
};

/** Whether it has not ended yet. */
export const open = (request) => ["queued", "running"].includes(request.status);

/** What it came to, as people read it. */
export function cost(request) {
  if (open(request)) return `about ${money(request.cost.estimated_usd)}`;
  if (request.status !== "succeeded") return "not charged";
  if (request.sandbox) return "sandbox, free";
  if (request.cached) return "from the cache";
  return request.cost.free_tier ? "free tier" : money(request.cost.usd);
}

/** Have a picture that does not come fetched by a fresh link, once: links end after a day. */
export function mend(img, request, image) {
  const give = (why) => (img.closest("figure") ?? img).replaceWith(h("span", { class: "gone" }, why));
  const once = { once: true };
  img.addEventListener(
    "error",
    async () => {
      try {
        const fresh = (await api.request(request.id)).images.find(({ id }) => id === image.id);
        if (!fresh) return give("This picture is gone");
        img.addEventListener("error", () => give("This picture is gone"), once);
        // Not a new object: what is done with the picture holds on to this one.
        img.src = api.link(Object.assign(image, fresh));
      } catch (error) {
        give(error.code === "not_found" ? "This picture is gone" : "This picture did not load");
      }
    },
    once,
  );
}

/** Cancel a request: as it is then. It may have ended by itself first. */
export async function stop(request) {
  try {
    return await api.cancel(request.id);
  } catch (error) {
    const now = error.code === "invalid_request" && (await api.request(request.id));
    if (!now || open(now)) throw error;
    return now;
  }
}

/** The dialog. `changed(request)` is told how a request is now, `removed(id)` that it is gone,
 * `closed(id)` that the dialog is. */
export class Detail {
  #dialog = h("dialog", { class: "detail", "aria-labelledby": "detail-title" });
  #request = null;
  #told;
  #said;
  #actions;

  constructor(section, told) {
    this.#told = told;
    section.append(this.#dialog);
    this.#dialog.addEventListener("close", () => this.#request && told.closed(this.#request.id));
    // Whatever leads to another part leads out of here.
    addEventListener("hashchange", () => this.close());
  }

  /** Show a request. */
  open(request) {
    this.#request = request;
    this.#draw();
    this.#dialog.showModal();
    this.#dialog.scrollTop = 0;
  }

  /** Show how the request is now, if it is the one that is shown. */
  update(request) {
    if (!this.#dialog.open || this.#request?.id !== request.id) return;
    this.#request = request;
    this.#draw();
  }

  /** Put the dialog away; nobody is told. */
  close() {
    this.#request = null;
    this.#dialog.close();
  }

  #draw() {
    const request = this.#request;
    const focused = this.#dialog.querySelector(":focus")?.dataset.do;
    this.#said = h("div", { role: "status" });
    this.#actions = h("div", {}, this.#offered());
    this.#dialog.replaceChildren(
      h(
        "div",
        { class: "top" },
        h(
          "h2",
          { id: "detail-title" },
          `${OPERATIONS[request.operation]}: ${STATUSES[request.status].toLowerCase()}`,
        ),
        button("close", "Close", () => this.#dialog.close()),
      ),
      h(
        "div",
        { class: "split" },
        pictures(request),
        h("div", {}, this.#asked(), made(request), this.#actions, this.#said, facts(request)),
      ),
    );
    if (focused) this.#focus(focused);
  }

  #focus(name) {
    (this.#dialog.querySelector(`[data-do="${name}"]`) ?? this.#dialog.querySelector("button")).focus();
  }

  #asked() {
    const { prompt, id } = this.#request;
    const text = prompt && h("p", { class: "prompt" }, prompt);
    const name = h("code", {}, id);
    return [
      text,
      h(
        "p",
        { class: "buttons" },
        text && button("copy", "Copy the prompt", () => this.#copy(text)),
        button("copy-id", "Copy the request's id", () => this.#copy(name)),
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
      generate: ["again", "Run it again", () => go("generate", { request })],
      edit: ["again", "Edit again like this", () => go("edit", { request })],
    }[request.operation];
    return [
      h(
        "p",
        { class: "buttons" },
        open(request) && button("cancel", "Cancel", () => this.#cancel()),
        again && button(...again),
        button("delete", "Delete", () => this.#ask()),
      ),
      request.operation === "edit" &&
        h("p", { class: "fine" }, "To edit again, its sources have to be put in again: they are not kept."),
    ].filter(Boolean);
  }

  #ask() {
    const keep = () => {
      this.#said.replaceChildren();
      this.#actions.replaceChildren(...this.#offered());
      this.#focus("delete");
    };
    this.#actions.replaceChildren(
      h(
        "p",
        { id: "detail-ask" },
        "Delete this request and all it made? It cannot be brought back, and what it cost stays charged.",
      ),
      h(
        "p",
        { class: "buttons" },
        button("keep", "Keep it", keep),
        button("really", "Delete for good", () => this.#delete()),
      ),
    );
    this.#focus("keep");
    this.#dialog.querySelector(":focus").setAttribute("aria-describedby", "detail-ask");
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
function button(name, text, run) {
  return h("button", { type: "button", "data-do": name, onclick: run }, text);
}

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

function facts(request) {
  const { model, n, template, images, ...rest } = request.parameters;
  const { input_tokens: read, output_tokens: written } = request.usage;
  const took = request.completed_at && (new Date(request.completed_at) - new Date(request.created_at)) / 1000;
  const rows = [
    ["Model", model && model !== request.model ? `${request.model}, asked for as ${model}` : request.model],
    ["Provider", request.provider],
    ["Cost", cost(request)],
    ["Credits of the provider", request.cost.credits],
    ["Estimated", request.sandbox ? null : money(request.cost.estimated_usd)],
    ["Asked", when(request.created_at)],
    ["Took", took && seconds(took)],
    ["Pictures asked for", n],
    ["Sources", images],
    ["Template", template && `${template.name}, version ${template.version}`],
    ...Object.entries(template?.variables ?? {}).map(([name, value]) => [`Variable ${name}`, value]),
    ...Object.entries(rest).map(([name, value]) => [plain(name), text(value)]),
    ["Tokens", read + written > 0 && `${read} in, ${written} out`],
    ["Tries", request.attempts.length > 0 && attempts(request.attempts)],
    ["Continues", request.previous_request_id],
    ["Came by", request.surface !== "native" && `the API in the shapes of ${request.surface}`],
    ["Idempotency key", request.idempotency_key],
    ...Object.entries(request.metadata).map(([name, value]) => [`Metadata ${name}`, value]),
  ];
  const known = rows.filter(([, value]) => ![null, undefined, false, ""].includes(value));
  const row = ([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  return h("dl", { class: "known" }, known.map(row));
}

const text = (value) => (value instanceof Object ? JSON.stringify(value) : value);

const plain = (name) => (name[0].toUpperCase() + name.slice(1)).replaceAll("_", " ");
