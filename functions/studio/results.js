// What came of a batch's items: its lines, their pictures and what they are called.

import * as api from "./api.js";
import { h } from "./dom.js";
import { filename } from "./picture.js";
import { Names } from "./zip.js";

const AT_ONCE = 4;

/** The pictures of results as `{name, image, item}`, and what failed as lines in `bad`. */
export async function* files(results, bad) {
  const names = new Names();
  let item = 0;
  // What the ZIP calls its own.
  names.of("results", "jsonl");
  names.of("failed", "txt");
  for await (const line of lines(results.stream())) {
    const { custom_id: id, images, error, status } = JSON.parse(line);
    if (status !== "succeeded") bad.push(`${id}\t${error?.message ?? status}`);
    else item += 1;
    for (const [at, image] of images.entries()) {
      const ending = filename(image).split(".").at(-1);
      yield { name: names.of(images.length > 1 ? `${id}-${at + 1}` : id, ending), image, item };
    }
  }
}

/** A few of them at a time. */
export async function* together(all) {
  let some = [];
  for await (const one of all) {
    if (some.push(one) < AT_ONCE) continue;
    yield some;
    some = [];
  }
  if (some.length) yield some;
}

/** The lines of a stream. */
export async function* lines(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      const rows = (rest + value).split("\n");
      rest = rows.pop();
      yield* rows;
    }
  } finally {
    reader.cancel().catch(() => {});
  }
  if (rest) yield rest;
}

/** What came of an item, each picture by itself. */
export function thumbs({ custom_id: id, images, error, status }) {
  if (!images.length) {
    return [h("li", { class: "wrong" }, h("strong", {}, id), ` ${error?.message ?? status}`)];
  }
  return images.map((image) => {
    const { width, height } = image;
    const href = api.link(image);
    // Nothing of another server is fetched or made a link.
    if (!/^(https?|blob):/.test(href)) return h("li", {}, h("strong", {}, id), " is kept elsewhere");
    const img = h("img", { src: href, alt: "", width, height, loading: "lazy" });
    return h("li", {}, h("a", { href, target: "_blank", rel: "noopener" }, img, h("span", {}, id)));
  });
}
