// The state of the fleet, as the stream of events says it.

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
    this.source = null;
  }

  /** Begin to follow; the browser asks again by itself, and says what it has. */
  start() {
    this.source = new EventSource("/api/v1/events");
    this.source.addEventListener("snapshot", (event) => this.takeSnapshot(JSON.parse(event.data)));
    this.source.addEventListener("change", (event) => this.takeChange(JSON.parse(event.data)));
    this.source.addEventListener("open", () => this.status("live"));
    this.source.addEventListener("error", () => this.status("lost", this.source.readyState === 2));
  }

  stop() {
    if (this.source) this.source.close();
    this.source = null;
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
