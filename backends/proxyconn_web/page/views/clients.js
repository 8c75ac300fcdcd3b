// Who uses the fleet, and what each of them holds.

import { h, rows, table } from "../dom.js";

export function clients(root, store) {
  const [box, body] = table("Clients", ["Client", "From", "Served as", "Hears", "Links"]);
  root.append(h("h1", {}, "Clients"), box);
  return {
    update() {
      rows(body, store.tables.clients, (key, row) => [
        row.name, row.peer, row.proxy, row.subscribed ? "yes" : "no", row.links.map((address) => store.name(address)).join(", ") || "–",
      ]);
    },
  };
}
