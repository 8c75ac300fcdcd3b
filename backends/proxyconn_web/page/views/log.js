// What was decided and what happened, the newest first.

import { h, rows, table, text } from "../dom.js";
import { clock, deviceLink, matches } from "../format.js";

const SHOWN = 200;

export function log(root, store) {
  const search = h("input", { type: "search", id: "search", on: { input: () => draw() } });
  const count = h("span", { class: "muted", role: "status" });
  const [box, body] = table("Log", ["Time", "What", "In words", "Radio", "Device", "Client"]);
  root.append(h("h1", {}, "Log"), h("div", { class: "tools" }, h("label", { for: "search" }, "Search"), search, count), box);

  function draw() {
    const found = store.log.filter((one) => matches(search.value, one.kind, one.text, one.source, one.address, one.client, one.address && store.name(one.address)));
    text(count, `${found.length} of ${store.log.length}`);
    // An alarm is told of when it is worth one, and has been for a while.
    found.sort((one, other) => one.time - other.time);
    rows(body, found.slice(-SHOWN).reverse().map((one) => [one.number, one]), (key, one) => [
      clock(one.time), one.kind, one.text, one.source || "", one.address ? [store.name(one.address), deviceLink(one.address)] : "", one.client || "",
    ]);
  }
  return {
    update(touched) {
      if (touched === null || touched.has("log")) draw();
    },
  };
}
