// Generate: a prompt or a template, a model, its settings.

import * as api from "./api.js";
import { onKey } from "./app.js";
import { Choosing } from "./choose.js";
import { right, wrong } from "./dom.js";
import { Fields } from "./fields.js";
import { follow } from "./progress.js";
import { Templates } from "./template.js";

const UNKNOWN_S = 20;

let fields;
let template;

/** Make the form work. */
export async function start(section) {
  const form = section.querySelector("form");
  const prompt = form.elements.prompt;
  const results = section.querySelector(".results");
  fields = new Fields("generate", section.querySelector("#generate-fields"), {
    estimate: form.querySelector(".estimate"),
    extra: () => template.body(),
  });
  template = new Templates("generate", section.querySelector("#generate-template"), { prompt, fields });
  new Choosing("generate", fields.cards, fields);
  onKey(() => fields.changed());
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send(form, results);
  });
  prompt.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.metaKey || event.ctrlKey)) form.requestSubmit();
  });
  await Promise.all([fields.load(), template.load()]);
}

/** `given.request` is one to make again, or to begin from. */
export function show(given) {
  if (!given?.request) return;
  const { prompt, parameters } = given.request;
  template.clear();
  document.getElementById("generate-prompt").value = prompt;
  fields.fill(parameters);
}

function send(form, results) {
  const prompt = form.elements.prompt;
  const asked = template.body();
  if (!asked.template && !prompt.value.trim()) {
    prompt.setCustomValidity("Say what the picture should show.");
    prompt.reportValidity();
    prompt.addEventListener("input", () => prompt.setCustomValidity(""), { once: true });
    return;
  }
  const body = { ...fields.body(), ...(asked.template ? asked : { prompt: prompt.value }) };
  follow(results, {
    send: (once) => api.generate(body, once),
    // Before the models are there, the server chooses one.
    typicalS: fields.model?.typical_seconds ?? UNKNOWN_S,
    prompt: body.prompt ?? asked.template.name,
    invalid: (error) => template.invalid(error) || fields.invalid(error) || invalidPrompt(prompt, error),
  });
}

function invalidPrompt(prompt, error) {
  const about = error.code === "invalid_request" && error.param === "prompt";
  if (about) {
    wrong(prompt, error.message);
    prompt.addEventListener("input", () => right(prompt.parentElement), { once: true });
  }
  return about;
}
