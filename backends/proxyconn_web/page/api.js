// What the page asks of the owner, beside the stream.

let tell = () => {};

export function onTell(callback) {
  tell = callback;
}

async function ask(path, method = "GET", body = undefined) {
  const headers = body === undefined ? {} : { "Content-Type": "application/json" };
  const response = await fetch(`/api/v1${path}`, {
    method,
    headers,
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  const answer = await response.json();
  return [response.status, answer];
}

/** Return "act", "read", or null if nobody is logged in; throws if that cannot be said now. */
export async function right() {
  const [status, answer] = await ask("/session");
  if (status !== 200 && status !== 401) throw new Error(answer.error);
  return status === 200 ? answer.right : null;
}

/** Exchange a token for a session; whether that went well. */
export async function logIn(token) {
  const [status] = await ask("/session", "POST", { token });
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
