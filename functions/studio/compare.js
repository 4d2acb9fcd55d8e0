// A picture before and after, one over the other.

import * as api from "./api.js";
import { h } from "./dom.js";

/** A button in a picture's figure that shows it over the one it was made from: a source, or an image
 * of an earlier request. */
export function addCompare(figure, before, image) {
  let shown = null;
  const button = h("button", { type: "button", "aria-expanded": "false" }, "Compare");
  button.addEventListener("click", () => {
    if (shown) {
      shown.remove();
      shown = null;
    } else {
      const address = before.blob ? URL.createObjectURL(before.blob) : api.link(before);
      shown = compare(address, api.link(image), image);
      const old = shown.querySelector(".old");
      // Of an address of the server, nothing happens.
      for (const name of ["load", "error"]) old.addEventListener(name, () => URL.revokeObjectURL(address));
      figure.append(shown);
    }
    figure.querySelector("img").hidden = shown !== null;
    button.setAttribute("aria-expanded", shown !== null);
  });
  figure.querySelector("figcaption").append(button);
}

/** Two pictures with a slider that shows more of the one or the other. They may differ in size: the
 * one before is fitted into the other's frame. `before` and `after` are addresses, `size` is what
 * `after` has: {width, height}. */
function compare(before, after, size) {
  const old = h("img", { class: "old", src: before, alt: "Before" });
  const line = h("span", { class: "line" });
  const frame = h(
    "div",
    { class: "frame" },
    h("img", { src: after, alt: "After" }),
    old,
    line,
    h("span", { class: "tag", "aria-hidden": "true" }, "Before"),
    h("span", { class: "tag", "aria-hidden": "true" }, "After"),
  );
  const slider = h("input", { type: "range", min: 0, max: 100, value: 50, "aria-label": "Before and after" });
  const show = () => {
    const part = Number(slider.value);
    old.style.setProperty("clip-path", `inset(0 ${100 - part}% 0 0)`);
    line.style.setProperty("left", `${part}%`);
    slider.setAttribute("aria-valuetext", `${part} % before, ${100 - part} % after`);
  };
  const at = (event) => {
    if (!event.buttons) return;
    const box = frame.getBoundingClientRect();
    slider.value = (100 * (event.clientX - box.left)) / box.width;
    show();
  };
  slider.addEventListener("input", show);
  frame.addEventListener("pointerdown", at);
  frame.addEventListener("pointermove", at);
  const root = h("div", { class: "compare" }, frame, slider);
  root.style.setProperty("--ratio", size.width / size.height);
  show();
  return root;
}
