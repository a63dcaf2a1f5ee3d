// What somebody has to do something about: requests that are in no cost figure, and events that were not understood.

import { element, makeScroller, makeTable, redraw, show } from "./dom.js";
import { formatCount, formatDay, formatMoment, formatNumber, formatWords } from "./format.js";

const find = (id) => document.getElementById(id);
const ROWS = 5;
const TEXT_MAX = 160;
const UNPRICED_COLUMNS = [
  { title: "Provider", read: (row) => row.provider },
  { title: "Model", read: (row) => row.model ?? "not said" },
  { title: "Requests", isNumber: true, read: (row) => formatCount(row.unpriced_requests) },
  { title: "Last day", isTime: true, read: (row) => formatDay(row.last_day) },
];
const REJECTED_COLUMNS = [
  { title: "Id", isNumber: true, read: (row) => String(row.rejected_id) },
  { title: "Received", isTime: true, read: (row) => formatMoment(row.received_at) },
  { title: "Why", read: (row) => clamp("span", [formatWords(row.reason), row.detail].filter(Boolean).join(": ")) },
  { title: "What it was", read: (row) => clamp("code", row.raw_text) },
];

export function drawToDo({ unpriced, rejected, rejectedCount }) {
  const parts = [];
  if (unpriced.length > 0) {
    const requests = unpriced.reduce((sum, row) => sum + row.unpriced_requests, 0);
    parts.push(makePart(
      `${formatNumber(requests, "request")} without a price`,
      "They are in no cost figure. Put amounts per million tokens for USD; reprice says what else is missing:",
      [...unpriced.slice(0, ROWS).map((row) => row.set_price_command), "fuseboard prices reprice"],
      makeScroller("Models without a price", makeTable("Models without a price", UNPRICED_COLUMNS, unpriced.slice(0, ROWS))),
      makeRest(unpriced.length - ROWS, "model", "fuseboard prices reprice --dry-run"),
    ));
  }
  if (rejectedCount > 0) {
    parts.push(makePart(
      `${formatNumber(rejectedCount, "event")} rejected`,
      "They are kept with the reason. Store them once that is mended, mend one, or close what is not worth it:",
      ["fuseboard rejected replay --all", ...rejected.slice(0, 1).flatMap(({ rejected_id: id }) => [`fuseboard rejected edit ${id}`, `fuseboard rejected dismiss ${id}`])],
      rejected.length === 0 ? null : makeScroller("Rejected events", makeTable("Rejected events, newest first", REJECTED_COLUMNS, rejected.slice(0, ROWS))),
      makeRest(rejectedCount - ROWS, "event", "fuseboard rejected list"),
    ));
  }
  show(find("to-do"), parts.length > 0);
  redraw(find("to-do-list"), ...parts);
}

function clamp(kind, text) {
  return element(kind, { class: "two-lines" }, text.length > TEXT_MAX ? `${text.slice(0, TEXT_MAX)} …` : text);
}

function makeRest(count, thing, command) {
  return count > 0 ? element("p", { class: "help" }, `${formatNumber(count, `more ${thing}`)}: `, element("code", {}, command)) : null;
}

// An option that is broken at its hyphens cannot be read.
function splitCommand(command, position) {
  const words = command.split(" ").flatMap((word) => [" ", element("span", { class: "whole" }, word)]);
  return [position === 0 ? "" : "\n", ...words.slice(1)];
}

function makePart(title, advice, commands, table, rest) {
  return element(
    "div",
    { class: "panel" },
    element("h3", {}, title),
    element("p", {}, advice),
    element("pre", { class: "commands" }, element("code", {}, ...commands.flatMap(splitCommand))),
    table,
    rest,
  );
}
