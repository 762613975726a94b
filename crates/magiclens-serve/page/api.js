// The server's API. Every failure is a `Failure` with words for people.

const BUSY_TRIES = 4;

/** Why a request was not answered. `status` is 0 if the server was not reached. */
export class Failure extends Error {
  constructor(message, { hint = "", status = 0 } = {}) {
    super(message);
    this.hint = hint;
    this.status = status;
  }
}

export const thumbnailAddress = (id) => `/api/images/${id}/thumbnail`;
export const fileAddress = (id) => `/api/images/${id}/file`;

export const info = () => get("/api/info");
export const sample = (n, page, signal) => get(`/api/sample?n=${n}&page=${page}`, signal);
export const image = (id, signal) => get(`/api/images/${id}`, signal);

/** Searches from an image that the server knows, from words, or from both. */
export function search({ id, text, k, includeQuery }, signal) {
  const body = JSON.stringify({ ...(id && { id }), text, k, include_query: includeQuery });
  return request("/api/search", { method: "POST", headers: { "content-type": "application/json" }, body, signal });
}

/** Searches from a file. The answer's `query_id` stands for it from then on. */
export function searchFile(file, { text, k, includeQuery }, signal) {
  const body = new FormData();
  body.append("text", text);
  body.append("k", k);
  body.append("include_query", includeQuery);
  body.append("image", file, file.name || "pasted image");
  return request("/api/search", { method: "POST", body, signal });
}

function get(address, signal) {
  return request(address, { signal });
}

/** A busy server says when to come back; we do, a few times, before we trouble the user. */
async function request(address, options) {
  for (let tries = 1; ; tries++) {
    const response = await reach(address, options);
    if (response.ok) return response.json();
    const retryAfter = Number(response.headers.get("retry-after"));
    if (response.status !== 503 || !retryAfter || tries === BUSY_TRIES) throw await failure(response);
    await pause(retryAfter * 1000, options.signal);
  }
}

async function reach(address, options) {
  try {
    return await fetch(address, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure("The server does not answer.", {
      hint: "Is “magiclens serve” still running? Your search is kept; try again when it is.",
    });
  }
}

async function failure(response) {
  const body = await response.json().catch(() => ({}));
  const message = sentence(body.error ?? `The server answered ${response.status}`);
  return new Failure(message, { hint: body.hint ? sentence(body.hint) : "", status: response.status });
}

/** Messages of the server are lower case and mark names with backticks. */
function sentence(text) {
  const quoted = text.replace(/`([^`]*)`/g, "“$1”");
  const start = quoted.charAt(0).toUpperCase() + quoted.slice(1);
  return /[.!?…]$/.test(start) ? start : `${start}.`;
}

function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(resolve, ms);
    signal?.addEventListener("abort", () => {
      clearTimeout(timer);
      reject(signal.reason);
    });
  });
}
