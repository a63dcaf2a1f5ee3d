// Says when to look again: at once when the server tells of a change, and by the clock when it cannot.

import { parse } from "./api.js";

const POLL_MS = 5000;
const RETRY_MS = 10000;

export class Live {
  // onCircuits(rows), onHealth(row), onMode("live" | "polling"), onPoll()
  constructor(handlers) {
    this.handlers = handlers;
    this.source = null;
    this.timer = null;
    this.retry = null;
  }

  start() {
    this.stop();
    this.connect();
    // what the events do not carry, and everything while there are none
    this.timer = setInterval(() => this.handlers.onPoll(), POLL_MS);
  }

  stop() {
    this.source?.close();
    this.source = null;
    clearInterval(this.timer);
    clearTimeout(this.retry);
  }

  connect() {
    this.source = new EventSource("/api/llm/events");
    this.source.addEventListener("open", () => this.handlers.onMode("live"));
    this.source.addEventListener("circuits", (event) => this.handlers.onCircuits(parse(event.data).circuits));
    this.source.addEventListener("health", (event) => this.handlers.onHealth(parse(event.data)));
    this.source.addEventListener("error", () => {
      this.handlers.onMode("polling");
      // closed for good by an answer that is no stream: too many look on, or a server that starts
      if (this.source?.readyState === EventSource.CLOSED) {
        clearTimeout(this.retry);
        this.retry = setTimeout(() => this.connect(), RETRY_MS);
      }
    });
  }
}
