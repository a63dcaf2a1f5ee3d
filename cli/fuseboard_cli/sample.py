"""The generated sample: a trace of the same shape as the real one, where that is not at hand."""

import csv
import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Final

from fuseboard_cli.trace import CSV_COLUMNS, Arrival

SAMPLE_ROWS: Final = 4000
SAMPLE_SEED: Final = 1
SAMPLE_START: Final = datetime(2026, 1, 1, 9, tzinfo=UTC)
# the figures below are those of the Azure LLM inference trace 2023, conversation part (see docs/cli.md)
MEAN_GAP_SECONDS: Final = 0.181
# below 1 the gaps are more uneven than those of independent arrivals
GAP_SHAPE: Final = 0.83
# the load drifts like this, as the standard deviation of its logarithm, and turns back to its mean
LOAD_SPREAD: Final = 0.25
LOAD_STEP_SECONDS: Final = 60.0
# logarithmic mean and spread, smallest and largest count
PROMPT_TOKENS: Final = (6.63, 0.985, 2, 14_050)
COMPLETION_TOKENS: Final = (5.02, 0.859, 7, 1000)


def generate_sample(rows: int = SAMPLE_ROWS, seed: int = SAMPLE_SEED) -> Iterator[Arrival]:
    """Generate arrivals in bursts with log-normal token counts; the same for the same arguments."""
    rng = Random(seed)  # noqa: S311 - traffic, not secrets
    at = load = elapsed_seconds = 0.0
    for _ in range(rows):
        gap = rng.gammavariate(GAP_SHAPE, MEAN_GAP_SECONDS / GAP_SHAPE) / math.exp(load)
        at, elapsed_seconds = at + gap, elapsed_seconds + gap
        if elapsed_seconds > LOAD_STEP_SECONDS:
            elapsed_seconds = 0.0
            load = 0.8 * load + rng.gauss(0.0, 0.6 * LOAD_SPREAD)
        yield Arrival(
            SAMPLE_START + timedelta(seconds=at),
            _draw_tokens(rng, *PROMPT_TOKENS),
            _draw_tokens(rng, *COMPLETION_TOKENS),
        )


def write_sample(path: Path, rows: int = SAMPLE_ROWS, seed: int = SAMPLE_SEED) -> None:
    """Write the sample as a trace."""
    with path.open("w", newline="", encoding="utf-8") as lines:
        writer = csv.writer(lines)
        writer.writerow(CSV_COLUMNS)
        for arrived_at, prompt_tokens, completion_tokens in generate_sample(rows, seed):
            writer.writerow([arrived_at.replace(tzinfo=None).isoformat(" "), prompt_tokens, completion_tokens])


def _draw_tokens(rng: Random, log_mean: float, log_spread: float, least: int, most: int) -> int:
    return min(max(round(rng.lognormvariate(log_mean, log_spread)), least), most)
