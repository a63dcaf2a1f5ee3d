// One small chart per provider on one common scale: they are told apart by place and name, not by colour.

import { drawing, element, makeScroller, makeTable } from "./dom.js";
import { formatCompact, formatCount, formatDay, formatHour, formatMs, formatPercent, formatUsd } from "./format.js";

const HOUR_MS = 3600000;
const DAY_MS = 24 * HOUR_MS;
const WIDTH = 600;
const HEIGHT = 72;

export const MEASURES = {
  requests: { label: "requests", format: formatCount, isSum: true },
  cost_usd: { label: "cost", format: formatUsd, isSum: true },
  savings_usd: { label: "savings", format: formatUsd, isSum: true },
  total_tokens: { label: "tokens", format: formatCompact, isSum: true },
  success_rate: { label: "success rate", format: formatPercent, most: 100 },
  avg_response_time_ms: { label: "average response time", format: formatMs },
};

const GRAINS = {
  hour: { stepMs: HOUR_MS, read: (row) => Date.parse(row.hour_start), name: (ms) => formatHour(ms) },
  day: { stepMs: DAY_MS, read: (row) => Date.parse(`${row.day}T00:00:00Z`), name: (ms) => formatDay(new Date(ms).toISOString().slice(0, 10)) },
};

// `rows` as the server gives them: slots without requests are left out and shown empty.
export function drawTrends(place, rows, { grain, measure, slots, nowMs, order }) {
  const { stepMs, read, name } = GRAINS[grain];
  const asked = MEASURES[measure];
  if (rows.length === 0) {
    place.replaceChildren(element("p", { class: "empty" }, "No requests in this time."));
    return;
  }
  const last = Math.max(Math.floor(nowMs / stepMs) * stepMs, ...rows.map(read));
  const first = last - (slots - 1) * stepMs;
  const byProvider = group(rows);
  const most = asked.most ?? Math.max(...rows.map((row) => Number(row[measure] ?? 0)), 0);
  const rank = (name) => (order.includes(name) ? order.indexOf(name) : order.length);
  const inOrder = [...byProvider].sort(([one], [other]) => rank(one) - rank(other));
  const charts = inOrder.map(([provider, own]) => {
    const found = new Map(own.map((row) => [read(row), row]));
    const times = Array.from({ length: slots }, (_, slot) => first + slot * stepMs);
    return drawChart(provider, times.map((ms) => ({ label: name(ms), row: found.get(ms) })), { asked, measure, most, grain });
  });
  place.replaceChildren(
    element("div", { class: "charts" }, ...charts),
    element("p", { class: "help" }, readLegend(measure, asked.format(most))),
    makeDetails(rows, { asked, measure, read, name, wasOpen: place.querySelector("details")?.open }),
  );
}

function drawChart(provider, points, { asked, measure, most, grain }) {
  const step = WIDTH / points.length;
  const scale = most > 0 ? HEIGHT / most : 0;
  const bars = points.map(({ label, row }, slot) => {
    const value = Number(row?.[measure] ?? 0);
    if (!row || value === 0) return null;
    const size = Math.max(1.5, Math.abs(value) * scale);
    const box = { x: slot * step + step * 0.1, width: step * 0.8 };
    const failed = measure === "requests" ? Math.min(size, row.failures * scale) : 0;
    return drawing(
      "g",
      {},
      drawing("title", {}, `${label}: ${asked.format(row[measure])}${failed > 0 ? `, ${formatCount(row.failures)} failed` : ""}`),
      drawing("rect", { ...box, y: HEIGHT - size, height: size, class: value < 0 ? "bar negative" : "bar" }),
      failed > 0 ? drawing("rect", { ...box, y: HEIGHT - failed, height: failed, class: "bar failed" }) : null,
    );
  });
  const summary = summarise(points, measure, asked);
  return element(
    "figure",
    { class: "chart" },
    element("figcaption", {}, element("strong", {}, provider), ` ${summary}`),
    drawing(
      "svg",
      {
        role: "img", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none",
        "aria-label": `${provider}: ${asked.label} by ${grain}, ${points[0].label} to ${points.at(-1).label}: ${summary}`,
      },
      drawing("path", { d: `M0 ${HEIGHT - 0.5}H${WIDTH}`, class: "ground" }),
      ...bars,
    ),
    element("p", { class: "ends", "aria-hidden": "true" }, element("span", {}, points[0].label), element("span", {}, points.at(-1).label)),
  );
}

function summarise(points, measure, asked) {
  const values = points.filter(({ row }) => row && row[measure] !== null).map(({ row }) => Number(row[measure]));
  if (values.length === 0) return "nothing";
  if (asked.isSum) return `${asked.format(values.reduce((sum, value) => sum + value, 0))} in all`;
  return `${asked.format(Math.min(...values))} to ${asked.format(Math.max(...values))}`;
}

function readLegend(measure, most) {
  const scale = `All charts have one scale: a full bar is ${most}.`;
  return measure === "requests" ? `${scale} The striped part failed.` : scale;
}

function makeDetails(rows, { asked, measure, read, name, wasOpen }) {
  const columns = [
    { title: "Time", read: (row) => name(read(row)) },
    { title: "Provider", read: (row) => row.provider },
    { title: asked.label, isNumber: true, read: (row) => asked.format(row[measure]) },
    { title: "failures", isNumber: true, read: (row) => formatCount(row.failures) },
  ];
  const newestFirst = [...rows].sort((one, other) => read(other) - read(one));
  return element(
    "details",
    { open: wasOpen },
    element("summary", {}, "The same as a table"),
    makeScroller("Trends as a table", makeTable(`${asked.label} over time`, columns, newestFirst)),
  );
}

function group(rows) {
  const groups = new Map();
  for (const row of rows) groups.set(row.provider, [...(groups.get(row.provider) ?? []), row]);
  return groups;
}
