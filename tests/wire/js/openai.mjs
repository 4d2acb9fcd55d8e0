// OpenAI's own SDK for JavaScript on a short tour: generate, two at once, edit, stream, chat, models,
// errors. It takes the target as JSON and prints what it saw as one line of JSON.
import assert from "node:assert/strict";
import OpenAI, { toFile } from "openai";

const target = JSON.parse(process.argv[2]);
const photo = Buffer.from(target.photo, "base64");
const MODEL = "gpt-image-2.5-flare";
const PNG = "89504e47";

function sdk(baseURL, apiKey = target.key) {
  return new OpenAI({ apiKey, baseURL, maxRetries: 0 });
}

function check(b64) {
  assert.equal(Buffer.from(b64, "base64").subarray(0, 4).toString("hex"), PNG);
}

const client = sdk(target.openai);

async function generate(n) {
  const reply = await client.images.generate({
    model: MODEL, prompt: "A red bicycle", quality: "low", size: "1024x1024", n,
  });
  reply.data.forEach((item) => check(item.b64_json));
  assert.equal(reply.size, "1024x1024");
  assert.equal(reply.output_format, "png");
  const { usage } = reply;
  assert.equal(usage.total_tokens, usage.input_tokens + usage.output_tokens);
  assert.match(reply._request_id, /^req_/);
  return reply.data.length;
}

async function edit(count) {
  const files = await Promise.all(
    Array.from({ length: count }, (_, i) => toFile(photo, `${i}.png`, { type: "image/png" })),
  );
  const reply = await client.images.edit({
    model: MODEL, prompt: "Add a cat", quality: "low", image: count === 1 ? files[0] : files,
  });
  reply.data.forEach((item) => check(item.b64_json));
  return reply.size;
}

async function stream() {
  const events = await client.images.generate({
    model: MODEL, prompt: "A cat", quality: "low", stream: true, partial_images: 1,
  });
  const kinds = [];
  for await (const event of events) {
    check(event.b64_json);
    kinds.push(event.type);
  }
  return kinds;
}

async function chat() {
  const talker = sdk(target.chat);
  const messages = [];
  for (const content of ["A red bicycle", "Make it blue"]) {
    messages.push({ role: "user", content });
    const reply = await talker.chat.completions.create({ model: target.chat_model, messages });
    const { message } = reply.choices[0];
    assert.match(message.images[0].image_url.url, /^data:image\//);
    messages.push(message);
  }
  return messages.map((message) => message.role);
}

async function models() {
  const found = [];
  for await (const model of client.models.list()) found.push(model.id);
  assert.equal((await client.models.retrieve(MODEL)).id, MODEL);
  return found.includes(MODEL);
}

async function caught(attempt, kind) {
  const error = await attempt.then(() => assert.fail("it was taken"), (reason) => reason);
  assert.ok(error instanceof kind, `${error}`);
  assert.match(error.requestID, /^req_/);
  return [error.status, error.code];
}

console.log(JSON.stringify({
  one: await generate(1),
  two: await generate(2),
  edited: [await edit(1), await edit(2)],
  streamed: await stream(),
  chatted: await chat(),
  listed: await models(),
  unknown: await caught(
    client.images.generate({ model: "gpt-image-9", prompt: "A cat" }), OpenAI.NotFoundError,
  ),
  blocked: await caught(
    client.images.generate({ model: MODEL, prompt: "A cat [sandbox:blocked]" }),
    OpenAI.BadRequestError,
  ),
  stranger: await caught(
    sdk(target.openai, "bad").images.generate({ model: MODEL, prompt: "A cat" }),
    OpenAI.AuthenticationError,
  ),
}));
