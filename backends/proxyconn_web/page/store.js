// The state of the fleet, as the stream of events says it.

import { follow } from "./api.js";

const LOG_KEPT = 500;
const HISTORY = 240;

export const TABLES = [
  "radios", "devices", "heard", "links", "queue", "connects", "failures", "bonds", "alarms", "clients", "latency",
  "cluster", "owners",
];

export class Store {
  constructor(changed, status) {
    this.tables = Object.fromEntries(TABLES.map((name) => [name, new Map()]));
    this.log = [];
    this.offset = 0;
    this.followed = null;
    this.history = new Map();
    this.changed = changed;
    this.status = status;
    this.reading = null;
    this.last = null;
  }

  /** Begin to follow, after what is known already; once that ends, the status is told, once. */
  async start() {
    this.stop();
    const reading = (this.reading = new AbortController());
    const take = (kind, data, id) => {
      this.last = id;
      if (kind === "snapshot") this.takeSnapshot(data);
      else if (kind === "change") this.takeChange(data);
    };
    try {
      await follow(this.last, () => this.status("live"), take, reading.signal);
    } finally {
      if (this.reading === reading) this.status("lost");
    }
  }

  stop() {
    if (this.reading) this.reading.abort();
    this.reading = null;
  }

  /** Now, in seconds by the owner's clock. */
  now() {
    return Date.now() / 1000 + this.offset;
  }

  takeSnapshot(snapshot) {
    this.offset = snapshot.time - Date.now() / 1000;
    for (const name of TABLES) this.tables[name] = new Map(Object.entries(snapshot[name] || {}));
    this.log = snapshot.log;
    this.about = snapshot.about;
    this.note(snapshot.heard);
    this.changed(null);
  }

  takeChange(event) {
    const touched = new Map();
    for (const [name, rows] of Object.entries(event.changes)) {
      const table = this.tables[name];
      if (!table) continue;
      touched.set(name, new Set(Object.keys(rows)));
      for (const [key, fields] of Object.entries(rows)) {
        if (fields === null) table.delete(key);
        else table.set(key, Object.assign(table.get(key) || {}, fields));
      }
    }
    if (event.log.length) {
      this.log = [...this.log, ...event.log].slice(-LOG_KEPT);
      touched.set("log", new Set());
    }
    this.note(event.changes.heard || {});
    this.changed(touched);
  }

  /** Keep the signal strengths of one device from now on, for its sparklines. */
  follow(address) {
    this.followed = address;
    this.history = new Map();
    this.note(Object.fromEntries(this.tables.heard));
  }

  note(heard) {
    const cells = this.followed && heard[this.followed];
    for (const [radio, cell] of Object.entries(cells || {})) {
      if (!cell || cell.rssi === null) continue;
      const samples = this.history.get(radio) || [];
      samples.push([cell.at, cell.rssi]);
      this.history.set(radio, samples.slice(-HISTORY));
    }
  }

  name(address) {
    return this.tables.devices.get(address)?.name || address;
  }
}
