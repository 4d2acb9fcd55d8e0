// What the forms of Generate and Edit have in common: a prompt, and how they are sent.

import { right, wrong } from "./dom.js";

/** Have a form sent by its button, or from its prompt with Ctrl or ⌘ and Enter. */
export function onSend(form, prompt, send) {
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  prompt.addEventListener("keydown", (event) => {
    const wanted = event.key === "Enter" && (event.metaKey || event.ctrlKey);
    if (wanted && !event.repeat) form.requestSubmit();
  });
}

/** Whether a prompt says something; where it does not, it asks for it. */
export function filled(prompt, question) {
  if (prompt.value.trim()) return true;
  prompt.setCustomValidity(question);
  prompt.reportValidity();
  prompt.addEventListener("input", () => prompt.setCustomValidity(""), { once: true });
  return false;
}

/** Show an error at the field it is about: a variable of the template, a setting or the prompt.
 * Whether it is about one. */
export function invalid(error, { template, fields, prompt }) {
  if (template.invalid(error) || fields.invalid(error)) return true;
  if (error.code !== "invalid_request" || error.param !== "prompt") return false;
  right(prompt.parentElement);
  wrong(prompt, error.message);
  prompt.addEventListener("input", () => right(prompt.parentElement), { once: true });
  return true;
}
