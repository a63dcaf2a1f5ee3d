"""The figures on the dashboard as somebody at the screen reads them: rounded, and every digit in their titles."""

import math
import re
from collections.abc import Mapping
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from playwright.sync_api import expect

from browser import Board
from sent_figures import FAILED, Figures, Sent, read_time
from told_figures import Row

# a slow machine draws late
PATIENCE_MS: Final = 60_000


def check_money(board: Board, sent: Sent, today: date) -> None:
    """Check the amounts of today and of the period, and the row of each provider."""
    of_today, of_period = sent.select_last(1, today).sum_all(), sent.sum_all()
    check_figure(board, "cost-today", of_today["total_cost_usd"])
    check_figure(board, "savings-today", of_today["estimated_savings_usd"])
    check_figure(board, "cost-period", of_period["total_cost_usd"])
    # the cards add up
    check_figure(board, "cost-claude", of_period["total_cost_usd"] + of_period["estimated_savings_usd"])
    check_figure(board, "savings-period", of_period["estimated_savings_usd"])
    served = f"{of_period['local_requests']:,} of {of_period['total_requests']:,} requests served locally"
    expect(board.page.locator("#savings-share")).to_have_text(
        f"{round_percent(of_period['savings_percentage'])} of the cost on Claude; {served}"
    )


def check_providers(board: Board, providers: list[Row], figures: Mapping[object, Figures]) -> None:
    """Check what the breakers say of the last minutes and the table of the period, in order of choice."""
    expected = []
    for row in providers:
        expect(board.card(row["name"])).to_contain_text(round_percent(row["rolling_success_rate"]))
        own = figures[row["name"]]
        cost = ["unknown" if own["cost_usd"] is None else round_usd(own["cost_usd"])]
        compared = None if None in (own["cost_usd"], own["savings_usd"]) else own["cost_usd"] + own["savings_usd"]
        unpriced = [f"{own['unpriced_requests']:,} unpriced"] if own["unpriced_requests"] else []
        expected.append(
            [
                row["display_name"],
                " + ".join(cost + unpriced),
                "\u2013" if compared is None else round_usd(compared),
                "\u2013" if own["savings_usd"] is None else round_usd(own["savings_usd"]),
                f"{own['requests']:,}",
                round_percent(own["success_rate"]),
                f"{own['total_tokens']:,}",
            ]
        )
    assert read_cells(board, "#cost-table", 7) == expected


def check_trends(board: Board, names: Mapping[str, str], figures: Mapping[object, Figures]) -> None:
    """Check what the hours and the days of each provider sum up to."""
    for grain in ("hour", "day"):
        for measure, show in (("requests", "{:,}".format), ("cost_usd", round_usd), ("savings_usd", round_usd)):
            sums = {shown: figures[name][measure] for name, shown in names.items()}
            captions = [
                f"{shown} unknown" if amount is None else f"{shown} {show(amount)} in all"
                for shown, amount in sums.items()
            ]
            board.page.locator("#grain").select_option(grain)
            board.page.locator("#measure").select_option(measure)
            expect(board.page.locator("#trends figcaption")).to_have_text(captions, timeout=PATIENCE_MS)


def check_lists(board: Board, sent: Sent) -> None:
    """Check the fallbacks, the last failures, and what somebody has to see to."""
    unpriced = sent.list_unpriced()
    failures = sorted((event for event in sent.events if event["status"] in FAILED), key=read_time, reverse=True)
    assert read_cells(board, "#flows", 3) == [[*pair, f"{count:,}"] for *pair, count in sent.list_flows()]
    shown = [cells[1:] for cells in read_cells(board, "#failures", 3)]
    assert shown == [[event["provider"], event["model"]] for event in failures[: len(shown)]]
    assert len(shown) == 12
    to_do = board.page.locator("#to-do")
    expect(to_do).to_contain_text(
        f"{sum(count for *_, count in unpriced):,} requests without a price", timeout=PATIENCE_MS
    )
    expect(to_do).to_contain_text(f"{len(sent.refused)} event rejected", timeout=PATIENCE_MS)
    cells = [[*model, f"{count:,}"] for *model, count in unpriced]
    assert [row[:3] for row in read_cells(board, "#to-do-list .panel:first-child", 4)] == cells


def check_figure(board: Board, name: str, amount: Decimal) -> None:
    """Check an amount of money: rounded for the eye, and exact for whoever has to compare."""
    figure = board.page.locator(f"#{name}")
    expect(figure).to_have_attribute("title", re.compile(r"\d USD$"), timeout=PATIENCE_MS)
    title = figure.get_attribute("title") or ""
    assert Decimal(title.removesuffix(" USD")) == amount, name
    expect(figure).to_have_text(round_usd(amount))


def read_cells(board: Board, place: str, columns: int) -> list[list[str]]:
    """Read the first columns of the rows of a table, once it is there."""
    rows = board.page.locator(f"{place} tbody tr")
    rows.first.wait_for(timeout=PATIENCE_MS)
    return [row.locator("td").all_text_contents()[:columns] for row in rows.all()]


def round_usd(amount: Decimal) -> str:
    """Round to cents, below a dollar to hundredths of a cent."""
    size = abs(amount)
    assert not 0 < size < Decimal("0.0001"), "shown with more digits"
    decimals = 4 if 0 < size < 1 else 2
    rounded = size.quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return f"{'-' if amount < 0 else ''}${rounded:,f}"


def round_percent(percent: Decimal) -> str:
    """Round to a tenth of a percent, but nothing up to 100."""
    shown = math.floor(percent * 100) / 100 if 99.9 < percent < 100 else math.floor(percent * 10 + Decimal("0.5")) / 10
    return f"{shown:g}\u00a0%" if shown % 1 or shown % 100 == 0 else f"{shown:.1f}\u00a0%"
