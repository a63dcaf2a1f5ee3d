"""The fuse board in a real browser, on real servers."""

import re
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import expect
from redis import Redis

from browser import Board
from calls import make_calls, make_failures
from commands import store_events
from events import make_event
from fuseboard_consumer.publisher import publish_circuits
from fuseboard_producer import Producer, Router
from fuseboard_producer.circuit_scripts import acquire_probe
from fuseboard_schema.settings import Settings
from queries import Database, fetch_row
from waiting import wait_until

pytest_plugins = "board_fixtures"

MARKUP = '<img src="/nowhere" onerror="document.title = 1">'


def test_a_breaker_trips_before_ones_eyes_and_becomes_half_open(
    board: Board, token: str, settings: Settings, redis_client: Redis, connection: Database
) -> None:
    board.log_in(token)
    expect(board.card("ollama")).to_contain_text("Closed")
    expect(board.page.locator("#contact")).to_have_text("Live")
    board.page.evaluate("window.isSamePage = true")

    store_events(redis_client, settings, make_failures(6))

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
    store_events(redis_client, settings, [make_event(provider="ollama", lease_id="one", **good)])
    expect(probes).to_contain_text("1 good; 2 close it")
    store_events(redis_client, settings, [make_event(provider="ollama", lease_id="other", **good)])
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


def test_trends_show_the_same_requests_by_hour_and_by_day(
    board: Board, token: str, settings: Settings, redis_client: Redis
) -> None:
    at = datetime.now(UTC)
    store_events(redis_client, settings, [*make_calls(at), *make_failures(2, occurred_at=at)])
    board.log_in(token)
    charts = board.page.locator("#trends figure")

    expect(charts).to_have_count(3)
    expect(charts.filter(has_text="ollama")).to_contain_text("22 in all")
    assert charts.locator("rect.failed").count() == 1
    board.page.get_by_label("by", exact=True).select_option("day, the period")
    expect(charts.filter(has_text="ollama")).to_contain_text("22 in all")
    board.page.get_by_label("Show").select_option("success rate")
    expect(charts.filter(has_text="ollama")).to_contain_text("90.9 % to 90.9 %")


def test_what_workers_recorded_never_becomes_markup(
    board: Board, token: str, settings: Settings, redis_client: Redis, connection: Database
) -> None:
    connection.execute("UPDATE llm_providers SET display_name = %s WHERE name = 'ollama'", (MARKUP,))
    store_events(redis_client, settings, [*make_failures(1, model=MARKUP, error_type=MARKUP), {"provider": MARKUP}])

    board.log_in(token)

    expect(board.page.locator("#failures")).to_contain_text(MARKUP)
    expect(board.page.locator("#to-do")).to_contain_text("onerror")
    expect(board.card("ollama").get_by_role("heading")).to_have_text(MARKUP)
    assert board.page.locator("#board main img").count() == 0
    assert board.page.title() == "Fuseboard"
