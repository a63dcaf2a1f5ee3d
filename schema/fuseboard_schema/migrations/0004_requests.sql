-- One row per attempt at a provider, partitioned by UTC day of occurred_at.
-- No serial id and no foreign key, and event_id in every key: the table can be distributed by event_id.
CREATE TABLE llm_requests (
    event_id              uuid NOT NULL,
    request_id            text,
    occurred_at           timestamptz NOT NULL,
    ingested_at           timestamptz NOT NULL DEFAULT now(),
    attempt               smallint NOT NULL,
    http_status           smallint,
    is_fallback           boolean NOT NULL,
    provider              text NOT NULL,
    model                 text NOT NULL,
    requested_model       text,
    status                text NOT NULL,
    error_type            text,
    retry_after_seconds   double precision,
    prompt_tokens         bigint,
    completion_tokens     bigint,
    cache_read_tokens     bigint,
    cache_write_tokens    bigint,
    cache_write_1h_tokens bigint,
    reasoning_tokens      bigint,
    total_tokens          bigint,
    web_searches          integer,
    usage_source          text NOT NULL,
    service_tier          text NOT NULL,
    -- to the microsecond, exact, so that sums do not depend on their order
    duration_seconds      numeric(14, 6),
    time_to_first_token_seconds double precision,
    original_provider     text,
    worker_id             text,
    circuit_epoch         integer,
    admission             text,
    lease_id              text,
    tags                  jsonb,
    metadata              jsonb,
    reported_cost_usd     numeric,
    cost_usd              numeric,
    price_id              bigint,
    baseline_cost_usd     numeric,
    baseline_price_id     bigint,
    savings_usd           numeric,
    PRIMARY KEY (event_id, occurred_at)
) PARTITION BY RANGE (occurred_at);

COMMENT ON TABLE llm_requests IS 'One row per LLM call attempt. Kept for FUSEBOARD_RAW_RETENTION_DAYS, by whole day partitions.';
COMMENT ON COLUMN llm_requests.occurred_at IS 'End of the call, UTC, as the worker said.';
COMMENT ON COLUMN llm_requests.prompt_tokens IS 'Includes cache reads and cache writes. NULL: not known, which is not 0.';
COMMENT ON COLUMN llm_requests.completion_tokens IS 'Includes reasoning tokens. NULL: not known, which is not 0.';
COMMENT ON COLUMN llm_requests.total_tokens IS 'As the caller said, if it did. Where it is not prompt + completion, the adapter misreads its provider.';
COMMENT ON COLUMN llm_requests.cost_usd IS 'Exact. NULL: no price known (price_id NULL) or usage not known (price_id set).';
COMMENT ON COLUMN llm_requests.reported_cost_usd IS 'The real charge, where the caller knew it; then cost_usd is this and price_id is NULL.';
COMMENT ON COLUMN llm_requests.baseline_cost_usd IS 'What the baseline model would have cost. Only on served requests; NULL: not known.';
COMMENT ON COLUMN llm_requests.savings_usd IS 'baseline - cost when served, - cost when not; negative stays negative, NULL where a part is NULL.';
