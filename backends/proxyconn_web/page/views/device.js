// One device: what it says, who hears it, its paths and why the best leads, its links and its table.

import { act, device as ask } from "../api.js";
import { attribute, h, keyed, rows, table, text } from "../dom.js";
import { ago, clock, loudness, radioLink, rate, seconds } from "../format.js";

const ASK_EVERY = 2000;
const SVG = "http://www.w3.org/2000/svg";
const PINS = ["none", "prefer", "avoid", "require", "ban"];
const SAID = { neutral: "none", preferred: "prefer", avoided: "avoid", required: "require", banned: "ban", excluded: "none" };

export function device(root, store, { mayAct, argument: address }) {
  store.follow(address);
  const title = h("h1");
  const state = h("p", { class: "muted" });
  const disconnect = h("button", { on: { click: () => act("disconnect", { address }) } }, "Disconnect");
  const why = h("p");
  const [heard, heardBody] = table("Heard by", ["Radio", "dBm", "The last minutes", "Heard", "Rate"]);
  const [paths, pathsBody] = table("Paths, best first", ["Radio", "Score", "Made of", "Slots free", "Failures", "Pin"]);
  const [said, saidBody] = table("What it says", ["What", "From", "Value"]);
  const timeline = h("div", { class: "timelines" });
  const [services, servicesBody] = table("Services", ["Handle", "Name", "UUID", "Properties"]);
  root.append(title, state, mayAct ? disconnect : "", why, heard, paths, said, h("h2", {}, "Last connects"), timeline, services);
  const hasPins = new Map();
  let detail = null;
  let closed = false;

  async function look() {
    if (closed) return;
    if (!document.hidden) {
      detail = await ask(address).catch(() => null);
      if (!closed) drawDetail();
    }
    if (!closed) setTimeout(look, ASK_EVERY);
  }

  function pinChoice(path) {
    let select = hasPins.get(path.source);
    if (!select) {
      const pin = () => act("pin", { address, source: path.source, pin: select.value });
      select = h("select", { "aria-label": `Pin for ${path.source}`, disabled: !mayAct, on: { change: pin } }, ...PINS.map((one) => h("option", {}, one)));
      hasPins.set(path.source, select);
    }
    if (document.activeElement !== select) select.value = SAID[path.pin];
    return select;
  }

  function drawDetail() {
    text(why, detail ? detail.why : "No radio hears it now.");
    rows(pathsBody, (detail?.paths || []).map((path) => [path.source, path]), (name, path) => [
      [name, radioLink(name)],
      path.usable ? path.score.toFixed(0) : "–",
      path.obstacle || Object.entries(path.parts).map(([part, db]) => `${part} ${db > 0 ? "+" : ""}${db.toFixed(0)}`).join(", "),
      path.slots === null ? "–" : `${path.free} of ${path.slots}`,
      path.failures ? path.failures.toFixed(1) : "–",
      pinChoice(path),
    ]);
    rows(saidBody, (detail?.decoded || []).map((one, at) => [String(at), one]), (key, one) => [
      one.format,
      one.name ? `${one.name} (${one.key})` : one.key,
      Object.entries(one.values).map(([name, value]) => `${name} ${value}`).join(", "),
    ]);
    drawConnects(timeline, detail?.connects || []);
    const attributes = (detail?.services || []).flatMap((service) => [service, ...service.characteristics]);
    services.hidden = !attributes.length;
    rows(servicesBody, attributes.map((one) => [`${one.handle} ${one.uuid}`, one]), (key, one) => [
      one.handle, one.name, one.uuid, one.properties ? one.properties.join(", ") : "service",
    ]);
  }

  function update() {
    const known = store.tables.devices.get(address);
    const link = store.tables.links.get(address);
    text(title, known?.name || address);
    text(state, link ? `${address}, ${link.state}${link.source ? ` through ${link.source}` : ""} for ${link.client || "this program"}, ${ago(link.since, store.now())}` : `${address}, not connected`);
    disconnect.hidden = !link;
    rows(heardBody, Object.entries(store.tables.heard.get(address) || {}).filter(([, cell]) => cell), (name, cell) => [
      [name, radioLink(name)], cell.rssi ?? "?", sparkline(name), ago(cell.at, store.now()), rate(cell.interval),
    ]);
  }

  const lines = new Map();
  function sparkline(name) {
    let svg = lines.get(name);
    if (!svg) {
      svg = document.createElementNS(SVG, "svg");
      svg.setAttribute("viewBox", "0 0 160 28");
      svg.setAttribute("class", "sparkline");
      svg.setAttribute("role", "img");
      svg.append(document.createElementNS(SVG, "polyline"));
      lines.set(name, svg);
    }
    const samples = store.history.get(name) || [];
    const points = samples.map(([, rssi], at) => `${(at * 160) / Math.max(samples.length - 1, 1)},${Math.min(Math.max((-30 - rssi) / 70, 0), 1) * 26 + 1}`);
    attribute(svg.firstChild, "points", points.join(" "));
    const last = samples.at(-1);
    attribute(svg, "aria-label", last ? `${samples.length} values, the last ${last[1]} dBm, ${loudness(last[1])}` : "no values");
    return svg;
  }

  look();
  return {
    update,
    close() {
      closed = true;
      store.followed = null;
    },
  };
}

function drawConnects(root, connects) {
  keyed(
    root,
    connects.slice(-5).reverse().map((one) => [`${one.steps[0].time}`, one]),
    () => h("ol", { class: "timeline" }),
    (list, key, connect) => {
      const began = connect.steps[0].time;
      keyed(
        list,
        connect.steps.map((step, at) => [at, step]),
        () => h("li"),
        (item, at, step) => {
          const when = at ? `+${seconds(step.time - began)}` : clock(step.time);
          const what = [step.step, step.source && `on ${step.source}`, step.error, step.text].filter(Boolean).join(" · ");
          text(item, `${when}  ${what}`);
          attribute(item, "class", step.step.replace(" ", "-"));
        },
      );
    },
  );
  if (!connects.length) root.replaceChildren(h("p", { class: "muted" }, "None lately."));
  else root.querySelector("p")?.remove();
}
