// Batch: a sheet of items, checked and priced before it is sent, and the batches there are.

import * as api from "./api.js";
import { failed, keyed, onKey } from "./app.js";
import { Batches } from "./batches.js";
import { models, templates } from "./catalogue.js";
import { announce, button, buttons, confirmed, field, h, problem, scroll, table } from "./dom.js";
import { Fields } from "./fields.js";
import { priced, prices } from "./prices.js";
import { check, read } from "./sheet.js";
import { counted, megabytes, money } from "./words.js";

const WAIT_MS = 350;
const BREATH_MS = 30;
const MAX_BODY_BYTES = 32 * 2 ** 20 - 2 ** 16;
const MAX_SHOWN = 200_000;
const MOST_TOLD = 100;
const STALE = Symbol("another check has begun");
const REFUSED = [400, 402, 404, 413, 422];
const EXAMPLES = {
  CSV: 'custom_id,prompt,aspect_ratio\ncup,"A cup on a table, morning light",1:1\njar,A jar of honey,3:2\n',
  JSONL:
    '{"custom_id": "cup", "prompt": "A cup on a table", "aspect_ratio": "1:1"}\n' +
    '{"custom_id": "jar", "prompt": "A jar of honey", "seed": 7}\n',
  Prompts: "A cup on a table, morning light\nA jar of honey\n",
};
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
    form.changed();
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
  #once = null;

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
      this.#put("");
      this.#refuse([tooLarge(file.size)]);
      return;
    }
    const turn = this.#turn;
    try {
      const bytes = new Uint8Array(await file.arrayBuffer());
      if (turn !== this.#turn) return;
      const wide = bytes[0] === 0xff && bytes[1] === 0xfe;
      this.#put(new TextDecoder(wide ? "utf-16le" : "utf-8", { fatal: true }).decode(bytes), file.name);
    } catch (error) {
      this.#put("");
      const readable = error instanceof TypeError;
      const message = `${file.name} ${readable ? "is no text in UTF-8" : "cannot be read any more"}.`;
      const advice = readable ? "Save it as “CSV UTF-8” and choose it again." : "Choose it again.";
      this.#refuse([problem({ code: "", message }), advice]);
    }
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

  /** Nothing that was found out still holds: look again, soon. */
  changed() {
    clearTimeout(this.#timer);
    this.#turn += 1;
    this.#ready = this.#once = null;
    this.button.disabled = true;
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
    this.#ready = items;
    this.button.textContent = `Start batch of ${items.length}`;
    this.button.disabled = false;
    this.estimate.textContent = `About ${money(price.total)}${api.key.test() ? ", free with a test key" : ""}`;
    this.details.replaceChildren(...prices(price, items.length));
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
    this.button.textContent = "Start batch";
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
    // A key that was just entered has the items checked again, which would let them be sent again.
    clearTimeout(this.#timer);
    const turn = this.#turn;
    const { model, ...defaults } = this.fields.body();
    const body = { model, defaults, mode: this.#mode, items: items.map((item) => item.fields) };
    if (this.#file) body.metadata = { name: this.#file.name.slice(0, 200) };
    // Until something is changed, whatever is sent again is the same batch.
    const once = (this.#once ??= api.unique());
    this.#ready = null;
    this.button.disabled = true;
    this.estimate.textContent = "Sending…";
    const key = api.key.get();
    try {
      const batch = await api.createBatch(body, once);
      if (key !== api.key.get()) return;
      batches.add(batch);
      announce("The batch has started.");
      if (turn === this.#turn) this.#started();
    } catch (error) {
      if (turn === this.#turn) this.#unsent(error, items);
      else this.told.replaceChildren(failed(error));
    }
  }

  #started() {
    this.#refuse([]);
    this.estimate.textContent = "Started. Change something to start another.";
  }

  /** Say why a batch was not started, or that nobody knows: then the same may be sent again. */
  #unsent(error, items) {
    if (REFUSED.includes(error.status)) this.#once = null;
    this.#ready = items;
    this.button.disabled = false;
    const { lines, bad } = error.details ?? {};
    if (lines) {
      const found = lines.map((said) => refused(said, items));
      this.#tell(found, `The server refused ${bad} of the items.`);
    } else this.#refuse([failed(error, () => this.#send())]);
    this.told.querySelector("h3")?.focus();
  }
}

/** A line of the server's refusal, by the line of the sheet. */
const refused = ({ line, param, message }, items) => ({
  line: items[line - 1]?.line ?? line,
  message,
  right: param ? `Change ${param}` : "",
});

const tooLarge = (bytes) =>
  problem({
    code: "",
    message:
      `These items have ${megabytes(bytes)}. From here 32 MB can be sent: split the file, or send it as ` +
      `an upload, as JSONL of at most 2 GB (docs/uploads.md).`,
  });

/** The bytes of the items as JSON: exactly, where it could matter. */
async function weighed(items, breathe) {
  const encoder = new TextEncoder();
  let bytes = 0;
  for (const { line, fields } of items) {
    await breathe(line);
    bytes += encoder.encode(JSON.stringify(fields)).length + 1;
  }
  return bytes;
}
