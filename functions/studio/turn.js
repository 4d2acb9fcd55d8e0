// A turn of an edit: what is sent for it, and what it is called.

import { h } from "./dom.js";

/** The body of a turn: made when it is sent, so that a card does not keep megabytes of text. */
export async function body(turn) {
  const given = { ...turn.settings, ...(turn.template.template ? turn.template : { prompt: turn.prompt }) };
  if (turn.previous) return { ...given, previous_request_id: turn.previous.request.id };
  const images = [];
  for (const [at, source] of turn.sources.entries()) {
    images.push(source.imageId ? { image_id: source.imageId } : { b64_json: await base64(source.blob, at) });
  }
  return { ...given, images, ...(turn.mask && { mask: { b64_json: await base64(turn.mask) } }) };
}

/** What tells a turn from another, without reading its files. */
export function same({ prompt, template, settings, previous, sources, mask }) {
  const files = sources.map(({ name, blob, imageId }) => [name, blob.size, blob.lastModified, imageId]);
  return JSON.stringify([prompt, template, settings, previous?.request.id, files, mask?.size]);
}

function base64(blob, at) {
  const gone = new Error("The file has changed or is gone. Remove it and add it again.");
  gone.param = `images[${at}]`;
  return new Promise((done, fail) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => fail(gone);
    reader.readAsDataURL(blob);
  });
}

/** What a turn's card is called. */
export function title({ number, previous, sources, mask }) {
  const [first, ...more] = sources;
  const from = first
    ? `from ${first.name}${more.length ? ` and ${more.length} more` : ""}${mask ? ", with a mask" : ""}`
    : `after turn ${previous.number}`;
  return h("h2", {}, `Turn ${number} `, h("span", { class: "fine" }, from));
}
