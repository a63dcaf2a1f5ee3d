-- One provider under all its names: what workers say is looked up without case and surrounding blanks, then among these.
CREATE TABLE llm_provider_aliases (
    alias      text PRIMARY KEY CHECK (alias <> '' AND alias = lower(btrim(alias)) AND length(alias) <= 128),
    provider   text NOT NULL CHECK (provider <> ''),
    created_at timestamptz NOT NULL DEFAULT now(),
    CHECK (alias <> provider)
);
COMMENT ON TABLE llm_provider_aliases IS 'Other names of providers, in lower case. `fuseboard providers alias` changes them.';
COMMENT ON COLUMN llm_provider_aliases.alias IS 'What a worker may say, in lower case and without surrounding blanks.';
COMMENT ON COLUMN llm_provider_aliases.provider IS 'What is stored instead.';
COMMENT ON COLUMN llm_provider_aliases.created_at IS 'When it was added.';

-- only names that surely mean the same; one that is registered as a provider already is for `fuseboard providers merge`
INSERT INTO llm_provider_aliases (alias, provider)
SELECT alias, provider
FROM (VALUES
    ('anthropic', 'claude'),
    ('open-ai', 'openai'), ('open_ai', 'openai'), ('open ai', 'openai'),
    ('local-ai', 'localai'), ('local_ai', 'localai'), ('local ai', 'localai'),
    ('aws.bedrock', 'bedrock'), ('aws_bedrock', 'bedrock'), ('aws-bedrock', 'bedrock'), ('aws bedrock', 'bedrock'),
    ('amazon_bedrock', 'bedrock'), ('amazon-bedrock', 'bedrock'), ('amazon bedrock', 'bedrock'),
    ('gcp.gemini', 'gemini'), ('google_gemini', 'gemini'), ('google-gemini', 'gemini'), ('google gemini', 'gemini'),
    ('azure-openai', 'azure_openai'), ('azure openai', 'azure_openai'), ('azure.ai.openai', 'azure_openai')
) AS usual (alias, provider)
WHERE NOT EXISTS (SELECT FROM llm_providers WHERE lower(name) = alias);

CREATE FUNCTION llm_provider_name(said text) RETURNS text
LANGUAGE sql STABLE AS $$
    SELECT coalesce(
        (SELECT provider FROM llm_provider_aliases WHERE alias = lower(btrim(said))),
        (SELECT name FROM llm_providers WHERE name = said),
        (SELECT min(name) FROM llm_providers WHERE lower(name) = lower(btrim(said))),
        lower(btrim(said))
    )
$$;
COMMENT ON FUNCTION llm_provider_name IS 'The provider that a name means: by alias, or whatever its case; a new one in lower case.';

-- Moves everything of one provider to another, in the transaction of the caller, who keeps folds and reprices away; its
-- name becomes an alias. Every sum is what it was. Past transitions stay under the name that the circuit had.
CREATE FUNCTION llm_merge_provider(from_name text, into_name text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    rollup record;
BEGIN
    IF from_name = into_name OR NOT EXISTS (SELECT FROM llm_providers WHERE name = into_name) THEN
        RAISE EXCEPTION 'there is no other provider % to merge into', into_name USING ERRCODE = 'invalid_parameter_value';
    END IF;
    UPDATE llm_provider_aliases SET provider = into_name WHERE provider = from_name AND alias <> into_name;
    DELETE FROM llm_provider_aliases WHERE provider = from_name;
    INSERT INTO llm_provider_aliases (alias, provider)
    SELECT lower(btrim(from_name)), into_name WHERE lower(btrim(from_name)) <> into_name
    ON CONFLICT (alias) DO UPDATE SET provider = excluded.provider;
    INSERT INTO llm_provider_health (provider) VALUES (into_name) ON CONFLICT DO NOTHING;
    PERFORM FROM llm_provider_health WHERE provider IN (from_name, into_name) ORDER BY provider FOR UPDATE;

    UPDATE llm_requests
    SET
        provider = CASE provider WHEN from_name THEN into_name ELSE provider END,
        original_provider = CASE original_provider WHEN from_name THEN into_name ELSE original_provider END
    WHERE provider = from_name OR original_provider = from_name;
    UPDATE llm_usage_deltas SET provider = into_name WHERE provider = from_name;
    UPDATE llm_fallback_deltas
    SET
        provider = CASE provider WHEN from_name THEN into_name ELSE provider END,
        original_provider = CASE original_provider WHEN from_name THEN into_name ELSE original_provider END
    WHERE provider = from_name OR original_provider = from_name;

    -- rows of sums: moved, and added up where the other provider has one of the same key
    FOR rollup IN
        SELECT
            relation::regclass AS relation,
            keys,
            string_agg(quote_ident(attname), ', ' ORDER BY attnum) AS columns,
            string_agg(
                CASE
                    WHEN attname = 'provider' THEN '$2'
                    WHEN attname = 'original_provider' THEN 'CASE original_provider WHEN $1 THEN $2 ELSE original_provider END'
                    ELSE quote_ident(attname)
                END, ', ' ORDER BY attnum
            ) AS moved,
            string_agg(
                CASE
                    WHEN atttypid = 'bigint[]'::regtype THEN format('%1$I = add_histograms(kept.%1$I, excluded.%1$I)', attname)
                    WHEN attname = 'updated_at' THEN 'updated_at = now()'
                    ELSE format('%1$I = kept.%1$I + excluded.%1$I', attname)
                END, ', ' ORDER BY attnum
            ) FILTER (WHERE attname <> ALL (string_to_array(keys, ', '))) AS sums
        FROM (VALUES ('llm_costs_daily', 'day, provider, model'), ('llm_usage_hourly', 'hour_start, provider')) AS names (relation, keys)
        JOIN pg_attribute ON attrelid = relation::regclass AND attnum > 0 AND NOT attisdropped
        GROUP BY relation, keys
    LOOP
        EXECUTE format(
            'WITH gone AS (DELETE FROM %1$s WHERE provider = $1 RETURNING *)
            INSERT INTO %1$s AS kept (%2$s) SELECT %3$s FROM gone ON CONFLICT (%4$s) DO UPDATE SET %5$s',
            rollup.relation, rollup.columns, rollup.moved, rollup.keys, rollup.sums
        ) USING from_name, into_name;
    END LOOP;
    WITH gone AS (
        DELETE FROM llm_fallbacks_daily WHERE provider = from_name OR original_provider = from_name RETURNING *
    )
    INSERT INTO llm_fallbacks_daily AS kept (day, original_provider, provider, requests, successes)
    SELECT
        day,
        CASE original_provider WHEN from_name THEN into_name ELSE original_provider END,
        CASE provider WHEN from_name THEN into_name ELSE provider END,
        sum(requests),
        sum(successes)
    FROM gone
    GROUP BY 1, 2, 3
    ON CONFLICT (day, original_provider, provider) DO UPDATE SET
        requests = kept.requests + excluded.requests, successes = kept.successes + excluded.successes;

    UPDATE llm_provider_health AS kept
    SET
        total_requests = kept.total_requests + gone.total_requests,
        successful_requests = kept.successful_requests + gone.successful_requests,
        failed_requests = kept.failed_requests + gone.failed_requests,
        last_success_at = greatest(kept.last_success_at, gone.last_success_at),
        last_error_type = CASE
            WHEN gone.last_failure_at > coalesce(kept.last_failure_at, '-infinity') THEN gone.last_error_type
            ELSE kept.last_error_type
        END,
        last_failure_at = greatest(kept.last_failure_at, gone.last_failure_at),
        revision = kept.revision + 1,
        updated_at = now()
    FROM llm_provider_health AS gone
    WHERE kept.provider = into_name AND gone.provider = from_name;
    DELETE FROM llm_providers WHERE name = from_name;
    DELETE FROM llm_provider_health WHERE provider = from_name;
END $$;
COMMENT ON FUNCTION llm_merge_provider IS
    'Moves requests, usage and health totals of one provider to another and leaves an alias. `fuseboard providers merge` calls it, with folds and reprices kept away.';

CREATE FUNCTION llm_remove_provider(provider_name text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM llm_costs_daily WHERE provider = provider_name AND requests <> 0)
        OR EXISTS (SELECT FROM llm_usage_deltas WHERE provider = provider_name)
        OR EXISTS (SELECT FROM llm_provider_health WHERE provider = provider_name AND total_requests > 0)
    THEN
        RAISE EXCEPTION 'provider % has requests', provider_name
        USING ERRCODE = 'object_in_use', HINT = 'Merge it into another with `fuseboard providers merge`, or disable it.';
    END IF;
    DELETE FROM llm_provider_aliases WHERE provider = provider_name;
    DELETE FROM llm_providers WHERE name = provider_name;
    DELETE FROM llm_provider_health WHERE provider = provider_name;
END $$;
COMMENT ON FUNCTION llm_remove_provider IS 'Removes a provider that has no requests, with its aliases.';
