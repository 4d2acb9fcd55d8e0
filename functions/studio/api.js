// The only module that talks to the server, and the only one that knows the key.

const ROOT = new URL("..", document.baseURI);
const SLOT = "darkroom-key";
const TRIES = 3;
const LOOK_MS = 30_000;
const WORK_MS = 60_000;
/** Of what is sent, by a slow line. */
const BYTES_PER_MS = 50;

/** What the server refused, or that it could not be reached (`code` "unreachable") or understood
 * ("unreadable"). `unsure` says that what was asked for may have been done all the same. */
class ApiError extends Error {
  constructor(said, status) {
    super(said.message);
    this.status = status;
    this.code = said.code;
    this.param = said.param ?? null;
    this.requestId = said.request_id ?? null;
    this.retryAfterS = said.retry_after_s ?? null;
    this.retryable = said.retryable ?? false;
    this.details = said.details ?? {};
    this.unsure = status < 400 || status >= 500 || this.code === "in_progress";
  }
}

/** The key of this tab: null where there is none. */
export const key = {
  get: () => sessionStorage.getItem(SLOT),
  set: (text) => sessionStorage.setItem(SLOT, text),
  forget: () => sessionStorage.removeItem(SLOT),
  /** Whether its pictures are the sandbox's. */
  test: () => (key.get() ?? "").startsWith("dk_test_"),
};

export const models = () => get("models");
export const templates = () => get("models/templates");
export const estimate = (body) => post("models/estimate", body);

/** Begin a request that can be watched and cancelled: the object as it is queued. Sent twice with
 * the same `once`, from `unique()`, it is one request. */
export const generate = (body, once) => begin("generate", body, once);
export const edit = (body, once) => begin("edit", body, once);
export const request = (id) => get(`account/requests/${id}`);
export const cancel = (id) => post(`account/requests/${id}/cancel`);
export const remove = (id) => call("DELETE", `account/requests/${id}`, { limitMs: WORK_MS });
/** `query`: status, operation, model, limit, cursor; what is empty is left out. */
export const requests = (query) => get("account/requests", query);

export const account = () => get("account");
/** `query`: from, to (days), group_by day | model | provider. */
export const usage = (query) => get("account/usage", query);

export const batches = (query) => get("batch", query);
export const batch = (id) => get(`batch/${id}`);
export const createBatch = (body, once) => post("batch", body, { "idempotency-key": once });
export const cancelBatch = (id) => post(`batch/${id}/cancel`);
/** The answer with the lines of the items that have ended, to be read piece by piece. */
export const batchResults = (id) => call("GET", `batch/${id}/results`);

/** Where this page finds a picture or asset: its signed link, as seen from here. An address that is
 * none of this server leads nowhere. */
export function link(image) {
  const { pathname, search, origin, href } = new URL(image.url, ROOT);
  const at = pathname.indexOf("/account/");
  if (at >= 0) return new URL(pathname.slice(at + 1) + search, ROOT).href;
  return [ROOT.origin, location.origin].includes(origin) ? href : "about:blank";
}

/** The bytes of a picture as a Blob. */
export async function bytes(image) {
  return (await sent(link(image), {})).blob();
}

/** A name for something that must not be done twice. */
export function unique() {
  const random = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function begin(path, body, once) {
  return post(path, body, { prefer: "respond-async", "idempotency-key": once });
}

async function get(path, query) {
  return json(await call("GET", path, { query, limitMs: LOOK_MS }));
}

async function post(path, body, headers) {
  return json(await call("POST", path, { body, headers, limitMs: WORK_MS }));
}

/** `limitMs`: how long the whole answer may take, beside what is sent; nothing ends a download. */
async function call(method, path, { body, query, headers, limitMs } = {}) {
  const url = new URL(path, ROOT);
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value) url.searchParams.set(name, value);
  }
  const given = key.get();
  const said = {
    ...(given && { authorization: `Bearer ${given}` }),
    ...(body && { "content-type": "application/json" }),
    ...headers,
  };
  const again = method === "GET" || "idempotency-key" in said;
  const text = body && JSON.stringify(body);
  const limit = limitMs && limitMs + Math.ceil((text?.length ?? 0) / BYTES_PER_MS);
  return sent(url, { method, headers: said, body: text }, again ? TRIES : 1, limit);
}

async function sent(url, init, tries = TRIES, limitMs = null) {
  const answer = await answered(url, init, tries, limitMs);
  if (answer.ok) return answer;
  throw new ApiError(await refusal(answer), answer.status);
}

/** Whatever the server answers; asked again where it could not be reached, but not where it kept
 * us waiting. */
async function answered(url, init, tries, limitMs) {
  for (let tried = 1; tried <= tries; tried++) {
    try {
      return await fetch(url, { ...init, signal: limitMs && AbortSignal.timeout(limitMs) });
    } catch (error) {
      if (error.name === "TimeoutError") break;
      if (tried < tries) await new Promise((done) => setTimeout(done, 300 * 2 ** tried));
    }
  }
  throw unreachable();
}

const unreachable = () =>
  new ApiError({ code: "unreachable", message: `The server at ${ROOT.origin} does not answer.` }, 0);

async function json(answer) {
  try {
    return await answer.json();
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw unreachable();
    const message = `The server's answer could not be read: it is ${answer.headers.get("content-type") ?? "empty"}.`;
    throw new ApiError({ code: "unreadable", message }, 0);
  }
}

/** The reason of an answer; what stands between here and the server may give none. */
async function refusal(answer) {
  const unknown = { code: "internal", message: `The server answered ${answer.status} without a reason.` };
  try {
    return (await answer.json()).error ?? unknown;
  } catch {
    return unknown;
  }
}
