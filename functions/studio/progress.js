// A request from the click to its end: elapsed time, attempts as they happen, cancel, result or error.

import * as api from "./api.js";
import { failed, keyed } from "./app.js";
import { announce, h, problem, seconds } from "./dom.js";
import { asset, facts, picture } from "./picture.js";

const FIRST_LOOK_MS = 400;
const LONGEST_LOOK_MS = 3000;
const SAID = {
  rate_limited: "was busy",
  quota_exceeded: "has no quota left",
  provider_unavailable: "was down",
  provider_error: "failed",
  content_blocked: "refused it",
  no_image: "made no picture",
  outcome_unknown: "did not say what became of it",
  succeeded: "made it",
};

/** Send a request and show how it fares at the top of `results`: the ended request, or null where
 * there is none to show. `send(once)` begins it, `typicalS` is what it usually takes,
 * `invalid(error)` may say that it has shown the error at the field it is about. */
export async function follow(results, { send, typicalS, prompt, invalid = () => false }) {
  if (!(await keyed())) return null;
  const card = h("article", { class: "card", "aria-label": prompt || "A request" });
  results.querySelector(":scope > .empty")?.remove();
  results.prepend(card);
  card.scrollIntoView({ block: "nearest" });
  // Asked for again by a button of the card that this one stands for.
  if (document.activeElement === document.body) hold(card);
  const whole = { send, typicalS, prompt, invalid };
  const anew = () => {
    card.remove();
    return follow(results, whole);
  };
  const begun = await begin(card, whole, api.unique());
  return begun && end(card, begun, typicalS, anew);
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

/** The request as it was let in. What may have arrived is tried again under the same name only. */
async function begin(card, whole, once) {
  fill(card, h("p", { class: "fine" }, "Sending…"));
  try {
    return await whole.send(once);
  } catch (error) {
    announce(error.message);
    if (whole.invalid(error)) {
      card.remove();
      return null;
    }
    return new Promise((done) => {
      fill(
        card,
        failed(error, () => done(begin(card, whole, once))),
      );
    });
  }
}

/** The end of a request that was let in. A look that fails says nothing about it. */
async function end(card, begun, typicalS, anew) {
  card.dataset.request = begun.id;
  let request;
  try {
    card.classList.add("busy");
    request = await watch(card, begun, typicalS);
  } catch (error) {
    return new Promise((done) => {
      fill(
        card,
        failed(error, () => done(end(card, begun, typicalS, anew))),
      );
    });
  } finally {
    card.classList.remove("busy");
  }
  fill(card, ...ended(request, anew));
  announce(request.status === "succeeded" ? "The picture is there." : `The request has ${request.status}.`);
  return request;
}

/** What there is to show of a request that has ended. */
export function ended(request, again) {
  const error = request.error;
  const shown = [h("p", { class: "prompt" }, request.prompt)];
  if (request.images.length) {
    shown.push(
      h(
        "div",
        { class: "pictures" },
        request.images.map((image) => picture(request, image)),
      ),
    );
  }
  shown.push(...request.assets.map(asset));
  if (request.text) shown.push(h("p", {}, request.text));
  if (request.status === "cancelled") shown.push(h("p", {}, "Cancelled. Nothing was charged."));
  else if (error) shown.push(request.status === "succeeded" ? problem(error) : failed(error, again));
  if (request.status === "succeeded") shown.push(facts(request));
  if (request.attempts.length > 1) shown.push(attempts(request.attempts));
  return shown;
}

/** What was tried, in order. */
export function attempts(tried) {
  return h(
    "ol",
    { class: "attempts" },
    tried.map((attempt) =>
      h(
        "li",
        {},
        `${attempt.provider} ${SAID[attempt.outcome] ?? attempt.outcome} (${seconds(attempt.latency_ms / 1000)})`,
      ),
    ),
  );
}

async function watch(card, request, typicalS) {
  const began = performance.now();
  const bar = h("progress", { max: 100, "aria-label": "Elapsed of the typical time" });
  const line = h("p", { class: "elapsed" });
  const tries = h("div");
  const stop = h("button", { type: "button" }, "Cancel");
  let cancelled = null;
  const cancel = () => {
    // Not disabled: it would lose the focus.
    stop.textContent = "Cancelling…";
    cancelled = api.cancel(request.id).then(
      () => null,
      (error) => (error.code === "invalid_request" ? null : error),
    );
  };
  stop.addEventListener("click", cancel, { once: true });
  fill(
    card,
    h("p", { class: "prompt" }, request.prompt),
    bar,
    line,
    tries,
    h("p", { class: "buttons" }, stop),
  );
  const tick = () => {
    const elapsedS = (performance.now() - began) / 1000;
    // A bar that never pretends to be done: it slows down past the typical time.
    bar.value = 100 * (1 - Math.exp((-1.6 * elapsedS) / Math.max(typicalS, 1)));
    const state = request.status === "queued" ? "Waiting for its turn" : "Being made";
    line.textContent = `${state}: ${seconds(elapsedS)}, usually about ${seconds(typicalS)}`;
  };
  const clock = setInterval(tick, 250);
  tick();
  try {
    for (let waitMs = FIRST_LOOK_MS; ["queued", "running"].includes(request.status);) {
      await new Promise((done) => setTimeout(done, waitMs));
      waitMs = Math.min(waitMs * 1.3, LONGEST_LOOK_MS);
      const lost = await cancelled;
      if (lost) throw lost;
      request = await api.request(request.id);
      tries.replaceChildren(...(request.attempts.length ? [attempts(request.attempts)] : []));
    }
  } finally {
    clearInterval(clock);
  }
  return request;
}
