// Gallery: what was asked for, newest first.

import * as api from "./api.js";
import { failed, go, keyed, keyless, onKey } from "./app.js";
import { models } from "./catalogue.js";
import { Detail } from "./detail.js";
import { announce, button, empty, field, h, select } from "./dom.js";
import { mend } from "./picture.js";
import { Poll } from "./poll.js";
import { OPERATIONS, STATUSES, cost, open, stop } from "./request.js";
import { counted, when } from "./words.js";

const PAGE = 24;
const AHEAD = "600px";
/** At once; the others have their turn when these have ended. */
const MOST_LOOKS = 12;

let gallery;

/** Make the list and its filters. */
export async function start(section) {
  gallery = new Gallery(section);
}

/** What was asked for meanwhile is put on top. */
export const show = () => gallery.show();

/** `#round` counts the lists begun: whatever comes in for an older one is dropped. */
class Gallery {
  #detail;
  #filters;
  #entries = new Map();
  #list = h("ul", { class: "gallery", "aria-label": "Requests" });
  #note = h("div");
  #count = h("span", { class: "fine" });
  #further = button("Show more", () => this.#more(true), { hidden: true });
  #end = h("p", { class: "further" }, this.#further, this.#count);
  #sight = new IntersectionObserver((seen) => seen.at(-1).isIntersecting && this.#more(), {
    rootMargin: AHEAD,
  });
  #round = 0;
  #cursor = null;
  #loaded = false;
  #loading = false;
  #asked = false;
  #poll;
  #place = 0;

  constructor(section) {
    this.#poll = new Poll(section, () => this.#look());
    this.#filters = this.#filtering();
    section.append(this.#filters, this.#list, this.#note, this.#end);
    this.#detail = new Detail(section, {
      changed: (request) => this.#put(request),
      removed: (id) => this.#removed(id),
      closed: (id) => this.#face(id)?.focus(),
    });
    onKey(() => {
      this.#clear();
      if (!section.hidden) this.show();
    });
    // Hidden parts have no height: the place would be lost.
    addEventListener("scroll", () => section.hidden || (this.#place = scrollY), { passive: true });
  }

  show() {
    if (!api.key.get()) {
      this.#clear();
      this.#note.replaceChildren(keyless("The gallery needs your key."));
      if (!this.#asked) keyed();
      this.#asked = true;
      return null;
    }
    if (!this.#loaded) return this.#anew();
    scrollTo(0, this.#place);
    return this.#refresh();
  }

  #filtering() {
    const model = select("model", [["", "All models"]], "");
    // Without its models the gallery still lists.
    models().then(
      (all) => model.append(...all.map(({ id, name }) => h("option", { value: id }, name))),
      () => null,
    );
    return h(
      "form",
      {
        class: "filters",
        "aria-label": "Filter",
        onchange: () => this.#anew(),
        onsubmit: (event) => event.preventDefault(),
      },
      field("Status", select("status", [["", "Any"], ...Object.entries(STATUSES)], "")),
      field("Kind", select("operation", [["", "Any"], ...Object.entries(OPERATIONS)], "")),
      field("Model", model),
      button("Refresh", () => this.#loaded && this.#refresh()),
    );
  }

  get #wanted() {
    return Object.fromEntries(new FormData(this.#filters));
  }

  #clear() {
    this.#round += 1;
    this.#poll.stop();
    this.#detail.close();
    this.#entries.clear();
    this.#list.replaceChildren();
    this.#note.replaceChildren();
    this.#cursor = null;
    this.#loaded = this.#loading = false;
    this.#tell();
  }

  #anew() {
    if (!api.key.get()) return this.show();
    this.#clear();
    this.#note.replaceChildren(h("p", { class: "fine" }, "Loading…"));
    return this.#load();
  }

  /** The next page; `asked` by the button, whose user is led on to it. */
  #more(asked = false) {
    return this.#cursor && !this.#loading ? this.#load(asked) : null;
  }

  async #load(asked = false) {
    const page = await this.#page(this.#cursor, () => this.#load(asked));
    if (!page) return;
    const fresh = page.data.map((request) => this.#put(request));
    this.#cursor = page.next_cursor;
    this.#loaded = true;
    this.#tell();
    if (asked) fresh[0]?.querySelector("button").focus({ focusVisible: true });
    announce((this.#entries.size ? this.#count : this.#note.querySelector("p"))?.textContent ?? "");
    this.#poll.soon();
  }

  /** A page of the list; null where it failed, which is shown, or where nobody wants it any more. */
  async #page(cursor, again) {
    const round = this.#round;
    this.#loading = true;
    // It tells once that the end is in sight: seen anew after each page, it tells again.
    this.#sight.disconnect();
    try {
      const page = await api.requests({ ...this.#wanted, limit: PAGE, cursor });
      if (round !== this.#round) return null;
      this.#note.replaceChildren();
      return page;
    } catch (error) {
      if (round === this.#round) {
        this.#note.replaceChildren(failed(error, () => round === this.#round && again()));
      }
      return null;
    } finally {
      if (round === this.#round) this.#loading = false;
    }
  }

  /** Put what is new on top and take out what is gone, with what is being read where it is. */
  async #refresh() {
    if (this.#loading) return;
    const page = await this.#page(null, () => this.#refresh());
    if (!page) return;
    const known = page.data.some(({ id }) => this.#entries.has(id));
    if (!known && this.#entries.size && page.has_more) {
      // There is a gap between these and what is shown.
      this.#anew();
      return;
    }
    const read = [...this.#list.children].find((entry) => entry.getBoundingClientRect().bottom > 0);
    const at = read?.getBoundingClientRect().top;
    const held = read && this.#list.getBoundingClientRect().top < 0;
    const last = page.data.at(-1)?.created_at ?? "";
    const listed = new Set(page.data.map(({ id }) => id));
    for (const [id, { request }] of this.#entries) {
      if (!listed.has(id) && (!page.has_more || request.created_at > last)) this.#drop(id);
    }
    let before = this.#list.firstChild;
    for (const request of page.data) before = this.#put(request, before).nextSibling;
    if (held && read.isConnected) scrollBy(0, read.getBoundingClientRect().top - at);
    if (!page.has_more) this.#cursor = null;
    this.#tell();
    this.#poll.soon();
  }

  /** Its entry: a new one stands before the given node, or last. */
  #put(request, before = null) {
    const known = this.#entries.get(request.id);
    if (known && known.request.status === request.status) {
      if (known.request.attempts.length !== request.attempts.length) this.#detail.update(request);
      known.request = request;
      return known.entry;
    }
    const entry = known?.entry ?? h("li", { "data-request": request.id });
    const focused = entry.contains(document.activeElement);
    this.#entries.set(request.id, { request, entry });
    entry.replaceChildren(...this.#shown(request));
    if (!known) this.#list.insertBefore(entry, before);
    if (focused) this.#face(request.id).focus();
    if (known && !open(request)) announce(`${title(request)}: ${STATUSES[request.status].toLowerCase()}.`);
    this.#detail.update(request);
    return entry;
  }

  #shown(request) {
    const { id, model, parameters, created_at: at } = request;
    const seed = parameters.seed !== undefined && `seed ${parameters.seed}`;
    const look = () => this.#detail.open(this.#entries.get(id).request);
    const trouble = h("div");
    const end = async () => {
      try {
        this.#put(await stop(request));
      } catch (error) {
        trouble.replaceChildren(failed(error, end));
      }
    };
    const face = [cover(request), h("span", { class: "title" }, title(request))];
    return [
      h("button", { type: "button", class: "face", "aria-haspopup": "dialog", onclick: look }, face),
      h("p", { class: "fine" }, [model, cost(request), when(at), seed].filter(Boolean).join(" · ")),
      ...(open(request)
        ? [button("Cancel", end, { "aria-label": `Cancel: ${title(request)}` }), trouble]
        : []),
    ];
  }

  #face(id) {
    return this.#entries.get(id)?.entry.querySelector("button");
  }

  #drop(id) {
    const { entry } = this.#entries.get(id);
    const focused = entry.contains(document.activeElement);
    const near = entry.nextElementSibling ?? entry.previousElementSibling;
    entry.remove();
    this.#entries.delete(id);
    if (focused) this.#lead(near);
    return near;
  }

  #removed(id) {
    const near = this.#drop(id);
    this.#tell();
    this.#lead(near);
    announce(`Deleted. ${this.#count.textContent}`);
  }

  #lead(entry) {
    (entry ?? this.#filters).querySelector("button, select").focus();
  }

  /** Say how many there are, or that there are none. */
  #tell() {
    const many = this.#entries.size;
    this.#further.hidden = !this.#cursor;
    this.#count.textContent = many ? `${many} shown${this.#cursor ? "" : ", which is all"}` : "";
    this.#sight.disconnect();
    if (this.#cursor) this.#sight.observe(this.#end);
    if (!this.#loaded || many) return;
    if (this.#cursor) {
      this.#more();
      return;
    }
    const filtered = Object.values(this.#wanted).some(Boolean);
    const all = () => {
      this.#filters.reset();
      this.#lead(null);
      this.#anew();
    };
    const [text, way, run] = filtered
      ? ["Nothing with this filter.", "Show everything", all]
      : ["Nothing yet. What you make stays here.", "Make a picture", () => go("generate")];
    this.#note.replaceChildren(empty(text, button(way, run)));
  }

  /** Look at those that have not ended; whether one of them has moved. */
  async #look() {
    const going = [...this.#entries.values()].map(({ request }) => request).filter(open);
    if (!going.length) return null;
    const round = this.#round;
    const asked = going.slice(0, MOST_LOOKS);
    const looks = await Promise.allSettled(asked.map(({ id }) => api.request(id)));
    if (round !== this.#round) return null;
    let moved = false;
    looks.forEach(({ value, reason }, at) => {
      const { id, status } = asked[at];
      if (!this.#entries.has(id)) return;
      if (value) {
        moved ||= value.status !== status;
        this.#put(value);
      } else if (reason.code === "not_found") {
        this.#drop(id);
        this.#tell();
      }
    });
    return moved;
  }
}

/** What stands for a request: its first picture, or why there is none. */
function cover(request) {
  const [image] = request.images;
  if (!image) {
    const what = request.assets.length ? "Ready to download" : STATUSES[request.status];
    return h(
      "span",
      { class: "cover", "data-status": request.status },
      h("strong", {}, what),
      request.error && h("span", {}, request.error.message),
    );
  }
  const img = h("img", { alt: "", loading: "lazy", width: image.width, height: image.height });
  mend(img, request, image);
  img.src = api.link(image);
  const count = request.images.length;
  const several = count > 1 && h("span", { class: "several" }, counted(count, "picture"));
  return h("span", { class: "cover" }, img, several);
}

const title = (request) => request.prompt || OPERATIONS[request.operation];
