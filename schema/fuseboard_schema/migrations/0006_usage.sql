-- Which bucket of the duration histogram a duration falls into: bounds from 5 ms to 1 h growing by 1.1,
-- so a percentile read from the histogram is within 5 % of the true one.
CREATE FUNCTION duration_bucket_bounds() RETURNS double precision[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT '{0.005,0.0055,0.00605,0.006655,0.0073205,0.00805255,0.00885781,0.00974359,0.0107179,0.0117897,0.0129687,0.0142656,
        0.0156921,0.0172614,0.0189875,0.0208862,0.0229749,0.0252724,0.0277996,0.0305795,0.0336375,0.0370012,0.0407014,0.0447715,
        0.0492487,0.0541735,0.0595909,0.06555,0.072105,0.0793155,0.087247,0.0959717,0.105569,0.116126,0.127738,0.140512,
        0.154563,0.17002,0.187022,0.205724,0.226296,0.248926,0.273818,0.3012,0.33132,0.364452,0.400898,0.440987,
        0.485086,0.533595,0.586954,0.64565,0.710215,0.781236,0.85936,0.945296,1.03983,1.14381,1.25819,1.38401,
        1.52241,1.67465,1.84211,2.02633,2.22896,2.45185,2.69704,2.96674,3.26342,3.58976,3.94873,4.34361,
        4.77797,5.25577,5.78134,6.35948,6.99542,7.69497,8.46446,9.31091,10.242,11.2662,12.3928,13.6321,
        14.9953,16.4948,18.1443,19.9588,21.9546,24.1501,26.5651,29.2216,32.1438,35.3582,38.894,42.7834,
        47.0617,51.7679,56.9447,62.6391,68.9031,75.7934,83.3727,91.71,100.881,110.969,122.066,134.273,
        147.7,162.47,178.717,196.588,216.247,237.872,261.659,287.825,316.608,348.268,383.095,421.405,
        463.545,509.9,560.89,616.979,678.677,746.544,821.199,903.319,993.651,1093.02,1202.32,1322.55,
        1454.8,1600.28,1760.31,1936.34,2129.98,2342.98,2577.27,2835,3118.5,3430.35,3600}'::double precision[]
$$;

CREATE FUNCTION duration_bucket(duration_seconds double precision) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT width_bucket(duration_seconds, duration_bucket_bounds())::smallint
$$;

-- What one batch added, per quarter of an hour, provider and model. Append only; the aggregator folds and deletes.
-- Quarters, because the day of every time zone in use is made of whole quarters.
CREATE TABLE llm_usage_deltas (
    delta_id                  bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    quarter_start             timestamptz NOT NULL,
    provider                  text NOT NULL,
    model                     text NOT NULL,
    requests                  bigint NOT NULL,
    successes                 bigint NOT NULL,
    failures                  bigint NOT NULL,
    rate_limited              bigint NOT NULL,
    cancelled                 bigint NOT NULL,
    fallbacks                 bigint NOT NULL,
    unpriced_requests         bigint NOT NULL,
    unmetered_requests        bigint NOT NULL,
    baseline_unknown_requests bigint NOT NULL,
    prompt_tokens             numeric NOT NULL,
    completion_tokens         numeric NOT NULL,
    cache_read_tokens         numeric NOT NULL,
    cache_write_tokens        numeric NOT NULL,
    cache_write_1h_tokens     numeric NOT NULL,
    reasoning_tokens          numeric NOT NULL,
    cost_usd                  numeric NOT NULL,
    baseline_cost_usd         numeric NOT NULL,
    savings_usd               numeric NOT NULL,
    duration_seconds_sum      numeric NOT NULL,
    duration_seconds_count    bigint NOT NULL,
    -- one bucket number per success with a known duration; the fold counts them
    duration_buckets          smallint[] NOT NULL
);
COMMENT ON TABLE llm_usage_deltas IS 'Not yet folded usage. Daily rows + these = the raw requests, to the last digit, at every commit.';

CREATE TABLE llm_costs_daily (
    day                       date NOT NULL,
    provider                  text NOT NULL,
    model                     text NOT NULL,
    requests                  bigint NOT NULL,
    successes                 bigint NOT NULL,
    failures                  bigint NOT NULL,
    rate_limited              bigint NOT NULL,
    cancelled                 bigint NOT NULL,
    fallbacks                 bigint NOT NULL,
    unpriced_requests         bigint NOT NULL,
    unmetered_requests        bigint NOT NULL,
    baseline_unknown_requests bigint NOT NULL,
    prompt_tokens             numeric NOT NULL,
    completion_tokens         numeric NOT NULL,
    cache_read_tokens         numeric NOT NULL,
    cache_write_tokens        numeric NOT NULL,
    cache_write_1h_tokens     numeric NOT NULL,
    reasoning_tokens          numeric NOT NULL,
    cost_usd                  numeric NOT NULL,
    baseline_cost_usd         numeric NOT NULL,
    savings_usd               numeric NOT NULL,
    duration_seconds_sum      numeric NOT NULL,
    duration_seconds_count    bigint NOT NULL,
    -- counts by bucket of duration_bucket(), successes only; element 1 is bucket 0
    duration_histogram        bigint[] NOT NULL,
    updated_at                timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (day, provider, model)
);
COMMENT ON TABLE llm_costs_daily IS 'Cost, baseline (hypothetical Claude) cost and savings per day, provider and model. Kept for good.';
COMMENT ON COLUMN llm_costs_daily.day IS 'A day of the zone fuseboard_settings.day_time_zone.';
COMMENT ON COLUMN llm_costs_daily.failures IS 'Requests with status error, timeout or rate_limited.';
COMMENT ON COLUMN llm_costs_daily.unpriced_requests IS 'Requests with no known price: they are in no cost figure.';
COMMENT ON COLUMN llm_costs_daily.unmetered_requests IS 'Requests with a price but unknown usage: they are in no cost figure.';
COMMENT ON COLUMN llm_costs_daily.baseline_unknown_requests IS 'Served requests without a baseline cost: they are in no savings figure.';
