// A request from the click to its end: elapsed time, attempts as they happen, cancel, result or error.

import * as api from "./api.js";
import { failed, keyed, onKey } from "./app.js";
import { announce, button, buttons, h, problem } from "./dom.js";
import { asset, picture, summary } from "./picture.js";
import { STATUSES, attempts, open, stop } from "./request.js";
import { seconds } from "./words.js";

const FIRST_LOOK_MS = 400;
const LONGEST_LOOK_MS = 3000;
const LONGEST_LOST_MS = 20_000;
const TICK_MS = 250;
/** Within it a second click is the same. */
const CLICKS_MS = 500;
/** Of a model that is not known yet. */
const TYPICAL_S = 20;

/** What was sent and has not been answered: its text → its card. */
const unanswered = new Map();

// What one key was given is not shown to the next. A card that is gone is not looked after.
onKey(() => document.querySelectorAll("[data-request].card").forEach((card) => card.remove()));

/** Send a request and show how it fares at the top of `results`: the ended request, or null where
 * there is none to show. `send(once)` begins it, by `model` if that is known; `same` is equal for two
 * of which the second is not sent while the first has no answer; `invalid(error)` says whether it has
 * shown the error at the field it is about. */
export async function follow(results, whole) {
  if (!(await keyed())) return null;
  const { model, prompt, same } = whole;
  const there = unanswered.get(same);
  if (there?.isConnected) {
    there.scrollIntoView({ block: "nearest" });
    there.querySelector(".problem button")?.focus();
    return null;
  }
  const card = h("article", { class: "card", "aria-label": prompt || "A request" });
  results.querySelector(":scope > .empty")?.remove();
  results.prepend(card);
  card.scrollIntoView({ block: "nearest" });
  // Asked for again by a button of the card that this one stands for.
  if (document.activeElement === document.body) hold(card);
  unanswered.set(same, card);
  const anew = () => {
    card.remove();
    return follow(results, whole);
  };
  const begun = await begin(card, whole, api.unique());
  return begun && end(card, begun, model?.typical_seconds ?? TYPICAL_S, anew);
}

/** Show something else in a card. Where the focus was in it, it stays on it. */
function fill(card, ...children) {
  const held = card.contains(document.activeElement);
  card.replaceChildren(...children);
  if (held) hold(card);
}

function hold(card) {
  card.tabIndex = -1;
  card.focus({ preventScroll: true });
}

/** Say in a card what went wrong, and go on with `run` when somebody wants to. */
function retried(card, error, run) {
  return new Promise((done) => {
    fill(
      card,
      failed(error, () => done(run())),
    );
  });
}

/** The request as it was let in. What may have arrived is tried again under the same name only. */
async function begin(card, whole, once) {
  fill(card, h("p", { class: "fine" }, "Sending…"));
  const key = api.key.get();
  const began = performance.now();
  const answered = () =>
    setTimeout(
      () => unanswered.get(whole.same) === card && unanswered.delete(whole.same),
      Math.max(0, CLICKS_MS - (performance.now() - began)),
    );
  try {
    const request = await whole.send(once);
    answered();
    if (key === api.key.get()) return request;
    card.remove();
    return null;
  } catch (error) {
    if (!error.unsure) answered();
    announce(error.message);
    if (!whole.invalid(error)) return retried(card, error, () => begin(card, whole, once));
    card.remove();
    return null;
  }
}

/** The end of a request that was let in; null where its card is gone. A look that fails says
 * nothing about it. */
async function end(card, begun, typicalS, anew) {
  card.dataset.request = begun.id;
  let request;
  try {
    request = await watch(card, begun, typicalS);
  } catch (error) {
    if (!card.isConnected) return null;
    return retried(card, error, () => end(card, begun, typicalS, anew));
  }
  if (!card.isConnected) return null;
  fill(card, ...ended(request, anew));
  announce(request.status === "succeeded" ? "The picture is there." : `The request has ${request.status}.`);
  return request;
}

/** What there is to show of a request that has ended; `again` makes another like it. */
export function ended(request, again) {
  const { status, images, assets, text, error } = request;
  const cancelled = status === "cancelled";
  return [
    h("p", { class: "prompt" }, request.prompt),
    images.length &&
      h(
        "div",
        { class: "pictures" },
        images.map((image) => picture(request, image)),
      ),
    ...assets.map(asset),
    text && h("p", {}, text),
    cancelled && h("p", {}, "Cancelled. Nothing was charged."),
    error && !cancelled && problem(error, status === "failed" ? [["Try again", again]] : []),
    status === "succeeded" && summary(request),
    request.attempts.length > 1 && attempts(request.attempts),
  ].filter(Boolean);
}

/** Look at a request until it has ended: as it is then, or as it was when its card went. A server
 * that is away, or busy, is looked for again. */
async function watch(card, request, typicalS) {
  const began = performance.now();
  const bar = h("progress", { max: 100, "aria-label": "Elapsed of the typical time" });
  const line = h("p", { class: "elapsed" });
  const tries = h("div");
  const away = h("p", { class: "wrong", role: "status" });
  const trouble = h("div");
  const stopped = Promise.withResolvers();
  const cancel = button("Cancel", async () => {
    // Not disabled: it would lose the focus.
    if (cancel.textContent !== "Cancel") return;
    cancel.textContent = "Cancelling…";
    trouble.replaceChildren();
    try {
      const now = await stop(request);
      if (!open(now)) stopped.resolve(now);
    } catch (error) {
      cancel.textContent = "Cancel";
      trouble.replaceChildren(failed(error));
    }
  });
  fill(card, h("p", { class: "prompt" }, request.prompt), bar, line, away, tries, buttons(cancel), trouble);
  const tick = () => {
    const elapsedS = (performance.now() - began) / 1000;
    // A bar that never pretends to be done: it slows down past the typical time.
    bar.value = 100 * (1 - Math.exp((-1.6 * elapsedS) / Math.max(typicalS, 1)));
    line.textContent = `${STATUSES[request.status]}: ${seconds(elapsedS)}, usually about ${seconds(typicalS)}`;
  };
  const clock = setInterval(tick, TICK_MS);
  tick();
  try {
    for (let waitMs = FIRST_LOOK_MS; open(request) && card.isConnected;) {
      const seen = await Promise.race([stopped.promise, look(card, request, waitMs)]);
      waitMs = seen ? Math.min(waitMs * 1.3, LONGEST_LOOK_MS) : Math.min(waitMs * 2, LONGEST_LOST_MS);
      away.textContent = seen ? "" : "No answer, looking again.";
      request = seen ?? request;
      tries.replaceChildren(...(request.attempts.length ? [attempts(request.attempts)] : []));
    }
  } finally {
    clearInterval(clock);
  }
  return request;
}

/** The request as it is after a while; null where the server is away or busy. */
async function look(card, request, waitMs) {
  await new Promise((done) => setTimeout(done, waitMs));
  if (!card.isConnected) return request;
  try {
    return await api.request(request.id);
  } catch (error) {
    if (error.unsure || error.status === 429) return null;
    throw error;
  }
}
