"""The compose file as the tests read it."""

import re
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).parents[1]
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<text>[^}]*))?\}")


def read_compose() -> dict[str, Any]:
    """Read docker-compose.yml, anchors resolved and variables not."""
    content: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text())
    return content


def interpolate(text: str, variables: dict[str, str]) -> str:
    """Put variables in as compose does; raises KeyError for a required one that is missing."""

    def replace(match: re.Match[str]) -> str:
        value = variables.get(match["name"])
        if value:
            return value
        if match["kind"] == "-":
            return match["text"]
        raise KeyError(match["text"] or match["name"])

    return VARIABLE.sub(replace, text)


def parse_seconds(duration: str) -> int:
    """Parse a compose duration of whole seconds."""
    return int(duration.removesuffix("s"))
