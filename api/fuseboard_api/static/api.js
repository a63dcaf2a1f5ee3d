// What the page asks the server for. The session is a cookie that scripts cannot read.

export class Refused extends Error {
  constructor(status, detail, retryAfterSeconds) {
    super(detail);
    this.status = status;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

const TIMEOUT_MS = 15000;
let clockAheadMs = 0;

// The server's time: deadlines are of its clock, and the browser's may be wrong.
export function readServerMs() {
  return Date.now() + clockAheadMs;
}

export function get(path, parameters = {}) {
  const pairs = Object.entries(parameters).flatMap(([name, values]) => [values].flat().map((value) => [name, value]));
  const query = new URLSearchParams(pairs.filter(([, value]) => value !== null));
  return send(query.size ? `${path}?${query}` : path, { method: "GET" });
}

export function post(path, body = {}) {
  return send(path, {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Fuseboard-CSRF": "1" },
    body: JSON.stringify(body),
  });
}

async function send(path, options) {
  let answer;
  try {
    answer = await fetch(path, { ...options, credentials: "same-origin", signal: AbortSignal.timeout(TIMEOUT_MS) });
  } catch {
    throw new Refused(0, "The server cannot be reached.");
  }
  setClock(answer);
  const text = await answer.text();
  if (!answer.ok) throw readProblem(answer, text);
  return text === "" ? null : parse(text);
}

// Money has more digits than a number of JavaScript holds: its text is kept where the browser gives it.
export function parse(text) {
  return JSON.parse(text, keepDigits);
}

function keepDigits(name, value, context) {
  return typeof value === "number" && name.endsWith("_usd") ? (context?.source ?? String(value)) : value;
}

function readProblem(answer, text) {
  let detail = `The server answered ${answer.status}.`;
  try {
    detail = JSON.parse(text).detail ?? detail;
  } catch {
    // a proxy on the way answers in its own words
  }
  return new Refused(answer.status, detail, Number(answer.headers.get("Retry-After")) || null);
}

function setClock(answer) {
  const served = Date.parse(answer.headers.get("Date") ?? "");
  // the header has whole seconds: half a one is the fair guess
  if (Number.isFinite(served)) {
    const ahead = served + 500 - Date.now();
    clockAheadMs = Math.abs(ahead) > 2000 ? ahead : 0;
  }
}
