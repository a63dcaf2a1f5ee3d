"""What the doctor makes of circuits. Pure: readings in, verdicts out."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from fuseboard_cli.checks import Check
from fuseboard_cli.circuit_rows import CircuitRow
from fuseboard_cli.circuit_table import name_state
from fuseboard_cli.output import clean_text
from fuseboard_cli.provider_offer import check_models
from fuseboard_cli.status import ProviderStatus
from fuseboard_schema.circuit_settings import CircuitSettingsError, parse_circuit_settings

# from then on workers take the consumers for dead and try an open provider by themselves
HEARTBEAT_MAX_SECONDS: Final = 10.0


def check_heartbeat(age_seconds: float | None) -> Check:
    """Check that a sweeper publishes circuits to Redis and that events make progress; None: it never has."""
    action = "see the consumers' logs, or start `fuseboard consumer`"
    if age_seconds is None:
        return Check("sweeper", "warn", "has published nothing: workers know no circuit", action)
    if age_seconds > HEARTBEAT_MAX_SECONDS:
        text = f"no progress for {age_seconds:,.0f} s: workers try providers with an open circuit by themselves"
        return Check("sweeper", "warn", text, action)
    return Check("sweeper", "ok", "circuits are published")


def check_circuits(circuits: Collection[CircuitRow]) -> Check:
    """Check for circuits of providers in use that are not simply closed."""
    notable = [
        f"{clean_text(circuit.provider)} is {name_state(circuit.state)}{' by ' * bool(circuit.override)}"
        f"{clean_text(circuit.override_by or '')}"
        for circuit in circuits
        if circuit.enabled and circuit.state != "closed"
    ]
    if notable:
        return Check("circuits", "warn", ", ".join(notable), "see `fuseboard circuits`")
    return Check("circuits", "ok", "all closed")


def check_disabled(providers: Collection[ProviderStatus]) -> Check:
    """Check for providers that were disabled and are called all the same; those of events alone never were in use."""
    called = [
        clean_text(provider.name)
        for provider in providers
        if provider.is_called_though_disabled and provider.registered_by != "event"
    ]
    if called:
        text = f"called within the last ten minutes: {', '.join(called)}"
        action = "workers call them past the router, or do not read circuits: see their logs and `fuseboard providers`"
        return Check("disabled providers", "warn", text, action)
    return Check("disabled providers", "ok", "not called")


def check_provider_settings(rows: Collection[tuple[str, Mapping[str, Any], object]]) -> Check:
    """Check the circuit settings and models of each provider: what is wrong in them is not obeyed."""
    wrong: list[str] = []
    for name, circuit_settings, models in rows:
        try:
            parse_circuit_settings(circuit_settings, name)
        except CircuitSettingsError as error:
            wrong.append(str(error))
        if wrong_models := check_models(models):
            wrong.append(f"models of {name}: {wrong_models}")
    if not wrong:
        return Check("provider settings", "ok", "all valid")
    action = (
        "until then defaults hold: `fuseboard circuits settings NAME`, `fuseboard providers set NAME --models JSON`"
    )
    return Check("provider settings", "fail", clean_text("; ".join(wrong)), action)
