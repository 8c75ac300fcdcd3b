// Values as people read them.

export const deviceLink = (address) => `#/device/${encodeURIComponent(address)}`;
export const radioLink = (name) => `#/radio/${encodeURIComponent(name)}`;

/** Seconds as a short text. */
export function seconds(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  if (value < 10) return `${Math.max(value, 0).toFixed(1)} s`;
  if (value < 120) return `${Math.round(value)} s`;
  if (value < 7200) return `${Math.round(value / 60)} min`;
  return value < 172800 ? `${Math.round(value / 3600)} h` : `${Math.round(value / 86400)} d`;
}

/** How long ago something was. */
export const ago = (at, now) => (at ? seconds(now - at) : "–");

/** A time of day. */
export const clock = (at) => new Date(at * 1000).toLocaleTimeString(undefined, { hourCycle: "h23" });

/** A class for a signal strength. */
export function loudness(rssi) {
  if (rssi === null || rssi === undefined) return "none";
  return rssi >= -65 ? "good" : rssi >= -80 ? "fair" : "weak";
}

/** How many advertisements a second an interval makes. */
export const rate = (interval) => (interval ? `${(1 / interval).toPrecision(2)} /s` : "–");

/** Whether any of some texts holds what is searched for. */
export function matches(search, ...texts) {
  const wanted = search.trim().toLowerCase();
  return !wanted || texts.some((one) => one && String(one).toLowerCase().includes(wanted));
}
