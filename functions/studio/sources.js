// The pictures an edit begins from: chosen, dropped, pasted or from the gallery, in an order.

import * as api from "./api.js";
import { failed } from "./app.js";
import { announce, button, field, h } from "./dom.js";
import { filename } from "./picture.js";
import { counted, many, megabytes } from "./words.js";

const TYPES = ["image/png", "image/jpeg", "image/webp"];
// In base64 a third more, of the 32 MB a request may have.
const MOST_BYTES = 22 * 2 ** 20;
const THUMB = 160;
// As the server's: a WebP it has to unpack to look at it.
const MOST_PIXELS = { "image/webp": 24_000_000 };
const MOST_OTHER_PIXELS = 64_000_000;
const LONGEST_SIDE = 16_384;

/** The strip of sources. A source is {name, blob, width, height, imageId}: `blob` are its bytes,
 * `imageId` is set where the server has it. `first()` is asked, and may refuse, before another
 * picture becomes the first; `changed()` is told afterwards. */
export class Sources {
  #first;
  #changed;
  #reading = Promise.resolve();
  #dragged = null;

  constructor(root, { first, changed }) {
    this.#first = first;
    this.#changed = changed;
    this.list = [];
    this.file = h("input", { type: "file", accept: TYPES.join(), multiple: true });
    this.strip = h("ol", { class: "sources" });
    this.refused = h("div", { role: "alert" });
    this.said = h("p", { class: "fine" });
    root.append(
      field(
        "Add pictures",
        this.file,
        "PNG, JPEG or WebP: choose several at once, drop them here, or paste.",
      ),
      this.refused,
      this.strip,
      this.said,
    );
    this.file.addEventListener("change", () => {
      this.add([...this.file.files]);
      this.file.value = "";
    });
  }

  /** Take what is dropped on an element, and what is pasted while it is shown. */
  accept(element) {
    const carried = (event) => event.dataTransfer?.types.includes("Files");
    element.addEventListener("dragover", (event) => {
      if (!carried(event)) return;
      event.preventDefault();
      element.dataset.dropping = "";
    });
    element.addEventListener("dragleave", (event) => {
      if (!element.contains(event.relatedTarget)) delete element.dataset.dropping;
    });
    element.addEventListener("drop", (event) => {
      delete element.dataset.dropping;
      if (!carried(event)) return;
      event.preventDefault();
      this.add([...event.dataTransfer.files]);
    });
    document.addEventListener("paste", (event) => {
      const { files, types } = event.clipboardData;
      const typing = event.target.closest?.("input, textarea") && types.includes("text/plain");
      if (element.hidden || document.querySelector("dialog[open]") || !files.length || typing) return;
      event.preventDefault();
      this.add([...files]);
    });
  }

  /** Add files at the end, in their order; says which it cannot take. */
  add(files) {
    return this.#then(async () => {
      const wrong = [];
      for (const file of files) {
        try {
          if (!TYPES.includes(file.type))
            throw new Error(`${file.name} is no PNG, JPEG or WebP picture. Save it as one of these first.`);
          this.list.push(await read(file, file.name));
        } catch (error) {
          wrong.push(h("p", { class: "wrong" }, error.message));
        }
      }
      this.refused.replaceChildren(...wrong);
    });
  }

  /** Add a picture that the server has. */
  addImage(image) {
    return this.#then(async () => {
      const key = api.key.get();
      try {
        const source = await read(await api.bytes(image), filename(image));
        if (key === api.key.get()) this.list.push({ ...source, imageId: image.id });
        this.refused.replaceChildren();
      } catch (error) {
        this.refused.replaceChildren(failed(error, () => this.addImage(image)));
      }
    });
  }

  /** Take all away: whether that was allowed. */
  async clear() {
    if (this.list.length && !(await this.#first())) return false;
    this.list = [];
    this.#show();
    return true;
  }

  /** Take those away that the server gave to a key which is not the present one. */
  forget() {
    this.list = this.list.filter((source) => !source.imageId);
    this.#show();
  }

  /** Once every picture that was given has been read. */
  async settled() {
    await this.#reading;
  }

  /** What stands in the way of sending them to a model, or null. A mask counts as a picture. */
  trouble(model, masked) {
    const mask = masked ? 1 : 0;
    const over = this.list.length + mask - (model?.max_sources ?? Infinity);
    if (over > 0) {
      const room = counted(model.max_sources - mask, "picture") + (masked ? " and a mask" : "");
      return `${model.name} takes ${room} at most, and there are ${this.list.length}: remove ${over}, or choose another model.`;
    }
    if (this.bytes > MOST_BYTES) {
      return `The files have ${megabytes(this.bytes)}, and at most ${megabytes(MOST_BYTES)} can be sent together: remove one, or make them smaller.`;
    }
    return null;
  }

  /** Of the files to be sent; what the server has is not. */
  get bytes() {
    return this.list.reduce((sum, source) => sum + (source.imageId ? 0 : source.blob.size), 0);
  }

  /** Say how many there are, or what is wrong with them. */
  sayFor(model, masked) {
    const trouble = this.trouble(model, masked);
    const most = model
      ? `, ${model.name} takes up to ${model.max_sources}${model.mask ? ", a mask included" : ""}`
      : "";
    const count = this.list.length;
    const said = `${count ? counted(count, "picture") : "No picture yet"}${most}.`;
    if (trouble && trouble !== this.said.textContent) announce(trouble);
    this.said.textContent = trouble ?? said;
    this.said.className = trouble ? "wrong" : "fine";
  }

  /** Show why they cannot be sent, and lead there. `at` is the number of the one it is about. */
  refuse(message, at = null) {
    this.refused.replaceChildren(
      h("p", { class: "wrong" }, at === null ? message : `Picture ${at + 1}: ${message}`),
    );
    this.strip.children[at]?.setAttribute("data-wrong", "");
    this.file.focus();
    this.refused.scrollIntoView({ block: "nearest" });
  }

  #then(work) {
    this.#reading = this.#reading.then(async () => {
      const before = this.list.length;
      this.strip.setAttribute("aria-busy", "true");
      await work();
      this.strip.removeAttribute("aria-busy");
      this.#show();
      if (this.list.length > before)
        announce(`${this.list.length - before} added. There are ${this.list.length}.`);
    });
    return this.#reading;
  }

  async #move(source, to) {
    const from = this.list.indexOf(source);
    if (from === to || to < 0 || to >= this.list.length) return;
    if ((from === 0 || to === 0) && !(await this.#first())) return;
    this.list.splice(to, 0, ...this.list.splice(from, 1));
    this.#show();
    announce(`${source.name} is picture ${to + 1} of ${this.list.length}.`);
  }

  async #remove(source) {
    const at = this.list.indexOf(source);
    if (at === 0 && !(await this.#first())) return;
    this.list.splice(at, 1);
    this.refused.replaceChildren();
    this.#show();
    const next = this.strip.children[Math.min(at, this.list.length - 1)];
    (next?.querySelector("[data-do=remove]") ?? this.file).focus();
    announce(`${source.name} is removed. There are ${this.list.length}.`);
  }

  #show() {
    const focused = this.strip.contains(document.activeElement) ? document.activeElement : null;
    const held = focused && { source: focused.closest("li").source, what: focused.dataset.do };
    this.strip.replaceChildren(...this.list.map((source, at) => this.#item(source, at)));
    const item = held && this.strip.children[this.list.indexOf(held.source)];
    // The same button, unless it now leads nowhere.
    const buttons = [...(item?.querySelectorAll("button:not(:disabled)") ?? [])];
    (buttons.find((one) => one.dataset.do === held.what) ?? buttons[0])?.focus();
    this.#changed();
  }

  #item(source, at) {
    const action = (what, text, disabled, run) =>
      button(text, run, { "data-do": what, disabled, "aria-label": `${text}: ${source.name}` });
    const item = h(
      "li",
      { draggable: "true" },
      source.thumb,
      h("span", { class: "fine name" }, `${at + 1}. ${source.name}`),
      h("span", { class: "fine" }, `${source.width} × ${source.height}`),
      h(
        "span",
        { class: "buttons" },
        action("earlier", "Earlier", at === 0, () => this.#move(source, at - 1)),
        action("later", "Later", at === this.list.length - 1, () => this.#move(source, at + 1)),
        action("remove", "Remove", false, () => this.#remove(source)),
      ),
    );
    this.#drags(item, source, at);
    return item;
  }

  #drags(item, source, at) {
    item.source = source;
    item.addEventListener("dragstart", (event) => {
      this.#dragged = source;
      event.dataTransfer.effectAllowed = "move";
      event.dataTransfer.setData("text/plain", source.name);
    });
    item.addEventListener("dragend", () => (this.#dragged = null));
    item.addEventListener("dragover", (event) => this.#dragged && event.preventDefault());
    item.addEventListener("drop", (event) => {
      if (!this.#dragged) return;
      event.preventDefault();
      this.#move(this.#dragged, at);
    });
  }
}

/** A source of a file's bytes, upright as the server sees it; only its thumbnail stays unpacked. */
async function read(blob, name) {
  let bitmap;
  try {
    bitmap = await createImageBitmap(blob, { imageOrientation: "from-image" });
  } catch {
    throw new Error(`${name} cannot be read as a picture. Is the file whole?`);
  }
  const { width, height } = bitmap;
  const most = MOST_PIXELS[blob.type] ?? MOST_OTHER_PIXELS;
  if (width * height > most || Math.max(width, height) > LONGEST_SIDE) {
    bitmap.close();
    throw new Error(
      `${name} has ${many(width)} × ${many(height)} pixels: make it smaller. At most ${most / 1e6} million and ${many(LONGEST_SIDE)} a side can be sent.`,
    );
  }
  const scale = Math.min(1, THUMB / Math.max(width, height));
  const thumb = h("canvas", {
    width: Math.ceil(width * scale),
    height: Math.ceil(height * scale),
    role: "img",
    "aria-label": name,
  });
  thumb.getContext("2d").drawImage(bitmap, 0, 0, thumb.width, thumb.height);
  bitmap.close();
  return { name, blob, width, height, thumb, imageId: null };
}
