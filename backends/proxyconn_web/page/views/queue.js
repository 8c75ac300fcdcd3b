// Who waits for a radio, and what is connected.

import { h, rows, table } from "../dom.js";
import { ago, deviceLink, radioLink } from "../format.js";

export function queue(root, store) {
  const [waiting, waitingBody] = table("Waiting, in order", ["Place", "Device", "For", "Since", "Only", "Reachable"]);
  const [links, linksBody] = table("Links and attempts", ["Device", "State", "Radio", "For", "Since"]);
  root.append(h("h1", {}, "Queue"), waiting, links);
  return {
    update() {
      const inOrder = [...store.tables.queue].sort(([, one], [, other]) => one.place - other.place);
      rows(waitingBody, inOrder, (address, row) => [
        row.place, [store.name(address), deviceLink(address)], row.client || "this program", ago(row.since, store.now()), row.only || "–",
        row.unreachable ? "not now" : "yes",
      ]);
      rows(linksBody, store.tables.links, (address, row) => [
        [store.name(address), deviceLink(address)], row.state, row.source ? [row.source, radioLink(row.source)] : "–", row.client || "this program", ago(row.since, store.now()),
      ]);
    },
  };
}
