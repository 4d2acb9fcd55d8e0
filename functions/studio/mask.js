// A mask over a picture: painted with a brush by mouse, touch, pen or keyboard, kept as strokes.

import { announce, field, h } from "./dom.js";

// What is seen while painting has at most these pixels a side; what is sent has the picture's own.
const SEEN = 2048;
const BAND_PIXELS = 2 ** 20;
// Stripes are seen on a picture of any colour.
const STRIPES = ["#d4143c", "#ffffff"];

/** Do strokes again on a canvas, which ends opaque where the picture may change. `scale` is canvas
 * pixels per pixel of the picture, `top` the picture's row at the canvas's top. */
export function draw(context, done, scale = 1, top = 0) {
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.clearRect(0, 0, context.canvas.width, context.canvas.height);
  for (const step of done.slice(done.findLastIndex(({ how }) => how === "clear") + 1)) {
    if (step.how === "invert") {
      context.setTransform(1, 0, 0, 1, 0, 0);
      context.globalCompositeOperation = "xor";
      context.fillRect(0, 0, context.canvas.width, context.canvas.height);
    } else {
      stroke(context, step, 0, scale, top);
    }
  }
}

/** A stroke from one of its points on: `points` are x, y, x, y … in pixels of the picture. */
function stroke(context, { how, size, points }, from, scale, top = 0) {
  context.setTransform(scale, 0, 0, scale, 0, -top * scale);
  context.globalCompositeOperation = how === "erase" ? "destination-out" : "source-over";
  context.lineWidth = size;
  context.lineCap = context.lineJoin = "round";
  context.beginPath();
  context.arc(points[from], points[from + 1], size / 2, 0, 2 * Math.PI);
  context.fill();
  if (points.length < from + 4) return;
  context.beginPath();
  for (let i = from; i < points.length; i += 2) context.lineTo(points[i], points[i + 1]);
  context.stroke();
}

/** The mask as a PNG: black and opaque, but transparent where it was painted, and nothing between.
 * Written in bands: a phone has no canvas as large as its camera's pictures. */
export async function png(width, height, done) {
  const rows = Math.min(height, Math.max(1, Math.floor(BAND_PIXELS / width)));
  const context = new OffscreenCanvas(width, rows).getContext("2d", { willReadFrequently: true });
  const packing = new CompressionStream("deflate");
  const packed = new Response(packing.readable).arrayBuffer();
  const writer = packing.writable.getWriter();
  for (let top = 0; top < height; top += rows) {
    const count = Math.min(rows, height - top);
    draw(context, done, 1, top);
    const { data } = context.getImageData(0, 0, width, count);
    const lines = new Uint8Array(count * (1 + 4 * width));
    for (let y = 0, from = 3, to = 4; y < count; y++, to++) {
      for (let x = 0; x < width; x++, from += 4, to += 4) lines[to] = data[from] < 128 ? 255 : 0;
    }
    await writer.write(lines);
  }
  await writer.close();
  const header = new DataView(new ArrayBuffer(13));
  header.setUint32(0, width);
  header.setUint32(4, height);
  header.setUint16(8, 0x0806); // 8 bits each of red, green, blue and alpha
  const signature = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
  const chunks = [
    ["IHDR", new Uint8Array(header.buffer)],
    ["IDAT", new Uint8Array(await packed)],
    ["IEND", []],
  ];
  return new Blob([signature, ...chunks.map(chunk)], { type: "image/png" });
}

function chunk([kind, data]) {
  const bytes = new Uint8Array(12 + data.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, data.length);
  bytes.set(new TextEncoder().encode(kind), 4);
  bytes.set(data, 8);
  let crc = -1;
  for (const byte of bytes.subarray(4, 8 + data.length)) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  view.setUint32(8 + data.length, ~crc);
  return bytes;
}

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
    const tool = (how, text) =>
      h("button", { type: "button", "data-how": how, onclick: () => this.#take(how) }, text);
    const step = (text, run) => h("button", { type: "button", onclick: run }, text);
    this.tools = [tool("paint", "Brush"), tool("erase", "Eraser")];
    this.undoing = step("Undo", () => this.undo());
    this.redoing = step("Redo", () => this.redo());
    this.dialog = h(
      "dialog",
      { class: "masking", "aria-labelledby": "mask-title" },
      h(
        "div",
        { class: "top" },
        h("h2", { id: "mask-title" }, "Paint where it may change"),
        h("button", { type: "button", class: "main", onclick: () => this.dialog.close() }, "Done"),
      ),
      h(
        "div",
        { class: "buttons" },
        ...this.tools,
        this.undoing,
        this.redoing,
        step("Clear", () => this.clear()),
        step("Invert", () => this.#step({ how: "invert" })),
        field("Size", this.size),
      ),
      this.stack,
      this.said,
      h(
        "p",
        { class: "fine", id: "mask-keys" },
        "By keyboard, on the picture: arrows move (with Shift further), Space paints (hold it for a line), Enter puts the brush down and lifts it, [ and ] change the size, Ctrl+Z undoes, Ctrl+Y does it again.",
      ),
    );
    this.#listen();
    this.#take("paint");
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
    for (const button of this.tools) button.setAttribute("aria-pressed", button.dataset.how === how);
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
    // Another part is shown: a dialog that is hidden with its own would still hold the page.
    addEventListener("hashchange", () => this.dialog.close());
  }

  #key(event) {
    const { key } = event;
    if (event.ctrlKey || event.metaKey) {
      const redo = key.toLowerCase() === "y" || (key.toLowerCase() === "z" && event.shiftKey);
      if (!redo && key.toLowerCase() !== "z") return;
      this.#up();
      if (redo) this.redo();
      else this.undo();
    } else if (event.target !== this.canvas) {
      return;
    } else if (key in ARROWS) {
      const far = event.shiftKey ? this.#width : Math.max(1, this.#width / 4);
      this.#move(ARROWS[key][0] * far, ARROWS[key][1] * far);
      if (this.#stroke) this.#along();
    } else if (key === " ") {
      if (!event.repeat && !this.#stroke) this.#down();
    } else if (key === "Enter") {
      if (this.#stroke) this.#up();
      else this.#down();
    } else if (key === "[" || key === "]") {
      this.size.value = Number(this.size.value) + (key === "]" ? 1 : -1);
      this.#move();
    } else {
      return;
    }
    event.preventDefault();
  }
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
