"""A dashboard in a real browser, on an API of this process and real servers."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from api_tools import ApiClient, make_api_token, open_client
from browser import Board, run_browser
from consumers import make_settings, shorten_waits
from fuseboard_api import event_feed
from fuseboard_schema.settings import Settings
from queries import Database


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with run_browser() as running:
        yield running


@pytest.fixture
def settings(
    database_url: str, redis_url: str, namespace: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    shorten_waits(monkeypatch.setattr)
    # the feed ends with a look of its own
    monkeypatch.setattr(event_feed, "TICK_SECONDS", 0.2)
    return make_settings(database_url, redis_url, namespace, FUSEBOARD_SPOOL_DIR=str(tmp_path / "spool"))


@pytest.fixture
def api(settings: Settings) -> Iterator[ApiClient]:
    with open_client(settings) as client:
        yield client


@pytest.fixture
def token(connection: Database) -> str:
    return make_api_token(connection, "admin", name="anna")


@pytest.fixture
def board(browser: Browser, api: ApiClient) -> Iterator[Board]:
    opened = Board(browser, api.origin)
    yield opened
    opened.page.close()
    assert opened.complaints == []
