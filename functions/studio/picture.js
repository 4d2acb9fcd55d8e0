// A picture with what it was made of and what can be done with it.

import * as api from "./api.js";
import { go } from "./app.js";
import { button, h, problem, save } from "./dom.js";
import { cost, took } from "./request.js";

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
      download(image, "Download"),
      button("Edit this", () => go("edit", { request, image })),
    ),
  );
}

/** A 3D model of a request, which is only handed out. */
export const asset = (file) => h("p", {}, download(file, `Download ${filename(file)}`));

/** A button that hands the reader a file, or says beside it why there is none. */
function download(file, text) {
  let said = null;
  const offer = button(text, async () => {
    said?.remove();
    try {
      save(await api.bytes(file), filename(file));
    } catch (error) {
      said = problem(error);
      offer.parentElement.after(said);
    }
  });
  return offer;
}

/** Have a picture that does not come fetched by a fresh link, once: links end after a day. */
export function mend(img, request, image) {
  const give = (why) => (img.closest("figure") ?? img).replaceWith(h("span", { class: "gone" }, why));
  const once = { once: true };
  img.addEventListener(
    "error",
    async () => {
      try {
        const fresh = (await api.request(request.id)).images.find(({ id }) => id === image.id);
        if (!fresh) return give("This picture is gone");
        img.addEventListener("error", () => give("This picture is gone"), once);
        // Not a new object: what is done with the picture holds on to this one.
        img.src = api.link(Object.assign(image, fresh));
      } catch (error) {
        give(error.code === "not_found" ? "This picture is gone" : "This picture did not load");
      }
    },
    once,
  );
}

/** A line on who made it, for how much and how fast. */
export function summary(request) {
  const said = [
    request.model,
    request.provider && `by ${request.provider}`,
    cost(request),
    took(request),
    request.parameters.seed !== undefined && `seed ${request.parameters.seed}`,
  ];
  return h("p", { class: "facts" }, said.filter(Boolean).join(" · "));
}
