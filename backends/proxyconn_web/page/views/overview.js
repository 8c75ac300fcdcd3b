// The whole fleet: every radio with its slots as cells, whose it is, and how long things take.

import { act } from "../api.js";
import { attribute, h, keyed, rows, table, text } from "../dom.js";
import { ago, deviceLink, radioLink, seconds } from "../format.js";
import { surroundings } from "./surroundings.js";

export function overview(root, store, { mayAct }) {
  const figures = h("dl", { class: "figures" });
  const cards = h("div", { class: "cards" });
  const [latency, latencyBody] = table("How long it takes to connect", ["What", "Count", "Median", "90 %", "99 %"]);
  const around = surroundings(store);
  root.append(h("h1", {}, "Fleet"), figures, around.element, cards, latency);

  function update(touched) {
    const { radios, devices, links, queue, alarms } = store.tables;
    const all = [...radios.values()];
    const slots = all.map((one) => one.slots).filter(Boolean);
    const limit = slots.reduce((sum, one) => sum + one.limit, 0);
    const free = slots.reduce((sum, one) => sum + one.free, 0);
    const ready = all.filter((one) => one.state === "ready").length;
    keyed(
      figures,
      [
        ["Radios ready", `${ready} of ${all.length}`],
        ["Slots taken", `${limit - free} of ${limit}`],
        ["Devices heard", devices.size],
        ["Links", links.size],
        ["Waiting", queue.size],
        ["Alarms", alarms.size],
      ],
      (name) => h("div", {}, h("dt", {}, name), h("dd")),
      (element, name, value) => text(element.lastChild, value),
    );
    around.update();
    if (touched === null || touched.has("radios") || touched.has("devices") || touched.has("time")) {
      keyed(cards, radios, (name) => card(name, store, mayAct), updateCard);
    }
    rows(latencyBody, store.tables.latency, (name, row) => [
      { wait: "Waiting for a radio", attempt: "The attempt", total: "All together" }[name] || name,
      row.count, seconds(row.p50), seconds(row.p90), seconds(row.p99),
    ]);
  }
  return { update };
}

function card(name, store, mayAct) {
  const parts = {
    state: h("span", { class: "state" }),
    problem: h("p", { class: "problem" }),
    owner: h("p", { class: "owner muted" }),
    cells: h("div", { class: "cells", role: "img" }),
    count: h("span", { class: "muted" }),
    holders: h("ul", { class: "holders" }),
  };
  const element = h(
    "section",
    { class: "card" },
    h("h2", {}, h("a", { href: radioLink(name) }, name), parts.state),
    parts.problem,
    parts.owner,
    h("div", { class: "slots" }, parts.cells, parts.count),
    parts.holders,
  );
  element.draw = (radio) => drawCard(parts, radio, store, mayAct);
  return element;
}

const updateCard = (element, name, radio) => element.draw(radio);

function drawCard(parts, radio, store, mayAct) {
  text(parts.state, radio.state);
  attribute(parts.state, "class", `state ${radio.state.replace(" ", "-")}`);
  text(parts.problem, radio.problem);
  text(parts.owner, radio.owner && `Owner: ${radio.owner}`);
  const slots = radio.slots;
  const taken = slots ? slots.limit - slots.free : 0;
  const holders = slots ? slots.holders : [];
  text(parts.count, slots ? `${taken} of ${slots.limit} taken` : radio.connectable ? "no slots reported" : "listens only");
  attribute(parts.cells, "aria-label", slots ? `${taken} of ${slots.limit} slots taken` : "no slots");
  keyed(
    parts.cells,
    Array.from({ length: slots ? slots.limit : 0 }, (_, at) => [at, holders[at]]),
    () => h("span"),
    (cell, at, holder) => {
      const kind = at >= taken ? "free" : holder && !holder.used ? "orphan" : "used";
      attribute(cell, "class", `cell ${kind}`);
    },
  );
  keyed(
    parts.holders,
    holders.map((holder) => [holder.address, holder]),
    (address) => {
      const free = () => act("free_slot", { source: radio.name, address });
      return h(
        "li",
        {},
        h("a", { href: deviceLink(address) }),
        h("span", { class: "muted" }),
        mayAct ? h("button", { class: "small", on: { click: free } }, "Free") : null,
      );
    },
    (item, address, holder) => {
      text(item.firstChild, store.name(address));
      const who = holder.used ? holder.client || "this program" : "nobody uses it";
      text(item.children[1], `${who}, ${ago(holder.since, store.now())}`);
      if (mayAct) attribute(item.lastChild, "aria-label", `Free the slot of ${store.name(address)}`);
    },
  );
}
