"""A worker heeds the environment variables that the server side heeds."""

from pathlib import Path

import pytest

from fuseboard_producer import Producer
from fuseboard_schema.settings import Settings
from router_tools import NOWHERE


def test_a_worker_has_the_namespace_and_the_authorities_that_the_server_side_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.pem").touch()
    monkeypatch.setenv("FUSEBOARD_NAMESPACE", "prod")
    monkeypatch.setenv("FUSEBOARD_REDIS_CA_CERTS", str(tmp_path / "ca.pem"))

    found = Producer(NOWHERE, spool_dir=tmp_path).options
    passed = Producer(NOWHERE, spool_dir=tmp_path, namespace="mine", redis_ca_certs=__file__).options
    server_side = Settings()

    assert (found.namespace, str(found.redis_ca_certs)) == (server_side.namespace, server_side.redis_ca_certs)
    assert (passed.namespace, passed.redis_ca_certs) == ("mine", Path(__file__))


def test_an_empty_variable_is_one_that_is_not_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("FUSEBOARD_NAMESPACE", "FUSEBOARD_REDIS_CA_CERTS", "FUSEBOARD_SPOOL_DIR"):
        monkeypatch.setenv(name, "")

    options, settings = Producer(NOWHERE, spool_dir=tmp_path).options, Settings()

    assert (options.namespace, options.redis_ca_certs) == (settings.namespace, settings.redis_ca_certs)
    assert options.namespace == "fuseboard"


@pytest.mark.parametrize(
    ("name", "value"), [("FUSEBOARD_NAMESPACE", "a b"), ("FUSEBOARD_REDIS_CA_CERTS", "/nonexistent/ca.pem")]
)
def test_a_wrong_variable_is_named(name: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(ValueError, match=f"{name} is '{value}'"):
        Producer(NOWHERE, spool_dir=tmp_path)
