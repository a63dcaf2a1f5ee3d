// The row of breakers, one per provider. Cards stay and are changed in place: focus and screen readers follow them.

import { drawBreaker, drawPlaces } from "./breaker_drawing.js";
import { describe, describeError, describeProbes, explain, nameLook, readLook } from "./breaker_state.js";
import { button, element, redraw, setAttribute, setText } from "./dom.js";
import { formatMs, formatPercent } from "./format.js";
import { listOrders } from "./order_list.js";

export class Breakers {
  // askOrder(order, provider), askHistory(provider), announce(text)
  constructor(place, { askOrder, askHistory, announce }) {
    this.place = place;
    this.askOrder = askOrder;
    this.askHistory = askHistory;
    this.announce = announce;
    this.cards = new Map();
    this.providers = [];
    this.circuits = new Map();
    this.mayOrder = true;
    this.showsUnused = false;
  }

  // In order of choice: name to name on the card.
  listNames() {
    return new Map(this.providers.map((provider) => [provider.name, provider.display_name]));
  }

  // Those that came with the installation and that nobody has called or changed.
  listUnused() {
    return this.showsUnused ? [] : this.providers.filter((provider) => !provider.is_in_use);
  }

  showUnused() {
    this.showsUnused = true;
  }

  setProviders(providers) {
    this.providers = providers;
  }

  setCircuits(circuits) {
    this.circuits = new Map(circuits.map((circuit) => [circuit.provider, circuit]));
  }

  setMayOrder(mayOrder) {
    this.mayOrder = mayOrder;
  }

  draw(nowMs) {
    const shown = this.providers.filter((provider) => this.showsUnused || provider.is_in_use);
    const names = new Set(shown.map((provider) => provider.name));
    for (const [name, card] of this.cards) {
      if (!names.has(name)) {
        card.root.remove();
        this.cards.delete(name);
      }
    }
    shown.forEach((provider, position) => {
      const card = this.cards.get(provider.name) ?? this.addCard(provider.name);
      if (this.place.children[position] !== card.root) this.place.insertBefore(card.root, this.place.children[position]);
      this.drawCard(card, provider, this.circuits.get(provider.name), nowMs);
    });
  }

  addCard(name) {
    const part = (kind, attributes = {}) => element(kind, attributes);
    const card = {
      look: null,
      orders: "",
      picture: part("div", { class: "picture" }),
      title: part("h3"),
      kind: part("span", { class: "kind" }),
      word: part("p", { class: "word" }),
      sentence: part("span"),
      time: part("strong", { class: "time" }),
      probes: part("p", { class: "probes" }),
      cause: part("p", { class: "cause" }),
      success: part("dd"),
      p95: part("dd"),
      error: part("dd"),
      history: button("History", () => this.askHistory(this.find(name)), { "data-order": "history", class: "quiet" }),
      buttons: part("div", { class: "buttons" }),
    };
    card.root = element(
      "li",
      { class: "card", "data-provider": name },
      element("div", { class: "card-head" }, card.title, card.kind),
      element(
        "div",
        { class: "mount" },
        card.picture,
        element("div", { class: "plate" }, card.word, element("p", {}, card.sentence, card.time), card.probes, card.cause),
      ),
      element(
        "div",
        { class: "facts" },
        element(
          "dl",
          { class: "figures" },
          element("div", {}, element("dt", {}, "Success, 10 min"), card.success),
          element("div", {}, element("dt", {}, "p95"), card.p95),
          element("div", { class: "wide" }, element("dt", {}, "Last error"), card.error),
        ),
        card.history,
      ),
      card.buttons,
    );
    this.cards.set(name, card);
    return card;
  }

  drawCard(card, provider, circuit, nowMs) {
    const look = readLook(provider, circuit);
    this.drawLook(card, provider, look);
    setAttribute(card.root, "data-called", String(look === "disabled" && provider.is_called_though_disabled));
    setText(card.title, provider.display_name);
    setAttribute(card.title, "title", provider.display_name);
    setText(card.kind, provider.provider_type);
    const [sentence, time] = describe(look, circuit, provider, nowMs);
    setText(card.sentence, time ? `${sentence} ` : sentence);
    setText(card.time, time ? `${time}.` : "");
    drawProbes(card.probes, describeProbes(look, circuit), circuit);
    setText(card.cause, explain(circuit));
    setText(card.success, formatPercent(provider.rolling_success_rate));
    setText(card.p95, formatMs(provider.p95_response_time_ms));
    setText(card.error, describeError(provider, circuit, nowMs));
    setAttribute(card.history, "aria-label", `History: ${provider.display_name}`);
    this.drawButtons(card, provider, circuit, look);
  }

  drawLook(card, provider, look) {
    if (card.look === look) return;
    if (card.look !== null) this.announce(`${provider.display_name}: ${nameLook(look)}`);
    card.look = look;
    setAttribute(card.root, "data-look", look);
    setText(card.word, nameLook(look));
    card.picture.replaceChildren(drawBreaker(look));
  }

  drawButtons(card, provider, circuit, look) {
    const orders = this.mayOrder ? listOrders(look, circuit) : [];
    const wanted = orders.map((order) => order.name).join(" ");
    if (card.orders === wanted) return;
    const hadFocus = card.buttons.contains(document.activeElement);
    card.orders = wanted;
    const name = provider.display_name;
    card.buttons.replaceChildren(
      ...orders.map((order) =>
        button(order.label, () => this.askOrder(order, this.find(provider.name)), {
          "aria-label": `${order.label}: ${name}`, "data-order": order.name, class: order.isGrave ? "grave" : null,
        }),
      ),
    );
    if (hadFocus) (card.buttons.firstElementChild ?? card.history).focus();
  }

  find(name) {
    return this.providers.find((provider) => provider.name === name);
  }
}

function drawProbes(place, texts, circuit) {
  const parts = texts.map((text, position) => element("span", {}, position === 0 ? drawPlaces(circuit) : null, text));
  redraw(place, ...parts);
}
