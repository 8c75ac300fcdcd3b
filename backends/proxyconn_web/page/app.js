// Starts the page: log in, follow the stream, show one view at a time.

import { logIn, onTell, right } from "./api.js";
import { attribute, h, text } from "./dom.js";
import { Store } from "./store.js";
import { alarms } from "./views/alarms.js";
import { clients } from "./views/clients.js";
import { device } from "./views/device.js";
import { log } from "./views/log.js";
import { matrix } from "./views/matrix.js";
import { overview } from "./views/overview.js";
import { queue } from "./views/queue.js";
import { radio } from "./views/radio.js";

const VIEWS = { "": overview, matrix, queue, clients, alarms, log, device, radio };
const NAMES = { "": "Fleet", matrix: "Devices", queue: "Queue", clients: "Clients", alarms: "Alarms", log: "Log" };

const FIRST_PAUSE = 2000;
const LONGEST_PAUSE = 30000;

const main = document.getElementById("main");
const nav = document.getElementById("nav");
const status = document.getElementById("status");
const toast = document.getElementById("toast");

let view = null;
let mayAct = null;
let pause = FIRST_PAUSE;
let retry = null;
let pending = false;
let changes = new Map();

const store = new Store(changed, (state) => {
  text(status, state === "live" ? "live" : "not connected");
  attribute(status, "class", state);
  if (state === "live") pause = FIRST_PAUSE;
  else later();
});

function changed(touched) {
  if (touched === null) changes = null;
  else if (changes) for (const [name, keys] of touched) changes.set(name, union(changes.get(name), keys));
  if (!pending) {
    pending = true;
    requestAnimationFrame(draw);
  }
}

const union = (before, keys) => (before ? new Set([...before, ...keys]) : keys);

function draw() {
  pending = false;
  const touched = changes;
  changes = new Map();
  if (view) view.update(touched);
  const count = store.tables.alarms.size;
  const link = nav.querySelector('[href="#/alarms"]');
  if (link) {
    text(link, count ? `Alarms (${count})` : "Alarms");
    attribute(link, "class", count ? "alarming" : null);
  }
}

function show() {
  const [name, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  const make = VIEWS[name] || overview;
  if (view?.close) view.close();
  main.replaceChildren();
  view = make(main, store, { mayAct, argument: decodeURIComponent(rest.join("/")) });
  for (const link of nav.children) {
    const current = link.getAttribute("href") === `#/${VIEWS[name] ? name : ""}`;
    attribute(link, "aria-current", current ? "page" : null);
  }
  changed(null);
}

function askForToken() {
  const input = h("input", { type: "password", id: "token", autocomplete: "current-password", required: true });
  const form = h(
    "form",
    { class: "login" },
    h("h1", {}, "Log in"),
    h("p", {}, "The token is in the file web-token of the state folder, or where --web-token-file says."),
    h("label", { for: "token" }, "Token"),
    input,
    h("button", {}, "Log in"),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      if (await logIn(input.value)) begin();
      else tell("This token is wrong, or was used already.");
    } catch (error) {
      tell(`The owner does not answer: ${error.message}`);
    }
  });
  main.replaceChildren(form);
  input.focus();
}

function tell(message) {
  text(toast, message);
  toast.classList.add("shown");
  clearTimeout(tell.timer);
  tell.timer = setTimeout(() => toast.classList.remove("shown"), 6000);
}

/** Begin again, the later the more often it was in vain, and not with every other page at once. */
function later() {
  clearTimeout(retry);
  retry = setTimeout(begin, pause * (0.75 + Math.random() / 2));
  pause = Math.min(2 * pause, LONGEST_PAUSE);
}

async function begin() {
  clearTimeout(retry);
  store.stop();
  let may;
  try {
    may = await right();
  } catch {
    text(status, "not connected");
    attribute(status, "class", "lost");
    later();
    return;
  }
  if (may === null) {
    if (view?.close) view.close();
    view = mayAct = null;
    nav.replaceChildren();
    text(status, "");
    askForToken();
    return;
  }
  if (mayAct !== (may === "act")) {
    mayAct = may === "act";
    nav.replaceChildren(...Object.entries(NAMES).map(([name, title]) => h("a", { href: `#/${name}` }, title)));
    show();
  }
  store.start();
}

onTell(tell);
window.addEventListener("hashchange", () => view && show());
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
setInterval(() => changed(new Map([["time", new Set()]])), 1000);

const token = /^#token=(.+)$/.exec(location.hash);
if (token) {
  history.replaceState(null, "", location.pathname);
  await logIn(token[1]).catch(() => false);
}
await begin();
