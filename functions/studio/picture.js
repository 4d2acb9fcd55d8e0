// A picture with what it was made of and what can be done with it.

import * as api from "./api.js";
import { go } from "./app.js";
import { h, money, save, seconds } from "./dom.js";

const ENDINGS = { "image/png": "png", "image/jpeg": "jpg", "image/webp": "webp", "model/gltf-binary": "glb" };

/** What a picture's or asset's file is called. */
export const filename = (image) => `${image.id}.${ENDINGS[image.content_type] ?? "bin"}`;

/** One picture of a request as a figure. */
export function picture(request, image) {
  const alt = request.prompt.length > 160 ? `${request.prompt.slice(0, 157)}…` : request.prompt;
  return h(
    "figure",
    { class: "picture" },
    h("img", {
      src: api.link(image),
      alt: alt || "A picture",
      width: image.width,
      height: image.height,
      loading: "lazy",
    }),
    h(
      "figcaption",
      {},
      h("span", { class: "fine" }, `${image.width} × ${image.height}`),
      h("button", { type: "button", onclick: () => download(image) }, "Download"),
      h("button", { type: "button", onclick: () => go("edit", { request, image }) }, "Edit this"),
    ),
  );
}

/** A 3D model of a request, which is only handed out. */
export const asset = (file) =>
  h("p", {}, h("button", { type: "button", onclick: () => download(file) }, `Download ${filename(file)}`));

/** Hand the reader the file, or say why there is none. */
export async function download(image) {
  try {
    save(await api.bytes(image), filename(image));
  } catch (error) {
    alert(`${filename(image)} could not be loaded: ${error.message}`);
  }
}

/** A line on who made it, for how much and how fast. */
export function facts(request) {
  const took = request.completed_at && (new Date(request.completed_at) - new Date(request.created_at)) / 1000;
  const said = [
    request.model,
    request.provider && `by ${request.provider}`,
    request.cached ? "from the cache" : request.sandbox ? "sandbox, free" : money(request.cost.usd),
    took && seconds(took),
    request.parameters.seed !== undefined && `seed ${request.parameters.seed}`,
  ];
  return h("p", { class: "facts" }, said.filter(Boolean).join(" · "));
}
