// Google's own SDK for JavaScript on a short tour: generate, several candidates, edit, stream, chat,
// models, a file, errors. It takes the target as JSON and prints what it saw as one line of JSON.
import assert from "node:assert/strict";
import { ApiError, GoogleGenAI } from "@google/genai";

const target = JSON.parse(process.argv[2]);
const MODEL = "gemini-nano-banana-2.1";
const JPEG = "ffd8ff";

function sdk(apiKey = target.key) {
  return new GoogleGenAI({ apiKey, httpOptions: { baseUrl: target.gemini } });
}

const client = sdk();

function pictures(reply) {
  const parts = (reply.candidates ?? []).flatMap(({ content }) => content?.parts ?? []);
  const shown = parts.filter((part) => part.inlineData && !part.thought);
  for (const { inlineData } of shown) {
    assert.equal(inlineData.mimeType, "image/jpeg");
    const start = Buffer.from(inlineData.data, "base64").subarray(0, 3);
    assert.equal(start.toString("hex"), JPEG);
  }
  return shown.length;
}

function draw(contents, config) {
  return client.models.generateContent({ model: MODEL, contents, config });
}

async function generate() {
  const reply = await draw("A red bicycle", {
    imageConfig: { aspectRatio: "16:9", imageSize: "1K" },
  });
  assert.equal(reply.candidates[0].finishReason, "STOP");
  assert.equal(reply.modelVersion, MODEL);
  assert.ok(reply.usageMetadata.totalTokenCount > 1120);
  return pictures(reply);
}

async function several() {
  const asked = draw("A cat", { candidateCount: 2 });
  return asked.then(pictures, (error) => `${error.status} ${error.message}`);
}

async function edit() {
  const inlineData = { mimeType: "image/png", data: target.photo };
  return pictures(await draw([{ text: "Add a cat" }, { inlineData }]));
}

async function stream() {
  let found = 0;
  const chunks = await client.models.generateContentStream({ model: MODEL, contents: "A cat" });
  for await (const chunk of chunks) found += pictures(chunk);
  return found;
}

async function chat() {
  const talk = client.chats.create({ model: MODEL });
  const found = [];
  for (const message of ["A red bicycle", "Make it blue"]) {
    found.push(pictures(await talk.sendMessage({ message })));
  }
  const made = talk.getHistory().flatMap(({ role, parts }) => (role === "model" ? parts : []));
  assert.ok(made.filter((part) => part.inlineData).every((part) => part.thoughtSignature));
  return found;
}

async function models() {
  const found = [];
  for await (const model of await client.models.list()) found.push(model.name);
  assert.equal((await client.models.get({ model: MODEL })).name, `models/${MODEL}`);
  return found.includes(`models/${MODEL}`);
}

async function file() {
  const photo = new Blob([Buffer.from(target.photo, "base64")], { type: "image/png" });
  const kept = await client.files.upload({ file: photo, config: { displayName: "photo" } });
  assert.equal((await client.files.get({ name: kept.name })).state, "ACTIVE");
  const fileData = { mimeType: kept.mimeType, fileUri: kept.uri };
  const found = pictures(await draw([{ text: "Add a cat" }, { fileData }]));
  await client.files.delete({ name: kept.name });
  return [found, await caught(client.files.get({ name: kept.name }))];
}

async function blocked() {
  const reply = await draw("A cat [sandbox:blocked]");
  assert.equal(pictures(reply), 0);
  return reply.promptFeedback.blockReason;
}

async function caught(attempt) {
  const error = await attempt.then(() => assert.fail("it was taken"), (reason) => reason);
  assert.ok(error instanceof ApiError, `${error}`);
  return [error.status, JSON.parse(error.message).error.status];
}

console.log(JSON.stringify({
  one: await generate(),
  two: await several(),
  edited: await edit(),
  streamed: await stream(),
  chatted: await chat(),
  listed: await models(),
  uploaded: await file(),
  blocked: await blocked(),
  unknown: await caught(
    client.models.generateContent({ model: "gemini-9", contents: "A cat" }),
  ),
  stranger: await caught(sdk("bad").models.generateContent({ model: MODEL, contents: "A cat" })),
}));
