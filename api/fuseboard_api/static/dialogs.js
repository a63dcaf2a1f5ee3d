// Asks before an order is given, and shows a circuit's history. The browser's own dialog keeps focus inside and gives it
// back.

import { get, post, readServerMs } from "./api.js";
import { nameReason } from "./breaker_state.js";
import { button, element, makeScroller, makeTable, setText } from "./dom.js";
import { formatDuration, formatMoment, formatWords } from "./format.js";

const ENDS = [["", "until I clear it"], ["900", "for 15 minutes"], ["3600", "for an hour"], ["28800", "for 8 hours"]];
const HISTORY_ROWS = 50;

// Resolves to true once the order was carried out.
export function askOrder(order, provider) {
  return new Promise((resolve) => {
    const reason = element("input", { id: "order-reason", name: "reason", required: true, maxlength: 500, autocomplete: "off" });
    const end = element("select", { id: "order-end" }, ...ENDS.map(([value, text]) => element("option", { value }, text)));
    const wrong = element("p", { class: "wrong", role: "alert" });
    const confirm = element("button", { type: "submit", class: order.isGrave ? "grave" : "main" }, order.label);
    const form = element(
      "form",
      { method: "dialog" },
      element("p", {}, order.effect),
      order.needsReason ? element("div", { class: "field" }, element("label", { for: "order-reason" }, "Reason, for the history"), reason) : null,
      order.hasEnd ? element("div", { class: "field" }, element("label", { for: "order-end" }, "How long"), end) : null,
      wrong,
      element("div", { class: "buttons" }, confirm, button("Cancel", () => dialog.close())),
    );
    const dialog = makeDialog(order.title(provider.display_name), form);
    let isDone = false;
    dialog.addEventListener("close", () => resolve(isDone));
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      confirm.disabled = true;
      try {
        await post(order.path(encodeURIComponent(provider.name)), order.body(reason.value.trim(), readEnd(end)));
        isDone = true;
        dialog.close();
      } catch (error) {
        setText(wrong, error.message);
        confirm.disabled = false;
      }
    });
    openDialog(dialog);
  });
}

export async function showHistory(provider) {
  const body = element("div", { role: "status" }, "Reading …");
  const dialog = makeDialog(`History of ${provider.display_name}`, body, button("Close", () => dialog.close()));
  dialog.classList.add("wide");
  openDialog(dialog);
  try {
    const found = await get(`/api/llm/circuits/${encodeURIComponent(provider.name)}/history`, { limit: HISTORY_ROWS });
    const rows = found.history;
    body.replaceChildren(rows.length === 0 ? "The circuit has never changed." : makeScroller("History", makeTable("States", HISTORY_COLUMNS, rows)));
  } catch (error) {
    setText(body, error.message);
  }
}

const HISTORY_COLUMNS = [
  { title: "Time", isTime: true, read: (row) => formatMoment(row.occurred_at) },
  { title: "State", read: (row) => formatWords(row.to_state) },
  { title: "Lasted", read: (row) => (row.lasted_seconds === null ? "until now" : formatDuration(row.lasted_seconds)) },
  { title: "Why", read: (row) => [nameReason(row.reason), row.note].filter(Boolean).join(": ") },
  { title: "Calls, bad", read: (row) => (row.calls === null ? "" : `${row.calls}, ${row.bad}`) },
  { title: "By", read: (row) => row.actor ?? "" },
];

function readEnd(select) {
  return select.value === "" ? null : new Date(readServerMs() + 1000 * Number(select.value)).toISOString();
}

function makeDialog(title, ...children) {
  return element("dialog", { "aria-labelledby": "dialog-title" }, element("h2", { id: "dialog-title" }, title), ...children);
}

function openDialog(dialog) {
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}
