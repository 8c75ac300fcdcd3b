// Every device by every radio. Only the rows that are in view exist.

import { attribute, h, keyed, text } from "../dom.js";
import { ago, deviceLink, loudness, matches, radioLink, rate } from "../format.js";

const ROW = 32;
const SPARE = 6;

const SORTS = {
  name: (store) => (one, other) => compare(store.name(one[0]), store.name(other[0])),
  address: () => (one, other) => compare(one[0], other[0]),
  signal: () => (one, other) => (other[1].rssi ?? -200) - (one[1].rssi ?? -200),
};

const { compare } = new Intl.Collator(undefined, { numeric: true });

export function matrix(root, store) {
  const search = h("input", { type: "search", id: "search", placeholder: "name, address, radio", on: { input: sortAgain } });
  const sort = h("select", { id: "sort", on: { change: sortAgain } }, ...Object.keys(SORTS).map((name) => h("option", {}, name)));
  const count = h("span", { class: "muted", role: "status" });
  const head = h("tr");
  const above = h("tr", { class: "spacer", "aria-hidden": true }, h("td"));
  const below = h("tr", { class: "spacer", "aria-hidden": true }, h("td"));
  const body = h("tbody");
  const caption = h("caption", {}, "Smoothed signal strength in dBm; the best radio of each device is framed");
  const grid = h("table", { class: "matrix" }, caption, h("thead", {}, head), h("tbody", {}, above), body, h("tbody", {}, below));
  const box = h("div", { class: "scroll tall", tabindex: "0", role: "region", "aria-label": "Devices by radios" }, grid);
  root.append(
    h("h1", {}, "Devices"),
    h("div", { class: "tools" }, h("label", { for: "search" }, "Search"), search, h("label", { for: "sort" }, "Sort by"), sort, count),
    box,
  );
  let order = [];
  let names = [];
  box.addEventListener("scroll", () => requestAnimationFrame(drawRows));

  function sortAgain() {
    const devices = [...store.tables.devices].filter(([address, row]) => matches(search.value, address, row.name, row.source));
    order = devices.sort(SORTS[sort.value](store));
    text(count, `${order.length} of ${store.tables.devices.size}`);
    drawRows();
  }

  function drawHead() {
    names = [...store.tables.radios.keys()].sort();
    keyed(
      head,
      [["Device", null], ["Heard", null], ["Rate", null], ...names.map((name) => [`radio ${name}`, name])],
      (key, name) => h("th", { scope: "col" }, name === null ? key : h("a", { href: radioLink(name) }, name)),
      () => {},
    );
  }

  function drawRows() {
    const first = Math.max(Math.floor(box.scrollTop / ROW) - SPARE, 0);
    const many = Math.ceil(box.clientHeight / ROW) + 2 * SPARE;
    const shown = order.slice(first, first + many);
    above.firstChild.style.height = `${first * ROW}px`;
    below.firstChild.style.height = `${Math.max(order.length - first - shown.length, 0) * ROW}px`;
    keyed(body, shown.map(([address]) => [address, store.tables.devices.get(address)]), makeRow, drawRow);
  }

  function makeRow(address) {
    const title = h("th", { scope: "row" }, h("a", { href: deviceLink(address) }));
    return h("tr", {}, title, h("td"), h("td"));
  }

  function drawRow(row, address, device) {
    const heard = store.tables.heard.get(address) || {};
    const best = device && heard[device.source];
    text(row.firstChild.firstChild, device?.name || address);
    attribute(row.firstChild.firstChild, "title", address);
    text(row.children[1], best ? ago(best.at, store.now()) : "–");
    text(row.children[2], best ? rate(best.interval) : "–");
    while (row.children.length < names.length + 3) row.append(h("td"));
    while (row.children.length > names.length + 3) row.lastChild.remove();
    names.forEach((name, at) => {
      const cell = heard[name];
      const element = row.children[at + 3];
      text(element, cell ? (cell.rssi ?? "?") : "");
      const winner = cell && device && device.source === name;
      attribute(element, "class", `rssi ${cell ? loudness(cell.rssi) : "none"}${winner ? " best" : ""}`);
    });
  }

  function update(touched) {
    if (touched === null || touched.has("radios")) drawHead();
    const known = new Set(order.map(([address]) => address));
    const isOther = known.size !== store.tables.devices.size && !search.value;
    if (touched === null || isOther || order.some(([address]) => !store.tables.devices.has(address))) sortAgain();
    else if (touched.has("heard") || touched.has("devices") || touched.has("time")) drawRows();
  }
  return { update };
}
