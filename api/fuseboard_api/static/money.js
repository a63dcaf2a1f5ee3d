// The money: today, the period, what Claude would have cost, what was saved. Cost and saved add up to what is on Claude:
// what is in one of them alone stands beside.

import { element, makeScroller, makeTable, redraw, setAttribute, setText, show } from "./dom.js";
import { formatCount, formatPercent, formatUsd, formatWholeUsd } from "./format.js";

const UNKNOWN = "unknown";
const find = (id) => document.getElementById(id);
// from there on cents only make a figure hard to read
const CENTS_BELOW_USD = 100000;
const COLUMNS = [
  { title: "Provider", read: (row) => row.display_name },
  { title: "Cost", isNumber: true, read: readCost },
  { title: "On Claude", isNumber: true, read: (row) => formatUsd(row.compared_usd) },
  { title: "Saved", isNumber: true, read: (row) => formatUsd(row.savings_usd) },
  { title: "Requests", isNumber: true, read: (row) => formatCount(row.requests) },
  { title: "Success", isNumber: true, read: (row) => formatPercent(row.success_rate) },
  { title: "Tokens", isNumber: true, read: (row) => formatCount(row.total_tokens) },
];

export function drawToday(health) {
  drawUsd(find("cost-today"), health.cost_today_usd);
  drawUsd(find("savings-today"), health.savings_today_usd);
}

export function drawCosts(costs, days) {
  drawUsd(find("cost-period"), costs.total_cost_usd);
  drawUsd(find("cost-claude"), costs.compared_usd);
  drawUsd(find("savings-period"), costs.estimated_savings_usd);
  setText(find("savings-share"), readShare(costs));
  setText(find("cost-gaps"), readGaps(costs));
  show(find("cost-gaps"), find("cost-gaps").textContent !== "");
  const rows = costs.providers;
  show(find("cost-table"), rows.length > 0);
  redraw(find("cost-table"), makeScroller("Cost by provider", makeTable(`Cost by provider, ${days} days`, COLUMNS, rows)));
}

function drawUsd(place, value) {
  const isShort = Math.abs(Number(value)) < CENTS_BELOW_USD;
  setText(place, value === null ? UNKNOWN : isShort ? formatUsd(value) : formatWholeUsd(value));
  // every digit, for whoever has to compare
  setAttribute(place, "title", value === null ? "" : `${value} USD`);
}

function readShare(costs) {
  if (costs.total_requests === 0) return "No requests yet";
  const served = `${formatCount(costs.local_requests)} of ${formatCount(costs.total_requests)} requests served locally`;
  return costs.savings_percentage === null ? served : `${formatPercent(costs.savings_percentage)} of the cost on Claude; ${served}`;
}

// Nothing but requests without a price is no cost of nothing.
function readCost(row) {
  const cost = row.cost_usd === null ? UNKNOWN : formatUsd(row.cost_usd);
  if (row.unpriced_requests === 0) return cost;
  return element("span", {}, `${cost} `, element("span", { class: "aside" }, `+ ${formatCount(row.unpriced_requests)} unpriced`));
}

// A figure that leaves something out says so.
function readGaps(costs) {
  const gaps = [
    [costs.unpriced_requests, "without a price"],
    [costs.unmetered_requests, "without token counts"],
  ].filter(([requests]) => requests > 0);
  if (gaps.length === 0) return "";
  const requests = gaps.map(([requests, why]) => `${why} (${formatCount(requests)})`).join(", ");
  return `Left out of these figures: requests ${requests}.${readUncompared(costs)}`;
}

// Where the baseline of some is not known either, the difference is of both.
function readUncompared(costs) {
  const isWhole = costs.baseline_unknown_requests <= costs.unmetered_requests && Number(costs.uncompared_usd) > 0;
  return isWhole ? ` On Claude they would have cost ${formatUsd(costs.uncompared_usd)}.` : "";
}
