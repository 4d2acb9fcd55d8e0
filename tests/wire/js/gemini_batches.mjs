// Google's own SDK for JavaScript on a short tour of batches: in the body, by file, list, cancel. It
// takes the target as JSON and prints what it saw as one line of JSON.
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ApiError, GoogleGenAI } from "@google/genai";

const target = JSON.parse(process.argv[2]);
const MODEL = "seedream-4-0";
const client = new GoogleGenAI({ apiKey: target.key, httpOptions: { baseUrl: target.gemini } });
const PROMPTS = { a: "A cat", b: "A cat [sandbox:no_image]" };

function said(text) {
  return [{ role: "user", parts: [{ text }] }];
}

async function ended({ name }) {
  for (let tries = 0; tries < 300; tries += 1) {
    const found = await client.batches.get({ name });
    if (!/PENDING|RUNNING/.test(found.state)) return found;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  return assert.fail(`${name} does not end`);
}

function outcome({ candidates = [] }) {
  const parts = candidates.flatMap(({ content }) => content?.parts ?? []);
  return parts.filter(({ inlineData }) => inlineData).length || candidates[0]?.finishReason;
}

async function inlined() {
  const src = Object.entries({ ...PROMPTS, c: "A cat [sandbox:blocked]" }).map(
    ([key, text]) => ({ contents: said(text), metadata: { key } }),
  );
  const made = await client.batches.create({ model: MODEL, src, config: { displayName: "js" } });
  assert.equal(made.state, "JOB_STATE_PENDING");
  const { dest, displayName, state } = await ended(made);
  assert.deepEqual([displayName, state], ["js", "JOB_STATE_SUCCEEDED"]);
  return dest.inlinedResponses.map(
    ({ metadata, response }) => [metadata.key, outcome(response) ?? 0],
  );
}

async function file() {
  const lines = Object.entries(PROMPTS).map(
    ([key, text]) => JSON.stringify({ key, request: { contents: said(text) } }),
  );
  const blob = new Blob([lines.join("\n")], { type: "application/jsonl" });
  const kept = await client.files.upload({ file: blob });
  const { dest } = await ended(await client.batches.create({ model: MODEL, src: kept.name }));
  const folder = await mkdtemp(join(tmpdir(), "batch-"));
  const path = join(folder, "answers.jsonl");
  await client.files.download({ file: dest.fileName, downloadPath: path });
  const answers = (await readFile(path, "utf8")).trim().split("\n").map(JSON.parse);
  await rm(folder, { recursive: true });
  assert.ok(answers.every(({ response }) => response.modelVersion === MODEL));
  return answers.map(({ key }) => key).sort();
}

async function cancelled() {
  const src = [{ contents: said("A cat [sandbox:slow=60]") }];
  const made = await client.batches.create({ model: "gemini-3-pro-image", src });
  const refused = await caught(client.batches.delete({ name: made.name }));
  await client.batches.cancel({ name: made.name });
  const { name, state } = await client.batches.get({ name: made.name });
  return { name, refused, stopped: /PENDING|RUNNING|CANCELLED/.test(state) };
}

async function listed(name) {
  const found = [];
  for await (const batch of await client.batches.list({ config: { pageSize: 2 } })) {
    found.push(batch.name);
  }
  return found.includes(name);
}

async function caught(attempt) {
  const error = await attempt.then(() => assert.fail("it was taken"), (reason) => reason);
  assert.ok(error instanceof ApiError, `${error}`);
  return [error.status, JSON.parse(error.message).error.status];
}

const saw = { inlined: await inlined(), file: await file() };
const { name, refused, stopped } = await cancelled();
console.log(JSON.stringify({
  ...saw,
  listed: await listed(name),
  cancelled: stopped,
  deleted: refused,
  gone: await caught(client.batches.get({ name: "batches/gone" })),
}));
