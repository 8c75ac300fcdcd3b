// What should not be, and what to do about it.

import { h, rows, table } from "../dom.js";
import { ago, radioLink } from "../format.js";

export function alarms(root, store) {
  const [box, body] = table("Alarms, the oldest first", ["Kind", "Radio", "For", "What"]);
  const none = h("p", { class: "muted" }, "None: all is well.");
  root.append(h("h1", {}, "Alarms"), none, box);
  return {
    update() {
      const inOrder = [...store.tables.alarms].sort(([, one], [, other]) => one.since - other.since);
      none.hidden = inOrder.length > 0;
      box.hidden = !none.hidden;
      rows(body, inOrder, (key, row) => [row.kind, [row.source, radioLink(row.source)], ago(row.since, store.now()), row.text]);
    },
  };
}
