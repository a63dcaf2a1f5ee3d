"""The scripts in Redis against the pure table that they follow, over random histories."""

from typing import Final, NamedTuple

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from redis import Redis

from fuseboard_producer.circuit_scripts import acquire_probe, hint_throttle, release_lease
from fuseboard_schema.circuit_keys import HEARTBEAT_FIELD, name_hints, name_leases, name_snapshot
from fuseboard_schema.circuit_projection import (
    Lease,
    Projected,
    decide_admission,
    list_live_leases,
    merge_hint,
    merge_projection,
)
from fuseboard_schema.circuit_settings import CircuitSettings
from projections import PROVIDER, publish, read_entry
from stopped_clock import stopped_clock

DEAD_AFTER_SECONDS: Final = 1000
# whole seconds, and so long that Redis's own clock, by which keys expire, ends nothing while an example runs
SPANS: Final = st.integers(1, 4).map(lambda thousands: 1000 * thousands)
DEADLINES: Final = st.one_of(st.none(), st.integers(-2, 6).map(lambda thousands: 1000 * thousands))
WAITS: Final = st.integers(-1, 9).map(lambda thousands: 1000 * thousands)
REVISIONS: Final = st.integers(0, 12)
EPOCHS: Final = st.integers(1, 3)
LEASES: Final = st.sampled_from("abcdef")


class Limits(NamedTuple):
    """What the table needs of the settings; published along."""

    max_probes: int
    ttl_seconds: int
    cap_seconds: int


class ScriptsAndTable(RuleBasedStateMachine):
    """Does each thing to Redis and to the table, in seconds of one clock."""

    def __init__(self, redis: Redis, namespace: str) -> None:
        super().__init__()
        self._redis = redis
        self._namespace = namespace
        self._now = 1_000_000

    @initialize()
    def start(self) -> None:
        self.lose()

    @rule()
    def lose(self) -> None:
        names = (name_snapshot, name_hints)
        self._redis.delete(*(name(self._namespace) for name in names), name_leases(self._namespace, PROVIDER))
        self._stored: Projected | None = None
        self._limits = Limits(3, 90, 3600)
        self._hint_until: float | None = None
        self._heartbeat_at: int | None = None
        self._leases: list[Lease] = []
        self._newest_revision = -1

    @rule(seconds=st.integers(1, 3000))
    def wait(self, seconds: int) -> None:
        self._now += seconds

    @rule()
    def beat(self) -> None:
        self._heartbeat_at = self._now
        self._redis.hset(name_snapshot(self._namespace), HEARTBEAT_FIELD, self._now * 1000)

    @rule(
        projected=st.builds(
            Projected,
            REVISIONS,
            st.sampled_from(["closed", "open"]),
            EPOCHS,
            DEADLINES,
            DEADLINES,
            st.sampled_from([None, None, None, "forced_open", "disabled"]),
        ),
        limits=st.builds(Limits, st.integers(1, 3), SPANS, SPANS),
        throttle_reset_revision=REVISIONS,
    )
    def publish(self, projected: Projected, limits: Limits, throttle_reset_revision: int) -> None:
        reset_revision = min(throttle_reset_revision, projected.revision)
        throttle = projected.throttle_until if projected.throttle_until and projected.throttle_until > 0 else None
        told = projected._replace(
            open_until=self._reckon(projected.open_until) if projected.state == "open" else None,
            throttle_until=self._reckon(throttle),
        )
        with stopped_clock(self._now):
            published = publish(
                self._redis,
                self._namespace,
                revision=told.revision,
                state=told.state,
                epoch=told.epoch,
                override=told.override,
                open_ms=None if projected.open_until is None else projected.open_until * 1000,
                throttle_ms=None if projected.throttle_until is None else projected.throttle_until * 1000,
                throttle_reset_revision=reset_revision,
                circuit_settings=CircuitSettings(
                    half_open_max_probes=limits.max_probes,
                    probe_lease_ttl_s=limits.ttl_seconds,
                    retry_after_cap_s=limits.cap_seconds,
                ),
            )
        known_revision = -1 if self._stored is None else self._stored.revision
        merged = merge_projection(self._stored, told, throttle_reset_revision=reset_revision)

        assert (published.is_applied, published.stored_revision) == (merged is not None, known_revision)
        if merged is not None:
            self._stored = merged
            self._hint_until = None if max(known_revision, 0) < reset_revision else self._hint_until
        if told.revision >= known_revision:
            self._limits = limits

    @rule(retry_after_seconds=WAITS)
    def hint(self, retry_after_seconds: int) -> None:
        with stopped_clock(self._now):
            hint_throttle(self._redis, self._namespace, PROVIDER, retry_after_seconds)
        cap_seconds = self._limits.cap_seconds
        merged = merge_hint(self._hint_until, retry_after_seconds, self._now, cap_seconds=cap_seconds)
        # one that binds nobody may as well be there
        self._hint_until = self._hint_until if merged is None else merged

    @rule(lease_id=LEASES)
    def acquire(self, lease_id: str) -> None:
        with stopped_clock(self._now):
            grant = acquire_probe(self._redis, self._namespace, PROVIDER, lease_id, DEAD_AFTER_SECONDS)
        expected = decide_admission(
            self._stored,
            self._leases,
            self._now,
            lease_id=lease_id,
            max_probes=self._limits.max_probes,
            hint_until=self._hint_until,
            cap_seconds=self._limits.cap_seconds,
            heartbeat_at=self._heartbeat_at,
            dead_after_seconds=DEAD_AFTER_SECONDS,
        )

        assert grant == expected
        if grant.admission == "probe" and grant.epoch is not None:
            live = list_live_leases(self._leases, grant.epoch, self._now)
            if lease_id not in {lease.lease_id for lease in live}:
                live.append(Lease(grant.epoch, lease_id, self._now + self._limits.ttl_seconds))
                # P7
                assert len(live) <= self._limits.max_probes
            self._leases = live

    @rule(lease_id=LEASES, epoch=EPOCHS)
    def release(self, lease_id: str, epoch: int) -> None:
        release_lease(self._redis, self._namespace, PROVIDER, epoch, lease_id)
        self._leases = [lease for lease in self._leases if lease[:2] != (epoch, lease_id)]

    @invariant()
    def never_goes_backwards(self) -> None:
        # P8
        is_there = self._redis.hexists(name_snapshot(self._namespace), PROVIDER)
        revision = read_entry(self._redis, self._namespace)["r"] if is_there else -1
        assert revision >= self._newest_revision
        self._newest_revision = revision

    def _reckon(self, remaining: float | None) -> float | None:
        return None if remaining is None else self._now + remaining


def test_the_scripts_do_as_their_table_says(redis_client: Redis, namespace: str) -> None:
    class Here(ScriptsAndTable):
        def __init__(self) -> None:
            super().__init__(redis_client, namespace)

    run_state_machine_as_test(Here, settings=hypothesis_settings(max_examples=60, stateful_step_count=40))
