// The money: today, the period, what Claude would have cost, what was saved.

import { element, makeScroller, makeTable, redraw, setAttribute, setText, show } from "./dom.js";
import { formatCount, formatPercent, formatUsd, formatWholeUsd } from "./format.js";

const find = (id) => document.getElementById(id);
// from there on cents only make a figure hard to read
const CENTS_BELOW_USD = 100000;
const COLUMNS = [
  { title: "Provider", read: (row) => row.display_name },
  { title: "Cost", isNumber: true, read: readCost },
  { title: "On Claude", isNumber: true, read: (row) => formatUsd(row.hypothetical_claude_cost_usd) },
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
  drawUsd(find("cost-claude"), costs.hypothetical_claude_cost_usd);
  drawUsd(find("savings-period"), costs.estimated_savings_usd);
  setText(find("savings-share"), readShare(costs));
  setText(find("cost-gaps"), readGaps(costs));
  show(find("cost-gaps"), find("cost-gaps").textContent !== "");
  const rows = costs.providers;
  show(find("cost-table"), rows.length > 0);
  redraw(find("cost-table"), makeScroller("Cost by provider", makeTable(`Cost by provider, ${days} days`, COLUMNS, rows)));
}

function drawUsd(place, value) {
  setText(place, Math.abs(Number(value)) < CENTS_BELOW_USD ? formatUsd(value) : formatWholeUsd(value));
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
  if (row.unpriced_requests === 0) return formatUsd(row.cost_usd);
  const unpriced = `${formatCount(row.unpriced_requests)} unpriced`;
  if (row.unpriced_requests === row.requests) return unpriced;
  return element("span", {}, `${formatUsd(row.cost_usd)} `, element("span", { class: "aside" }, `+ ${unpriced}`));
}

// A figure that leaves something out says so.
function readGaps(costs) {
  const gaps = [
    [costs.unpriced_requests, "without a price"],
    [costs.unmetered_requests, "without token counts"],
  ].filter(([requests]) => requests > 0);
  if (gaps.length === 0) return "";
  return `Left out of the cost: requests ${gaps.map(([requests, why]) => `${why} (${formatCount(requests)})`).join(", ")}.`;
}
