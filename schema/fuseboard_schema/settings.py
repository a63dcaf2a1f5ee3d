"""Settings of the server side, read from the environment once per process."""

from pathlib import Path
from typing import Annotated, Self
from zoneinfo import available_timezones

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from fuseboard_schema.database_url import normalize_database_url
from fuseboard_schema.stream import CA_CERTS_VARIABLE, NAMESPACE, NAMESPACE_PATTERN, NAMESPACE_VARIABLE
from fuseboard_schema.variables import warn_of_unknown_variables


class SettingsError(Exception):
    """A setting is missing or wrong; the message names the variable."""


def _check_time_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError(f"{name!r} is not a time zone: use an IANA name such as UTC or Europe/Berlin")
    return name


def _check_database_url(url: str) -> str:
    return normalize_database_url(url) if url else url


DatabaseUrl = Annotated[str, AfterValidator(_check_database_url)]
TimeZoneName = Annotated[str, AfterValidator(_check_time_zone)]


class Settings(BaseSettings):
    """One field per environment variable; the alias is the variable's name."""

    model_config = SettingsConfigDict(
        # compose files pass on what is not set as empty
        frozen=True,
        extra="ignore",
        populate_by_name=True,
        hide_input_in_errors=True,
        env_ignore_empty=True,
    )

    database_url: DatabaseUrl | None = Field(None, alias="DATABASE_URL")
    # past a pooler, for those that need a session of their own
    direct_database_url: DatabaseUrl | None = Field(None, alias="FUSEBOARD_DIRECT_DATABASE_URL")
    redis_url: str | None = Field(None, alias="REDIS_URL")
    redis_ca_certs: str | None = Field(None, alias=CA_CERTS_VARIABLE)
    namespace: str = Field(NAMESPACE, alias=NAMESPACE_VARIABLE, pattern=NAMESPACE_PATTERN)
    data_dir: Path = Field(Path(".fuseboard"), alias="FUSEBOARD_DATA_DIR")
    spool_dir: Path | None = Field(None, alias="FUSEBOARD_SPOOL_DIR")
    baseline_provider: str = Field("claude", alias="FUSEBOARD_BASELINE_PROVIDER", min_length=1)
    baseline_model: str = Field("claude", alias="FUSEBOARD_BASELINE_MODEL", min_length=1)
    raw_retention_days: int = Field(90, alias="FUSEBOARD_RAW_RETENTION_DAYS", ge=1, le=3650)
    rejected_retention_days: int = Field(90, alias="FUSEBOARD_REJECTED_RETENTION_DAYS", ge=1, le=3650)
    partitions_ahead_days: int = Field(7, alias="FUSEBOARD_PARTITIONS_AHEAD_DAYS", ge=1, le=60)
    fold_interval_seconds: int = Field(30, alias="FUSEBOARD_FOLD_INTERVAL_SECONDS", ge=1, le=3600)
    batch_max_events: int = Field(2000, alias="FUSEBOARD_BATCH_MAX_EVENTS", ge=1, le=20_000)
    claim_idle_seconds: float = Field(2.0, alias="FUSEBOARD_CLAIM_IDLE_SECONDS", ge=0.1, le=600)
    price_refresh_seconds: float = Field(10.0, alias="FUSEBOARD_PRICE_REFRESH_SECONDS", ge=0.1, le=30)
    log_level: str = Field("INFO", alias="FUSEBOARD_LOG_LEVEL", pattern="^(DEBUG|INFO|WARNING|ERROR)$")

    @property
    def session_database_url(self) -> str | None:
        """Where locks and notifications of a session hold: past the pooler, if there is one."""
        return self.direct_database_url or self.database_url

    @model_validator(mode="after")
    def _check_direct_url(self) -> Self:
        if self.direct_database_url and not self.database_url:
            raise ValueError("FUSEBOARD_DIRECT_DATABASE_URL is set without DATABASE_URL: set both")
        return self


def read_settings() -> Settings:
    """Read the environment, warning of unknown variables; raise SettingsError naming every variable that is wrong."""
    warn_of_unknown_variables()
    try:
        return Settings()
    except ValidationError as error:
        wrong = "; ".join(
            ": ".join(filter(None, (".".join(map(str, item["loc"])), item["msg"]))) for item in error.errors()
        )
        raise SettingsError(wrong.replace("Value error, ", "")) from error
