// One radio: what it is, how it does, who holds its slots, what may be done about it.

import { act } from "../api.js";
import { h, rows, table, text } from "../dom.js";
import { ago, deviceLink } from "../format.js";

export function radio(root, store, { mayAct, argument: name }) {
  const problem = h("p", { class: "problem" });
  const [facts, factsBody] = table("What it is", ["What", "Value"]);
  const [holders, holdersBody] = table("Slots", ["Device", "For", "Since", "Action"]);
  const [failures, failuresBody] = table("Failures that are remembered", ["Device", "Weight now", "Ago"]);
  const button = (action, label) => h("button", { on: { click: () => act(action, { source: name }) } }, label);
  const tools = h("div", { class: "tools" }, button("resubscribe", "Subscribe again"), button("restart", "Restart"));
  root.append(h("h1", {}, name), problem, mayAct ? tools : "", facts, holders, failures);
  const buttons = new Map();

  function free(address) {
    if (!buttons.has(address)) {
      const listener = () => act("free_slot", { source: name, address });
      buttons.set(address, h("button", { class: "small", disabled: !mayAct, "aria-label": `Free the slot of ${address}`, on: { click: listener } }, "Free"));
    }
    return buttons.get(address);
  }

  function update() {
    const row = store.tables.radios.get(name);
    text(problem, row ? row.problem : "It is not part of the fleet.");
    const heard = [...store.tables.heard.values()].map((cells) => cells[name]).filter(Boolean);
    const recent = heard.filter((cell) => store.now() - cell.at < 60);
    const perSecond = recent.reduce((sum, cell) => sum + (cell.interval ? 1 / cell.interval : 0), 0);
    const last = heard.reduce((most, cell) => Math.max(most, cell.at), 0);
    const shown = !row ? [] : [
      ["State", row.state],
      ["Address", row.host ? `${row.host}${row.port ? `:${row.port}` : " (it calls)"}` : "–"],
      ["Identity", row.identity],
      ...(row.owner ? [["Owner", row.owner]] : []),
      ["Firmware", row.firmware || "–"],
      ["Encrypted", row.encrypted === null ? "–" : row.encrypted ? "yes" : "no"],
      ["Subscription", row.subscribed === null ? "–" : row.subscribed ? "ours" : "not ours"],
      ["Scan mode", row.scan_mode || "–"],
      ["Features", row.features.map((one) => one.toLowerCase().replaceAll("_", " ")).join(", ") || "–"],
      ["Devices heard", heard.length],
      ["Advertisements", `about ${perSecond.toFixed(1)} a second`],
      ["Heard last", ago(last, store.now())],
      ["Attempts now", row.connecting],
    ];
    rows(factsBody, shown, (key, value) => [key, value]);
    rows(holdersBody, (row?.slots?.holders || []).map((one) => [one.address, one]), (address, one) => [
      [store.name(address), deviceLink(address)], one.used ? one.client || "this program" : "nobody: an orphan", ago(one.since, store.now()), free(address),
    ]);
    const remembered = [...store.tables.failures].filter(([, one]) => one.source === name);
    rows(failuresBody, remembered, (key, one) => {
      const age = store.now() - one.at;
      return [[store.name(one.address), deviceLink(one.address)], (one.failures * 0.5 ** (age / one.half_life)).toFixed(2), ago(one.at, store.now())];
    });
  }
  return { update };
}
