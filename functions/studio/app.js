// The start: which part is shown, the key, the theme.

import * as api from "./api.js";
import { button, confirmed, empty, h, problem } from "./dom.js";

const PARTS = {
  generate: () => import("./generate.js"),
  edit: () => import("./edit.js"),
  gallery: () => import("./gallery.js"),
  batch: () => import("./batch.js"),
  usage: () => import("./usage.js"),
};
const THEMES = ["system", "light", "dark"];
const THEME = "darkroom-theme";
const KEY = "darkroom:key";
const started = {};
let now = null;
let handed = null;

/** Show a part, with something to begin from: its module's `show(given)` gets it. */
export function go(part, given = null) {
  handed = given;
  if (location.hash === `#${part}`) shown();
  else location.hash = part;
}

/** The key, asked for if there is none: null if that was declined. */
export async function keyed() {
  return api.key.get() ?? (await askForKey());
}

/** Ask for a key and wait: the key there is then, or null. */
function askForKey() {
  const dialog = document.getElementById("key-dialog");
  dialog.querySelector("[data-forget]").hidden = !api.key.get();
  if (!dialog.open) dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => done(api.key.get()), { once: true }));
}

/** What a part shows while there is no key. */
export const keyless = (why) =>
  empty(
    why,
    button("Enter a key", () => askForKey()),
  );

/** An error as a box that can ask for another key, and try again. */
export function failed(error, again = null) {
  const actions = again ? [["Try again", again]] : [];
  if (error.code === "unauthenticated") {
    const another = async () => {
      const before = api.key.get();
      if ((await askForKey()) !== before) again?.();
    };
    actions.unshift(["Enter another key", another]);
  }
  return problem(error, actions);
}

/** Have something done whenever the key changes; `run(before)` gets the one before, or null. */
export const onKey = (run) => addEventListener(KEY, (event) => run(event.detail));

function changeKey(text) {
  const before = api.key.get();
  if (text === before) return;
  if (text) api.key.set(text);
  else api.key.forget();
  dispatchEvent(new CustomEvent(KEY, { detail: before }));
}

/** The part that the address names. */
function named() {
  const name = location.hash.slice(1);
  return Object.hasOwn(PARTS, name) ? name : "generate";
}

async function shown() {
  const brought = linkedKey();
  const name = named();
  if (name !== now) turn(name);
  if (brought) take(brought);
  const given = handed;
  handed = null;
  const section = document.getElementById(name);
  const box = () => section.querySelector(":scope > .problem");
  box()?.remove();
  try {
    const module = await (started[name] ??= begun(name, section));
    // Somebody who was too quick for it is elsewhere by now.
    if (given || name === now) await module.show?.(given);
  } catch (error) {
    box()?.remove();
    section.append(problem(error, [["Load the page again", () => location.reload()]]));
  }
}

async function begun(name, section) {
  const module = await PARTS[name]();
  await module.start(section);
  return module;
}

/** Turn the page to a part; a dialog of the other would still hold it. */
function turn(name) {
  now = name;
  for (const dialog of document.querySelectorAll("dialog[open]")) dialog.close();
  for (const part of Object.keys(PARTS)) {
    document.getElementById(part).hidden = part !== name;
    const entry = document.querySelector(`nav a[href="#${part}"]`);
    if (part === name) {
      entry.setAttribute("aria-current", "page");
      entry.parentElement.scrollLeft = entry.offsetLeft - entry.offsetWidth;
    } else entry.removeAttribute("aria-current");
  }
  document.title = `${document.getElementById(`${name}-title`).textContent} · Darkroom studio`;
}

/** From the link that `make run` prints. A fragment is not sent, and does not stay in the history. */
function linkedKey() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key")?.trim();
  if (given) history.replaceState(null, "", `${location.pathname}#generate`);
  return given;
}

/** Whoever made a link would see what is made with its key: another one is not replaced unasked. */
async function take(text) {
  const before = api.key.get();
  const question = "Use the key of this link instead of yours? Its owner sees what you make with it.";
  if (!before || before === text || (await confirmed(question, "Use the link's key", "Keep my key")))
    changeKey(text);
}

function startKey() {
  const dialog = document.getElementById("key-dialog");
  document.getElementById("key").addEventListener("click", () => askForKey());
  dialog.querySelector("form").addEventListener("submit", () => {
    changeKey(document.getElementById("key-input").value.trim());
  });
  dialog.addEventListener("close", () => (document.getElementById("key-input").value = ""));
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog.querySelector("[data-forget]").addEventListener("click", () => {
    changeKey(null);
    dialog.close();
  });
  onKey(showKey);
  showKey();
}

function showKey() {
  const text = api.key.get() ? "Change key" : "Enter a key";
  const change = document.getElementById("key");
  change.setAttribute("aria-label", text);
  change.replaceChildren(h("span", { class: "wide" }, text), h("span", { class: "narrow" }, "Key"));
  document.getElementById("mode").hidden = !api.key.test();
}

function startTheme() {
  const toggle = document.getElementById("theme");
  let theme = sessionStorage.getItem(THEME) ?? THEMES[0];
  const wear = () => {
    document.documentElement.dataset.theme = theme;
    toggle.setAttribute("aria-label", `Theme: ${theme}`);
    toggle.textContent = `Theme: ${theme}`;
  };
  toggle.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    sessionStorage.setItem(THEME, theme);
    wear();
  });
  wear();
}

/** With a <base>, a bare fragment would lead to another page where the address has no slash at its end. */
function startLinks() {
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.('a[href^="#"]');
    if (!link) return;
    event.preventDefault();
    const target = link.getAttribute("href").slice(1);
    if (Object.hasOwn(PARTS, target)) go(target);
    else document.getElementById(target)?.focus();
  });
}

startKey();
startTheme();
startLinks();
addEventListener("hashchange", shown);
shown();
