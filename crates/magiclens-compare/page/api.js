// The server's API. Every failure is a `Failure` with words for people.

/** Why a request was not answered. `status` is 0 if the server was not reached. */
export class Failure extends Error {
  constructor(message, { hint = "", status = 0 } = {}) {
    super(message);
    this.hint = hint;
    this.status = status;
  }
}

export const imageAddress = (id) => `/api/images/${id}`;

export const item = (rater) => request(`/api/item?rater=${encodeURIComponent(rater)}`);
export const judge = (rater, item, choice) => post("/api/judge", { rater, item, choice });
export const undo = (rater, item) => post("/api/undo", { rater, item });

function post(address, body) {
  const headers = { "content-type": "application/json" };
  return request(address, { method: "POST", headers, body: JSON.stringify(body) });
}

async function request(address, options) {
  let response;
  try {
    response = await fetch(address, options);
  } catch {
    throw new Failure("The server does not answer.", {
      hint: "What you answered before is kept. Is “magiclens compare” still running?",
    });
  }
  if (response.ok) return response.json();
  const body = await response.json().catch(() => ({}));
  throw new Failure(sentence(body.error ?? `The server answered ${response.status}`), {
    hint: body.hint ? sentence(body.hint) : "",
    status: response.status,
  });
}

/** Messages of the server are lower case and mark names with backticks. */
function sentence(text) {
  const quoted = text.replace(/`([^`]*)`/g, "“$1”");
  const start = quoted.charAt(0).toUpperCase() + quoted.slice(1);
  return /[.!?…]$/.test(start) ? start : `${start}.`;
}
