// The row of breakers, one per provider. Cards stay and are changed in place: focus and screen readers follow them.

import { drawBreaker } from "./breaker_drawing.js";
import { describe, explain, nameLook, readFigures, readLook } from "./breaker_state.js";
import { button, element, setAttribute, setText, show } from "./dom.js";
import { formatAgo, formatWords } from "./format.js";
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
  }

  listNames() {
    return this.providers.map((provider) => provider.name);
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
    const names = new Set(this.providers.map((provider) => provider.name));
    for (const [name, card] of this.cards) {
      if (!names.has(name)) {
        card.root.remove();
        this.cards.delete(name);
      }
    }
    this.providers.forEach((provider, position) => {
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
      sentence: part("p", { class: "sentence" }),
      cause: part("p", { class: "cause" }),
      success: part("dd"),
      p95: part("dd"),
      average: part("dd"),
      error: part("dd"),
      buttons: part("div", { class: "buttons" }),
    };
    card.root = element(
      "li",
      { class: "card", "data-provider": name },
      element("div", { class: "card-head" }, card.title, card.kind),
      card.picture,
      element("div", { class: "card-state" }, card.word, card.sentence, card.cause),
      element(
        "dl",
        { class: "figures" },
        element("div", {}, element("dt", {}, "Success, 10 min"), card.success),
        element("div", {}, element("dt", {}, "p95"), card.p95),
        element("div", {}, element("dt", {}, "Average"), card.average),
        element("div", { class: "wide" }, element("dt", {}, "Last error"), card.error),
      ),
      card.buttons,
    );
    this.cards.set(name, card);
    return card;
  }

  drawCard(card, provider, circuit, nowMs) {
    const look = readLook(provider, circuit);
    this.drawLook(card, provider, look);
    setText(card.title, provider.display_name);
    setText(card.kind, provider.provider_type);
    setText(card.sentence, describe(look, circuit, provider, nowMs));
    setText(card.cause, explain(circuit));
    show(card.cause, card.cause.textContent !== "");
    const figures = readFigures(provider);
    setText(card.success, figures.success);
    setText(card.p95, figures.p95);
    setText(card.average, figures.average);
    setText(card.error, readLastError(provider, circuit, nowMs));
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
    if (card.orders === wanted && card.buttons.childElementCount > 0) return;
    const hadFocus = card.buttons.contains(document.activeElement);
    card.orders = wanted;
    const name = provider.display_name;
    card.buttons.replaceChildren(
      ...orders.map((order) =>
        button(order.label, () => this.askOrder(order, this.find(provider.name)), {
          "aria-label": `${order.label}: ${name}`, "data-order": order.name, class: order.isGrave ? "grave" : null,
        }),
      ),
      button("History", () => this.askHistory(this.find(provider.name)), {
        "aria-label": `History: ${name}`, "data-order": "history", class: "quiet",
      }),
    );
    if (hadFocus) card.buttons.firstElementChild.focus();
  }

  find(name) {
    return this.providers.find((provider) => provider.name === name);
  }
}

function readLastError(provider, circuit, nowMs) {
  const error = circuit?.last_error_type ?? provider.last_error_type;
  const failedAt = circuit?.last_failure_at ?? provider.last_failure_at;
  return failedAt ? `${formatWords(error ?? "unknown")}, ${formatAgo(failedAt, nowMs)}` : "none";
}
