"""The environment variables of Fuseboard, and those that look like one and are none: a typo is heard of."""

import logging
import os
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Final

log = logging.getLogger(__name__)

PREFIX: Final = "FUSEBOARD_"
TEST_PREFIX: Final = "FUSEBOARD_TEST_"
KNOWN: Final = frozenset(
    {
        "FUSEBOARD_BASELINE_MODEL",
        "FUSEBOARD_BASELINE_PROVIDER",
        "FUSEBOARD_BATCH_MAX_EVENTS",
        "FUSEBOARD_CLAIM_IDLE_SECONDS",
        "FUSEBOARD_DATA_DIR",
        "FUSEBOARD_DIRECT_DATABASE_URL",
        "FUSEBOARD_FOLD_INTERVAL_SECONDS",
        # how a supervisor's children hear of its end
        "FUSEBOARD_LIFELINE_FD",
        "FUSEBOARD_LOG_LEVEL",
        "FUSEBOARD_NAMESPACE",
        "FUSEBOARD_PARTITIONS_AHEAD_DAYS",
        "FUSEBOARD_PRICE_REFRESH_SECONDS",
        "FUSEBOARD_RAW_RETENTION_DAYS",
        "FUSEBOARD_REDIS_CA_CERTS",
        "FUSEBOARD_REJECTED_RETENTION_DAYS",
        "FUSEBOARD_SPOOL_DIR",
    }
)
# what Kubernetes and Docker say of a service that is named fuseboard
SERVICE_LINK: Final = re.compile(r"_SERVICE_(HOST|PORT)(_[A-Z0-9_]+)?$|_PORT_\d+_(TCP|UDP)(_[A-Z]+)?$")
SERVICE_URL: Final = re.compile(r"(tcp|udp)://")
# of the names that differ more, none was meant
CLOSENESS: Final = 0.7

_told: set[str] = set()


def find_unknown_variables(environment: Mapping[str, str]) -> dict[str, str | None]:
    """Find the variables that begin like Fuseboard's and are none, each with the nearest known name, if any is near."""
    unknown = sorted(
        name
        for name, value in environment.items()
        if name.startswith(PREFIX)
        and name not in KNOWN
        and not name.startswith(TEST_PREFIX)
        and not SERVICE_LINK.search(name)
        and not SERVICE_URL.match(value)
    )
    return {name: next(iter(get_close_matches(name, KNOWN, 1, CLOSENESS)), None) for name in unknown}


def warn_of_unknown_variables() -> None:
    """Log one warning for each variable of this process's environment that has no effect, once per process."""
    for name, nearest in find_unknown_variables(os.environ).items():
        if name not in _told:
            _told.add(name)
            log.warning("unknown_variable name=%s nearest=%s effect=none", name, nearest or "-")
