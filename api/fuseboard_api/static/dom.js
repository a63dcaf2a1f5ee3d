// Makes elements. Text only ever becomes text, so nothing that a worker recorded can become markup.

const SVG = "http://www.w3.org/2000/svg";

export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

export function drawing(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

export function show(node, isShown) {
  node.hidden = !isShown;
}

// Touches the page only where something is new, so that focus stays and screen readers are not told again.
export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

export function setAttribute(node, name, value) {
  if (node.getAttribute(name) !== value) node.setAttribute(name, value);
}

// Puts in new content where it differs; focus and how far somebody has scrolled stay.
export function redraw(place, ...children) {
  const old = [...place.childNodes];
  if (old.length === children.length && children.every((child, position) => child.isEqualNode(old[position]))) return;
  const list = () => [...place.querySelectorAll(".scroller, summary")];
  const kept = list().map((node) => [node === document.activeElement, node.scrollLeft, node.scrollTop]);
  place.replaceChildren(...children);
  list().forEach((node, position) => {
    const [hadFocus, left, top] = kept[position] ?? [false, 0, 0];
    node.scrollTo(left, top);
    if (hadFocus) node.focus({ preventScroll: true });
  });
}

export function button(text, onClick, attributes = {}) {
  const made = element("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", onClick);
  return made;
}

// `columns`: [{title, isNumber, isTime, read: row => text or node}]
export function makeTable(caption, columns, rows) {
  const mark = ({ isNumber, isTime }) => ({ class: isNumber ? "number" : isTime ? "time-of" : null });
  const head = columns.map((column) => element("th", { scope: "col", ...mark(column) }, column.title));
  const body = rows.map((row) =>
    element("tr", {}, ...columns.map((column) => element("td", mark(column), column.read(row)))),
  );
  return element(
    "table",
    {},
    element("caption", { class: "unseen" }, caption),
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...body),
  );
}

// Wide tables scroll in a box of their own, which the keyboard can reach.
export function makeScroller(label, ...children) {
  return element("div", { class: "scroller", role: "group", "aria-label": label, tabindex: "0" }, ...children);
}

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined).map(toNode));
  return node;
}

function toNode(child) {
  return child instanceof Node ? child : document.createTextNode(String(child));
}
