// A breaker as it hangs in a fuse board. What it says is said by the lever's place, by the sign on it and by the word
// beside it; colour only repeats that.

import { drawing } from "./dom.js";

// lever: where it stands; sign: what is drawn on it
export const LOOKS = {
  closed: { lever: "up", sign: "line" },
  bypassed: { lever: "up", sign: "bridge" },
  throttled: { lever: "up", sign: "pause" },
  half_open: { lever: "middle", sign: "half" },
  open: { lever: "down", sign: "ring" },
  forced_open: { lever: "down", sign: "lock" },
  disabled: { lever: "down", sign: "cross" },
};

const PROBES_DRAWN = 5;
const LEVER_Y = { up: 16, middle: 37, down: 58 };

const SIGNS = {
  line: () => [drawing("path", { d: "M0 -7V7" })],
  ring: () => [drawing("circle", { r: 6 })],
  half: () => [drawing("circle", { r: 6 }), drawing("path", { d: "M0 -6A6 6 0 0 1 0 6Z", class: "filled" })],
  pause: () => [drawing("path", { d: "M-4 -6V6M4 -6V6" })],
  cross: () => [drawing("path", { d: "M-5 -5L5 5M5 -5L-5 5" })],
  lock: () => [
    drawing("rect", { x: -6, y: -1, width: 12, height: 8, rx: 1.5, class: "filled" }),
    drawing("path", { d: "M-3.5 -1V-4A3.5 3.5 0 0 1 3.5 -4V-1" }),
  ],
  bridge: () => [drawing("path", { d: "M-7 4H-4A4 5 0 0 1 4 4H7" })],
};

export function drawBreaker(look) {
  const { lever, sign } = LOOKS[look];
  const y = LEVER_Y[lever];
  return drawing(
    "svg",
    { class: "breaker-drawing", viewBox: "0 0 64 112", "aria-hidden": "true", focusable: "false" },
    drawing("path", { d: "M32 0V10M32 102V112", class: "wire" }),
    drawing("rect", { x: 6, y: 6, width: 52, height: 100, rx: 6, class: "case" }),
    drawing("circle", { cx: 32, cy: 14, r: 3, class: "screw" }),
    drawing("circle", { cx: 32, cy: 98, r: 3, class: "screw" }),
    drawing("rect", { x: 17, y: 22, width: 30, height: 68, rx: 4, class: "slot" }),
    drawing("rect", { x: 14, y: y + 8, width: 36, height: 28, rx: 4, class: "lever" }),
    drawing("g", { transform: `translate(32 ${y + 22})`, class: "sign" }, ...SIGNS[sign]()),
  );
}

// A place for each probe that may be out, filled where one is.
export function drawPlaces({ probes_out: out, probes_allowed: allowed }) {
  const shown = Math.min(allowed, PROBES_DRAWN);
  const places = Array.from({ length: shown }, (_, place) =>
    drawing("circle", { cx: 5 + 11 * place, cy: 6, r: 4, class: place < (out ?? 0) ? "filled" : null }),
  );
  return drawing("svg", { class: "places", viewBox: `0 0 ${11 * shown} 12`, width: 11 * shown, height: 12, "aria-hidden": "true" }, ...places);
}
