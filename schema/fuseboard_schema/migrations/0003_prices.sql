-- Prices with validity dates. A row is ended by valid_to, never deleted or overwritten, so history keeps its price.
CREATE TABLE llm_prices (
    price_id                    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    provider                    text NOT NULL,
    -- a model name, or a pattern in which * stands for any text; the pattern with the most literal characters wins
    model_pattern               text NOT NULL CHECK (model_pattern <> ''),
    service_tier                text NOT NULL DEFAULT 'standard',
    -- the row prices every token of a request whose input passes this count; NULL is the base row
    above_input_tokens          bigint CHECK (above_input_tokens >= 0),
    above_is_inclusive          boolean NOT NULL DEFAULT false,
    -- NULL: always; else a list of {"weekdays": [1-7], "hours": [["HH:MM", "HH:MM"], ...]} in UTC
    windows_utc                 jsonb,
    input_usd_per_token         numeric CHECK (input_usd_per_token >= 0),
    output_usd_per_token        numeric CHECK (output_usd_per_token >= 0),
    -- a missing cache rate means the input rate
    cache_read_usd_per_token    numeric CHECK (cache_read_usd_per_token >= 0),
    cache_write_usd_per_token   numeric CHECK (cache_write_usd_per_token >= 0),
    cache_write_1h_usd_per_token numeric CHECK (cache_write_1h_usd_per_token >= 0),
    web_search_usd_per_call     numeric CHECK (web_search_usd_per_call >= 0),
    -- applied to the whole token cost, e.g. 1.1 for data residency
    multiplier                  numeric NOT NULL DEFAULT 1 CHECK (multiplier >= 0),
    valid_from                  timestamptz NOT NULL DEFAULT '-infinity',
    valid_to                    timestamptz NOT NULL DEFAULT 'infinity',
    source                      text NOT NULL,
    created_at                  timestamptz NOT NULL DEFAULT now(),
    CHECK (valid_from <= valid_to)
);
CREATE INDEX llm_prices_lookup ON llm_prices (provider, service_tier, model_pattern);
COMMENT ON TABLE llm_prices IS 'USD per token by provider, model pattern, tier, threshold and time. Rows end, they are never deleted.';

INSERT INTO llm_prices (provider, model_pattern, input_usd_per_token, output_usd_per_token, source) VALUES
    ('claude',  '*', 0.000003, 0.000015, 'seed: 3/15 USD per million tokens'),
    ('openai',  '*', 0.000005, 0.000015, 'seed: 5/15 USD per million tokens'),
    ('ollama',  '*', 0, 0, 'seed: local'),
    ('localai', '*', 0, 0, 'seed: local');
