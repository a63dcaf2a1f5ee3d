// What somebody has to do something about: requests that are in no cost figure, and events that were not understood.

import { element, makeScroller, makeTable, show } from "./dom.js";
import { formatCount, formatDay, formatMoment, formatNumber, formatWords } from "./format.js";

const find = (id) => document.getElementById(id);
const ROWS = 10;
const TEXT_MAX = 160;
const UNPRICED_COLUMNS = [
  { title: "Provider", read: (row) => row.provider },
  { title: "Model", read: (row) => row.model ?? "not said" },
  { title: "Requests", isNumber: true, read: (row) => formatCount(row.unpriced_requests) },
  { title: "Last day", read: (row) => formatDay(row.last_day) },
];
const REJECTED_COLUMNS = [
  { title: "Received", read: (row) => formatMoment(row.received_at) },
  { title: "Why", read: (row) => [formatWords(row.reason), row.detail].filter(Boolean).join(": ").slice(0, TEXT_MAX) },
  { title: "What it was", read: (row) => element("code", { class: "raw" }, row.raw_text.slice(0, TEXT_MAX)) },
];

export function drawToDo({ unpriced, rejected, rejectedCount }) {
  const parts = [];
  if (unpriced.length > 0) {
    const requests = unpriced.reduce((sum, row) => sum + row.unpriced_requests, 0);
    parts.push(makePart(
      `${formatNumber(requests, "request")} without a price`,
      "They are in no cost figure. Set a price, then reprice:",
      "fuseboard prices set PROVIDER MODEL --input USD --output USD --source WHERE; fuseboard reprice",
      makeScroller("Models without a price", makeTable("Models without a price", UNPRICED_COLUMNS, unpriced.slice(0, ROWS))),
    ));
  }
  if (rejectedCount > 0) {
    parts.push(makePart(
      `${formatNumber(rejectedCount, "event")} rejected`,
      "They are kept with the reason. Once that is mended, send them again:",
      "fuseboard rejected replay --all",
      rejected.length === 0 ? null : makeScroller("Rejected events", makeTable("Rejected events, newest first", REJECTED_COLUMNS, rejected.slice(0, ROWS))),
    ));
  }
  show(find("to-do"), parts.length > 0);
  find("to-do-list").replaceChildren(...parts);
}

function makePart(title, advice, command, table) {
  return element(
    "div",
    { class: "panel" },
    element("h3", {}, title),
    element("p", {}, advice, " ", element("code", {}, command)),
    table,
  );
}
