"""What a worker asks of Redis about circuits, each in one round trip: a probe's lease, a throttle's deadline."""

from typing import TYPE_CHECKING, Final, cast

from redis import Redis

from fuseboard_schema.circuit_keys import name_hints, name_leases, name_snapshot
from fuseboard_schema.circuit_projection import AdmissionReason, Grant
from fuseboard_schema.lua import load_lua, run_lua

if TYPE_CHECKING:
    from fuseboard_schema.event import Admission

DEAD_AFTER_SECONDS: Final = 10.0

__all__ = ["Grant", "acquire_probe", "hint_throttle", "release_lease"]


def acquire_probe(
    redis: Redis, namespace: str, provider: str, lease_id: str, dead_after_seconds: float = DEAD_AFTER_SECONDS
) -> Grant:
    """Ask whether a call may go to a provider that seems half-open, and take the lease if it is a probe.

    Asking again with the same lease gives the same answer. Consumers without a heartbeat for `dead_after_seconds`
    count as dead. Raises redis.exceptions.RedisError; then the circuit is not known.
    """
    keys = (name_hints(namespace), name_leases(namespace, provider))
    arguments = (name_snapshot(namespace), provider, lease_id, dead_after_seconds * 1000)
    reply = run_lua(redis, load_lua(__package__, "acquire"), keys, arguments)
    granted, admission, reason, epoch, wait_ms = cast("tuple[int, bytes, bytes, int, int]", reply)
    return Grant(
        cast("Admission", admission.decode()) if granted else None,
        cast("AdmissionReason", reason.decode()),
        epoch or None,
        wait_ms / 1000 if wait_ms else None,
    )


def hint_throttle(redis: Redis, namespace: str, provider: str, retry_after_seconds: float | None) -> bool:
    """Tell all workers for how long a provider asked to be left alone; True if that is later than what was known.

    The provider's retry_after_cap_s bounds it. None: the provider did not say, so the first refusal of an episode
    counts throttle_default_s. Raises redis.exceptions.RedisError.
    """
    retry_after_ms = "" if retry_after_seconds is None else retry_after_seconds * 1000
    arguments = (name_snapshot(namespace), provider, retry_after_ms)
    return run_lua(redis, load_lua(__package__, "throttle_hint"), (name_hints(namespace),), arguments) == 1


def release_lease(redis: Redis, namespace: str, provider: str, epoch: int, lease_id: str) -> None:
    """Give back the place of a probe that told nothing. Safe to repeat; raises redis.exceptions.RedisError."""
    redis.zrem(name_leases(namespace, provider), f"{epoch}:{lease_id}")
