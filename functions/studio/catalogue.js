// The models and templates, read once, and what they cost.

import * as api from "./api.js";

const loading = {};

/** Every model that is not retired. */
export const models = () =>
  once("models", async () => (await api.models()).data.filter((model) => model.status !== "retired"));

/** Every prompt template. */
export const templates = () => once("templates", async () => (await api.templates()).data);

/** The model of an id or alias; undefined where there is none. */
export async function find(name) {
  return (await models()).find((model) => model.id === name || model.aliases.includes(name));
}

/** The model's largest resolution, as it is called. */
export const largest = (model) => model.resolutions.toSorted((a, b) => rank(b) - rank(a))[0] ?? "";

const rank = (resolution) => parseFloat(resolution) * (resolution.endsWith("K") ? 1024 : 1);

function once(name, load) {
  // A failed load is tried again by the next who asks.
  loading[name] ??= load().catch((error) => {
    loading[name] = null;
    throw error;
  });
  return loading[name];
}
