// The board: reads its parts from the server, draws them, and keeps them current while somebody looks.

import { get, readServerMs } from "./api.js";
import { Breakers } from "./breakers.js";
import { Contact } from "./contact.js";
import { askOrder, showHistory } from "./dialogs.js";
import { element, setText, show } from "./dom.js";
import { drawFailures, drawFlows } from "./flows.js";
import { formatNumber, formatPercent } from "./format.js";
import { Live } from "./live.js";
import { drawCosts, drawToday } from "./money.js";
import { drawToDo } from "./todo.js";
import { MEASURES, drawTrends } from "./trends.js";

const TICK_MS = 1000;
const TOGETHER_MS = 300;
const SLOW_EVERY_POLLS = 2;
const HOURS = 48;
const DAYS_MIN = 7;
const FAILURES = 12;
const FAILED = ["error", "timeout", "rate_limited"];
const REJECTED = 5;
const STATUS_WORDS = { ok: "All is well", degraded: "Degraded", down: "Down: no provider is available", no_data: "No data yet" };

const find = (id) => document.getElementById(id);

export class Board {
  // onSessionOver()
  constructor({ onSessionOver }) {
    this.onSessionOver = onSessionOver;
    this.contact = new Contact(find("contact"), find("trouble"));
    this.breakers = new Breakers(find("breakers"), {
      askOrder: async (order, provider) => (await askOrder(order, provider)) && this.readBreakers(),
      askHistory: showHistory,
      announce: (text) => setText(find("announcements"), text),
    });
    this.live = new Live({
      onCircuits: (circuits) => this.changeCircuits(circuits),
      onHealth: (health) => this.drawHealth(health),
      onMode: (mode) => this.contact.setMode(mode),
      onPoll: () => this.poll(),
    });
    this.isRunning = false;
    this.polls = 0;
    this.toDo = { unpriced: [], rejected: [], rejectedCount: 0, unpricedCount: 0 };
    this.listenToChoices();
  }

  start() {
    this.stop();
    this.isRunning = true;
    this.contact.forget();
    this.live.start();
    this.ticker = setInterval(() => this.breakers.draw(readServerMs()), TICK_MS);
    this.readBreakers().then(() => this.readSlow());
  }

  stop() {
    this.isRunning = false;
    this.live.stop();
    clearInterval(this.ticker);
    clearTimeout(this.soon);
    this.soon = null;
  }

  listenToChoices() {
    find("unused-show").addEventListener("click", () => {
      this.breakers.showUnused();
      this.drawBreakers();
      find("breakers").querySelector("button")?.focus();
    });
    find("measure").append(...Object.entries(MEASURES).map(([value, { label }]) => element("option", { value }, label)));
    find("period").addEventListener("change", () => {
      this.readMoney();
      this.readTrends();
    });
    find("grain").addEventListener("change", () => this.readTrends());
    find("measure").addEventListener("change", () => this.readTrends());
  }

  poll() {
    this.polls += 1;
    this.readBreakers();
    if (this.polls % SLOW_EVERY_POLLS === 0) this.readSlow();
  }

  // What cannot be read now leaves what was read before.
  async read(path, parameters = {}, use = () => {}) {
    if (!this.isRunning) return null;
    const question = `${path} ${parameters.status ?? ""}`;
    try {
      const found = await get(path, parameters);
      if (!this.isRunning) return null;
      use(found);
      this.contact.noteAnswer(question);
      return found;
    } catch (error) {
      if (error.status === undefined) throw error;
      if (!this.isRunning) return null;
      if (error.status === 401) this.onSessionOver();
      else this.contact.noteTrouble(question, error);
      return null;
    }
  }

  readBreakers() {
    this.read("/api/llm/health", {}, (health) => this.drawHealth(health));
    this.read("/api/llm/circuits", {}, (found) => this.breakers.setCircuits(found.circuits));
    return this.readProviders();
  }

  readProviders() {
    return this.read("/api/llm/providers", {}, (found) => {
      this.breakers.setProviders(found.providers);
      this.drawBreakers();
      show(find("no-providers"), found.providers.length === 0);
    });
  }

  drawBreakers() {
    this.breakers.draw(readServerMs());
    const unused = this.breakers.listUnused();
    show(find("unused"), unused.length > 0);
    const more = this.breakers.cards.size > 0 ? " more" : "";
    setText(find("unused-names"), `${unused.length}${more} registered, not in use yet: ${unused.map((provider) => provider.display_name).join(", ")}.`);
  }

  // Many circuits may change at once: they are one look.
  changeCircuits(circuits) {
    this.breakers.setCircuits(circuits);
    this.breakers.draw(readServerMs());
    this.soon ??= setTimeout(() => {
      this.soon = null;
      this.readProviders();
    }, TOGETHER_MS);
  }

  readSlow() {
    this.readMoney();
    this.readTrends();
    this.readFailures();
    this.readToDo();
  }

  readMoney() {
    const days = Number(find("period").value);
    const isStill = () => days === Number(find("period").value);
    for (const place of document.querySelectorAll(".period-name")) setText(place, days === 1 ? "today" : `${days} days`);
    this.read("/api/llm/costs", { days }, (costs) => isStill() && drawCosts(costs, days));
    this.read("/api/llm/fallbacks", { days }, (found) => isStill() && drawFlows(find("flows"), found.fallbacks));
  }

  readTrends() {
    const grain = find("grain").value;
    const isHourly = grain === "hour";
    const slots = isHourly ? HOURS : Math.max(DAYS_MIN, Number(find("period").value));
    const [path, parameters] = isHourly ? ["/api/llm/trends/hourly", { hours: slots }] : ["/api/llm/trends", { days: slots }];
    this.read(path, parameters, (found) => {
      if (grain !== find("grain").value) return;
      const order = this.breakers.listNames();
      drawTrends(find("trends"), found.trends, { grain, measure: find("measure").value, slots, nowMs: readServerMs(), order });
    });
  }

  async readFailures() {
    const found = await this.read("/api/llm/requests", { status: FAILED, limit: FAILURES });
    if (found) drawFailures(find("failures"), found.requests.sort((one, other) => (one.occurred_at < other.occurred_at ? 1 : -1)));
  }

  // Counts are shown with the list they belong to: the commands beside them name what is still there.
  async readToDo(counts = {}) {
    const [unpriced, rejected] = await Promise.all([
      this.read("/api/llm/unpriced"),
      this.read("/api/llm/rejected", { limit: REJECTED }),
    ]);
    if (unpriced && rejected) this.drawToDo({ ...counts, unpriced: unpriced.unpriced, rejected: rejected.rejected });
  }

  // The list and the count come from two answers, in either order.
  drawToDo(news) {
    this.toDo = { ...this.toDo, ...news };
    drawToDo(this.toDo);
  }

  drawHealth(health) {
    // what somebody has just dealt with goes at once
    const counts = { rejectedCount: health.rejected_events, unpricedCount: health.unpriced_requests };
    if (Object.entries(counts).some(([name, count]) => this.toDo[name] !== count)) this.readToDo(counts);
    drawToday(health);
    const rate = `${formatNumber(health.requests, "request")} in 10 min, ${formatPercent(health.success_rate)} succeeded`;
    find("overall").dataset.status = health.status;
    setText(find("overall"), STATUS_WORDS[health.status] ?? health.status);
    setText(find("recent"), health.requests > 0 ? rate : "");
    show(find("first-steps"), health.status === "no_data");
    document.title = health.open_circuits > 0 ? `(${health.open_circuits} open) Fuseboard` : "Fuseboard";
  }
}
