// The list of batches: how each fares, its pictures, and its results as files.

import * as api from "./api.js";
import { failed, keyless } from "./app.js";
import { announce, button, buttons, confirmed, h, problem, save } from "./dom.js";
import { Poll } from "./poll.js";
import { files, lines, thumbs, together } from "./results.js";
import { counted, money, seconds, when } from "./words.js";
import { Zip } from "./zip.js";

const PAGE = 20;
const MOST_SHOWN = 60;
const CLOCK_MS = 1000;
const STATES = {
  accepted: "Waiting for its turn",
  running: "Being made",
  collecting: "Collecting the pictures",
  succeeded: "Done",
  failed: "Not made",
  cancelled: "Cancelled",
  expired: "Expired",
};

/** The caller's batches in an element, looked at again and again while one is open. */
export class Batches {
  #cards = new Map();
  #cursor = null;
  #poll;
  #round = 0;

  constructor(root, section) {
    this.title = h("h2", { tabindex: -1 }, "Your batches");
    this.list = h("div");
    this.said = h("div");
    this.more = button("Show older batches", () => this.#older(), { hidden: true });
    root.append(this.title, this.said, this.list, this.more);
    this.#poll = new Poll(section, () => this.#look());
    setInterval(() => section.hidden || this.#cards.forEach((card) => card.clock()), CLOCK_MS);
  }

  /** Begin again, with another key: whatever comes in for the old one is dropped. */
  forget() {
    this.#round += 1;
    this.#poll.stop();
    this.#cards.clear();
    this.#cursor = null;
    this.list.replaceChildren();
    this.said.replaceChildren();
    this.more.hidden = true;
  }

  /** The newest, with those that are shown already brought up to date; whether they are there. */
  async load() {
    if (!api.key.get()) {
      this.said.replaceChildren(keyless("Your batches are shown once there is a key."));
      return false;
    }
    const fresh = this.#cards.size === 0;
    const page = await this.#asked(
      () => api.batches({ limit: PAGE }),
      () => this.load(),
    );
    if (!page) return false;
    for (const batch of page.data.toReversed()) this.#take(batch, "prepend");
    if (fresh) this.#cursor = page.next_cursor;
    this.more.hidden = !this.#cursor;
    const none = h("p", { class: "empty" }, "A batch appears here once it is started.");
    this.said.replaceChildren(...(this.#cards.size ? [] : [none]));
    this.#poll.soon();
    return true;
  }

  /** Show one that has just been started, and perhaps go there. */
  add(batch, focus) {
    this.said.replaceChildren();
    const card = this.#take(batch, "prepend");
    card.unfold(true);
    if (focus) card.title.focus();
    this.#poll.soon();
  }

  /** Look at those that have not ended; whether one of them has moved. */
  async #look() {
    const going = [...this.#cards.values()].filter((card) => card.open);
    if (!going.length || !api.key.get()) return null;
    const found = await this.#asked(
      () => Promise.all(going.map((card) => api.batch(card.batch.id))),
      () => this.#poll.soon(),
    );
    if (!found) return false;
    const moved = going.map((card, at) => card.draw(found[at]));
    return moved.includes(true);
  }

  #take(batch, where) {
    const known = this.#cards.get(batch.id);
    if (known) {
      known.draw(batch);
      return known;
    }
    const card = new Card(batch, () => this.#poll.soon());
    this.#cards.set(batch.id, card);
    this.list[where](card.root);
    if (card.open) card.unfold(true);
    return card;
  }

  async #older() {
    const page = await this.#asked(
      () => api.batches({ limit: PAGE, cursor: this.#cursor }),
      () => this.#older(),
    );
    if (!page) return;
    const cards = page.data.map((batch) => this.#take(batch, "append"));
    this.#cursor = page.next_cursor;
    this.more.hidden = !this.#cursor;
    cards[0]?.title.focus();
    this.#poll.soon();
  }

  /** What the server answers; null where it failed, which is said once until something does not, or
   * where nobody wants it any more. */
  async #asked(ask, again) {
    const round = this.#round;
    const said = () => this.said.querySelector(".problem");
    try {
      const found = await ask();
      if (round !== this.#round) return null;
      said()?.remove();
      return found;
    } catch (error) {
      if (round === this.#round && said()?.dataset.code !== error.code)
        this.said.replaceChildren(failed(error, again));
      return null;
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
      buttons(this.stop, this.fold, this.zip, this.jsonl),
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
    const ended = endedItems(batch);
    const state = batch.cancelling ? "Being cancelled" : (STATES[batch.status] ?? batch.status);
    const name = batch.metadata.name ?? counted(total, "item");
    this.title.textContent = [name, batch.model].filter(Boolean).join(" · ");
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
    const moved = !before || before.status !== batch.status || endedItems(before) !== ended;
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
    const ended = endedItems(this.batch);
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
    const question = "Cancel this batch? What is made by then is kept and charged, nothing more is begun.";
    if (!(await confirmed(question, "Cancel the batch", "Keep it going"))) return;
    await this.#cancelNow();
  }

  async #cancelNow() {
    try {
      this.draw(await api.cancelBatch(this.batch.id));
      this.#changed();
    } catch (error) {
      this.said.replaceChildren(failed(error, () => this.#cancelNow()));
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
    const stop = button("Stop packing", () => (stopped = true));
    this.said.replaceChildren(bar, text, buttons(stop));
    stop.focus();
    const results = await (await api.batchResults(id)).blob();
    const bad = [];
    const parts = new Parts(id);
    for await (const some of together(files(results, bad))) {
      const blobs = await Promise.all(some.map((one) => loaded(one, bad)));
      for (const [at, blob] of blobs.entries()) if (blob) await parts.put(some[at].name, blob);
      bar.value = some.at(-1).item;
      text.textContent = `Packed ${some.at(-1).item} of ${counts.succeeded} items`;
      if (stopped) return this.#packed("Stopped.");
    }
    await parts.put("results.jsonl", results);
    if (bad.length) await parts.put("failed.txt", new Blob([bad.join("\n"), "\n"]));
    parts.end();
    const how = bad.length ? `with ${counted(bad.length, "failure")} in failed.txt` : "without failures";
    return this.#packed(`Packed, ${how}.`);
  }

  #packed(said) {
    const focused = this.said.contains(document.activeElement);
    this.said.replaceChildren(h("p", { class: "fine" }, said));
    if (focused) this.title.focus();
    announce(said);
  }
}

/** The ZIP files of a batch, each handed out as it is full. */
class Parts {
  #id;
  #zip = new Zip();
  #saved = 0;

  constructor(id) {
    this.#id = id;
  }

  async put(name, blob) {
    if (!this.#zip.fits(blob.size)) {
      save(this.#zip.blob(), `${this.#id}-${++this.#saved}.zip`);
      this.#zip = new Zip();
    }
    await this.#zip.add(name, blob);
  }

  /** Hand out the last. */
  end() {
    save(this.#zip.blob(), this.#saved ? `${this.#id}-${this.#saved + 1}.zip` : `${this.#id}.zip`);
  }
}

/** The bytes of a file; what cannot be had is a line of `bad`. */
async function loaded({ name, image }, bad) {
  try {
    return await api.bytes(image);
  } catch (error) {
    bad.push(`${name}\t${error.message}`);
    return null;
  }
}

/** How many items have ended. */
const endedItems = ({ counts }) => counts.succeeded + counts.failed + counts.cancelled;
