// The list of batches: how each fares, its pictures, and its results as files.

import * as api from "./api.js";
import { askForKey, failed } from "./app.js";
import { announce, h, money, problem, save, seconds, when } from "./dom.js";
import { files, lines, thumbs, together } from "./results.js";
import { Zip } from "./zip.js";

const PAGE = 20;
const FIRST_LOOK_MS = 700;
const LONGEST_LOOK_MS = 15_000;
const MOST_SHOWN = 60;
const STATES = {
  accepted: "Waiting for its turn",
  running: "Being made",
  collecting: "Collecting the pictures",
  succeeded: "Done",
  failed: "Not made",
  cancelled: "Cancelled",
  expired: "Expired",
};

/** Ask before something is done: whether the answer is yes. */
export function ask(question, yes, no) {
  const dialog = h("dialog", { "aria-label": question });
  dialog.append(
    h("p", {}, question),
    h(
      "p",
      { class: "buttons" },
      h("button", { type: "button", class: "main", onclick: () => dialog.close("yes") }, yes),
      h("button", { type: "button", onclick: () => dialog.close("") }, no),
    ),
  );
  document.body.append(dialog);
  dialog.showModal();
  return new Promise((done) =>
    dialog.addEventListener("close", () => {
      dialog.remove();
      done(dialog.returnValue === "yes");
    }),
  );
}

/** The caller's batches in an element, looked at again and again while one is open. */
export class Batches {
  #section;
  #cards = new Map();
  #cursor = null;
  #timer = null;
  #turn = 0;

  constructor(root, section) {
    this.#section = section;
    this.list = h("div");
    this.said = h("div");
    this.more = h(
      "button",
      { type: "button", hidden: true, onclick: () => this.#older() },
      "Show older batches",
    );
    root.append(h("h2", {}, "Your batches"), this.said, this.list, this.more);
    document.addEventListener("visibilitychange", () => this.soon());
    setInterval(() => this.#shown && this.#cards.forEach((card) => card.clock()), 1000);
  }

  /** Begin again, with another key. */
  forget() {
    this.#cards.clear();
    this.#cursor = null;
    this.list.replaceChildren();
    return this.load();
  }

  /** The newest, with those that are shown already brought up to date. */
  async load() {
    this.more.hidden = true;
    if (!api.key.get()) {
      const enter = h("button", { type: "button", onclick: () => askForKey() }, "Enter a key");
      this.said.replaceChildren(
        h("div", { class: "empty" }, h("p", {}, "Your batches are shown once there is a key."), enter),
      );
      return;
    }
    const fresh = this.#cards.size === 0;
    await this.#trying(
      async () => {
        const page = await api.batches({ limit: PAGE });
        for (const batch of page.data.toReversed()) this.#take(batch, "prepend");
        if (fresh) this.#cursor = page.next_cursor;
        if (!this.#cards.size)
          this.said.replaceChildren(h("p", { class: "empty" }, "A batch appears here once it is started."));
        this.soon();
      },
      () => this.load(),
    );
    this.more.hidden = !this.#cursor;
  }

  /** Show one that has just been started. */
  add(batch) {
    this.said.replaceChildren();
    const card = this.#take(batch, "prepend");
    card.unfold(true);
    card.title.focus();
    this.soon();
  }

  /** Look soon, and then ever less often while nothing moves. */
  soon(waitMs = FIRST_LOOK_MS) {
    clearTimeout(this.#timer);
    const turn = ++this.#turn;
    this.#timer = setTimeout(async () => {
      const open = [...this.#cards.values()].filter((card) => card.open);
      if (!this.#shown || !open.length) return;
      let moved = false;
      const look = async (card) => (moved = card.draw(await api.batch(card.batch.id)) || moved);
      const fine = await this.#trying(
        () => Promise.all(open.map(look)),
        () => this.soon(),
      );
      if (turn === this.#turn && (fine || api.key.get()))
        this.soon(moved ? FIRST_LOOK_MS : Math.min(waitMs * 1.4, LONGEST_LOOK_MS));
    }, waitMs);
  }

  get #shown() {
    return !this.#section.hidden && !document.hidden;
  }

  #take(batch, where) {
    const known = this.#cards.get(batch.id);
    if (known) {
      known.draw(batch);
      return known;
    }
    const card = new Card(batch, () => this.soon());
    this.#cards.set(batch.id, card);
    this.list[where](card.root);
    if (card.open) card.unfold(true);
    return card;
  }

  async #older() {
    await this.#trying(
      async () => {
        const page = await api.batches({ limit: PAGE, cursor: this.#cursor });
        const cards = page.data.map((batch) => this.#take(batch, "append"));
        this.#cursor = page.next_cursor;
        cards[0]?.title.focus();
        this.soon();
      },
      () => this.#older(),
    );
    this.more.hidden = !this.#cursor;
  }

  /** Whether it went well; what did not is said once, until something does. */
  async #trying(run, again) {
    try {
      await run();
      this.said.querySelector(".problem")?.remove();
      return true;
    } catch (error) {
      if (this.said.querySelector(".problem")?.dataset.code !== error.code)
        this.said.replaceChildren(failed(error, again));
      return false;
    }
  }
}

/** One batch. Its elements stay the same while it changes, so that no focus is lost. */
class Card {
  #changed;
  #filling = null;
  #seen = 0;

  constructor(batch, changed) {
    this.#changed = changed;
    const button = (text, run) => h("button", { type: "button", onclick: run }, text);
    this.title = h("h3", { tabindex: -1 });
    this.bar = h("progress");
    this.counts = h("p", { class: "counts" });
    this.facts = h("p", { class: "facts" });
    this.said = h("div");
    this.stop = button("Cancel", () => this.#cancel());
    this.fold = button("Show pictures", () => this.unfold(this.pictures.hidden));
    this.zip = button("Download pictures (ZIP)", () => this.#doing(() => this.#zipped()));
    this.jsonl = button("Download results (JSONL)", () => this.#doing(() => this.#results()));
    this.pictures = h("ul", { class: "thumbs", hidden: true });
    this.rest = h(
      "p",
      { class: "fine", hidden: true },
      `These are the first ${MOST_SHOWN}; the ZIP has all.`,
    );
    this.root = h(
      "article",
      { class: "card batch", "data-batch": batch.id, "aria-label": `Batch of ${when(batch.created_at)}` },
      ...[this.title, this.bar, this.counts, this.facts, this.said],
      h("p", { class: "buttons" }, this.stop, this.fold, this.zip, this.jsonl),
      ...[this.pictures, this.rest],
    );
    this.draw(batch);
  }

  get open() {
    return this.batch.completed_at === null;
  }

  /** Show how it is now; whether anything moved. */
  draw(batch) {
    const before = this.batch;
    this.batch = batch;
    const { total, succeeded, failed: bad, cancelled } = batch.counts;
    const ended = succeeded + bad + cancelled;
    const state = batch.cancelling ? "Being cancelled" : (STATES[batch.status] ?? batch.status);
    this.root.dataset.status = batch.status;
    this.title.textContent = [
      batch.metadata.name ?? `${total} ${total === 1 ? "item" : "items"}`,
      batch.model,
    ]
      .filter(Boolean)
      .join(" · ");
    this.bar.max = Math.max(total, 1);
    this.bar.value = ended;
    this.bar.setAttribute("aria-label", `Items that have ended: ${ended} of ${total}`);
    const others = [bad && `${bad} failed`, cancelled && `${cancelled} cancelled`].filter(Boolean);
    this.counts.textContent = `${state}: ${[`${succeeded} of ${total} made`, ...others].join(", ")}`;
    this.clock();
    this.#keepFocus(() => {
      this.stop.hidden = !this.open;
      this.stop.disabled = batch.cancelling;
      this.fold.hidden = ended === 0;
      this.zip.hidden = this.open || succeeded === 0;
      this.jsonl.hidden = this.open || ended === 0;
    });
    const moved =
      !before ||
      before.status !== batch.status ||
      before.counts.succeeded + before.counts.failed + before.counts.cancelled !== ended;
    if (moved && batch.error) this.said.replaceChildren(problem(batch.error));
    if (before && moved && !this.open) announce(`The batch has ended. ${this.counts.textContent}.`);
    if (moved) this.#fill();
    return moved;
  }

  /** How long it takes, and what it has cost. */
  clock() {
    if (this.elapsed && !this.open) return;
    const { cost, created_at: begun, completed_at: end, sandbox, mode } = this.batch;
    const elapsed = seconds(((end ? new Date(end) : Date.now()) - new Date(begun)) / 1000);
    const spent = sandbox
      ? `sandbox, free (would be about ${money(cost.estimated_usd)})`
      : `${money(cost.usd)} of about ${money(cost.estimated_usd)}`;
    this.facts.textContent = [when(begun), elapsed, spent, `mode ${mode}`].join(" · ");
    this.elapsed = Boolean(end);
  }

  /** Show its pictures, or hide them. */
  unfold(open) {
    this.pictures.hidden = !open;
    this.fold.textContent = open ? "Hide pictures" : "Show pictures";
    this.fold.setAttribute("aria-expanded", open);
    this.#fill();
  }

  #keepFocus(change) {
    const focused = this.root.contains(document.activeElement) && document.activeElement;
    change();
    if (focused && (focused.hidden || focused.disabled)) this.title.focus();
  }

  /** Add the pictures of what has ended since. One look at a time, and one more after the last. */
  async #fill() {
    const { succeeded, failed: bad, cancelled } = this.batch.counts;
    const ended = succeeded + bad + cancelled;
    this.rest.hidden = this.pictures.hidden || this.#seen < MOST_SHOWN || ended === this.#seen;
    if (this.pictures.hidden || this.#filling || this.#seen >= Math.min(MOST_SHOWN, ended)) return;
    this.#filling = this.#fillOnce().catch((error) =>
      this.said.replaceChildren(failed(error, () => this.#fill())),
    );
    const seen = this.#seen;
    await this.#filling;
    this.#filling = null;
    if (this.#seen > seen) this.#fill();
  }

  async #fillOnce() {
    let at = 0;
    for await (const line of lines((await api.batchResults(this.batch.id)).body)) {
      if (at++ < this.#seen) continue;
      this.pictures.append(...thumbs(JSON.parse(line)));
      if (++this.#seen >= MOST_SHOWN) return;
    }
  }

  async #cancel() {
    if (
      !(await ask(
        "Cancel this batch? What is made by then is kept and charged, nothing more is begun.",
        "Cancel the batch",
        "Keep it going",
      ))
    )
      return;
    try {
      this.draw(await api.cancelBatch(this.batch.id));
      this.#changed();
    } catch (error) {
      this.said.replaceChildren(failed(error, () => this.#cancel()));
    }
  }

  /** A download, one at a time, whose failure is said. */
  async #doing(run) {
    this.#keepFocus(() => (this.zip.disabled = this.jsonl.disabled = true));
    this.said.replaceChildren();
    try {
      await run();
    } catch (error) {
      this.said.replaceChildren(failed(error, () => this.#doing(run)));
    } finally {
      this.zip.disabled = this.jsonl.disabled = false;
    }
  }

  async #results() {
    save(await (await api.batchResults(this.batch.id)).blob(), `${this.batch.id}.jsonl`);
  }

  /** All pictures with the results; several files where one would be too large. */
  async #zipped() {
    const { id, counts } = this.batch;
    let stopped = false;
    const bar = h("progress", { max: counts.succeeded, value: 0, "aria-label": "Items packed" });
    const text = h("p", { class: "fine" }, "Loading the results…");
    const stop = h("button", { type: "button", onclick: () => (stopped = true) }, "Stop packing");
    this.said.replaceChildren(bar, text, h("p", { class: "buttons" }, stop));
    stop.focus();
    const results = await (await api.batchResults(id)).blob();
    const bad = [];
    let zip = new Zip();
    let part = 1;
    const put = async (name, blob) => {
      if (!zip.fits(blob.size)) {
        save(zip.blob(), `${id}-${part++}.zip`);
        zip = new Zip();
      }
      await zip.add(name, blob);
    };
    const loaded = ({ name, image }) =>
      api.bytes(image).catch((error) => void bad.push(`${name}\t${error.message}`));
    for await (const some of together(files(results, bad))) {
      const blobs = await Promise.all(some.map(loaded));
      for (const [at, blob] of blobs.entries()) {
        if (blob) await put(some[at].name, blob);
      }
      bar.value = some.at(-1).item;
      text.textContent = `Packed ${some.at(-1).item} of ${counts.succeeded} items`;
      if (stopped) break;
    }
    if (!stopped) {
      await put("results.jsonl", results);
      if (bad.length) await put("failed.txt", new Blob([bad.join("\n"), "\n"]));
      save(zip.blob(), part === 1 ? `${id}.zip` : `${id}-${part}.zip`);
    }
    const said = stopped
      ? "Stopped."
      : `Packed, ${bad.length ? `with ${bad.length} failures in failed.txt` : "without failures"}.`;
    const focused = this.said.contains(document.activeElement);
    this.said.replaceChildren(h("p", { class: "fine" }, said));
    if (focused) this.title.focus();
    announce(said);
  }
}
