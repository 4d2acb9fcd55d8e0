// Making elements, and what every part says in the same words.

/** An element: `h("button", {type: "button", onclick}, "Go")`. Attributes by name, `on…` as
 * listeners, `class`, `data-…`, and properties of its own such as `value` and `checked`;
 * null, undefined and false are left out. Children are nodes or text. */
export function h(name, given = {}, ...children) {
  const element =
    name === "svg" || SVG.has(name) ? document.createElementNS(XMLNS, name) : document.createElement(name);
  for (const [key, value] of Object.entries(given)) {
    if (value === null || value === undefined || value === false) continue;
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (PROPERTIES.has(key)) element[key] = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(
    ...children.flat().filter((child) => child !== null && child !== undefined && child !== false),
  );
  return element;
}

const XMLNS = "http://www.w3.org/2000/svg";
const SVG = new Set(["g", "path", "rect", "line", "text", "title", "circle"]);
const PROPERTIES = new Set([
  "value",
  "checked",
  "disabled",
  "selected",
  "indeterminate",
  "src",
  "href",
  "htmlFor",
]);

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

/** Dollars as people read them: "$0.04", "$0.0336", "$1,234.50". */
export function money(usd) {
  const value = Number(usd);
  const digits = value !== 0 && Math.abs(value) < 1 ? 4 : 2;
  return value.toLocaleString("en-US", {
    style: "currency",
    currency: "USD",
    minimumFractionDigits: 2,
    maximumFractionDigits: digits,
  });
}

/** "under 1 s", "8 s", "2 min 5 s". */
export function seconds(amount) {
  if (amount < 1) return "under 1 s";
  const whole = Math.round(amount);
  return whole < 100 ? `${whole} s` : `${Math.floor(whole / 60)} min ${whole % 60} s`;
}

/** A moment as the reader's clock says it. */
export const when = (text) =>
  new Date(text).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });

/** Say something to who cannot see it. */
export function announce(text) {
  document.getElementById("said").textContent = text;
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
  internal: "Try again. If it stays, tell who runs the server the request's id.",
};

/** An error as a box: what went wrong, what to do, and buttons. `actions` are [text, function]. */
export function problem(error, actions = []) {
  const advice = ADVICE[error.code];
  const wait = error.retryAfterS ?? error.retry_after_s;
  const id = error.requestId ?? error.request_id;
  return h(
    "div",
    { class: "problem", role: "alert", "data-code": error.code ?? "internal" },
    h("p", {}, h("strong", {}, error.message ?? String(error))),
    advice && h("p", {}, advice, wait ? ` Best after ${seconds(Math.ceil(wait))}.` : ""),
    id && h("p", { class: "fine" }, `Request ${id}`),
    actions.length > 0 &&
      h(
        "p",
        { class: "buttons" },
        actions.map(([text, run]) => h("button", { type: "button", onclick: run }, text)),
      ),
  );
}
