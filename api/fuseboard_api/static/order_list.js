// What an operator can order, in which state, and what it does to the workers.

const enable = {
  name: "enable",
  label: "Enable",
  title: (name) => `Enable ${name}?`,
  effect: "Workers may call it again within two seconds.",
  path: (id) => `/api/llm/providers/${id}/enable`,
  body: () => ({ enabled: true }),
};
const disable = {
  name: "disable",
  label: "Disable",
  isGrave: true,
  title: (name) => `Disable ${name}?`,
  effect: "Within two seconds workers stop calling it, until it is enabled again. Calls under way go on.",
  path: (id) => `/api/llm/providers/${id}/enable`,
  body: () => ({ enabled: false }),
};
const forceOpen = makeCircuitOrder("force-open", "Force open", {
  isGrave: true,
  hasEnd: true,
  title: (name) => `Force the circuit of ${name} open?`,
  effect: "Within two seconds no call gets through, whatever its health is, until this is cleared or ends by itself.",
});
const clear = makeCircuitOrder("clear", "Clear override", {
  title: (name) => `Clear the override of ${name}?`,
  effect: "The circuit goes back to what it was before, and decides by itself again.",
});
const reset = makeCircuitOrder("reset", "Reset", {
  title: (name) => `Reset the circuit of ${name}?`,
  effect: "The circuit closes as if new: all workers may call at once.",
});
const resetThrottle = makeCircuitOrder("reset-throttle", "Reset", {
  title: (name) => `Call ${name} again before the time it asked for?`,
  effect: "Forgets that the provider asked to be left alone. It may refuse again.",
});

export function listOrders(look, circuit) {
  if (look === "disabled") return [enable];
  if (circuit?.override) return [clear, disable];
  if (look === "open" || look === "half_open") return [reset, forceOpen, disable];
  if (look === "throttled") return [resetThrottle, forceOpen, disable];
  return [forceOpen, disable];
}

function makeCircuitOrder(name, label, rest) {
  return {
    name,
    label,
    needsReason: true,
    path: (id) => `/api/llm/circuits/${id}/${name}`,
    body: (reason, until) => (until === null ? { reason } : { reason, until }),
    ...rest,
  };
}
