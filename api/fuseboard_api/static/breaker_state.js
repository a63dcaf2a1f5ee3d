// What a provider and its circuit are, in one word and one sentence.

import { formatAgo, formatDuration, formatNumber, formatWords } from "./format.js";

const WORDS = {
  closed: "Closed",
  bypassed: "Never trips",
  throttled: "Throttled",
  half_open: "Half-open",
  open: "Open",
  forced_open: "Forced open",
  disabled: "Disabled",
};
const REASONS = {
  consecutive: "failures in a row", fatal: "refusals of our key", probe_failed: "a probe that failed", slow_rate: "slow calls",
  open_until_passed: "its time was over", probes_succeeded: "good probes",
};

export function readLook(provider, circuit) {
  const state = circuit?.state ?? provider.circuit_state;
  if (!(circuit?.enabled ?? provider.enabled)) return "disabled";
  if (state === "open" || state === "forced_open") return state;
  if (circuit?.is_throttled ?? provider.is_throttled) return "throttled";
  if (state === "half_open") return state;
  return state === "disabled" ? "bypassed" : "closed";
}

export function nameReason(reason) {
  return REASONS[reason] ?? formatWords(reason);
}

export function nameLook(look) {
  return WORDS[look];
}

// A sentence, and the time that goes on after it.
export function describe(look, circuit, provider, nowMs) {
  const left = (text, until) => [text, formatDuration((Date.parse(until) - nowMs) / 1000)];
  switch (look) {
    case "disabled":
      return [provider.is_called_though_disabled ? describeCalled(provider, nowMs) : "Gets no calls until it is enabled."];
    case "open":
      return circuit?.next_probe_at ? left("Gets no calls. Probe in", circuit.next_probe_at) : ["Gets no calls."];
    case "half_open":
      return ["Lets probes through."];
    case "throttled":
      return circuit?.throttle_until ? left("Asked to be left alone for", circuit.throttle_until) : ["Asked to be left alone."];
    case "forced_open":
      return circuit?.override_until ? left("No calls for", circuit.override_until) : ["No calls until it is cleared."];
    case "bypassed":
      return circuit?.override_until ? left("Lets all calls through for", circuit.override_until) : ["Lets all calls through."];
    default:
      return [provider.status === "degraded" ? "Lets calls through, but many fail." : "Lets calls through."];
  }
}

// Disabled, and called all the same: past the router, or by workers that do not read circuits.
function describeCalled(provider, nowMs) {
  const calledAt = [provider.last_success_at, provider.last_failure_at].filter(Boolean).sort((one, other) => Date.parse(one) - Date.parse(other)).at(-1);
  const why = provider.registered_by === "event" ? "Nobody has enabled it" : "Routers do not choose it";
  return `${why}, yet it is called: ${formatAgo(calledAt, nowMs)}.`;
}

// How the probes of a half-open circuit are; without Redis it is not known how many are out.
export function describeProbes(look, circuit) {
  if (look !== "half_open" || !circuit?.probes_allowed) return [];
  const { probes_out: out, probes_allowed: allowed, good_probes: good, good_probes_needed: needed } = circuit;
  const places = out === null ? `At most ${formatNumber(allowed, "probe")} at a time` : `${out} of ${formatNumber(allowed, "probe")} out`;
  return [places, `${good} good; ${needed} close it`];
}

// Who or what brought it there: an operator by name, or the rule that tripped.
export function explain(circuit) {
  if (!circuit?.reason || circuit.state === "closed") return "";
  const said = [circuit.note ?? circuit.override_reason, circuit.actor].filter(Boolean).join(", ");
  return said === "" ? `Opened by ${nameReason(circuit.reason)}` : said;
}

export function describeError(provider, circuit, nowMs) {
  const error = circuit?.last_error_type ?? provider.last_error_type;
  const failedAt = circuit?.last_failure_at ?? provider.last_failure_at;
  return failedAt ? `${formatAgo(failedAt, nowMs)}: ${formatWords(error ?? "unknown")}` : "none";
}
