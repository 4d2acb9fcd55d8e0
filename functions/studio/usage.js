// Usage: what there is to spend, what was spent, and on what.

import * as api from "./api.js";
import { failed, keyed, keyless, onKey } from "./app.js";
import { Chart } from "./chart.js";
import { facts, field, h, scroll, select, table } from "./dom.js";
import { counted, many, money } from "./words.js";

const DAY_MS = 86_400_000;
const MOST_DAYS = 366;
const OWN = "own";
const FREE = "This is a test key: its pictures are the sandbox's and cost nothing.";
const MICROS = 1_000_000;
const UNITS = { usd: "Dollars", images: "Pictures", requests: "Requests" };
const ONE = { images: "picture", requests: "request" };
const LIMITS = [
  ["Requests in this minute", "requests_this_minute", "rpm", String],
  ["Requests today", "requests_today", "rpd", String],
  ["Running at once", "running", "concurrency", String],
  ["Spent this month", "spent_this_month_usd", "monthly_usd", money],
];

let usage;

/** Make the boxes that the numbers go into. */
export async function start(section) {
  usage = new Usage(section);
}

/** Load the numbers anew. */
export const show = () => usage.show();

/** A day of UTC as the API writes it. */
const day = (ms) => new Date(ms).toISOString().slice(0, 10);
const ms = (text) => Date.parse(`${text}T00:00:00Z`);
const said = (text, options) =>
  new Date(ms(text)).toLocaleDateString(undefined, { timeZone: "UTC", ...options });

class Usage {
  #note = h("div");
  #boxes = h("div", { class: "usage", hidden: true });
  #standing = h("section", { class: "panel", "aria-label": "Account" });
  #form;
  #sums = h("div");
  #free = h("p", { hidden: true });
  #chart;
  #days = h("tbody");
  #models = h("tbody");
  #providers = h("tbody");
  #found = null;
  #unit = null;
  #asked = false;
  #round = 0;

  constructor(section) {
    const chart = h("div");
    this.#form = this.#asking();
    this.#boxes.append(
      this.#standing,
      h(
        "section",
        { class: "panel", "aria-label": "Use" },
        this.#form,
        this.#free,
        this.#sums,
        chart,
        h(
          "p",
          { class: "fine" },
          "Only what was delivered is counted, on the day it ended. Days are those of UTC.",
        ),
        h("details", { class: "days" }, h("summary", {}, "Every day in a table"), parted("Day", this.#days)),
        parted("Model", this.#models),
        parted("Provider", this.#providers),
      ),
    );
    section.append(this.#note, this.#boxes);
    this.#chart = new Chart(chart);
    onKey(() => {
      this.#forget();
      if (!section.hidden) this.show();
    });
  }

  show() {
    if (api.key.get()) return this.#load();
    this.#forget();
    this.#note.replaceChildren(keyless("The usage of an account needs its key."));
    if (!this.#asked) keyed();
    this.#asked = true;
    return null;
  }

  /** What one key sees is not for the next. */
  #forget() {
    this.#round += 1;
    this.#found = this.#unit = null;
    this.#boxes.hidden = true;
    this.#note.replaceChildren();
  }

  #asking() {
    const span = select(
      "span",
      [
        ["7", "7 days"],
        ["30", "30 days"],
        ["90", "90 days"],
        [OWN, "From … to …"],
      ],
      "30",
    );
    const today = day(Date.now());
    const bounds = ["from", "to"].map((name) =>
      h("input", { type: "date", name, required: true, value: today }),
    );
    const own = h(
      "div",
      { class: "filters", hidden: true },
      field("From", bounds[0]),
      field("To", bounds[1]),
    );
    const unit = select("unit", Object.entries(UNITS), "usd");
    unit.addEventListener("change", () => {
      this.#unit = unit.value;
      this.#draw();
    });
    span.addEventListener("change", () => {
      if (span.value === OWN) [bounds[0].value, bounds[1].value] = this.#bounds("30");
      own.hidden = span.value !== OWN;
      this.#load();
    });
    own.addEventListener("change", () => this.#checked(...bounds) && this.#load());
    return h(
      "form",
      { "aria-label": "What to show", onsubmit: (event) => event.preventDefault() },
      h("div", { class: "filters" }, field("Time", span), field("Show", unit)),
      own,
    );
  }

  #checked(from, to) {
    const apart = (ms(to.value) - ms(from.value)) / DAY_MS;
    to.setCustomValidity(
      apart < 0 ? "It ends before it begins." : apart > MOST_DAYS ? "At most a year at once." : "",
    );
    return this.#form.reportValidity();
  }

  #bounds(span) {
    const { from, to } = this.#form.elements;
    if (span === OWN) return [from.value, to.value];
    // Today is one of them.
    return [day(Date.now() - (Number(span) - 1) * DAY_MS), day(Date.now())];
  }

  async #load() {
    const round = ++this.#round;
    const [from, to] = this.#bounds(this.#form.elements.span.value);
    const by = async (group_by) => (await api.usage({ from, to, group_by })).data;
    if (!this.#found) this.#note.replaceChildren(h("p", { class: "fine" }, "Loading…"));
    try {
      const asked = [api.account(), by("day"), by("model"), by("provider")];
      const [account, days, models, providers] = await Promise.all(asked);
      if (round !== this.#round) return;
      this.#found = { account, from, to, days, models, providers };
    } catch (error) {
      if (round === this.#round) this.#note.replaceChildren(failed(error, () => this.#load()));
      return;
    }
    this.#note.replaceChildren();
    this.#boxes.hidden = false;
    this.#standing.replaceChildren(...standing(this.#found.account));
    this.#draw();
  }

  #draw() {
    const { from, to, days, models, providers } = this.#found;
    const sum = total(days);
    const unit = this.#unit ?? (sum.usd > 0 || !api.key.test() ? "usd" : "images");
    this.#form.elements.unit.value = unit;
    this.#free.hidden = !api.key.test();
    this.#free.textContent = `${FREE}${sum.usd > 0 ? " What was spent, live keys of the account spent." : ""}`;
    const sums = [
      ["Spent", money(sum.usd)],
      ["Pictures", many(sum.images)],
      ["Requests", many(sum.requests)],
    ];
    this.#sums.replaceChildren(facts("sums", sums));
    const each = filled(days, from, to);
    const text = unit === "usd" ? money : many;
    const amount = (value) => (unit === "usd" ? money(value) : counted(value, ONE[unit]));
    this.#chart.show({
      name: `${UNITS[unit]} by day`,
      whole: unit !== "usd",
      text,
      bars: each.map((one) => ({
        label: said(one.day, { day: "numeric", month: "short" }),
        value: Number(one[unit]),
        said: `${said(one.day, { dateStyle: "medium" })}: ${amount(one[unit])}`,
      })),
    });
    this.#days.replaceChildren(...each.toReversed().map((one) => row(one.day, one)));
    this.#models.replaceChildren(...shares(models, "model", unit));
    this.#providers.replaceChildren(...shares(providers, "provider", unit));
  }
}

/** Every day from one to another, those without use as zero. */
function filled(rows, from, to) {
  const known = new Map(rows.map((one) => [one.day, one]));
  const count = Math.round((ms(to) - ms(from)) / DAY_MS) + 1;
  return Array.from({ length: count }, (_, n) => {
    const name = day(ms(from) + n * DAY_MS);
    return known.get(name) ?? { day: name, requests: 0, images: 0, usd: "0" };
  });
}

/** The sum of rows. Micro-dollars add up without a rest. */
function total(rows) {
  const sum = (name) => rows.reduce((all, one) => all + one[name], 0);
  const micros = rows.reduce((all, { usd }) => all + Math.round(Number(usd) * MICROS), 0);
  return { usd: micros / MICROS, images: sum("images"), requests: sum("requests") };
}

function standing({ name, balance_usd, held_usd, available_usd, limits, usage: used }) {
  const sums = [
    ["Available", money(available_usd)],
    ["Balance", money(balance_usd)],
    ["Held", money(held_usd)],
  ];
  return [
    h("h2", {}, `Account ${name}`),
    facts("sums", sums),
    h("h3", {}, "Limits"),
    h(
      "ul",
      { class: "limits" },
      LIMITS.map(([text, at, of, write]) => limit(text, used[at], limits[of], write)),
    ),
  ];
}

function limit(text, used, most, write) {
  const state = most === null ? `${write(used)}, no limit` : `${write(used)} of ${write(most)}`;
  const full = Number(most);
  const scale = { min: 0, max: full, high: full * 0.9, optimum: 0, value: Number(used) };
  const bar = full > 0 && h("meter", { "aria-label": text, ...scale });
  return h("li", {}, h("p", {}, h("span", {}, text), h("span", {}, state)), bar);
}

/** What was used by day, model or provider. */
function parted(by, body) {
  const heads = [by, "Requests", "Pictures", "Dollars"];
  const caption = `By ${by.toLowerCase()}`;
  return scroll(caption, table(heads, body, { caption, numbers: true }), "shares");
}

function row(name, one, share = null) {
  const numbers = [many(one.requests), many(one.images), money(one.usd)];
  return h(
    "tr",
    {},
    h("th", { scope: "row" }, name, share),
    numbers.map((text) => h("td", { class: "number" }, text)),
  );
}

/** A row each, the most first, with its share as a bar. */
function shares(rows, name, unit) {
  const sorted = rows.toSorted((a, b) => Number(b[unit]) - Number(a[unit]));
  const most = Number(sorted[0]?.[unit] ?? 0);
  if (!sorted.length) return [h("tr", {}, h("td", { colspan: 4 }, "Nothing in this time."))];
  return sorted.map((one) => {
    const bar = h("span", { class: "share", "aria-hidden": "true" });
    bar.style.setProperty("width", `${most && (100 * Number(one[unit])) / most}%`);
    return row(one[name], one, bar);
  });
}
