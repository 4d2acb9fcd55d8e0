// The start: which part is shown, the key, the theme.

import * as api from "./api.js";
import { h, problem } from "./dom.js";

const PARTS = {
  generate: () => import("./generate.js"),
  edit: () => import("./edit.js"),
  gallery: () => import("./gallery.js"),
  batch: () => import("./batch.js"),
  usage: () => import("./usage.js"),
};
const THEMES = ["system", "light", "dark"];
const THEME = "darkroom-theme";
const started = {};
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

/** Ask for a key and wait: the key there is then, or null. `error` says why. */
export function askForKey(error = null) {
  const dialog = document.getElementById("key-dialog");
  const input = document.getElementById("key-input");
  const said = document.getElementById("key-problem");
  said.replaceChildren(...(error ? [problem(error)] : []));
  input.value = "";
  dialog.querySelector("[data-forget]").hidden = !api.key.get();
  dialog.showModal();
  return new Promise((done) => dialog.addEventListener("close", () => done(api.key.get()), { once: true }));
}

/** An error as a box that can ask for another key, and try again. */
export function failed(error, again = null) {
  const actions = again ? [["Try again", again]] : [];
  if (error.code === "unauthenticated") {
    actions.unshift(["Enter another key", async () => (await askForKey()) && again?.()]);
  }
  return problem(error, actions);
}

/** Have something done whenever the key changes. */
export const onKey = (run) => addEventListener("darkroom:key", run);

async function shown() {
  const name = location.hash.slice(1) in PARTS ? location.hash.slice(1) : "generate";
  for (const part of Object.keys(PARTS)) {
    document.getElementById(part).hidden = part !== name;
    const entry = document.querySelector(`nav a[href="#${part}"]`);
    if (part === name) entry.setAttribute("aria-current", "page");
    else entry.removeAttribute("aria-current");
  }
  document.title = `${document.getElementById(`${name}-title`).textContent} · Darkroom studio`;
  const given = handed;
  handed = null;
  started[name] ??= PARTS[name]().then(async (module) => {
    await module.start(document.getElementById(name));
    return module;
  });
  try {
    const module = await started[name];
    await module.show?.(given);
  } catch (error) {
    started[name] = null;
    document.getElementById(name).append(problem(error, [["Load the page again", () => location.reload()]]));
  }
}

function startKey() {
  const given = new URLSearchParams(location.hash.slice(1)).get("key");
  if (given) {
    // From the link that `make run` prints. A fragment is not sent, and does not stay in the history.
    api.key.set(given);
    history.replaceState(null, "", `${location.pathname}#generate`);
  }
  const dialog = document.getElementById("key-dialog");
  document.getElementById("key").addEventListener("click", () => askForKey());
  dialog.querySelector("form").addEventListener("submit", () => {
    api.key.set(document.getElementById("key-input").value.trim());
    dispatchEvent(new Event("darkroom:key"));
  });
  dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  dialog.querySelector("[data-forget]").addEventListener("click", () => {
    api.key.forget();
    dialog.close();
    dispatchEvent(new Event("darkroom:key"));
  });
  onKey(showKey);
  showKey();
}

function showKey() {
  document.getElementById("key").textContent = api.key.get() ? "Change key" : "Enter a key";
  document.getElementById("mode").hidden = !api.key.test;
}

function startTheme() {
  const button = document.getElementById("theme");
  let theme = sessionStorage.getItem(THEME) ?? THEMES[0];
  const wear = () => {
    document.documentElement.dataset.theme = theme;
    button.setAttribute("aria-label", `Theme: ${theme}`);
    button.replaceChildren(h("span", { class: "wide" }, "Theme: "), theme);
  };
  button.addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    sessionStorage.setItem(THEME, theme);
    wear();
  });
  wear();
}

startKey();
startTheme();
// With a <base>, a bare fragment would lead to another page where the address has no slash at its end.
document.addEventListener("click", (event) => {
  const link = event.target.closest?.('a[href^="#"]');
  if (!link) return;
  event.preventDefault();
  const target = link.getAttribute("href").slice(1);
  if (target in PARTS) go(target);
  else document.getElementById(target)?.focus();
});
addEventListener("hashchange", shown);
shown();
