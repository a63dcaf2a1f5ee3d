"""Reading what a drain stored."""

from typing import Any

from psycopg import Connection
from psycopg.rows import TupleRow, dict_row

Database = Connection[TupleRow]
# of llm_requests, under the names that the views and functions give them
RAW_SUMS = """
    count(*) AS requests,
    count(*) FILTER (WHERE status = 'success') AS successes,
    count(*) FILTER (WHERE status IN ('error', 'timeout', 'rate_limited')) AS failures,
    round(100.0 * count(*) FILTER (WHERE status = 'success') / count(*), 2)::double precision AS success_rate,
    round(1000 * avg(duration_seconds) FILTER (WHERE status = 'success'), 1)::double precision AS avg_response_time_ms,
    coalesce(sum(prompt_tokens), 0) AS prompt_tokens,
    coalesce(sum(completion_tokens), 0) AS completion_tokens,
    coalesce(sum(prompt_tokens), 0) + coalesce(sum(completion_tokens), 0) AS total_tokens,
    sum(cost_usd) AS cost_usd,
    CASE WHEN count(*) FILTER (WHERE status = 'success') = 0 THEN 0 ELSE sum(baseline_cost_usd) END
        AS hypothetical_claude_cost_usd,
    CASE WHEN count(cost_usd) > 0 THEN coalesce(sum(savings_usd), 0) END AS savings_usd,
    count(*) FILTER (WHERE cost_usd IS NULL AND price_id IS NULL) AS unpriced_requests,
    count(*) FILTER (WHERE cost_usd IS NULL AND price_id IS NOT NULL) AS unmetered_requests
"""


def fetch_row(connection: Database, query: str) -> dict[str, Any]:
    with connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(query.encode()).fetchone()
    assert row is not None
    return row


def fetch_value(connection: Database, query: str) -> Any:  # noqa: ANN401 - whatever the column holds
    return next(iter(fetch_row(connection, query).values()))
