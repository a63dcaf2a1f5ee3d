"""What a router is told once: checked arguments."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, field_validator

from fuseboard_schema.event import Name


class RouterOptions(BaseModel):
    """The arguments of `Router`, checked: an error names the argument."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Router", hide_input_in_errors=True)

    providers: tuple[Name, ...] = ()
    # a snapshot is fresh for ten seconds
    poll_seconds: Annotated[float, Field(ge=0.05, le=5, allow_inf_nan=False)] = 1.0
    use_pubsub: bool = True
    first_snapshot_wait_seconds: Annotated[float, Field(ge=0, le=60, allow_inf_nan=False)] = 0.05

    @field_validator("providers")
    @classmethod
    def _check_unique(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(names)) < len(names):
            raise ValueError("a provider is named twice")
        return names
