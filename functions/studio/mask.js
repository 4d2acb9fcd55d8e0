// A mask over a picture: painted with a brush by mouse, touch, pen or keyboard, kept as strokes.

import { announce, button, field, h } from "./dom.js";
import { draw, png, stroke } from "./strokes.js";

// What is seen while painting has at most these pixels a side; what is sent has the picture's own.
const SEEN = 2048;
// Stripes are seen on a picture of any colour.
const STRIPES = ["#d4143c", "#ffffff"];

const KEYS =
  "By keyboard, on the picture: arrows move (with Shift further), Space paints (hold it for a line), Enter puts " +
  "the brush down and lifts it, [ and ] change the size, Ctrl+Z undoes, Ctrl+Y does it again.";
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** A tile of slanting stripes, so many pixels a side. */
function striped(side) {
  const tile = h("canvas", { width: side, height: side });
  const context = tile.getContext("2d");
  const half = side / 2;
  for (const [colour, at] of [
    [0, -side],
    [1, -half],
    [0, 0],
    [1, half],
  ]) {
    context.fillStyle = STRIPES[colour];
    context.beginPath();
    for (const [x, y] of [
      [at, 0],
      [at + half, 0],
      [at + half + side, side],
      [at + side, side],
    ])
      context.lineTo(x, y);
    context.fill();
  }
  return tile;
}

/** The mask of a form, and the dialog it is painted in. `changed()` is told of every stroke. */
export class Mask {
  #changed;
  #source = null;
  #done = [];
  #undone = [];
  #stroke = null;
  #how = "paint";
  #at = [0, 0];
  #scale = 1;
  #context;

  constructor({ changed }) {
    this.#changed = changed;
    /** How much of the picture may change: 0 to 1. */
    this.share = 0;
    this.image = h("img", { alt: "" });
    this.ring = h("span", { class: "ring", hidden: true });
    this.canvas = h("canvas", {
      tabindex: 0,
      role: "application",
      "aria-label": "The mask",
      "aria-describedby": "mask-keys",
    });
    this.#context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.stack = h("div", { class: "stack" }, this.image, this.canvas, this.ring);
    this.size = h("input", {
      type: "range",
      min: 0.5,
      max: 30,
      step: 0.5,
      value: 6,
      oninput: () => this.#move(),
    });
    this.said = h("p", { class: "fine" });
    const tool = (how, text) => button(text, () => this.#take(how), { "data-how": how });
    this.tools = [tool("paint", "Brush"), tool("erase", "Eraser")];
    this.undoing = button("Undo", () => this.undo());
    this.redoing = button("Redo", () => this.redo());
    this.dialog = this.#drawn();
    this.#listen();
    this.#take("paint");
  }

  #drawn() {
    const tools = h(
      "div",
      { class: "buttons" },
      ...this.tools,
      this.undoing,
      this.redoing,
      button("Clear", () => this.clear()),
      button("Invert", () => this.#step({ how: "invert" })),
      field("Size", this.size),
    );
    return h(
      "dialog",
      { class: "masking", "aria-labelledby": "mask-title" },
      h(
        "div",
        { class: "top" },
        h("h2", { id: "mask-title" }, "Paint where it may change"),
        button("Done", () => this.dialog.close(), { class: "main" }),
      ),
      tools,
      this.stack,
      this.said,
      h("p", { class: "fine", id: "mask-keys" }, KEYS),
    );
  }

  /** Whether there is something to send. */
  get painted() {
    return this.share > 0;
  }

  /** Open the dialog over a source; another one than before begins a mask anew. */
  open(source) {
    if (source !== this.#source) this.#begin(source);
    this.dialog.showModal();
    this.canvas.focus();
    this.#move();
  }

  /** Paint nothing; it can be undone. */
  clear() {
    this.#step({ how: "clear" });
  }

  /** Forget the mask. */
  drop() {
    this.#source = null;
    this.#done = [];
    this.#undone = [];
    this.share = 0;
    if (this.image.src) URL.revokeObjectURL(this.image.src);
    this.image.removeAttribute("src");
    this.canvas.width = this.canvas.height = 0;
    this.#changed();
  }

  /** The PNG to send. */
  png() {
    return png(this.#source.width, this.#source.height, [...this.#done]);
  }

  undo() {
    if (this.#done.length) this.#undone.push(this.#done.pop());
    this.#again("Undone");
  }

  redo() {
    if (this.#undone.length) this.#done.push(this.#undone.pop());
    this.#again("Done again");
  }

  #begin(source) {
    this.drop();
    this.#source = source;
    this.image.src = URL.createObjectURL(source.blob);
    this.#scale = Math.min(1, SEEN / Math.max(source.width, source.height));
    this.canvas.width = Math.ceil(source.width * this.#scale);
    this.canvas.height = Math.ceil(source.height * this.#scale);
    const paint = striped(Math.ceil(Math.max(this.canvas.width, this.canvas.height) / 50));
    this.#context.fillStyle = this.#context.strokeStyle = this.#context.createPattern(paint, "repeat");
    this.stack.style.setProperty("--ratio", source.width / source.height);
    this.#at = [source.width / 2, source.height / 2];
    this.#again();
  }

  #take(how) {
    this.#how = how;
    for (const one of this.tools) one.setAttribute("aria-pressed", one.dataset.how === how);
  }

  /** The brush's width in pixels of the picture. */
  get #width() {
    return Math.max(1, (Number(this.size.value) / 100) * Math.max(this.#source.width, this.#source.height));
  }

  #step(step) {
    this.#done.push(step);
    this.#undone = [];
    this.#again();
  }

  #again(said) {
    draw(this.#context, this.#done, this.#scale);
    this.#measure(said);
  }

  #measure(...said) {
    const { data } = this.#context.getImageData(0, 0, this.canvas.width, this.canvas.height);
    let count = 0;
    for (let i = 3; i < data.length; i += 4) count += data[i] >= 128;
    this.share = (4 * count) / data.length;
    this.said.textContent = this.summary();
    if (this.dialog.open) announce([...said, this.summary()].filter(Boolean).join(". "));
    // What has the focus keeps it: it says that it does nothing, and is not disabled.
    this.undoing.setAttribute("aria-disabled", !this.#done.length);
    this.redoing.setAttribute("aria-disabled", !this.#undone.length);
    this.#changed();
  }

  /** The mask in a sentence. */
  summary() {
    if (!this.painted) return "Nothing is painted yet.";
    const percent = this.share * 100;
    return `${percent < 1 ? "Less than 1" : `About ${Math.round(percent)}`} % of the picture may change.`;
  }

  /** The visible cursor, moved by so much. */
  #move(x = 0, y = 0) {
    if (!this.#source) return;
    const { width, height } = this.#source;
    this.#at = [
      Math.min(Math.max(this.#at[0] + x, 0), width),
      Math.min(Math.max(this.#at[1] + y, 0), height),
    ];
    this.ring.hidden = false;
    this.ring.style.setProperty("left", `${(100 * this.#at[0]) / width}%`);
    this.ring.style.setProperty("top", `${(100 * this.#at[1]) / height}%`);
    this.ring.style.setProperty("width", `${(100 * this.#width) / width}%`);
    this.size.setAttribute("aria-valuetext", `${Math.round(this.#width)} pixels`);
  }

  #down(how = this.#how) {
    this.#stroke = { how, size: this.#width, points: [...this.#at] };
    stroke(this.#context, this.#stroke, 0, this.#scale);
  }

  #along() {
    const { points, size } = this.#stroke;
    const last = points.length - 2;
    // Nearer than this makes no visible difference, and strokes stay short.
    if (
      Math.hypot(this.#at[0] - points[last], this.#at[1] - points[last + 1]) <
      Math.min(size / 8, 1 / this.#scale)
    )
      return;
    points.push(...this.#at);
    stroke(this.#context, this.#stroke, last, this.#scale);
  }

  #up() {
    if (!this.#stroke) return;
    this.#done.push(this.#stroke);
    this.#undone = [];
    this.#stroke = null;
    this.#measure();
  }

  #listen() {
    const { canvas } = this;
    let pointer = null;
    const there = (event) => {
      const box = canvas.getBoundingClientRect();
      const { width, height } = this.#source;
      this.#at = [
        ((event.clientX - box.left) / box.width) * width,
        ((event.clientY - box.top) / box.height) * height,
      ];
      this.#move();
    };
    canvas.addEventListener("pointerdown", (event) => {
      if (pointer !== null || !event.isPrimary || ![0, 5].includes(event.button)) return;
      pointer = event.pointerId;
      canvas.setPointerCapture(pointer);
      this.#up();
      there(event);
      this.#down(event.button === 5 ? "erase" : this.#how); // a pen turned round
    });
    canvas.addEventListener("pointermove", (event) => {
      if (pointer !== null && event.pointerId !== pointer) return;
      const every = pointer === null ? [] : (event.getCoalescedEvents?.() ?? []);
      for (const one of every.length ? every : [event]) {
        there(one);
        if (pointer !== null) this.#along();
      }
    });
    for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) {
      canvas.addEventListener(name, (event) => {
        if (event.pointerId !== pointer) return;
        pointer = null;
        this.#up();
      });
    }
    this.dialog.addEventListener("keydown", (event) => this.#key(event));
    canvas.addEventListener("keyup", (event) => event.key === " " && this.#up());
    canvas.addEventListener("blur", () => pointer === null && this.#up());
    this.dialog.addEventListener("close", () => this.#up());
  }

  #key(event) {
    const { key } = event;
    if (event.ctrlKey || event.metaKey) {
      const redo = key.toLowerCase() === "y" || (key.toLowerCase() === "z" && event.shiftKey);
      if (!redo && key.toLowerCase() !== "z") return;
      this.#up();
      if (redo) this.redo();
      else this.undo();
    } else if (event.target !== this.canvas || !this.#brush(event)) {
      return;
    }
    event.preventDefault();
  }

  /** What a key does with the brush; whether it does anything. */
  #brush({ key, shiftKey, repeat }) {
    if (Object.hasOwn(ARROWS, key)) {
      const far = shiftKey ? this.#width : Math.max(1, this.#width / 4);
      this.#move(ARROWS[key][0] * far, ARROWS[key][1] * far);
      if (this.#stroke) this.#along();
    } else if (key === " ") {
      if (!repeat && !this.#stroke) this.#down();
    } else if (key === "Enter") {
      if (this.#stroke) this.#up();
      else this.#down();
    } else if (key === "[" || key === "]") {
      this.size.value = Number(this.size.value) + (key === "]" ? 1 : -1);
      this.#move();
    } else {
      return false;
    }
    return true;
  }
}
