// Making elements: those that every part has are made here once.

import { seconds } from "./words.js";

const XMLNS = "http://www.w3.org/2000/svg";
const SAY_MS = 50;
const SVG = new Set(["svg", "g", "rect", "line", "text"]);

/** An element: `h("button", {type: "button", onclick}, "Go")`. Attributes by name, `on…` as
 * listeners, and `value` as the property; null, undefined and false are left out. Children are
 * nodes or text, also in lists; null, undefined and false are left out. */
export function h(name, given = {}, ...children) {
  const element = SVG.has(name) ? document.createElementNS(XMLNS, name) : document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (!there(value)) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (key === "value") element.value = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.flat().filter(there));
  return element;
}

const there = (value) => value !== null && value !== undefined && value !== false;

/** A button that sends no form. */
export const button = (text, onclick, given = {}) => h("button", { type: "button", onclick, ...given }, text);

/** A row of buttons. */
export const buttons = (...all) => h("p", { class: "buttons" }, ...all);

/** What is said where there is nothing to show, and perhaps a button to change that. */
export const empty = (text, ...actions) => h("div", { class: "empty" }, h("p", {}, text), ...actions);

/** The rows of a `table` under their heads; all but the first column are numbers where `numbers` says so. */
export function table(heads, rows, { caption, numbers = false } = {}) {
  const head = (text, at) => h("th", { scope: "col", class: numbers && at > 0 && "number" }, text);
  return h(
    "table",
    {},
    caption && h("caption", {}, caption),
    h("thead", {}, h("tr", {}, heads.map(head))),
    rows,
  );
}

/** What may be wider than its place: `name` says what it is. */
export const scroll = (name, content, more = "") =>
  h("div", { class: `scroll ${more}`, role: "region", "aria-label": name, tabindex: 0 }, content);

/** Names with what is said of each, as [name, text or nodes]. */
export const facts = (style, rows) =>
  h(
    "dl",
    { class: style },
    rows.map(([name, said]) => h("div", {}, h("dt", {}, name), h("dd", {}, said))),
  );

/** A label over a control, with a hint under it. */
export function field(label, control, hint) {
  control.id ||= `f${++count}`;
  const below = hint && h("small", { id: `${control.id}-hint` }, hint);
  if (below) control.setAttribute("aria-describedby", below.id);
  return h("p", { class: "field" }, h("label", { for: control.id }, label), control, below);
}
let count = 0;

/** A `select` of [value, text] pairs, or of plain values. */
export function select(name, options, chosen, given = {}) {
  return h(
    "select",
    { name, ...given },
    options.map((option) => {
      const [value, text] = Array.isArray(option) ? option : [option, option];
      return h("option", { value, selected: value === chosen }, text);
    }),
  );
}

const live = document.getElementById("said");
let saying = null;

/** Say something to who cannot see it. A dialog mutes all that is outside it, and the same text is
 * heard again only if it was gone. */
export function announce(text) {
  const place = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body;
  if (live.parentElement !== place) place.append(live);
  live.textContent = "";
  clearTimeout(saying);
  saying = setTimeout(() => (live.textContent = text), SAY_MS);
}

/** Hand the reader a file. */
export function save(blob, name) {
  const url = URL.createObjectURL(blob);
  h("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}

/** Say at a control what is wrong with it. */
export function wrong(control, message) {
  const said = h("small", { class: "wrong", id: `${control.id}-wrong` }, message);
  control.after(said);
  control.setAttribute("aria-invalid", "true");
  control.setAttribute("aria-errormessage", said.id);
  unfold(control);
  control.focus();
}

/** Open what a control is folded away in. */
export function unfold(control) {
  const folded = control.closest("details");
  if (folded) folded.open = true;
}

/** Take back what was said to be wrong within an element. */
export function right(root) {
  root.querySelectorAll("[aria-invalid]").forEach((control) => control.removeAttribute("aria-invalid"));
  root.querySelectorAll("small.wrong").forEach((said) => said.remove());
}

const ADVICE = {
  unauthenticated: "Check the key, or enter another one.",
  forbidden: "This key may not do that. Ask who runs the server.",
  insufficient_credit: "Ask who runs the server for credit, or choose something cheaper.",
  rate_limited: "Wait a moment, then try again.",
  quota_exceeded: "The quota is used up. Try later, or ask who runs the server for more.",
  content_blocked: "Say it in other words, or try another model. Nothing was charged.",
  no_image: "Ask for a picture more plainly, or try another model. Nothing was charged.",
  partially_blocked: "Some pictures were filtered by the provider, and not charged.",
  payload_too_large: "Use fewer or smaller pictures.",
  unsupported_image: "Use a PNG, JPEG or WebP picture.",
  model_retired: "Choose the model that took its place.",
  provider_error: "Try again, or choose another model. Nothing was charged.",
  provider_unavailable: "Try again in a moment, or choose another model.",
  outcome_unknown: "It may still arrive: look in the gallery before you send it again.",
  in_progress: "It is still being made: look in the gallery.",
  unreachable: "Check that it runs and that you are online, then try again.",
  unreadable: "Something between here and the server may have answered. Try again.",
  internal: "Try again. If it stays, tell who runs the server the request's id.",
};

/** An error as a box: what went wrong, what to do, and buttons. `actions` are [text, function]. */
export function problem(error, actions = []) {
  // What is thrown is an answer that was lost; a record has ended, and nothing comes of it any more.
  const over = error.code === "outcome_unknown" && !(error instanceof Error);
  const advice = over
    ? "It will not arrive any more, and was not charged. Send it again if you still want it."
    : ADVICE[error.code];
  const wait = error.retryAfterS ?? error.retry_after_s;
  const id = error.requestId ?? error.request_id;
  return h(
    "div",
    { class: "problem", role: "alert", "data-code": error.code ?? "internal" },
    h("p", {}, h("strong", {}, error.message ?? String(error))),
    advice && h("p", {}, advice, wait ? ` Best after ${seconds(Math.ceil(wait))}.` : ""),
    id && h("p", { class: "fine" }, `Request ${id}`),
    actions.length > 0 && buttons(actions.map(([text, run]) => button(text, run))),
  );
}

/** Ask before something is done or lost: whether the answer is yes. */
export function confirmed(question, yes, no) {
  const dialog = h(
    "dialog",
    { "aria-label": question },
    h("p", {}, question),
    buttons(
      button(yes, () => dialog.close("yes"), { class: "main" }),
      button(no, () => dialog.close(), { autofocus: true }),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((done) => {
    dialog.addEventListener("close", () => {
      dialog.remove();
      done(dialog.returnValue === "yes");
    });
  });
}
