"""Runs the spec_vectors of a file of breaker vectors through the real fold and controls, and the scripts in Redis."""

from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from circuit_redis import CircuitRedis

from fuseboard_consumer import circuit_controls
from fuseboard_consumer.circuit import find_released_leases, fold_events
from fuseboard_consumer.circuit_state import Circuit, CircuitEvent, find_effective_state
from fuseboard_consumer.circuit_window import EMPTY_WINDOW, Window
from fuseboard_schema.circuit_projection import Projected
from fuseboard_schema.circuit_settings import CircuitSettings, parse_circuit_settings
from fuseboard_schema.outcome import is_slow

if TYPE_CHECKING:
    from collections.abc import Callable

Json = dict[str, Any]
Figures = dict[str, object]

# what a file's cases mean where their config says nothing
DEFAULTS: Final[Json] = {"min_calls": 5, "jitter_ratio": 0}
ORDER: Final = circuit_controls.Order("operator", "a case")
CONTROLS: Final = {
    "forced_open": circuit_controls.force_open,
    "force_open": circuit_controls.force_open,
    "disabled": circuit_controls.disable_circuit,
    "disable": circuit_controls.disable_circuit,
    "clear": circuit_controls.clear_override,
    "cleared": circuit_controls.clear_override,
    "none": circuit_controls.clear_override,
    "reset": circuit_controls.reset_circuit,
    "reset_throttle": circuit_controls.reset_throttle,
}
EVENT_KEYS: Final = frozenset(
    {
        *("id", "t", "class", "epoch", "started", "worker", "admission"),
        *("retry_after_s", "duration_ms", "ttft_ms", "lease", "lease_id"),
    }
)
DEAD_AFTER_DEFAULT_SECONDS: Final = 10.0


class World:
    """One target: its row, its events, and its projection in Redis."""

    def __init__(self, config: Json) -> None:
        self._dead_after_seconds: float | None = None
        self._heartbeat_at: float | None = None
        own = {name: value for name, value in config.items() if not self._read_liveness(name, value, 0)}
        self._settings = parse_circuit_settings(DEFAULTS | own, "case")
        self._circuit = Circuit("case")
        self._window = EMPTY_WINDOW
        self._known_ids: set[str] = set()
        self._redis = CircuitRedis()
        self._published_at: float | None = None
        self._throttle_reset_revision = 0

    def run(self, step: Json) -> Figures:
        """Run one step and give the figures that it may expect."""
        for name, value in step.items():
            self._read_liveness(name, value, float(step["now"]))
        operations: dict[str, Callable[[Json, float], Figures]] = {
            "ingest": self._ingest,
            "publish": self._publish,
            "acquire": self._acquire,
            "release": self._release,
            "override": self._override,
            "redis_expired": self._lose_redis,
        }
        return operations[step["op"]](step, float(step["now"]))

    def _ingest(self, step: Json, now: float) -> Figures:
        new: dict[str, CircuitEvent] = {}
        for event in step["events"]:
            if event["id"] not in self._known_ids:
                new.setdefault(event["id"], make_event(event, self._settings))
        self._known_ids |= new.keys()
        folded = fold_events(self._circuit, self._window, new.values(), self._settings, now)
        self._circuit, self._window = folded.circuit, folded.window
        for epoch, lease_id in find_released_leases(new.values()):
            self._redis.release(lease_id, epoch)
        reasons = [transition.reason for transition in folded.transitions]
        return {"new": len(new), "reason": reasons[-1] if reasons else None, **self._show(now)}

    def _publish(self, step: Json, now: float) -> Figures:
        circuit = self._circuit
        row: Json = {
            "version": circuit.version,
            "state": circuit.state,
            "epoch": circuit.epoch,
            "until": circuit.open_until,
            "throttle_until": circuit.throttle_until,
            "override": circuit.override,
        }
        told = (
            row if step.get("as") is None else {"until": None, "throttle_until": None, "override": None, **step["as"]}
        )
        published = Projected(
            told["version"],
            told["state"],
            told["epoch"],
            told.get("open_until", told["until"]),
            told["throttle_until"],
            told["override"],
        )
        self._published_at = now
        return {"applied": self._redis.publish(published, self._settings, now, self._throttle_reset_revision)}

    def _acquire(self, step: Json, now: float) -> Figures:
        # a case that says nothing of a heartbeat or of its limit has consumers that are alive
        is_watched = self._heartbeat_at is not None or self._dead_after_seconds is not None
        heartbeat_at = self._published_at if self._heartbeat_at is None else self._heartbeat_at
        limit = self._dead_after_seconds
        grant = self._redis.acquire(
            step["lease"],
            now,
            DEAD_AFTER_DEFAULT_SECONDS if limit is None else limit,
            heartbeat_at if is_watched else None,
        )
        wait = grant.wait_seconds
        waits = {"wait_s": wait, "wait_ms": None if wait is None else wait * 1000}
        return {"admission": grant.admission, "reason": grant.reason, "epoch": grant.epoch, **waits}

    def _release(self, step: Json, _: float) -> Figures:
        return {"released": self._redis.release(step["lease"], step.get("epoch"))}

    def _override(self, step: Json, now: float) -> Figures:
        named = {name: value for name, value in step.items() if name not in {"op", "now", "expect", "until", "by"}}
        words = [str(value).lower() for value in named.values() if value is None or str(value).lower() in CONTROLS]
        (word,) = words
        order = ORDER._replace(until=step.get("until"))
        self._circuit, self._window, transition = CONTROLS[word](self._circuit, order, now)
        if transition.reason == "throttle_reset":
            self._throttle_reset_revision = transition.version
        return {"reason": transition.reason, **self._show(now)}

    def _lose_redis(self, _step: Json, _: float) -> Figures:
        self._redis.lose()
        return {}

    def close(self) -> None:
        """Leave nothing behind in a Redis that others use."""
        if self._published_at is not None:
            self._redis.lose()

    def _show(self, now: float) -> Figures:
        shown = {**self._circuit._asdict(), "state": find_effective_state(self._circuit, now)}
        return {**shown, "stored_state": self._circuit.state}

    def _read_liveness(self, name: str, value: object, now: float) -> bool:
        """Read what a case says of the heartbeat: when it was, how old it is, or from which age on it is dead."""
        if not isinstance(value, int | float):
            return False
        seconds = value / 1000 if name.endswith("_ms") else float(value)
        if "dead" in name:
            self._dead_after_seconds = seconds
        elif name.startswith(("hb", "heartbeat")):
            self._heartbeat_at = now - seconds if "age" in name else seconds
        else:
            return False
        return True


def make_event(event: Json, settings: CircuitSettings) -> CircuitEvent:
    """Make the event of a case; raises ValueError for a key that it does not know."""
    unknown = event.keys() - EVENT_KEYS
    if unknown:
        raise ValueError(f"event with unknown keys {sorted(unknown)}")
    duration, first_token = (_to_seconds(event.get(name)) for name in ("duration_ms", "ttft_ms"))
    return CircuitEvent(
        float(event["t"]),
        event["id"],
        event["class"],
        event.get("worker") or "",
        is_slow(duration, first_token, settings),
        event.get("epoch"),
        event.get("admission") or "normal",
        event.get("retry_after_s"),
        float(event["t"]) - (duration or 0) if event.get("started") is None else float(event["started"]),
        event.get("lease") or event.get("lease_id"),
    )


def find_all_ends(case: Json) -> list[tuple[str, int]]:
    """Find the state and version in which a case's events end, over every order of arrival."""
    settings = parse_circuit_settings(DEFAULTS | case["config"], "case")
    (step,) = case["steps"]
    now = float(step["now"])
    events = [make_event(event, settings) for event in step["events"]]
    # by the events that have arrived: what they may have led to
    reached: dict[frozenset[int], set[tuple[Circuit, Window]]] = {frozenset(): {(Circuit("case"), EMPTY_WINDOW)}}
    for _ in events:
        further: dict[frozenset[int], set[tuple[Circuit, Window]]] = {}
        for arrived, ends in reached.items():
            known_ids = {events[number].event_id for number in arrived}
            for number in set(range(len(events))) - arrived:
                new = [events[number]] if events[number].event_id not in known_ids else []
                after = {fold_events(*end, new, settings, now)[:2] for end in ends}
                further.setdefault(arrived | {number}, set()).update(after)
        reached = further
    (ends,) = reached.values()
    return sorted({(find_effective_state(circuit, now), circuit.version) for circuit, _ in ends})


def run_circuit_case(case: Json) -> list[tuple[str, object, object]]:
    """Run a case; return the figures that are not as expected: name, expected, got."""
    if case.get("any_order"):
        ((_, outcomes),) = case["steps"][0]["expect"].items()
        wanted = [tuple(end) for end in outcomes]
        ends = find_all_ends(case)
        return [] if set(ends) <= set(wanted) else [("outcomes", wanted, ends)]
    wrong = []
    with closing(World(case["config"])) as world:
        for number, step in enumerate(case["steps"]):
            figures = world.run(step)
            for name, expected in step.get("expect", {}).items():
                got = figures.get(name, "a figure this runner does not know")
                if not is_equal(expected, got):
                    wrong.append((f"step {number} {name}", expected, got))
    return wrong


def is_equal(expected: object, got: object) -> bool:
    """Compare figures; times to the microsecond."""
    if isinstance(expected, int | float) and isinstance(got, int | float) and not isinstance(expected, bool):
        return abs(expected - got) < 1e-6
    return expected == got and (expected is None) == (got is None)


def _to_seconds(milliseconds: float | None) -> float | None:
    return None if milliseconds is None else milliseconds / 1000
