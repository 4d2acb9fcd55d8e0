// A sheet of items as text, JSONL or CSV or one prompt a line: what it says, and what is wrong with it.

import { CHOICES } from "./catalogue.js";

/** Of one batch, by the server's rule. */
const MAX_ITEMS = 100_000;
const MAX_ID = 255;
const MAX_SEED = 2 ** 31 - 1;
const FIELDS = new Set(
  (
    "custom_id prompt template model aspect_ratio resolution quality background output_format " +
    "output_quality n seed images mask previous_request_id route options"
  ).split(" "),
);
const ALONE = new Set(["webhook_url", "delivery", "cache", "timeout_s", "metadata"]);
const NUMBERS = new Set(["n", "seed", "output_quality"]);
const OBJECTS = new Set(["images", "mask", "route", "options"]);
const MARKS = { ",": "commas", ";": "semicolons", "\t": "tabs" };
const LINE = '{"custom_id": "cup", "prompt": "a cup"}';
const IMAGE = '{"url": "https://…"}';

/** A sheet of each kind. */
export const EXAMPLES = {
  CSV: 'custom_id,prompt,aspect_ratio\ncup,"A cup on a table, morning light",1:1\njar,A jar of honey,3:2\n',
  JSONL:
    '{"custom_id": "cup", "prompt": "A cup on a table", "aspect_ratio": "1:1"}\n' +
    '{"custom_id": "jar", "prompt": "A jar of honey", "seed": 7}\n',
  Prompts: "A cup on a table, morning light\nA jar of honey\n",
};

/** Text as `{kind, items: [{line, fields}], problems: [{line, message, right}]}`. `breathe` is awaited
 * at every line, so that a page can do something else in between. */
export async function read(text, breathe = async () => {}) {
  const sheet = { kind: "", items: [], problems: [] };
  const plain = text.charCodeAt(0) === 0xfeff ? text.slice(1) : text;
  const first = plain.trimStart()[0];
  const head = first && first !== "{" && first !== "[" && header(plain);
  if (first === "[")
    sheet.problems.push({
      line: 1,
      message: "This is one JSON list.",
      right: "Each object on a line of its own, without [ and the commas between",
    });
  else if (first === "{") await readLines(plain, sheet, breathe);
  else if (head) await readTable(plain, head, sheet, breathe);
  else await readPrompts(plain, sheet, breathe);
  if (sheet.items.length > MAX_ITEMS) {
    const { line } = sheet.items[MAX_ITEMS];
    sheet.problems.unshift({
      line,
      message: `These are ${sheet.items.length} items.`,
      right: `At most ${MAX_ITEMS} in one batch: split the file`,
    });
  }
  return sheet;
}

async function readLines(text, sheet, breathe) {
  sheet.kind = "JSONL";
  for (const [line, row] of lines(text)) {
    await breathe(line);
    try {
      const fields = JSON.parse(row);
      if (isObject(fields)) sheet.items.push({ line, fields });
      else sheet.problems.push({ line, message: "This is JSON, but no object.", right: LINE });
    } catch (error) {
      sheet.problems.push({ line, message: `This is not JSON: ${error.message}`, right: LINE });
    }
  }
}

async function readPrompts(text, sheet, breathe) {
  sheet.kind = "a list of prompts";
  for (const [line, prompt] of lines(text)) {
    await breathe(line);
    sheet.items.push({ line, fields: { custom_id: `item-${sheet.items.length + 1}`, prompt } });
  }
}

async function readTable(text, { mark, start, line: above }, sheet, breathe) {
  sheet.kind = `CSV with ${MARKS[mark] ?? mark}`;
  const rows = records(text, mark, start, above);
  const head = rows.next().value;
  const names = head.cells.map(column);
  for (const [message, right] of ofColumns(names)) sheet.problems.push({ line: head.line, message, right });
  for (const row of rows) {
    await breathe(row.line);
    if (row.cells.every((cell) => !cell.trim())) continue;
    if (row.broken) {
      sheet.problems.push({
        line: row.line,
        message: "A quote has no end, or text follows it.",
        right: 'Write "…" around the cell and "" for a quote in it',
      });
    } else if (row.cells.length > names.length && row.cells.slice(names.length).some((cell) => cell.trim())) {
      sheet.problems.push({
        line: row.line,
        message: `This has ${row.cells.length} cells, the header ${names.length}.`,
        right: `Write "…" around a cell with ${MARKS[mark] ?? mark} in it`,
      });
    } else {
      const fields = ofCells(names, row, sheet.problems);
      if (!names.includes("custom_id")) fields.custom_id = `item-${sheet.items.length + 1}`;
      sheet.items.push({ line: row.line, fields });
    }
  }
  if (!sheet.items.length && !sheet.problems.length) {
    sheet.problems.push({
      line: head.line,
      message: "This is a header without a row.",
      right: "A row below it for each item",
    });
  }
}

function* ofColumns(names) {
  for (const [at, name] of names.entries()) {
    const known = FIELDS.has(name) || name.startsWith("var.");
    if (known && names.indexOf(name) < at) yield [`The column ${name} is there twice.`, "Each column once"];
    if (known || !name) continue;
    const right = `Columns are ${[...FIELDS].join(", ")}, var.NAME`;
    yield [`There is no field ${name}.`, ALONE.has(name) ? "Leave the column out" : right];
  }
}

function ofCells(names, row, problems) {
  const fields = {};
  const variables = {};
  names.forEach((name, at) => {
    const text = row.cells[at]?.trim();
    if (!name || !text) return;
    if (name.startsWith("var.")) variables[name.slice(4)] = text;
    else if (name === "template") fields.template = { name: text, variables };
    else if (NUMBERS.has(name)) fields[name] = /^\d{1,15}$/.test(text) ? Number(text) : text;
    else if (OBJECTS.has(name)) {
      try {
        fields[name] = JSON.parse(text);
      } catch {
        problems.push({
          line: row.line,
          message: `${name} is not JSON.`,
          right: name === "images" ? `[${IMAGE}]` : '{"…": "…"}',
        });
      }
    } else if (FIELDS.has(name)) fields[name] = text;
  });
  if (!fields.template && Object.keys(variables).length) {
    problems.push({
      line: row.line,
      message: "Variables go with a template.",
      right: "Name it in the column template",
    });
  }
  return fields;
}

/** The first row that is a header, and what separates its cells; null where there is none. */
function header(text) {
  let start = text.length - text.trimStart().length;
  let line = 1 + ends(text.slice(0, start));
  // Some spreadsheets say so above the header.
  const said = /^sep=(.)\r?\n/.exec(text.slice(start, start + 8));
  if (said) {
    start += said[0].length;
    line += 1;
  }
  for (const mark of said ? [said[1]] : [",", ";", "\t"]) {
    const names = records(text, mark, start, line).next().value?.cells.map(column) ?? [];
    if (["custom_id", "prompt", "template"].some((name) => names.includes(name)))
      return { mark, start, line };
  }
  return null;
}

const column = (cell) => cell.trim().toLowerCase().replaceAll(" ", "_");
const ends = (text) => text.match(/\r\n|\r|\n/g)?.length ?? 0;
const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);

/** The rows of RFC 4180, each with the number of its first line. */
function* records(text, mark, at, line) {
  const end = `${mark.replace(/\W/, "\\$&")}\\r\\n`;
  const cell = new RegExp(` *"([^"]*(?:""[^"]*)*)" *(?=[${end}]|$)|([^${end}]*)`, "y");
  while (at < text.length) {
    const row = { line, cells: [], broken: false };
    for (; ; at++) {
      cell.lastIndex = at;
      const found = cell.exec(text);
      at = cell.lastIndex;
      if (found[1] === undefined) row.broken ||= /^ *"/.test(found[2]);
      else if (/[\r\n]/.test(found[1])) line += ends(found[1]);
      row.cells.push(found[2] ?? found[1].replaceAll('""', '"'));
      if (text[at] !== mark) break;
    }
    at += text.startsWith("\r\n", at) ? 2 : 1;
    line += 1;
    yield row;
  }
}

/** The lines that say something, trimmed, with their numbers. */
function* lines(text) {
  let line = 1;
  for (let at = 0; at < text.length; line++) {
    let end = text.indexOf("\n", at);
    if (end < 0) end = text.length;
    const row = text.slice(at, end).trim();
    if (row) yield [line, row];
    at = end + 1;
  }
}

/** What is wrong with items as far as the catalogue tells, in the shape of `read`'s problems: with
 * `defaults` for what an item leaves out, and `templates` null where they are not known. */
export async function check(items, { defaults, models, templates = null }, breathe = async () => {}) {
  const named = new Map(models.flatMap((model) => [model.id, ...model.aliases].map((name) => [name, model])));
  const seen = new Map();
  const problems = [];
  for (const { line, fields } of items) {
    await breathe(line);
    const given = merged(fields, defaults);
    for (const [message, right] of [
      ...ofItem(fields, seen),
      ...ofModel(given, named),
      ...ofTemplate(given, templates),
    ]) {
      problems.push({ line, message, right });
    }
    if (typeof fields.custom_id === "string" && !seen.has(fields.custom_id)) seen.set(fields.custom_id, line);
  }
  return problems;
}

/** An item with the defaults for what it leaves out; a null leaves it to the model. */
export const merged = (fields, defaults) =>
  Object.fromEntries(Object.entries({ ...defaults, ...fields }).filter(([, value]) => value !== null));

function* ofItem(fields, seen) {
  const { custom_id: id, prompt, template } = fields;
  if (typeof id !== "string" || !id) yield ["There is no custom_id.", "A name of its own, such as cup-1"];
  else if (id.length > MAX_ID && [...id].length > MAX_ID)
    yield [`The custom_id has ${[...id].length} characters.`, `At most ${MAX_ID}`];
  else if (seen.has(id))
    yield [`The custom_id ${id} is in line ${seen.get(id)} already.`, `Another name, such as ${id}-2`];
  if (((prompt ?? null) === null) === ((template ?? null) === null))
    yield [
      prompt ? "There are a prompt and a template." : "There is no prompt.",
      "One of prompt and template",
    ];
  else if (!template && (typeof prompt !== "string" || !prompt.trim()))
    yield ["The prompt is empty, or no text.", "What the picture should show"];
  for (const name of Object.keys(fields)) {
    if (ALONE.has(name)) yield [`An item has no ${name}.`, "Leave it out"];
    else if (!FIELDS.has(name)) yield [`There is no field ${name}.`, `Fields are ${[...FIELDS].join(", ")}`];
  }
}

function* ofModel(given, named) {
  const model = named.get(given.model);
  yield* ofNumbers(given, model);
  if (given.output_quality !== undefined && !["jpeg", "webp"].includes(given.output_format))
    yield ["output_quality goes with jpeg and webp.", "output_format jpeg or webp, or no output_quality"];
  yield* ofImages(given);
  if (given.options !== undefined && !isObject(given.options)) yield ["options is no object.", '{"…": "…"}'];
  if (model) yield* ofAbilities(given, model);
  // An item's null is no form's model: the server chooses.
  else if ((given.model ?? "auto") !== "auto")
    yield [`There is no model ${given.model}.`, nearest(String(given.model), named)];
}

function* ofImages({ images = [], mask = {} }) {
  if (!Array.isArray(images) || !images.every(isObject))
    yield ["images is no list of objects.", `"images": [${IMAGE}]`];
  if (!isObject(mask)) yield ["mask is no object.", `"mask": ${IMAGE}`];
}

function* ofNumbers(given, model) {
  const ranges = { n: [1, model?.max_images ?? Infinity], seed: [0, MAX_SEED], output_quality: [1, 100] };
  for (const [name, [least, most]] of Object.entries(ranges)) {
    const value = given[name];
    if (value === undefined || (Number.isInteger(value) && value >= least && value <= most)) continue;
    yield [`${name} is ${JSON.stringify(value)}.`, `A whole number from ${least} to ${most}`];
  }
}

/** What is asked of a model that it does not do. */
function* ofAbilities(given, model) {
  const operation = pictures(given) || given.mask || given.previous_request_id ? "edit" : "generate";
  if (!model.operations.includes(operation))
    yield [`${model.name} cannot ${operation}.`, "Choose another model"];
  for (const [name, [list]] of Object.entries(CHOICES)) {
    const value = given[name];
    if (value === undefined || model[list].includes(value)) continue;
    yield [`${model.name} has no ${name} ${JSON.stringify(value)}.`, oneOf(model[list], name)];
  }
  const prompt = typeof given.prompt === "string" ? given.prompt : "";
  // In characters, which are counted only where it matters.
  const length = prompt.length > model.prompt_limit ? [...prompt].length : 0;
  if (length > model.prompt_limit)
    yield [`The prompt has ${length} characters.`, `At most ${model.prompt_limit} for ${model.name}`];
  if (given.seed !== undefined && !model.seed)
    yield [`${model.name} takes no seed.`, "Leave seed out, or choose another model"];
  if (given.mask && !model.mask)
    yield [`${model.name} takes no mask.`, "Leave mask out, or choose another model"];
  const sources = pictures(given) + (given.mask ? 1 : 0);
  if (sources > model.max_sources)
    yield [`${model.name} takes no ${sources} images.`, `At most ${model.max_sources}, a mask included`];
  for (const name of Object.keys(isObject(given.options) ? given.options : {})) {
    if (!model.options.includes(name))
      yield [`${model.name} has no option ${name}.`, oneOf(model.options, "options")];
  }
}

const pictures = ({ images }) => (Array.isArray(images) ? images.length : 0);

const oneOf = (values, name) => (values.length ? `One of ${values.join(", ")}` : `Leave ${name} out`);

function* ofTemplate(given, templates) {
  if (given.template === undefined) return;
  if (!isObject(given.template) || typeof given.template.name !== "string") {
    yield ["The template is no object with a name.", '{"name": "…", "variables": {}}'];
    return;
  }
  if (!templates) return;
  const { name } = given.template;
  const variables = given.template.variables ?? {};
  const template = templates.find((one) => one.name === name);
  if (!template) {
    yield [`There is no template ${name}.`, `One of ${templates.map((one) => one.name).join(", ")}`];
    return;
  }
  const takes = template.variables.map((variable) => variable.name);
  for (const variable of template.variables) {
    const value = variables[variable.name];
    if (value === undefined && variable.default === null)
      yield [`${name} needs the variable ${variable.name}.`, `Such as ${variable.example}`];
    if (value !== undefined && variable.values.length && !variable.values.includes(value))
      yield [`${variable.name} is ${value}.`, `One of ${variable.values.join(", ")}`];
  }
  for (const variable of Object.keys(variables)) {
    if (!takes.includes(variable))
      yield [`${name} has no variable ${variable}.`, `It has ${takes.join(", ")}`];
  }
  const images = pictures(given) + (given.previous_request_id ? 1 : 0);
  if (images < template.min_sources)
    yield [`${name} needs images: ${template.min_sources}.`, `"images": [${IMAGE}]`];
}

/** The names that begin most alike. */
function nearest(name, named) {
  const alike = (other) => [...other].findIndex((letter, at) => letter !== name[at]) >>> 0;
  const best = [...named.keys()].toSorted((a, b) => alike(b) - alike(a)).slice(0, 3);
  return `Such as ${best.join(", ")}, or auto`;
}

/** A line of the server's refusal, by the line of the sheet. */
export const refused = ({ line, param, message }, items) => ({
  line: items[line - 1]?.line ?? line,
  message,
  right: param ? `Change ${param}` : "",
});

/** The bytes of the items as JSON: exactly, where it could matter. */
export async function weighed(items, breathe) {
  const encoder = new TextEncoder();
  let bytes = 0;
  for (const { line, fields } of items) {
    await breathe(line);
    bytes += encoder.encode(JSON.stringify(fields)).length + 1;
  }
  return bytes;
}
