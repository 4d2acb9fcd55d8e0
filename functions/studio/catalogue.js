// The models and templates, read once.

import * as api from "./api.js";

const loading = {};

/** Every model that is not retired. */
export const models = () =>
  once("models", async () => (await api.models()).data.filter((model) => model.status !== "retired"));

/** Every prompt template. */
export const templates = () => once("templates", async () => (await api.templates()).data);

/** The settings for which a model has a list of values: name → [the list, what it is called]. */
export const CHOICES = {
  aspect_ratio: ["aspect_ratios", "Aspect ratio"],
  resolution: ["resolutions", "Resolution"],
  quality: ["qualities", "Quality"],
  background: ["backgrounds", "Background"],
  output_format: ["output_formats", "File format"],
};

/** The model of an id or alias; undefined where there is none. */
export const named = (all, name) => all.find((model) => model.id === name || model.aliases.includes(name));

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
