-- Prices with validity dates. A row is ended by valid_to, never deleted or overwritten, so history keeps its price.

-- A number that exact costs can be made of: neither NaN nor infinite, which numeric would allow, nor of endless digits.
CREATE DOMAIN price_rate AS numeric CHECK (VALUE >= 0 AND VALUE < 1000000 AND scale(VALUE) <= 24);

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
    input_usd_per_token         price_rate,
    output_usd_per_token        price_rate,
    -- a missing cache rate means the input rate
    cache_read_usd_per_token    price_rate,
    cache_write_usd_per_token   price_rate,
    cache_write_1h_usd_per_token price_rate,
    web_search_usd_per_call     price_rate,
    -- applied to the whole token cost, e.g. 1.1 for data residency
    multiplier                  price_rate NOT NULL DEFAULT 1,
    valid_from                  timestamptz NOT NULL DEFAULT '-infinity',
    valid_to                    timestamptz NOT NULL DEFAULT 'infinity',
    source                      text NOT NULL,
    created_at                  timestamptz NOT NULL DEFAULT now(),
    CHECK (valid_from <= valid_to),
    -- times that every client can read back
    CHECK (valid_from = '-infinity' OR valid_from BETWEEN '1970-01-01 00:00Z' AND '9998-12-31 00:00Z'),
    CHECK (valid_to = 'infinity' OR valid_to BETWEEN '1970-01-01 00:00Z' AND '9998-12-31 00:00Z')
);
CREATE INDEX llm_prices_lookup ON llm_prices (provider, service_tier, model_pattern);
COMMENT ON TABLE llm_prices IS 'USD per token by provider, model pattern, tier, threshold and time. Rows end, they are never deleted.';

INSERT INTO llm_prices (provider, model_pattern, input_usd_per_token, output_usd_per_token, source) VALUES
    ('claude',  '*', 0.000003, 0.000015, 'seed: 3/15 USD per million tokens'),
    ('openai',  '*', 0.000005, 0.000015, 'seed: 5/15 USD per million tokens'),
    ('ollama',  '*', 0, 0, 'seed: local'),
    ('localai', '*', 0, 0, 'seed: local');
