-- Says of every relation, column and function what it holds, where the database itself did not yet: \d+ and \df+ of psql,
-- and the schema browsers of other clients, show it. docs/tables.md says the same at more length.

COMMENT ON DOMAIN price_rate IS 'USD, from 0 to below a million with at most 24 decimals: exact costs can be made of it.';

COMMENT ON FUNCTION duration_bucket_bounds IS
    'Upper bounds of all buckets but the last, in seconds: from 5 ms to an hour, each at most 1.1 times the one before.';
COMMENT ON FUNCTION duration_bucket IS
    'The bucket that a duration in seconds falls into: 0 is under 5 ms, the last one is an hour or more. See duration_bucket_ms().';
COMMENT ON FUNCTION count_buckets IS 'Internal: adds a weight to a histogram''s count of each bucket listed; NULL is all zeros.';
COMMENT ON FUNCTION add_histograms IS 'Adds two histograms bucket by bucket.';
COMMENT ON AGGREGATE make_histogram (smallint[], bigint) IS
    'The histogram of lists of buckets, each list counted as often as its weight says; element 1 is bucket 0.';
COMMENT ON AGGREGATE sum_histograms (bigint[]) IS 'Adds histograms bucket by bucket.';

COMMENT ON COLUMN llm_requests.event_id IS 'UUIDv7 made by the worker, one per attempt.';
COMMENT ON COLUMN llm_requests.request_id IS 'The same for all attempts of one logical request; NULL: the worker did not say.';
COMMENT ON COLUMN llm_requests.ingested_at IS 'When the row was stored.';
COMMENT ON COLUMN llm_requests.attempt IS 'Which attempt of the request, from 1.';
COMMENT ON COLUMN llm_requests.http_status IS 'HTTP status of the provider; NULL: not known.';
COMMENT ON COLUMN llm_requests.is_fallback IS 'Another provider should have served it: see original_provider.';
COMMENT ON COLUMN llm_requests.provider IS 'Who was called.';
COMMENT ON COLUMN llm_requests.model IS 'The model that answered, as billed.';
COMMENT ON COLUMN llm_requests.requested_model IS 'The model that was asked for, where that was another; else NULL.';
COMMENT ON COLUMN llm_requests.status IS 'success, error, timeout, rate_limited or cancelled.';
COMMENT ON COLUMN llm_requests.error_type IS 'Class of the error, such as the exception''s name; NULL: none, or not known.';
COMMENT ON COLUMN llm_requests.retry_after_seconds IS 'How long the provider asked to be left alone, in seconds; NULL: it did not.';
COMMENT ON COLUMN llm_requests.cache_read_tokens IS 'The part of prompt_tokens that was read from the provider''s cache. NULL: not known.';
COMMENT ON COLUMN llm_requests.cache_write_tokens IS
    'The part of prompt_tokens that was written to the provider''s cache for some minutes. NULL: not known.';
COMMENT ON COLUMN llm_requests.cache_write_1h_tokens IS
    'The part of prompt_tokens that was written to the provider''s cache for an hour; not in cache_write_tokens. NULL: not known.';
COMMENT ON COLUMN llm_requests.reasoning_tokens IS 'The part of completion_tokens that was reasoning. NULL: not known.';
COMMENT ON COLUMN llm_requests.web_searches IS 'Searches that the provider made and charges by call. NULL: not known.';
COMMENT ON COLUMN llm_requests.usage_source IS
    'Who counted the tokens: provider, estimated, or partial (what had arrived of a broken stream).';
COMMENT ON COLUMN llm_requests.service_tier IS 'Tier that was billed: standard, batch, ...; default and auto are priced as standard.';
COMMENT ON COLUMN llm_requests.duration_seconds IS 'From the call to its end, in seconds. NULL: not known.';
COMMENT ON COLUMN llm_requests.time_to_first_token_seconds IS 'From the call to the first token, in seconds. NULL: not known.';
COMMENT ON COLUMN llm_requests.original_provider IS 'Who should have served a fallback; NULL: it is none, or the worker did not say.';
COMMENT ON COLUMN llm_requests.worker_id IS 'Which worker called; NULL: it did not say.';
COMMENT ON COLUMN llm_requests.circuit_epoch IS 'Epoch of the circuit that the worker saw when it chose; NULL: it saw none.';
COMMENT ON COLUMN llm_requests.admission IS 'How the circuit let the call through: normal, probe or panic; NULL: it was not asked.';
COMMENT ON COLUMN llm_requests.lease_id IS 'The lease of a probe; else NULL.';
COMMENT ON COLUMN llm_requests.tags IS 'What costs are grouped by, such as team: an object of texts, as the worker sent it; NULL: none.';
COMMENT ON COLUMN llm_requests.metadata IS 'A flat object, as the worker sent it; NULL: none.';
COMMENT ON COLUMN llm_requests.price_id IS
    'The row of llm_prices that priced it; NULL: no price is known, or the cost was reported.';
COMMENT ON COLUMN llm_requests.baseline_price_id IS 'The row of llm_prices that gave baseline_cost_usd; NULL where that is.';

COMMENT ON COLUMN llm_costs_daily.provider IS 'Who was called.';
COMMENT ON COLUMN llm_costs_daily.model IS 'The model that answered.';
COMMENT ON COLUMN llm_costs_daily.requests IS 'All attempts: successes + failures + cancelled.';
COMMENT ON COLUMN llm_costs_daily.successes IS 'Requests with status success.';
COMMENT ON COLUMN llm_costs_daily.rate_limited IS 'The part of failures that was rate_limited.';
COMMENT ON COLUMN llm_costs_daily.cancelled IS 'Requests with status cancelled: neither successes nor failures.';
COMMENT ON COLUMN llm_costs_daily.fallbacks IS 'Attempts that served another provider''s request, or tried to.';
COMMENT ON COLUMN llm_costs_daily.prompt_tokens IS 'Sum of what is known; includes cache reads and writes.';
COMMENT ON COLUMN llm_costs_daily.completion_tokens IS 'Sum of what is known; includes reasoning.';
COMMENT ON COLUMN llm_costs_daily.cache_read_tokens IS 'The part of prompt_tokens that was read from a cache; sum of what is known.';
COMMENT ON COLUMN llm_costs_daily.cache_write_tokens IS
    'The part of prompt_tokens that was written to a cache for some minutes; sum of what is known.';
COMMENT ON COLUMN llm_costs_daily.cache_write_1h_tokens IS
    'The part of prompt_tokens that was written to a cache for an hour, not in cache_write_tokens; sum of what is known.';
COMMENT ON COLUMN llm_costs_daily.reasoning_tokens IS 'The part of completion_tokens that was reasoning; sum of what is known.';
COMMENT ON COLUMN llm_costs_daily.cost_usd IS
    'USD, exact, of all attempts whose cost is known; unpriced_requests and unmetered_requests are not in it.';
COMMENT ON COLUMN llm_costs_daily.baseline_cost_usd IS
    'USD that the served requests would have cost at the baseline (Claude); baseline_unknown_requests are not in it.';
COMMENT ON COLUMN llm_costs_daily.savings_usd IS
    'USD: baseline minus cost, where both are known; attempts that served nothing lower it. May be negative.';
COMMENT ON COLUMN llm_costs_daily.duration_seconds_sum IS 'Seconds, over successes with a known duration.';
COMMENT ON COLUMN llm_costs_daily.duration_seconds_count IS 'Successes with a known duration.';
COMMENT ON COLUMN llm_costs_daily.duration_histogram IS
    'Successes with a known duration, counted by duration_bucket(); element 1 is bucket 0.';
COMMENT ON COLUMN llm_costs_daily.updated_at IS 'The last fold, rebuild or reprice that changed the row.';
COMMENT ON COLUMN llm_costs_pending.updated_at IS 'The present: what is here has not been folded.';
COMMENT ON COLUMN llm_costs_current.updated_at IS
    'The last fold, rebuild or reprice that changed the row; the present where something is not folded yet.';

COMMENT ON COLUMN llm_usage_deltas.delta_id IS 'Number, in order of insertion.';
COMMENT ON COLUMN llm_usage_deltas.quarter_start IS 'The quarter of an hour, UTC, that occurred_at of the requests lies in.';
COMMENT ON COLUMN llm_usage_deltas.duration_buckets IS 'duration_bucket() of each success with a known duration.';
COMMENT ON COLUMN llm_usage_hourly.hour_start IS 'A whole hour of UTC.';

COMMENT ON COLUMN llm_fallbacks_daily.provider IS 'Who was called instead.';
COMMENT ON COLUMN llm_fallbacks_daily.requests IS 'Attempts at the provider that another one should have served.';
COMMENT ON COLUMN llm_fallbacks_daily.successes IS 'Those of the requests that it served.';

COMMENT ON COLUMN llm_tag_costs_daily.tag_key IS 'A tag of llm_tag_keys, such as team.';
COMMENT ON COLUMN llm_tag_costs_daily.tag_value IS
    'What workers set it to. A request with two kept tags is in two rows, one without any in none.';
COMMENT ON COLUMN llm_tag_costs_daily.requests IS 'All attempts with this value of the tag.';
COMMENT ON COLUMN llm_tag_keys.tag_key IS 'The tag, as workers name it.';
COMMENT ON COLUMN llm_tag_keys.added_at IS 'When it was added.';

COMMENT ON COLUMN llm_unpriced_models.provider IS 'Who was called.';
COMMENT ON COLUMN llm_unpriced_models.model IS 'A model that no price covers.';
COMMENT ON COLUMN llm_unpriced_models.unpriced_requests IS 'Requests without a known price, of all days.';
COMMENT ON COLUMN llm_unpriced_models.last_day IS 'The last day with one, in the zone fuseboard_settings.day_time_zone.';

COMMENT ON COLUMN llm_usage_mismatches.provider IS 'Who was called.';
COMMENT ON COLUMN llm_usage_mismatches.model IS 'A model whose counts contradict each other.';
COMMENT ON COLUMN llm_usage_mismatches.requests IS 'Retained requests whose total_tokens is not prompt_tokens + completion_tokens.';
COMMENT ON COLUMN llm_usage_mismatches.last_occurred_at IS 'The last one, UTC.';

COMMENT ON COLUMN llm_pipeline_status.unfolded_requests IS 'Requests that the next fold adds to the daily rows.';
COMMENT ON COLUMN llm_pipeline_status.last_fold_at IS 'When the last fold ran to its end; NULL: never.';
COMMENT ON COLUMN llm_pipeline_status.rejected_events IS 'Events refused and not sent again.';
COMMENT ON COLUMN llm_pipeline_status.unpriced_requests IS 'Requests without a known price, of all days.';
COMMENT ON COLUMN llm_pipeline_status.day_time_zone IS 'The zone whose days daily rows are.';
COMMENT ON COLUMN llm_pipeline_status.raw_retained_from IS 'Requests from before it have been dropped.';

COMMENT ON COLUMN llm_rejected_events.rejected_id IS 'Number, for `fuseboard rejected replay`.';
COMMENT ON COLUMN llm_rejected_events.entry_id IS 'The stream''s entry that it came in.';
COMMENT ON COLUMN llm_rejected_events.entry_index IS 'Its place in the entry, from 0; -1: the whole entry was refused.';
COMMENT ON COLUMN llm_rejected_events.detail IS 'Which field, and what is wrong with it.';
COMMENT ON COLUMN llm_rejected_events.raw_text IS 'As it came, up to 64 kB; bytes that are no text are escaped.';
COMMENT ON COLUMN llm_rejected_events.raw_bytes IS 'Its size in bytes, before raw_text was cut.';
COMMENT ON COLUMN llm_rejected_events.received_at IS 'When it was refused.';
COMMENT ON COLUMN llm_rejected_events.replayed_at IS 'When it was sent again; NULL: it was not.';

COMMENT ON COLUMN llm_prices.price_id IS 'Number; price_id of llm_requests refers to it.';
COMMENT ON COLUMN llm_prices.provider IS 'Who charges it, as events name it.';
COMMENT ON COLUMN llm_prices.model_pattern IS
    'A model''s name, or a pattern in which * stands for any text; the most specific one counts.';
COMMENT ON COLUMN llm_prices.service_tier IS 'standard, batch, ...; a request is priced by rows of its own tier alone.';
COMMENT ON COLUMN llm_prices.above_input_tokens IS
    'The row prices all tokens of a request with more prompt_tokens than that; NULL: of any request.';
COMMENT ON COLUMN llm_prices.above_is_inclusive IS 'It does so from exactly above_input_tokens on.';
COMMENT ON COLUMN llm_prices.windows_utc IS
    'When it applies: a list of {"weekdays": [1-7], "hours": [["HH:MM", "HH:MM"], ...]} in UTC, Monday is 1; NULL: always.';
COMMENT ON COLUMN llm_prices.input_usd_per_token IS 'USD per prompt token that is not of a cache. NULL: unpriced.';
COMMENT ON COLUMN llm_prices.output_usd_per_token IS 'USD per completion token, reasoning among them. NULL: unpriced.';
COMMENT ON COLUMN llm_prices.cache_read_usd_per_token IS 'USD per cache_read_tokens. NULL: the input rate.';
COMMENT ON COLUMN llm_prices.cache_write_usd_per_token IS 'USD per cache_write_tokens. NULL: the input rate.';
COMMENT ON COLUMN llm_prices.cache_write_1h_usd_per_token IS 'USD per cache_write_1h_tokens. NULL: the input rate.';
COMMENT ON COLUMN llm_prices.web_search_usd_per_call IS 'USD per search. NULL: a request with searches is unpriced.';
COMMENT ON COLUMN llm_prices.multiplier IS 'Factor of the whole cost of tokens, such as 1.1; not of searches.';
COMMENT ON COLUMN llm_prices.valid_from IS 'It holds from then on, by occurred_at of the request.';
COMMENT ON COLUMN llm_prices.valid_to IS 'It holds no more from then on.';
COMMENT ON COLUMN llm_prices.source IS 'Where the price comes from.';
COMMENT ON COLUMN llm_prices.created_at IS 'When the row was added.';

COMMENT ON COLUMN llm_providers.name IS 'As events name it.';
COMMENT ON COLUMN llm_providers.display_name IS 'For people.';
COMMENT ON COLUMN llm_providers.provider_type IS 'local or remote.';
COMMENT ON COLUMN llm_providers.priority IS 'A lower number is tried first.';
COMMENT ON COLUMN llm_providers.enabled IS 'Workers may choose it.';
COMMENT ON COLUMN llm_providers.circuit_settings IS
    'Overrides of the circuit breaker''s defaults, such as {"min_calls": 20}: see `fuseboard circuits settings`.';
COMMENT ON COLUMN llm_providers.weight IS 'Share of the calls among providers of one priority; NULL: as any other.';
COMMENT ON COLUMN llm_providers.context_tokens IS
    'Prompt and answer have at most so many tokens; NULL: not known, which excludes nothing.';
COMMENT ON COLUMN llm_providers.capabilities IS 'What it can do, such as {tools,vision}; empty: not known, which excludes nothing.';
COMMENT ON COLUMN llm_providers.created_at IS 'When it was registered.';
COMMENT ON COLUMN llm_providers.updated_at IS 'When Fuseboard last changed the row; SQL by hand leaves it as it is.';

COMMENT ON COLUMN llm_provider_health.provider IS 'As events name it.';
COMMENT ON COLUMN llm_provider_health.total_requests IS 'Attempts of all time, cancelled ones among them.';
COMMENT ON COLUMN llm_provider_health.successful_requests IS 'Those of all time with status success.';
COMMENT ON COLUMN llm_provider_health.failed_requests IS 'Those of all time with status error, timeout or rate_limited.';
COMMENT ON COLUMN llm_provider_health.failure_count IS 'Failures newer than the last success, as far as events have arrived.';
COMMENT ON COLUMN llm_provider_health.last_success_at IS 'End of the newest success; NULL: there is none.';
COMMENT ON COLUMN llm_provider_health.last_failure_at IS 'End of the newest failure; NULL: there is none.';
COMMENT ON COLUMN llm_provider_health.last_error_type IS 'error_type of the newest failure; NULL: none, or the worker did not say.';
COMMENT ON COLUMN llm_provider_health.rolling_minutes IS
    'The ten minutes up to the newest request: {"minute as epoch seconds": [calls that succeeded or failed, successes, microseconds of timed successes, timed successes]}.';
COMMENT ON COLUMN llm_provider_health.rolling_durations IS
    'Timed successes of the same minutes: {"minute as epoch seconds": {"duration_bucket()": count}}.';
COMMENT ON COLUMN llm_provider_health.rolling_success_rate IS
    'Percent of the calls that succeeded or failed in the ten minutes up to the newest one, without throttles and cancelled ones; NULL: there was none.';
COMMENT ON COLUMN llm_provider_health.rolling_avg_response_seconds IS
    'Mean duration of the timed successes in the same minutes, in seconds; NULL: there is none.';
COMMENT ON COLUMN llm_provider_health.epoch_started_at IS 'When the epoch began.';
COMMENT ON COLUMN llm_provider_health.open_until IS 'From then on an open circuit is half_open; NULL: it is not open.';
COMMENT ON COLUMN llm_provider_health.open_streak IS 'How often in a row it opened, which makes each time longer.';
COMMENT ON COLUMN llm_provider_health.throttle_until IS
    'Until then the provider asked to be left alone; NULL or over: it does not.';
COMMENT ON COLUMN llm_provider_health.throttle_streak IS 'How often in a row it asked.';
COMMENT ON COLUMN llm_provider_health.throttle_reset_revision IS 'The revision at which an operator last forgot the throttle; 0: never.';
COMMENT ON COLUMN llm_provider_health.override IS 'An operator''s order: forced_open or disabled; NULL: the rules decide.';
COMMENT ON COLUMN llm_provider_health.override_by IS 'Who gave the order; NULL: there is none.';
COMMENT ON COLUMN llm_provider_health.override_reason IS 'Why; NULL: there is none.';
COMMENT ON COLUMN llm_provider_health.override_until IS 'When the order ends by itself; NULL: it does not, or there is none.';
COMMENT ON COLUMN llm_provider_health.circuit_window IS 'The calls of this epoch that the rules need, of bounded size.';
COMMENT ON COLUMN llm_provider_health.updated_at IS 'When events were last folded into the row.';

COMMENT ON VIEW llm_provider_status IS
    'Each provider with its health from real traffic and its circuit now; response times and rolling figures are of the ten minutes up to the newest request.';
COMMENT ON COLUMN llm_provider_status.success_rate IS 'Percent of all requests of all time; NULL: there was none.';
COMMENT ON COLUMN llm_provider_status.avg_response_time_ms IS
    'Mean duration in milliseconds of the successes in the ten minutes up to the newest request; NULL: none was timed.';
COMMENT ON COLUMN llm_provider_status.p50_response_time_ms IS 'Median duration of the same successes, in milliseconds, within 5 %; NULL: none was timed.';
COMMENT ON COLUMN llm_provider_status.p95_response_time_ms IS '95th percentile of the same, in milliseconds, within 5 %; NULL: none was timed.';
COMMENT ON COLUMN llm_provider_status.circuit_state IS 'closed, open, half_open, forced_open or disabled: state of llm_circuits.';
COMMENT ON COLUMN llm_provider_status.is_throttled IS 'The provider asked to be left alone, and the time is not over.';

COMMENT ON COLUMN llm_circuit_transitions.provider IS 'Whose circuit.';
COMMENT ON COLUMN llm_circuit_transitions.version IS 'Which transition of the circuit, from 1.';
COMMENT ON COLUMN llm_circuit_transitions.from_state IS 'closed, open, half_open, forced_open or disabled.';
COMMENT ON COLUMN llm_circuit_transitions.to_state IS 'The state from then on; the same as before where only a throttle was forgotten.';
COMMENT ON COLUMN llm_circuit_transitions.reason IS
    'Of the rules: failure_rate, slow_rate, consecutive, fatal, probe_failed, probes_succeeded; of operators: forced_open, disabled, override_cleared, reset, throttle_reset; of the clock: override_expired.';
COMMENT ON COLUMN llm_circuit_transitions.epoch IS 'The epoch that it began.';
COMMENT ON COLUMN llm_circuit_transitions.open_until IS 'The deadline that stood afterwards: from then on it was half_open. NULL: none.';
COMMENT ON COLUMN llm_circuit_transitions.note IS 'Why it was ordered; NULL: the rules decided.';
COMMENT ON COLUMN llm_circuit_transitions.calls IS 'Calls that the window held at the decision; of an order 0.';
COMMENT ON COLUMN llm_circuit_transitions.bad IS 'Failures that the window held at the decision; of an order 0.';
COMMENT ON COLUMN llm_circuit_transitions.slow IS 'Slow calls that the window held at the decision; of an order 0.';
COMMENT ON COLUMN llm_circuit_transitions.cause_event_id IS 'event_id of the request that caused it; NULL: an order, or its end.';

COMMENT ON COLUMN llm_circuit_history.occurred_at IS 'From when on it was to_state.';
COMMENT ON COLUMN llm_circuit_history.reason IS
    'As in llm_circuit_transitions; open_until_passed: derived, it became half_open by the clock.';
COMMENT ON COLUMN llm_circuit_history.version IS 'Which transition of the circuit, from 1; a derived row has that of the opening.';
COMMENT ON COLUMN llm_circuit_history.epoch IS 'The epoch that it began; a derived row has that of the opening.';
COMMENT ON COLUMN llm_circuit_history.calls IS 'Calls that the window held at the decision; of an order 0, of a derived row NULL.';
COMMENT ON COLUMN llm_circuit_history.bad IS 'Failures that the window held at the decision; of an order 0, of a derived row NULL.';
COMMENT ON COLUMN llm_circuit_history.slow IS 'Slow calls that the window held at the decision; of an order 0, of a derived row NULL.';
COMMENT ON COLUMN llm_circuit_history.lasted_seconds IS 'Seconds until the next row; NULL: it lasts.';

COMMENT ON COLUMN llm_circuits.provider IS 'Whose circuit; rows are in order of choice.';
COMMENT ON COLUMN llm_circuits.enabled IS 'Workers may choose the provider; else it is not used, whatever its circuit is.';
COMMENT ON COLUMN llm_circuits.state IS
    'closed; open: nobody calls it; half_open: a few probes are let through; forced_open: nobody until it is cleared; disabled: everybody, and it never trips.';
COMMENT ON COLUMN llm_circuits.is_throttled IS 'The provider asked to be left alone, until throttle_until; beside the state.';
COMMENT ON COLUMN llm_circuits.since IS 'Start of the state; of one that never changed, when the provider was registered.';
COMMENT ON COLUMN llm_circuits.reason IS 'Of the transition into the state, as in llm_circuit_transitions; NULL: it never changed.';
COMMENT ON COLUMN llm_circuits.actor IS 'Who ordered that transition; NULL: the rules did, or it never changed.';
COMMENT ON COLUMN llm_circuits.note IS 'Why it was ordered; NULL: it was not.';
COMMENT ON COLUMN llm_circuits.next_probe_at IS 'When an open circuit becomes half_open; NULL: it is not open.';
COMMENT ON COLUMN llm_circuits.throttle_until IS 'Until then the provider asked to be left alone; NULL: it does not.';
COMMENT ON COLUMN llm_circuits.window_calls IS 'Calls that the window held at that transition; NULL: it never changed.';
COMMENT ON COLUMN llm_circuits.window_bad IS 'Failures that the window held at that transition; NULL: it never changed.';
COMMENT ON COLUMN llm_circuits.window_slow IS 'Slow calls that the window held at that transition; NULL: it never changed.';
COMMENT ON COLUMN llm_circuits.success_rate IS
    'Percent of the calls that succeeded or failed in the ten minutes up to the newest one, without throttles and cancelled ones; NULL: there was none.';

COMMENT ON COLUMN fuseboard_settings.name IS
    'day_time_zone: whose days daily rows are; raw_retained_from: raw requests before it are gone; whole_days_from: daily rows before it may say more than the raw requests that are left.';
COMMENT ON COLUMN fuseboard_settings.value IS 'As text.';
COMMENT ON COLUMN fuseboard_settings.updated_at IS 'When it was last changed.';
COMMENT ON COLUMN fuseboard_job_runs.job IS 'fold, partitions or reconcile.';
COMMENT ON COLUMN fuseboard_job_runs.last_started_at IS 'When it last began.';
COMMENT ON COLUMN fuseboard_job_runs.last_success_at IS 'When it last ran to its end; NULL: never.';
COMMENT ON COLUMN fuseboard_job_runs.last_error IS 'What the last run failed with, or found to see to; NULL: nothing.';
COMMENT ON TABLE fuseboard_migrations IS
    'The files of schema/fuseboard_schema/migrations that were applied. Written by `fuseboard migrate`.';
COMMENT ON COLUMN fuseboard_migrations.name IS 'Name of the file.';
COMMENT ON COLUMN fuseboard_migrations.checksum IS 'SHA-256 of its content when it was applied, hexadecimal.';
COMMENT ON COLUMN fuseboard_migrations.applied_at IS 'When it was applied.';
COMMENT ON COLUMN fuseboard_tokens.token_id IS 'The public part of the token, by which it is found and named.';
COMMENT ON COLUMN fuseboard_tokens.token_sha256 IS 'SHA-256 of the whole token.';
COMMENT ON COLUMN fuseboard_tokens.name IS 'Whose it is.';
COMMENT ON COLUMN fuseboard_tokens.scope IS 'read, write (also record) or admin (also enable providers and order circuits).';
COMMENT ON COLUMN fuseboard_tokens.created_at IS 'When it was made.';
COMMENT ON COLUMN fuseboard_tokens.expires_at IS 'It is refused from then on; NULL: it does not expire.';
COMMENT ON COLUMN fuseboard_tokens.revoked_at IS 'When it was ended for good; NULL: it was not.';
COMMENT ON COLUMN fuseboard_sessions.session_sha256 IS 'SHA-256 of the cookie''s secret.';
COMMENT ON COLUMN fuseboard_sessions.token_id IS 'The token that it came of.';
COMMENT ON COLUMN fuseboard_sessions.created_at IS 'When the browser logged in.';
COMMENT ON COLUMN fuseboard_sessions.expires_at IS 'When it ends at the latest.';
COMMENT ON COLUMN fuseboard_login_codes.code_sha256 IS 'SHA-256 of the link''s code.';
COMMENT ON COLUMN fuseboard_login_codes.token_id IS 'The token whose rights the link gives.';
COMMENT ON COLUMN fuseboard_login_codes.expires_at IS 'The link works until then, once.';

-- columns that say the same in several relations, from where they are explained; what has its own comment keeps it
DO $$
DECLARE
    target text;
    source text;
    name   text;
    said   text;
BEGIN
    FOR target, source IN VALUES
        ('llm_costs_current', 'llm_costs_daily'),
        ('llm_costs_pending', 'llm_costs_daily'),
        ('llm_usage_deltas', 'llm_costs_daily'),
        ('llm_request_usage', 'llm_usage_deltas'),
        ('llm_request_usage', 'llm_requests'),
        ('llm_usage_hourly', 'llm_costs_daily'),
        ('llm_usage_hourly_current', 'llm_usage_hourly'),
        ('llm_usage_hourly_pending', 'llm_usage_hourly'),
        ('llm_fallbacks_current', 'llm_fallbacks_daily'),
        ('llm_fallback_deltas', 'llm_fallbacks_daily'),
        ('llm_fallback_deltas', 'llm_usage_deltas'),
        ('llm_tag_costs_daily', 'llm_costs_daily'),
        ('llm_tag_costs_current', 'llm_tag_costs_daily'),
        ('llm_tag_costs_pending', 'llm_tag_costs_daily'),
        ('llm_tag_deltas', 'llm_tag_costs_daily'),
        ('llm_tag_deltas', 'llm_usage_deltas'),
        ('llm_provider_status', 'llm_providers'),
        ('llm_provider_status', 'llm_provider_health'),
        ('llm_circuits', 'llm_providers'),
        ('llm_circuits', 'llm_provider_health'),
        ('llm_circuit_history', 'llm_circuit_transitions')
    LOOP
        FOR name, said IN
            SELECT targets.attname, col_description(sources.attrelid, sources.attnum)
            FROM pg_attribute AS targets
            JOIN pg_attribute AS sources USING (attname)
            WHERE targets.attrelid = target::regclass AND sources.attrelid = source::regclass
                AND targets.attnum > 0 AND col_description(targets.attrelid, targets.attnum) IS NULL
        LOOP
            EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', target, name, said);
        END LOOP;
    END LOOP;
END $$;
