// Looking again and again while something goes on, as long as somebody can see it.

const FIRST_MS = 700;
const LONGEST_MS = 15_000;
const GROWTH = 1.4;

/** `look()` gives whether anything has moved, or null if there is nothing to look for. Nobody looks
 * while the section or the page is hidden: who shows the section again calls `soon()`. */
export class Poll {
  #section;
  #look;
  #timer = null;
  #turn = 0;

  constructor(section, look) {
    this.#section = section;
    this.#look = look;
    document.addEventListener("visibilitychange", () => this.soon());
  }

  /** Look soon, and then ever less often while nothing moves. */
  soon(waitMs = FIRST_MS) {
    this.stop();
    const turn = this.#turn;
    this.#timer = setTimeout(async () => {
      if (this.#section.hidden || document.hidden) return;
      const moved = await this.#look();
      if (moved === null || turn !== this.#turn) return;
      this.soon(moved ? FIRST_MS : Math.min(waitMs * GROWTH, LONGEST_MS));
    }, waitMs);
  }

  /** Look no more. */
  stop() {
    clearTimeout(this.#timer);
    this.#turn += 1;
  }
}
