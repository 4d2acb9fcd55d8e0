// Batch: a sheet of items, checked and priced before it is sent, and the batches there are.

import * as api from "./api.js";
import { failed, keyed, onKey } from "./app.js";
import { Batches } from "./batches.js";
import { models, templates } from "./catalogue.js";
import { announce, button, buttons, confirmed, field, h, problem, scroll, table } from "./dom.js";
import { Fields } from "./fields.js";
import { priced, prices } from "./prices.js";
import { EXAMPLES, check, read, refused, weighed } from "./sheet.js";
import { counted, megabytes, money } from "./words.js";

const WAIT_MS = 350;
const BREATH_MS = 30;
const MAX_BODY_BYTES = 32 * 2 ** 20 - 2 ** 16;
const MAX_SHOWN = 200_000;
const MOST_TOLD = 100;
const STALE = Symbol("another check has begun");
const REFUSED = [400, 402, 404, 413, 422];
const MODES = {
  auto: ["Automatic", "Each item the cheaper way."],
  provider: ["Provider's batch", "Mostly half the price; it may take 24 hours."],
  fanout: ["One call each", "The full price, as fast as the providers' limits allow."],
};

let form;
let batches;

/** Build the form and the list. */
export async function start(section) {
  form = new Form();
  const list = h("div", { role: "region", "aria-label": "Your batches" });
  batches = new Batches(list, section);
  section.append(h("div", { class: "columns" }, form.root, list));
  section.addEventListener("dragover", (event) => event.preventDefault());
  section.addEventListener("drop", (event) => form.given(event, event.dataTransfer));
  onKey(() => {
    form.forget();
    batches.forget();
    if (!section.hidden) batches.load();
  });
  form.fields.load();
}

/** Bring the list up to date. */
export const show = () => batches.load();

/** What is to be sent. */
class Form {
  #file = null;
  #timer = null;
  #turn = 0;
  #ready = null;
  #sending = false;
  // What was sent, with its key, and has no clear answer → the name it was sent by: sent again, it
  // is the same batch, whatever was changed and changed back in between.
  #unanswered = new Map();

  constructor() {
    this.text = h("textarea", {
      name: "items",
      rows: 9,
      wrap: "off",
      spellcheck: "false",
      placeholder: EXAMPLES.CSV,
    });
    this.file = h("input", { type: "file", accept: ".csv,.tsv,.txt,.jsonl,.ndjson,text/*" });
    this.large = h("p", { hidden: true });
    this.read = h("p", { class: "fine read" });
    this.told = h("div");
    this.kept = h("div");
    this.estimate = h("p", { class: "estimate", "aria-live": "polite" });
    this.details = h("div");
    this.button = h("button", { type: "submit", class: "main", disabled: true }, "Start batch");
    const settings = h("div");
    this.fields = new Fields("generate", settings, { estimate: h("p") });
    this.root = this.#drawn(settings);
    this.root.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#send();
    });
    // Not on "change": it comes when the text is left for the button, whose click would be lost.
    this.root.addEventListener("input", () => this.changed());
    this.file.addEventListener("change", () => this.file.files[0] && this.#take(this.file.files[0]));
    this.text.addEventListener("paste", (event) => this.given(event, event.clipboardData));
  }

  #drawn(settings) {
    const examples = Object.entries(EXAMPLES).map(([name, text]) =>
      button(`Example: ${name}`, () => this.#example(text)),
    );
    const modes = Object.entries(MODES).map(([mode, [name, said]]) =>
      h(
        "label",
        { class: "model" },
        h("input", { type: "radio", name: "mode", value: mode, checked: mode === "auto" }),
        h("span", {}, h("strong", {}, name), h("span", { class: "fine" }, said)),
      ),
    );
    return h(
      "form",
      { class: "panel batch-form", novalidate: true },
      field("Items", this.text, "CSV with a header, JSONL, or a prompt a line. Drop a file here, or paste."),
      this.large,
      buttons(...examples),
      field("Or choose a file", this.file),
      this.read,
      this.told,
      h("details", { open: true }, h("summary", {}, "For items that do not say it themselves"), settings),
      h("fieldset", { class: "modes" }, h("legend", {}, "How they are made"), modes),
      this.details,
      this.kept,
      h("div", { class: "send" }, this.estimate, this.button),
    );
  }

  /** A file, or text that a text field would choke on. */
  given(event, data) {
    const [file] = data.files;
    const text = file ? "" : data.getData("text");
    if (!file && text.length <= MAX_SHOWN) return;
    event.preventDefault();
    this.#take(file ?? new File([text], "Pasted text"));
  }

  async #example(text) {
    const replaced = () => confirmed("Replace the items that are there?", "Replace them", "Keep them");
    if (this.#source.trim() && !(await replaced())) return;
    this.#put(text);
    this.text.focus();
  }

  async #take(file) {
    this.changed();
    if (file.size > 2 * MAX_BODY_BYTES) {
      this.#leave([tooLarge(file.size)]);
      return;
    }
    const turn = this.#turn;
    try {
      const bytes = new Uint8Array(await file.arrayBuffer());
      if (turn !== this.#turn) return;
      const wide = bytes[0] === 0xff && bytes[1] === 0xfe;
      this.#put(new TextDecoder(wide ? "utf-16le" : "utf-8", { fatal: true }).decode(bytes), file.name);
    } catch (error) {
      if (turn !== this.#turn) return;
      const readable = error instanceof TypeError;
      const message = `${file.name} ${readable ? "is no text in UTF-8" : "cannot be read any more"}.`;
      const advice = readable ? "Save it as “CSV UTF-8” and choose it again." : "Choose it again.";
      this.#leave([problem({ code: "", message }), advice]);
    }
  }

  /** Say why there are no items; a check of nothing would take it back. */
  #leave(said) {
    this.#put("");
    this.read.textContent = "";
    this.#end(said);
  }

  /** Text in the field, or beside it where it is too long to be shown. */
  #put(text, name = null) {
    const large = text.length > MAX_SHOWN;
    this.#file = name && { name, text };
    this.text.value = large ? "" : text;
    this.text.parentElement.hidden = !(this.large.hidden = !large);
    if (large) {
      const remove = () => {
        this.#put("");
        this.text.focus();
      };
      this.large.replaceChildren(`${name}, ${megabytes(text.length)} `, button("Remove", remove));
    }
    this.file.value = "";
    this.changed();
  }

  get #source() {
    return this.large.hidden ? this.text.value : this.#file.text;
  }

  /** Another key: what was said of the other's last batch is nobody's business any more. */
  forget() {
    this.kept.replaceChildren();
    this.changed();
  }

  /** Nothing that was found out still holds: look again, soon. */
  changed() {
    clearTimeout(this.#timer);
    this.#turn += 1;
    this.#offered(null);
    this.estimate.textContent = this.#source ? "Checking…" : "";
    this.#timer = setTimeout(() => this.#check(this.#turn), WAIT_MS);
  }

  async #check(turn) {
    try {
      await this.#checked(turn, this.#breather(turn));
    } catch (error) {
      if (error === STALE || turn !== this.#turn) return;
      this.#refuse([failed(error, () => this.changed())]);
    }
  }

  /** Lets the page do something else now and then, and ends a check that is no longer wanted. */
  #breather(turn) {
    let due = performance.now() + BREATH_MS;
    return async (line) => {
      if (performance.now() < due) return;
      this.estimate.textContent = `Checking line ${line}…`;
      await new Promise((done) => setTimeout(done));
      if (turn !== this.#turn) throw STALE;
      due = performance.now() + BREATH_MS;
    };
  }

  async #checked(turn, breathe) {
    const { items, problems, kind } = await read(this.#source, breathe);
    const said = items.length || problems.length;
    this.read.textContent = said ? `Read as ${kind}: ${counted(items.length, "item")}.` : "";
    if (!this.fields.model) await this.fields.load();
    if (turn !== this.#turn || !this.fields.model) return;
    const defaults = this.fields.body();
    const known = {
      defaults,
      models: await models(),
      templates: items.some(({ fields }) => fields.template) ? await templates() : null,
    };
    const found = [...problems, ...(await check(items, known, breathe))];
    const bytes = found.length ? 0 : await weighed(items, breathe);
    if (turn !== this.#turn) return;
    if (found.length || !items.length) this.#tell(found);
    else if (bytes > MAX_BODY_BYTES) this.#refuse([tooLarge(bytes)]);
    else this.#offer(turn, items, await priced(items, defaults, this.#mode, known.models));
  }

  /** Let items be sent at a price, if there is one for all. */
  #offer(turn, items, price) {
    if (turn !== this.#turn) return;
    this.#tell(price.problems);
    if (price.problems.length) return;
    this.#offered(items);
    this.estimate.textContent = `About ${money(price.total)}${api.key.test() ? ", free with a test key" : ""}`;
    this.details.replaceChildren(...prices(price, items.length));
  }

  /** Let items be sent, or none; one batch at a time. */
  #offered(items) {
    this.#ready = items;
    this.button.disabled = !items || this.#sending;
    const ready = items ? `Start batch of ${items.length}` : "Start batch";
    this.button.textContent = this.#sending ? "Sending…" : ready;
  }

  get #mode() {
    return this.root.elements.mode.value;
  }

  /** What is wrong, line by line. */
  #tell(found, heading = `${found.length} ${found.length === 1 ? "thing is" : "things are"} wrong.`) {
    this.#refuse([]);
    if (!found.length) return;
    found.sort((a, b) => a.line - b.line);
    const rows = found
      .slice(0, MOST_TOLD)
      .map(({ line, message, right }) =>
        h("tr", {}, h("td", {}, this.#jump(line)), h("td", {}, message), h("td", {}, right)),
      );
    const more = found.length - rows.length;
    const heads = ["Line", "What is wrong", "What would be right"];
    this.told.replaceChildren(
      h("h3", { tabindex: -1, class: "wrong" }, heading),
      scroll("What is wrong", table(heads, h("tbody", {}, rows))),
      ...(more > 0 ? [h("p", {}, `And ${more} more.`)] : []),
    );
    announce(`${heading} The first is in line ${found[0].line}.`);
  }

  #refuse(said) {
    this.estimate.textContent = "";
    this.details.replaceChildren();
    this.told.replaceChildren(...said);
  }

  /** A button to a line of the text, where it is shown. */
  #jump(line) {
    if (!this.large.hidden) return String(line);
    const to = () => {
      const text = this.text.value;
      let begin = 0;
      for (let at = 1; at < line; at++) begin = text.indexOf("\n", begin) + 1;
      const end = text.indexOf("\n", begin);
      this.text.focus();
      this.text.setSelectionRange(begin, end < 0 ? text.length : end);
      this.text.scrollTop = (line - 3) * parseFloat(getComputedStyle(this.text).lineHeight);
      this.text.scrollLeft = 0;
    };
    return button(String(line), to, { class: "jump", "aria-label": `Go to line ${line}` });
  }

  async #send() {
    const items = this.#ready;
    if (!items || !(await keyed())) return;
    const { model, ...defaults } = this.fields.body();
    const body = { model, defaults, mode: this.#mode, items: items.map((item) => item.fields) };
    if (this.#file) body.metadata = { name: this.#file.name.slice(0, 200) };
    await this.#post(body, items, this.#turn);
  }

  /** Send a batch, of the form as it was at a turn. */
  async #post(body, items, turn) {
    if (this.#sending) return;
    const key = api.key.get();
    const name = JSON.stringify([key, body]);
    const sent = this.#unanswered.get(name) ?? { once: api.unique(), box: h("div") };
    this.#unanswered.set(name, sent);
    this.#sending = true;
    this.#offered(this.#ready);
    announce("Sending…");
    const [batch, error] = await api.createBatch(body, sent.once).then(
      (made) => [made],
      (why) => [null, why],
    );
    this.#sending = false;
    this.#offered(this.#ready);
    if (batch || REFUSED.includes(error.status)) this.#unanswered.delete(name);
    if (key !== api.key.get()) return;
    sent.box.remove();
    const same = turn === this.#turn;
    if (batch) this.#started(batch, same);
    else if (error.unsure) this.#doubt(sent.box, error, () => this.#post(body, items, turn));
    else if (same) this.#unsent(error, items);
    else this.#keep(sent.box, problem(error, [["Leave it", () => this.#drop(sent.box)]]));
    if (document.activeElement === document.body) this.button.focus();
  }

  #started(batch, same) {
    if (same) {
      this.#end([]);
      this.estimate.textContent = "Started. Change something to start another.";
    }
    batches.add(batch, same || document.activeElement === document.body);
    announce("The batch has started.");
  }

  /** Say that nobody knows whether a batch was started. */
  #doubt(box, error, again) {
    const look = async () => {
      if (!(await batches.load())) return;
      box.remove();
      batches.title.focus();
    };
    const actions = [
      ["Try again", again],
      ["Look in the list", look],
    ];
    const said = "The batch may have been started all the same. Trying again never starts a second one.";
    this.#keep(box, problem(error, actions), h("p", {}, said));
  }

  /** Say something that a change of the form does not take back. */
  #keep(box, ...said) {
    box.replaceChildren(...said);
    this.kept.append(box);
    box.scrollIntoView({ block: "center" });
  }

  #drop(box) {
    box.remove();
    this.text.focus();
  }

  /** Say why a batch was not started: it may be sent as it is. */
  #unsent(error, items) {
    const { lines, bad } = error.details ?? {};
    this.#end([failed(error, () => this.#send())]);
    this.#offered(items);
    if (!lines) return;
    const found = lines.map((said) => refused(said, items));
    this.#tell(found, `The server refused ${bad} of the items.`);
    this.told.querySelector("h3").focus();
  }

  /** Say how it went; a check that is still under way would take it back. */
  #end(said) {
    clearTimeout(this.#timer);
    this.#turn += 1;
    this.#offered(null);
    this.#refuse(said);
  }
}

const tooLarge = (bytes) =>
  problem({
    code: "",
    message:
      `These items have ${megabytes(bytes)}. From here 32 MB can be sent: split the file, or send it as ` +
      `an upload, as JSONL of at most 2 GB (docs/uploads.md).`,
  });
