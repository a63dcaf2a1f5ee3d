import shlex
import subprocess
from datetime import datetime, timedelta, timezone

import pytest

from fuseboard_api.price_advice import advise_price, quote_word

SINCE = datetime(2026, 3, 10, 1, 30, 59, 999, tzinfo=timezone(timedelta(hours=2)))


def test_the_advice_names_provider_model_and_the_time_in_utc() -> None:
    assert advise_price("mistral", "large", SINCE) == (
        "fuseboard prices set mistral large --input USD --output USD --from 2026-03-09T23:30:59Z"
    )
    assert advise_price("mistral", "large", SINCE, "batch").endswith(" --tier batch")


def test_a_name_that_looks_like_an_option_is_none() -> None:
    words = shlex.split(advise_price("mistral", "--help", SINCE))

    assert words[-3:] == ["--", "mistral", "--help"]


@pytest.mark.parametrize(
    "name",
    [
        "gpt-5",
        "a b",
        'it\'s "big"',
        "org/model:7b",
        "$HOME `id` \\n",
        "a\nb",
        "\x1b[201~\x03rm'\\x",
        "ü €",
        "*",
        "\u202e",
    ],
)
def test_a_pasted_word_is_the_name_whatever_it_holds(name: str) -> None:
    quoted = quote_word(name)

    assert quoted.isprintable()
    printed = subprocess.run(
        ["/bin/bash", "-c", f"printf %s {quoted}"], capture_output=True, check=True, env={"LC_ALL": "C.UTF-8"}
    )
    assert printed.stdout.decode() == name
