// A chart of bars as SVG, as wide as it may be: one bar is in the tab order, the arrow keys go on.

import { h } from "./dom.js";

const HEIGHT = 220;
const TOP = 12;
const BOTTOM = 26;
const RIGHT = 24;
const LETTER = 7;
const LABEL = 56;
/** What there is at all can be seen. */
const LEAST = 2;
const ROUND = [1, 2, 2.5, 5, 10];

/** The lines of an axis: from zero, by a round step, past `most`; `whole` steps where halves make no sense. */
export function ticks(most, whole) {
  const rough = Math.max(most, whole ? 1 : 0.0001) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const round = ROUND.map((factor) => factor * power).find((one) => one >= rough * 0.9999);
  const step = whole ? Math.max(1, Math.ceil(round)) : round;
  const count = Math.max(1, Math.ceil(most / step - 1e-9));
  return Array.from({ length: count + 1 }, (_, n) => n * step);
}

/** The chart in `root`; it is drawn anew whenever its width changes. */
export class Chart {
  #root;
  #shown = null;
  #width = 0;
  #said = h("p", { class: "fine", "aria-hidden": "true" });
  #drawn = h("div", { class: "chart" });

  constructor(root) {
    this.#root = root;
    root.append(this.#drawn, this.#said);
    this.#drawn.addEventListener("keydown", (event) => this.#walk(event));
    for (const name of ["pointerover", "focusin", "click"]) {
      this.#drawn.addEventListener(name, (event) => this.#say(event.target.closest("g[data-bar]")));
    }
    new ResizeObserver(() => this.#root.clientWidth !== this.#width && this.#draw()).observe(root);
  }

  /** `bars` are {label, value, said}: under the bar, its height, and what is said of it. `text(value)`
   * names a line of the axis. */
  show({ name, bars, text, whole }) {
    this.#shown = { name, bars, text, whole };
    this.#said.textContent = "Point at a bar, or go through them with the arrow keys.";
    this.#draw();
  }

  #draw() {
    const width = this.#root.clientWidth;
    if (!this.#shown || !width) return;
    this.#width = width;
    const { name, bars, text, whole } = this.#shown;
    const focused = this.#drawn.querySelector("g:focus")?.dataset.bar;
    const lines = ticks(Math.max(0, ...bars.map(({ value }) => value)), whole);
    const left = 8 + LETTER * Math.max(...lines.map((line) => text(line).length));
    const slot = (width - left - RIGHT) / bars.length;
    const every = Math.max(1, Math.ceil(LABEL / slot));
    const scale = (HEIGHT - TOP - BOTTOM) / lines.at(-1);
    const floor = HEIGHT - BOTTOM;
    const axis = lines.flatMap((line) => [
      h("line", { x1: left, x2: width - RIGHT, y1: floor - line * scale, y2: floor - line * scale }),
      h("text", { x: left - 6, y: floor - line * scale + 4, "text-anchor": "end" }, text(line)),
    ]);
    const days = bars.map(({ label, value, said }, n) => {
      const x = left + n * slot;
      const height = value > 0 ? Math.max(LEAST, value * scale) : 0;
      const [y, rx] = [floor - height, Math.min(3, slot / 4)];
      const fill = { class: "fill", x: x + slot * 0.12, y, width: slot * 0.76, height, rx };
      // Counted from the last, which is today's.
      const named = (bars.length - 1 - n) % every === 0;
      return h(
        "g",
        { "data-bar": n, role: "img", "aria-label": said, tabindex: n === bars.length - 1 ? 0 : -1 },
        h("rect", { class: "slot", x, y: TOP, width: slot, height: HEIGHT - TOP - BOTTOM }),
        h("rect", fill),
        named && h("text", { x: x + slot / 2, y: HEIGHT - 8, "text-anchor": "middle" }, label),
      );
    });
    const viewBox = `0 0 ${width} ${HEIGHT}`;
    const svg = h("svg", { role: "group", "aria-label": name, width, height: HEIGHT, viewBox });
    svg.append(h("g", { "aria-hidden": "true" }, axis), ...days);
    this.#drawn.replaceChildren(svg);
    if (focused !== undefined) this.#lead(Number(focused));
  }

  #walk(event) {
    const bars = this.#shown.bars.length;
    const at = Number(event.target.dataset.bar);
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: bars - 1 }[event.key];
    if (to === undefined || to < 0 || to >= bars) return;
    event.preventDefault();
    this.#lead(to);
  }

  #lead(n) {
    const bar = this.#drawn.querySelector(`[data-bar="${n}"]`);
    if (!bar) return;
    this.#drawn.querySelector('[tabindex="0"]').setAttribute("tabindex", -1);
    bar.setAttribute("tabindex", 0);
    bar.focus();
  }

  #say(bar) {
    if (bar) this.#said.textContent = bar.getAttribute("aria-label");
  }
}
