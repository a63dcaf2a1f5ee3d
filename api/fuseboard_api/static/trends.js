// One small chart per provider on one common scale: they are told apart by place and name, not by colour.

import { drawing, element, makeScroller, makeTable, redraw } from "./dom.js";
import { formatCompact, formatCompactUsd, formatCount, formatDay, formatHour, formatMs, formatPercent, formatUsd } from "./format.js";

const HOUR_MS = 3600000;
const DAY_MS = 24 * HOUR_MS;
const WIDTH = 600;
const HEIGHT = 72;

export const MEASURES = {
  requests: { label: "requests", format: formatCount, formatHeight: formatCompact, isSum: true },
  cost_usd: { label: "cost", format: formatUsd, formatHeight: formatCompactUsd, isSum: true },
  savings_usd: { label: "savings", format: formatUsd, formatHeight: formatCompactUsd, isSum: true },
  total_tokens: { label: "tokens", format: formatCompact, isSum: true },
  success_rate: { label: "success rate", format: formatPercent, most: 100 },
  avg_response_time_ms: { label: "average response time", format: formatMs },
};

const GRAINS = {
  hour: { stepMs: HOUR_MS, read: (row) => Date.parse(row.hour_start), name: (ms) => formatHour(ms) },
  day: { stepMs: DAY_MS, read: (row) => Date.parse(`${row.day}T00:00:00Z`), name: (ms) => formatDay(new Date(ms).toISOString().slice(0, 10)) },
};

// `rows` as the server gives them: slots without requests are left out and shown empty. `order`: name to name to show.
export function drawTrends(place, rows, { grain, measure, slots, nowMs, order }) {
  const { stepMs, read, name } = GRAINS[grain];
  const asked = MEASURES[measure];
  if (rows.length === 0) {
    redraw(place, element("p", { class: "empty" }, "No requests in this time."));
    return;
  }
  const last = Math.max(Math.floor(nowMs / stepMs) * stepMs, ...rows.map(read));
  const first = last - (slots - 1) * stepMs;
  const scale = makeScale(rows.map((row) => Number(row[measure] ?? 0)), asked);
  const names = [...order.keys()];
  const rank = (provider) => (names.includes(provider) ? names.indexOf(provider) : names.length);
  const inOrder = [...group(rows)].sort(([one], [other]) => rank(one) - rank(other));
  const charts = inOrder.map(([provider, own]) => {
    const found = new Map(own.map((row) => [read(row), row]));
    const times = Array.from({ length: slots }, (_, slot) => first + slot * stepMs);
    const points = times.map((ms) => ({ label: name(ms), row: found.get(ms) }));
    return drawChart(order.get(provider) ?? provider, points, { asked, measure, scale, grain });
  });
  redraw(
    place,
    element("div", { class: "charts" }, ...charts),
    element("p", { class: "help" }, readLegend(measure)),
    makeDetails(rows, { asked, measure, read, name, isOpen: place.querySelector("details")?.open }),
  );
}

// From zero, or from the worst loss, to the most; `y` is where a value ends.
function makeScale(values, asked) {
  const most = asked.most ?? Math.max(...values, 0);
  const least = Math.min(...values, 0);
  const height = most - least > 0 ? HEIGHT / (most - least) : 0;
  return { most, least, y: (value) => (most - value) * height };
}

function drawChart(provider, points, { asked, measure, scale, grain }) {
  const summary = summarise(points, measure, asked);
  const ground = Math.min(scale.y(0), HEIGHT - 0.5);
  const plot = drawing(
    "svg",
    {
      role: "img", viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none",
      "aria-label": `${provider}: ${asked.label} by ${grain}, ${points[0].label} to ${points.at(-1).label}: ${summary}`,
    },
    scale.least < 0 ? null : drawing("path", { d: `M0 ${HEIGHT / 2}H${WIDTH}`, class: "middle" }),
    ...points.map((point, slot) => drawBar(point, slot, WIDTH / points.length, { asked, measure, scale })),
    drawing("path", { d: `M0 ${ground}H${WIDTH}`, class: "ground" }),
  );
  const nameHeight = (value) => (value === 0 ? "0" : (asked.formatHeight ?? asked.format)(value));
  const labels = (kind, ...texts) => element("p", { class: kind, "aria-hidden": "true" }, ...texts.map((text) => element("span", {}, text)));
  return element(
    "figure",
    { class: "chart" },
    element("figcaption", {}, element("strong", {}, provider), ` ${summary}`),
    labels("heights", nameHeight(scale.most), nameHeight(scale.least)),
    plot,
    labels("ends", points[0].label, points[Math.floor(points.length / 2)].label, points.at(-1).label),
  );
}

function drawBar({ label, row }, slot, step, { asked, measure, scale }) {
  const value = Number(row?.[measure] ?? 0);
  if (!row || value === 0) return null;
  const draw = (from, to, kind) => {
    const height = Math.max(1.5, Math.abs(scale.y(from) - scale.y(to)));
    const top = to < 0 ? scale.y(from) : scale.y(from) - height;
    return drawing("rect", { x: slot * step + step * 0.1, width: step * 0.8, y: top, height, class: kind });
  };
  const failures = measure === "requests" ? row.failures : 0;
  return drawing(
    "g",
    {},
    drawing("title", {}, `${label}: ${asked.format(row[measure])}${failures > 0 ? `, ${formatCount(failures)} failed` : ""}`),
    draw(0, value, value < 0 ? "bar negative" : "bar"),
    failures > 0 ? draw(0, failures, "bar failed") : null,
  );
}

function summarise(points, measure, asked) {
  const values = points.filter(({ row }) => row && row[measure] !== null).map(({ row }) => Number(row[measure]));
  if (values.length === 0) return points.some(({ row }) => row) ? "unknown" : "nothing";
  if (asked.isSum) return `${asked.format(values.reduce((sum, value) => sum + value, 0))} in all`;
  return `${asked.format(Math.min(...values))} to ${asked.format(Math.max(...values))}`;
}

function readLegend(measure) {
  if (measure === "requests") return "All charts have one scale. The striped part failed.";
  return measure === "savings_usd" ? "All charts have one scale. What is below the line cost more than Claude would have." : "All charts have one scale.";
}

// A year of many providers has thousands of rows: they are made once somebody opens the table.
function makeDetails(rows, { asked, measure, read, name, isOpen }) {
  const columns = [
    { title: "Time", isTime: true, read: (row) => name(read(row)) },
    { title: "Provider", read: (row) => row.provider },
    { title: asked.label, isNumber: true, read: (row) => asked.format(row[measure]) },
    { title: "failures", isNumber: true, read: (row) => formatCount(row.failures) },
  ];
  const makeRows = () => {
    const newestFirst = [...rows].sort((one, other) => read(other) - read(one));
    return makeScroller("Trends as a table", makeTable(`${asked.label} over time`, columns, newestFirst));
  };
  const details = element("details", { open: isOpen }, element("summary", {}, "The same as a table"), isOpen ? makeRows() : null);
  details.addEventListener("toggle", () => details.open && details.childElementCount === 1 && details.append(makeRows()));
  return details;
}

function group(rows) {
  const groups = new Map();
  for (const row of rows) groups.set(row.provider, [...(groups.get(row.provider) ?? []), row]);
  return groups;
}
