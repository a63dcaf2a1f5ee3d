// Who fell back to whom, and the last failures.

import { drawing, element, makeScroller, makeTable, redraw } from "./dom.js";
import { formatCount, formatMoment, formatMs, formatWords } from "./format.js";

const FLOW_COLUMNS = [
  { title: "Should have served", read: (row) => row.original_provider ?? "not said" },
  { title: "Was asked instead", read: (row) => row.provider },
  { title: "Requests", isNumber: true, read: (row) => formatCount(row.requests) },
  { title: "Share", read: (row) => drawBar(row.share) },
];
const FAILURE_COLUMNS = [
  { title: "Time", isTime: true, read: (row) => formatMoment(row.occurred_at) },
  { title: "Provider", read: (row) => row.provider },
  { title: "Model", read: (row) => row.model ?? "" },
  { title: "Status", read: (row) => [formatWords(row.status), row.http_status].filter(Boolean).join(" ") },
  { title: "Error", read: (row) => (row.error_type ? formatWords(row.error_type) : "") },
  { title: "Took", isNumber: true, read: (row) => formatMs(row.duration_seconds === null ? null : 1000 * row.duration_seconds) },
];

export function drawFlows(place, flows) {
  if (flows.length === 0) {
    redraw(place, element("p", { class: "empty" }, "No call fell back to another provider."));
    return;
  }
  const most = Math.max(...flows.map((flow) => flow.requests));
  const rows = flows.map((flow) => ({ ...flow, share: flow.requests / most }));
  redraw(place, makeScroller("Fallbacks", makeTable("Who fell back to whom", FLOW_COLUMNS, rows)));
}

export function drawFailures(place, failures) {
  if (failures.length === 0) {
    redraw(place, element("p", { class: "empty" }, "No failure in the raw requests that are kept."));
    return;
  }
  redraw(place, makeScroller("Recent failures", makeTable("Recent failures", FAILURE_COLUMNS, failures)));
}

function drawBar(share) {
  return drawing(
    "svg",
    { class: "share", viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    drawing("rect", { x: 0, y: 2, width: Math.max(1, 100 * share), height: 6, class: "bar" }),
  );
}
