// The cluster, if there is one: the broker, and every owner with what it has.

import { attribute, h, rows, table, text } from "../dom.js";
import { ago } from "../format.js";

const COLUMNS = ["Owner", "Site", "Radios", "Slots taken", "Heard last", "How it is"];

export function surroundings(store) {
  const broker = h("p");
  const troubles = h("p", { class: "problem" });
  const [owners, body] = table("Owners", COLUMNS);
  const element = h("section", { class: "cluster", hidden: true }, broker, troubles, owners);

  function update() {
    const [cluster] = store.tables.cluster.values();
    attribute(element, "hidden", cluster ? null : "");
    if (!cluster) return;
    const since = ago(cluster.since, store.now());
    attribute(broker, "class", cluster.connected ? null : "problem");
    text(broker, `Cluster ${cluster.fleet}: ${cluster.servers} has been ${cluster.connected ? "connected" : "lost"} for ${since}.`);
    text(troubles, cluster.troubles.join(" "));
    rows(body, store.tables.owners, (id, one) => [
      id, one.site, one.radios, `${one.links} of ${one.slots}`,
      one.own ? "–" : ago(one.at, store.now()), state(one, cluster),
    ]);
  }
  return { element, update };
}

function state(owner, cluster) {
  if (owner.own) return cluster.cut_off ? "this one, cut off" : "this one";
  return owner.silent ? "says nothing" : "speaks";
}
