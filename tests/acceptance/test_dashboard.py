"""The fuse board in a real browser, on real servers."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, expect
from redis import Redis

from api_tools import ApiClient, make_api_token, open_client
from browser import Board, run_browser
from consumers import drain_all, make_settings, shorten_waits
from events import add_entry, make_event
from fuseboard_api import event_feed
from fuseboard_consumer.publisher import publish_circuits
from fuseboard_producer import Producer, Router
from fuseboard_producer.circuit_scripts import acquire_probe
from fuseboard_schema.settings import Settings
from queries import Database, fetch_row
from waiting import wait_until

# per million tokens, in and out, as README states them
RATES = {"ollama": (0, 0), "claude": (3, 15), "openai": (5, 15)}
MODELS = {"ollama": "llama3.1:8b", "claude": "claude-sonnet-4-5", "openai": "gpt-4o"}
MARKUP = '<img src="/nowhere" onerror="document.title = 1">'


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


def make_failures(count: int, **fields: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - any field
    failed = {"provider": "ollama", "status": "error", "error_type": "ConnectError", "circuit_epoch": 1, **fields}
    return [make_event(worker_id=f"w{number % 2}", **failed) for number in range(count)]


def make_calls(at: datetime) -> list[dict[str, Any]]:
    return [
        make_event(
            provider=provider,
            model=model,
            occurred_at=at,
            prompt_tokens=1000 + 37 * number,
            completion_tokens=11 * number + 1,
        )
        for provider, model in MODELS.items()
        for number in range(20)
    ]


def sum_cost(events: list[dict[str, Any]], *, as_claude: bool = False) -> Decimal:
    total = Decimal(0)
    for event in events:
        rate_in, rate_out = RATES["claude" if as_claude else event["provider"]]
        total += Decimal(event["prompt_tokens"] * rate_in + event["completion_tokens"] * rate_out) / 1_000_000
    return total


def sum_cost_today(events: list[dict[str, Any]], at: datetime) -> Decimal:
    """Sum what calls of one moment cost today, which may have become yesterday."""
    return sum_cost(events) if at.date() == datetime.now(UTC).date() else Decimal(0)


def store(redis: Redis, settings: Settings, events: list[dict[str, Any]]) -> None:
    add_entry(redis, settings.namespace, events)
    drain_all(redis, settings)


def read_figure(board: Board, name: str) -> Decimal:
    return Decimal((board.page.locator(f"#{name}").get_attribute("title") or "-1").removesuffix(" USD"))


def test_a_breaker_trips_before_ones_eyes_and_becomes_half_open(
    board: Board, token: str, settings: Settings, redis_client: Redis, connection: Database
) -> None:
    board.log_in(token)
    expect(board.card("ollama")).to_contain_text("Closed")
    expect(board.page.locator("#contact")).to_have_text("Live")
    board.page.evaluate("window.isSamePage = true")

    store(redis_client, settings, make_failures(6))

    board.wait_for_look("ollama", "open")
    expect(board.card("ollama")).to_contain_text(re.compile(r"Gets no calls\. Probe in .*\d+ s\."))
    expect(board.card("ollama")).to_contain_text("ConnectError")
    expect(board.page.locator("#announcements")).to_have_text("Ollama: Open")
    expect(board.page).to_have_title("(1 open) Fuseboard")
    connection.execute("UPDATE llm_provider_health SET open_until = now() WHERE provider = 'ollama'")
    board.wait_for_look("ollama", "half_open")
    assert board.page.evaluate("window.isSamePage")


def test_a_half_open_breaker_shows_its_probes_as_they_go_out(
    board: Board, token: str, settings: Settings, redis_client: Redis, connection: Database
) -> None:
    connection.execute(
        "UPDATE llm_provider_health SET state = 'open', epoch = 4, open_until = now() WHERE provider = 'ollama'"
    )
    publish_circuits(connection, redis_client, settings.namespace)
    board.log_in(token)
    probes = board.card("ollama").locator(".probes")
    expect(probes).to_contain_text("0 of 3 probes out")
    expect(probes).to_contain_text("0 good; 2 close it")

    for lease_id in ("one", "other"):
        assert acquire_probe(redis_client, settings.namespace, "ollama", lease_id).admission == "probe"
    expect(probes).to_contain_text("2 of 3 probes out")
    assert probes.locator("circle.filled").count() == 2

    good = {"circuit_epoch": 4, "admission": "probe"}
    store(redis_client, settings, [make_event(provider="ollama", lease_id="one", **good)])
    expect(probes).to_contain_text("1 good; 2 close it")
    store(redis_client, settings, [make_event(provider="ollama", lease_id="other", **good)])
    board.wait_for_look("ollama", "closed")
    expect(probes).to_be_hidden()


def test_disabling_a_provider_on_the_board_reaches_a_worker(
    board: Board, token: str, settings: Settings, redis_client: Redis, connection: Database, tmp_path: Path
) -> None:
    publish_circuits(connection, redis_client, settings.namespace)
    producer = Producer(settings.redis_url, namespace=settings.namespace, spool_dir=tmp_path)
    board.log_in(token)
    with producer, Router(producer) as worker:
        assert worker.wait_until_ready(30)
        assert worker.may_call("ollama")

        board.order("ollama", "disable").get_by_role("button", name="Disable").click()
        board.wait_for_look("ollama", "disabled")
        wait_until(lambda: not worker.may_call("ollama"))

        board.order("ollama", "enable").get_by_role("button", name="Enable").click()
        board.wait_for_look("ollama", "closed")
        wait_until(lambda: worker.may_call("ollama"))


def test_forcing_a_circuit_open_needs_a_reason_and_says_who_did_it(
    board: Board, token: str, connection: Database
) -> None:
    board.log_in(token)
    dialog = board.order("claude", "force-open")
    dialog.get_by_role("button", name="Force open").click()
    expect(dialog).to_be_visible()

    dialog.get_by_label("Reason").fill("too dear today")
    dialog.get_by_label("How long").select_option("for an hour")
    dialog.get_by_role("button", name="Force open").click()

    board.wait_for_look("claude", "forced_open")
    expect(board.card("claude")).to_contain_text("too dear today, anna")
    found = fetch_row(connection, "SELECT * FROM llm_circuits WHERE provider = 'claude'")
    assert (found["state"], found["override_reason"]) == ("forced_open", "too dear today")
    assert 3500 < (found["override_until"] - found["since"]).total_seconds() < 3700
    history = board.order("claude", "history")
    expect(history).to_contain_text("too dear today")
    history.get_by_role("button", name="Close").click()
    clear = board.order("claude", "clear")
    clear.get_by_label("Reason").fill("the month is over")
    clear.get_by_role("button", name="Clear override").click()
    board.wait_for_look("claude", "closed")


def test_every_state_has_a_word_of_its_own(board: Board, token: str, connection: Database) -> None:
    connection.execute("UPDATE llm_providers SET enabled = false WHERE name = 'openai'")
    connection.execute("SELECT llm_disable_circuit('localai', 'anna', 'trying it out')")
    connection.execute(
        "UPDATE llm_provider_health SET throttle_until = now() + interval '1 hour' WHERE provider = 'claude'"
    )

    board.log_in(token)

    words = board.page.locator(".card .word").all_text_contents()
    assert sorted(words) == ["Closed", "Disabled", "Never trips", "Throttled"]
    expect(board.card("claude")).to_contain_text(re.compile("left alone for (1 h|59 min)"))


def test_the_money_on_the_board_is_the_sum_of_the_calls(
    board: Board, token: str, settings: Settings, redis_client: Redis
) -> None:
    at = datetime.now(UTC)
    calls = make_calls(at)
    store(redis_client, settings, calls)

    board.log_in(token)

    wait_until(lambda: read_figure(board, "cost-today") == sum_cost_today(calls, at))
    wait_until(lambda: read_figure(board, "cost-period") == sum_cost(calls))
    assert read_figure(board, "cost-claude") == sum_cost(calls, as_claude=True)
    assert read_figure(board, "savings-period") == sum_cost(calls, as_claude=True) - sum_cost(calls)
    expect(board.page.locator("#cost-period")).to_have_text(f"${sum_cost(calls):.4f}")
    rows = board.page.locator("#cost-table tbody tr")
    expect(rows).to_have_count(3)
    claude = [call for call in calls if call["provider"] == "claude"]
    expect(rows.filter(has_text="Claude")).to_contain_text(f"${sum_cost(claude):.4f}")


def test_new_calls_reach_the_figures_without_reloading(
    board: Board, token: str, settings: Settings, redis_client: Redis
) -> None:
    board.log_in(token)
    wait_until(lambda: read_figure(board, "cost-today") == 0)
    at = datetime.now(UTC)
    calls = make_calls(at)

    store(redis_client, settings, calls)

    wait_until(lambda: read_figure(board, "cost-today") == sum_cost_today(calls, at))
    wait_until(lambda: read_figure(board, "cost-period") == sum_cost(calls))


def test_trends_show_the_same_requests_by_hour_and_by_day(
    board: Board, token: str, settings: Settings, redis_client: Redis
) -> None:
    at = datetime.now(UTC)
    store(redis_client, settings, [*make_calls(at), *make_failures(2, occurred_at=at)])
    board.log_in(token)
    charts = board.page.locator("#trends figure")

    expect(charts).to_have_count(3)
    expect(charts.filter(has_text="ollama")).to_contain_text("22 in all")
    assert charts.locator("rect.failed").count() == 1
    board.page.get_by_label("by", exact=True).select_option("day, the period")
    expect(charts.filter(has_text="ollama")).to_contain_text("22 in all")
    board.page.get_by_label("Show").select_option("success rate")
    expect(charts.filter(has_text="ollama")).to_contain_text("90.9 % to 90.9 %")


def test_what_needs_somebody_is_shown_with_what_to_do(
    board: Board, token: str, settings: Settings, redis_client: Redis
) -> None:
    unpriced = make_event(provider="mistral", model="mistral-large")
    store(redis_client, settings, [unpriced, {"provider": "claude"}, *make_failures(1, is_fallback=True)])

    board.log_in(token)

    to_do = board.page.locator("#to-do")
    expect(to_do).to_contain_text("1 request without a price")
    expect(to_do).to_contain_text("mistral-large")
    expect(to_do).to_contain_text("1 event rejected")
    expect(to_do).to_contain_text('{"provider": "claude"}')
    for command in ("fuseboard prices reprice", "fuseboard rejected replay --all"):
        expect(to_do).to_contain_text(command)
    expect(board.page.locator("#cost-table")).to_contain_text("1 unpriced")
    expect(board.page.locator("#failures")).to_contain_text("ConnectError")
    expect(board.page.locator("#flows tbody tr")).to_have_count(1)


def test_what_workers_recorded_never_becomes_markup(
    board: Board, token: str, settings: Settings, redis_client: Redis, connection: Database
) -> None:
    connection.execute("UPDATE llm_providers SET display_name = %s WHERE name = 'ollama'", (MARKUP,))
    store(redis_client, settings, [*make_failures(1, model=MARKUP, error_type=MARKUP), {"provider": MARKUP}])

    board.log_in(token)

    expect(board.page.locator("#failures")).to_contain_text(MARKUP)
    expect(board.page.locator("#to-do")).to_contain_text("onerror")
    expect(board.card("ollama").get_by_role("heading")).to_have_text(MARKUP)
    assert board.page.locator("#board main img").count() == 0
    assert board.page.title() == "Fuseboard"
