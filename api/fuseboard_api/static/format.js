// Numbers, money and times as people read them.

const NOTHING = "–";
// from how many seconds on, which unit has how many seconds
const AGES = [[172800, 86400, "days"], [3600, 3600, "h"], [60, 60, "min"], [0, 1, "s"]];
const counts = new Intl.NumberFormat("en");
const compactUsd = new Intl.NumberFormat("en", { style: "currency", currency: "USD", notation: "compact", maximumFractionDigits: 1 });
const wholeUsd = new Intl.NumberFormat("en", { style: "currency", currency: "USD", maximumFractionDigits: 0 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" });
const moment = new Intl.DateTimeFormat([], {
  month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const hour = new Intl.DateTimeFormat([], { weekday: "short", hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
// days are named by the server in its own zone; read as UTC they keep their name
const day = new Intl.DateTimeFormat([], { weekday: "short", month: "short", day: "numeric", timeZone: "UTC" });

export function formatCount(value) {
  return value === null || value === undefined ? NOTHING : counts.format(value);
}

export function formatCompact(value) {
  return compact.format(value);
}

// Cents from a dollar on; below it as many digits as tell a fraction of a cent from nothing.
export function formatUsd(value) {
  if (value === null || value === undefined) return NOTHING;
  const amount = Number(value);
  const size = Math.abs(amount);
  let digits = 2;
  if (size > 0 && size < 1) digits = size < 0.0001 ? 8 : 4;
  return new Intl.NumberFormat("en", {
    style: "currency", currency: "USD", minimumFractionDigits: digits === 8 ? 2 : digits, maximumFractionDigits: digits,
  }).format(amount);
}

// For the axis of a chart.
export function formatCompactUsd(value) {
  return Math.abs(value) < 1000 ? formatUsd(value) : compactUsd.format(value);
}

export function formatWholeUsd(value) {
  return wholeUsd.format(value);
}

export function formatPercent(value) {
  if (value === null || value === undefined) return NOTHING;
  // what failed once in a million calls is not 100 %
  const shown = value < 100 && value > 99.9 ? Math.floor(value * 100) / 100 : Math.round(value * 10) / 10;
  return `${Number.isInteger(shown) && shown % 100 !== 0 ? shown.toFixed(1) : shown}\u00a0%`;
}

export function formatMs(value) {
  if (value === null || value === undefined) return NOTHING;
  if (value < 1000) return `${Math.round(value)} ms`;
  if (value >= 120000) return formatDuration(value / 1000);
  return `${(value / 1000).toFixed(value < 10000 ? 2 : 1)} s`;
}

export function formatDuration(seconds) {
  if (seconds === null || seconds === undefined) return NOTHING;
  const whole = Math.max(0, Math.ceil(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  if (whole < 172800) return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  return `${Math.floor(whole / 86400)} days`;
}

export function formatAgo(time, nowMs) {
  const seconds = (nowMs - Date.parse(time)) / 1000;
  if (seconds < 5) return "just now";
  const [, length, unit] = AGES.find(([least]) => seconds >= least);
  return `${Math.floor(seconds / length)} ${unit} ago`;
}

export function formatClock(time) {
  return clock.format(new Date(time));
}

// Of today the time of day is enough.
export function formatMoment(time) {
  if (!time) return NOTHING;
  const at = new Date(time);
  return (at.toDateString() === new Date().toDateString() ? clock : moment).format(at);
}

export function formatHour(time) {
  return hour.format(new Date(time));
}

export function formatDay(text) {
  return day.format(new Date(`${text}T00:00:00Z`));
}

// `1 request`, `2 requests`
export function formatNumber(count, thing) {
  return `${formatCount(count)} ${thing}${count === 1 ? "" : "s"}`;
}

// `word_like_this` as people write it
export function formatWords(name) {
  return name ? name.replaceAll("_", " ") : NOTHING;
}
