// Generate: a prompt or a template, a model, its settings.

import * as api from "./api.js";
import { onKey } from "./app.js";
import { Choosing } from "./choose.js";
import { Fields } from "./fields.js";
import { filled, invalid, onSend } from "./form.js";
import { follow } from "./progress.js";
import { Templates } from "./template.js";

let prompt;
let fields;
let template;
let results;

/** Make the form work. */
export async function start(section) {
  const form = section.querySelector("form");
  prompt = form.elements.prompt;
  results = section.querySelector(".results");
  fields = new Fields("generate", section.querySelector("#generate-fields"), {
    estimate: form.querySelector(".estimate"),
    extra: () => template.body(),
  });
  template = new Templates("generate", section.querySelector("#generate-template"), { prompt, fields });
  new Choosing("generate", fields);
  onKey(() => fields.changed());
  onSend(form, prompt, send);
  await fields.load();
}

/** `given.request` is one to make again, or to begin from. */
export function show(given) {
  if (!given?.request) return;
  template.clear();
  prompt.value = given.request.prompt;
  fields.fill(given.request.parameters);
}

function send() {
  const asked = template.body();
  if (!asked.template && !filled(prompt, "Say what the picture should show.")) return;
  const body = { ...fields.body(), ...(asked.template ? asked : { prompt: prompt.value }) };
  follow(results, {
    send: (once) => api.generate(body, once),
    same: JSON.stringify(body),
    model: fields.model,
    prompt: body.prompt ?? asked.template.name,
    invalid: (error) => invalid(error, { template, fields, prompt }),
  });
}
