// What the page asks of the owner, beside the stream.

let tell = () => {};

export function onTell(callback) {
  tell = callback;
}

// Half of what this page is logged in by; the other half is a cookie. Cookies go to every server of
// a host, what a page stores stays with its own.
const HALF = "proxyconn-page";
let kept = null;

// Asked for each time: another tab may have logged in anew, and all tabs have one cookie.
function half() {
  try {
    return localStorage.getItem(HALF) || kept;
  } catch {
    return kept;
  }
}

function keep(value) {
  kept = value;
  try {
    localStorage.setItem(HALF, value);
  } catch {
    // Without a store this page is logged in until it is left.
  }
}

function own() {
  const value = half();
  return value ? { "Proxyconn-Page": value } : {};
}

async function ask(path, method = "GET", body = undefined) {
  const headers = own();
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(`/api/v1${path}`, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = await response.json();
  return [response.status, answer];
}

/**
 * Follow the events after the one with the id `after` for as long as that goes well.
 * An EventSource cannot send headers.
 */
export async function follow(after, opened, take, signal) {
  const headers = own();
  if (after) headers["Last-Event-ID"] = after;
  const response = await fetch("/api/v1/events", { headers, signal, cache: "no-store" }).catch(() => null);
  if (!response?.ok) return;
  opened();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  let event = {};
  for (;;) {
    const { done, value } = await reader.read().catch(() => ({ done: true }));
    if (done) return;
    const lines = value.split("\n");
    lines[0] = rest + lines[0];
    rest = lines.pop();
    for (const line of lines) {
      const at = line.indexOf(": ");
      if (at > 0) event[line.slice(0, at)] = line.slice(at + 2);
      if (line !== "") continue;
      if (event.data) take(event.event, JSON.parse(event.data), event.id);
      event = {};
    }
  }
}

/** Return "act", "read", or null if nobody is logged in; throws if that cannot be said now. */
export async function right() {
  const [status, answer] = await ask("/session");
  if (status !== 200 && status !== 401) throw new Error(answer.error);
  return status === 200 ? answer.right : null;
}

/** Exchange a token for a session; whether that went well. */
export async function logIn(token) {
  const [status, answer] = await ask("/session", "POST", { token });
  if (status === 200) keep(answer.page);
  return status === 200;
}

export const device = async (address) => {
  const [status, answer] = await ask(`/devices/${encodeURIComponent(address)}`);
  return status === 200 ? answer : null;
};

/** Have something done, and say what came of it. */
export async function act(name, values) {
  try {
    const [status, answer] = await ask(`/actions/${name}`, "POST", values);
    tell(status === 200 ? "Done." : answer.error);
    return status === 200;
  } catch (error) {
    tell(`The owner does not answer: ${error.message}`);
    return false;
  }
}
