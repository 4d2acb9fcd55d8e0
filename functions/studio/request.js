// A request as the API gives it: what is said of it, and how it is stopped.

import * as api from "./api.js";
import { h } from "./dom.js";
import { money, seconds } from "./words.js";

export const OPERATIONS = { generate: "Generated", edit: "Edited", three_d: "3D model" };
export const STATUSES = {
  succeeded: "Succeeded",
  failed: "Failed",
  running: "Being made",
  queued: "Waiting for its turn",
  cancelled: "Cancelled",
};
const OUTCOMES = {
  rate_limited: "was busy",
  quota_exceeded: "has no quota left",
  provider_unavailable: "was down",
  provider_error: "failed",
  content_blocked: "refused it",
  no_image: "made no picture",
  outcome_unknown: "did not say what became of it",
  succeeded: "made it",
};

/** Whether it has not ended yet. */
export const open = (request) => ["queued", "running"].includes(request.status);

/** What it came to. */
export function cost(request) {
  if (open(request)) return `about ${money(request.cost.estimated_usd)}`;
  if (request.status !== "succeeded") return "not charged";
  if (request.sandbox) return "sandbox, free";
  if (request.cached) return "from the cache";
  return request.cost.free_tier ? "free tier" : money(request.cost.usd);
}

/** How long it took; nothing where it has not ended. */
export const took = ({ created_at: begun, completed_at: end }) =>
  end && seconds((new Date(end) - new Date(begun)) / 1000);

/** What was tried, in order. */
export function attempts(tried) {
  const said = ({ provider, outcome, latency_ms: ms }) =>
    `${provider} ${OUTCOMES[outcome] ?? outcome} (${seconds(ms / 1000)})`;
  return h(
    "ol",
    { class: "attempts" },
    tried.map((attempt) => h("li", {}, said(attempt))),
  );
}

/** Cancel it: as it is then. It may have ended by itself first. */
export async function stop({ id }) {
  try {
    return await api.cancel(id);
  } catch (error) {
    const now = error.code === "invalid_request" && (await api.request(id));
    if (!now || open(now)) throw error;
    return now;
  }
}
