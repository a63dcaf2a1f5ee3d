"""Reading a page of metrics as Prometheus would, and reading it of a real installation."""

from collections.abc import Iterable
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families
from redis import Redis

from fuseboard_api.metrics import render_metrics
from fuseboard_schema.settings import Settings
from queries import Database


class Family(NamedTuple):
    """What is said of one metric beside its values."""

    name: str
    kind: str
    labels: frozenset[str]


class Metrics:
    """One page: values by name and labels."""

    def __init__(self, page: str) -> None:
        self.page = page
        self._families = list(text_string_to_metric_families(page))
        samples = [sample for family in self._families for sample in family.samples]
        self._values = {(sample.name, frozenset(sample.labels.items())): sample.value for sample in samples}
        assert len(self._values) == len(samples), "a series is there twice"

    def get(self, name: str, **labels: str) -> float:
        return self._values[name, frozenset(labels.items())]

    def has(self, name: str, **labels: str) -> bool:
        return (name, frozenset(labels.items())) in self._values

    def select(self, name: str) -> dict[frozenset[str], float]:
        """Select all series of a name by the values of their labels."""
        return {
            frozenset(value for _, value in labels): number
            for (found, labels), number in self._values.items()
            if found == name
        }

    def list_families(self) -> set[Family]:
        """List the metrics as a page of documentation would."""
        return {
            Family(
                f"{family.name}_total" if family.type == "counter" else family.name,
                family.type,
                _collect_labels(sample.labels for sample in family.samples),
            )
            for family in self._families
        }


def read_metrics(connection: Database, redis: Redis, settings: Settings) -> Metrics:
    return Metrics(render_metrics(connection, redis, settings).decode())


def _collect_labels(labels: Iterable[dict[str, str]]) -> frozenset[str]:
    return frozenset(name for names in labels for name in names) - {"le"}
