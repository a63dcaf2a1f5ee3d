// What a provider and its circuit are, in one word and one sentence.

import { formatDuration, formatMs, formatPercent, formatWords } from "./format.js";

const WORDS = {
  closed: "Closed",
  bypassed: "Never trips",
  throttled: "Throttled",
  half_open: "Half-open",
  open: "Open",
  forced_open: "Forced open",
  disabled: "Disabled",
};

export function readLook(provider, circuit) {
  const state = circuit?.state ?? provider.circuit_state;
  if (!(circuit?.enabled ?? provider.enabled)) return "disabled";
  if (state === "open" || state === "forced_open") return state;
  if (circuit?.is_throttled ?? provider.is_throttled) return "throttled";
  if (state === "half_open") return state;
  return state === "disabled" ? "bypassed" : "closed";
}

export function nameLook(look) {
  return WORDS[look];
}

export function describe(look, circuit, provider, nowMs) {
  const left = (time) => formatDuration((Date.parse(time) - nowMs) / 1000);
  switch (look) {
    case "disabled":
      return "Gets no calls until it is enabled.";
    case "open":
      return circuit?.next_probe_at ? `Gets no calls. Probe in ${left(circuit.next_probe_at)}.` : "Gets no calls.";
    case "half_open":
      return `Lets probes through, for ${formatDuration((nowMs - Date.parse(circuit?.since ?? nowMs)) / 1000)}.`;
    case "throttled":
      return circuit?.throttle_until ? `Asked to be left alone for ${left(circuit.throttle_until)}.` : "Asked to be left alone.";
    case "forced_open":
      return circuit?.override_until ? `No calls for ${left(circuit.override_until)}.` : "No calls until it is cleared.";
    case "bypassed":
      return circuit?.override_until ? `Lets all calls through for ${left(circuit.override_until)}.` : "Lets all calls through.";
    default:
      return provider.status === "degraded" ? "Lets calls through, but many fail." : "Lets calls through.";
  }
}

// Who or what brought it there: an operator by name, or the rule that tripped.
export function explain(circuit) {
  if (!circuit?.reason || circuit.state === "closed") return "";
  const said = [circuit.note ?? circuit.override_reason, circuit.actor].filter(Boolean).join(", ");
  return said === "" ? `Opened by: ${formatWords(circuit.reason)}` : said;
}

export function readFigures(provider) {
  return {
    success: formatPercent(provider.rolling_success_rate),
    p95: formatMs(provider.p95_response_time_ms),
    average: formatMs(provider.avg_response_time_ms),
  };
}
