-- Operators' orders to a circuit, and what people read about circuits. The orders are functions, so that the command
-- line, the HTTP API, the sweeper and any SQL client give the same ones; consumer/fuseboard_consumer/circuit_controls.py
-- is their table.

-- A row each for providers that were added by hand: from here on a trigger makes it.
INSERT INTO llm_provider_health (provider) SELECT name FROM llm_providers ON CONFLICT DO NOTHING;

CREATE FUNCTION llm_circuit_state(state text, override text, open_until timestamptz, at timestamptz) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE
        WHEN override IS NOT NULL THEN override
        WHEN state = 'open' AND at >= open_until THEN 'half_open'
        ELSE state
    END
$$;
COMMENT ON FUNCTION llm_circuit_state IS
    'What a circuit is at a time: forced_open, disabled, half_open, open or closed. Nobody writes half_open, so nobody races for it.';

-- Does one change, or raises invalid_parameter_value. Each starts a new epoch, so that no call from before it can undo it,
-- and leaves an empty window. updated_at stays: it says when events last came in.
CREATE FUNCTION change_circuit(target text, change text, actor text, note text, until timestamptz DEFAULT NULL)
RETURNS llm_circuit_transitions
LANGUAGE plpgsql AS $$
DECLARE
    before llm_provider_health;
    after llm_provider_health;
    done llm_circuit_transitions;
    decided_at timestamptz;
BEGIN
    IF coalesce(actor, '') !~ '\S' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'actor: is empty; say who changes the circuit, and why';
    ELSIF coalesce(note, '') !~ '\S' AND change <> 'override_expired' THEN
        RAISE invalid_parameter_value USING MESSAGE = 'reason: is empty; say who changes the circuit, and why';
    END IF;
    SELECT * INTO before FROM llm_provider_health WHERE provider = target FOR UPDATE;
    IF NOT FOUND THEN
        RAISE invalid_parameter_value USING MESSAGE = format(
            'there is no provider %s: known are %s',
            target, (SELECT string_agg(name, ', ' ORDER BY priority, name) FROM llm_providers)
        );
    END IF;
    -- after the lock, so that it is later than every decision before it
    decided_at := clock_timestamp();
    IF until <= decided_at THEN
        RAISE invalid_parameter_value USING MESSAGE = 'until: lies in the past; give a time ahead, or none';
    ELSIF until > '9998-12-31 00:00Z' THEN
        -- beyond it clients cannot read times back
        RAISE invalid_parameter_value USING MESSAGE = 'until: is too far ahead; give none for no end';
    END IF;

    after := before;
    IF change IN ('forced_open', 'disabled') THEN
        after.override := change;
        after.override_by := actor;
        after.override_reason := note;
        after.override_until := until;
    ELSIF change IN ('override_cleared', 'override_expired', 'reset') THEN
        after.override := NULL;
        after.override_by := NULL;
        after.override_reason := NULL;
        after.override_until := NULL;
    END IF;
    IF change = 'reset' THEN
        after.state := 'closed';
        after.open_until := NULL;
        after.open_streak := 0;
    ELSIF change = 'throttle_reset' THEN
        after.throttle_until := NULL;
        after.throttle_streak := 0;
        after.throttle_reset_revision := before.revision + 1;
    END IF;

    UPDATE llm_provider_health
    SET
        state = after.state,
        epoch = before.epoch + 1,
        epoch_started_at = decided_at,
        version = before.version + 1,
        revision = before.revision + 1,
        open_until = after.open_until,
        open_streak = after.open_streak,
        throttle_until = after.throttle_until,
        throttle_streak = after.throttle_streak,
        throttle_reset_revision = after.throttle_reset_revision,
        override = after.override,
        override_by = after.override_by,
        override_reason = after.override_reason,
        override_until = after.override_until,
        circuit_window = '{}'
    WHERE provider = target;
    INSERT INTO llm_circuit_transitions
        (provider, version, from_state, to_state, reason, epoch, occurred_at, open_until, actor, note)
    VALUES (
        target,
        before.version + 1,
        llm_circuit_state(before.state, before.override, before.open_until, decided_at),
        llm_circuit_state(after.state, after.override, after.open_until, decided_at),
        change,
        before.epoch + 1,
        decided_at,
        -- under an override it never becomes half-open
        CASE WHEN after.override IS NULL THEN after.open_until END,
        actor,
        note
    )
    RETURNING * INTO done;
    PERFORM pg_notify('fuseboard_circuits', target);
    RETURN done;
END $$;
COMMENT ON FUNCTION change_circuit IS 'Internal: the one place where an order changes a circuit. Call the llm_ functions.';

CREATE FUNCTION llm_force_circuit_open(provider text, actor text, reason text, until timestamptz DEFAULT NULL)
RETURNS llm_circuit_transitions
LANGUAGE sql AS $$ SELECT * FROM change_circuit(provider, 'forced_open', actor, reason, until) $$;
COMMENT ON FUNCTION llm_force_circuit_open IS 'Lets no call through until it is cleared, or until the time given.';

CREATE FUNCTION llm_disable_circuit(provider text, actor text, reason text, until timestamptz DEFAULT NULL)
RETURNS llm_circuit_transitions
LANGUAGE sql AS $$ SELECT * FROM change_circuit(provider, 'disabled', actor, reason, until) $$;
COMMENT ON FUNCTION llm_disable_circuit IS 'Lets every call through and never opens, until it is cleared, or until the time given.';

CREATE FUNCTION llm_clear_circuit_override(provider text, actor text, reason text) RETURNS llm_circuit_transitions
LANGUAGE sql AS $$ SELECT * FROM change_circuit(provider, 'override_cleared', actor, reason) $$;
COMMENT ON FUNCTION llm_clear_circuit_override IS 'Goes back to what the circuit was before it was forced open or disabled.';

CREATE FUNCTION llm_reset_circuit(provider text, actor text, reason text) RETURNS llm_circuit_transitions
LANGUAGE sql AS $$ SELECT * FROM change_circuit(provider, 'reset', actor, reason) $$;
COMMENT ON FUNCTION llm_reset_circuit IS 'Closes the circuit as if new, without an override; a throttle stays.';

CREATE FUNCTION llm_reset_circuit_throttle(provider text, actor text, reason text) RETURNS llm_circuit_transitions
LANGUAGE sql AS $$ SELECT * FROM change_circuit(provider, 'throttle_reset', actor, reason) $$;
COMMENT ON FUNCTION llm_reset_circuit_throttle IS 'Forgets that the provider asked to be left alone.';

-- Ends the overrides whose time has come. Until this has run an override stands for everybody, so that no two readers see
-- different states. The condition is looked at again once the row is locked, so one that was extended meanwhile stays.
CREATE FUNCTION llm_expire_circuit_overrides() RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
    expired record;
BEGIN
    FOR expired IN
        SELECT provider, override_reason
        FROM llm_provider_health
        WHERE override_until <= clock_timestamp()
        ORDER BY provider
        FOR UPDATE
    LOOP
        PERFORM change_circuit(expired.provider, 'override_expired', 'sweeper', coalesce(expired.override_reason, ''));
        RETURN NEXT expired.provider;
    END LOOP;
END $$;
COMMENT ON FUNCTION llm_expire_circuit_overrides IS 'Ends overrides whose time has come and names their providers. The sweeper calls it.';

-- Gives the circuits of these providers a newer revision, without which Redis would refuse to publish what changed beside
-- the circuit. In order of name under FOR UPDATE, as consumers lock, so that nobody waits in a circle.
CREATE FUNCTION touch_circuits(names text[]) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM llm_provider_health WHERE provider = ANY (names) ORDER BY provider FOR UPDATE;
    UPDATE llm_provider_health SET revision = revision + 1 WHERE provider = ANY (names);
    PERFORM pg_notify('fuseboard_circuits', name) FROM unnest(names) AS name;
END $$;
COMMENT ON FUNCTION touch_circuits IS 'Internal: has workers told of a change beside the circuit itself.';

CREATE FUNCTION touch_changed_providers() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    names text[];
BEGIN
    IF TG_OP = 'INSERT' THEN
        names := ARRAY(SELECT name FROM new_rows ORDER BY name);
        INSERT INTO llm_provider_health (provider) SELECT unnest(names) ON CONFLICT DO NOTHING;
    ELSIF TG_OP = 'DELETE' THEN
        names := ARRAY(SELECT name FROM old_rows);
    ELSE
        -- only what workers see; a name that was changed is on one side alone
        names := ARRAY(
            SELECT name
            FROM old_rows FULL JOIN new_rows USING (name)
            WHERE (
                old_rows.enabled, old_rows.priority, old_rows.provider_type, old_rows.weight, old_rows.context_tokens,
                old_rows.capabilities, old_rows.models, old_rows.circuit_settings
            ) IS DISTINCT FROM (
                new_rows.enabled, new_rows.priority, new_rows.provider_type, new_rows.weight, new_rows.context_tokens,
                new_rows.capabilities, new_rows.models, new_rows.circuit_settings
            )
        );
        INSERT INTO llm_provider_health (provider)
        SELECT name FROM new_rows WHERE name = ANY (names) ORDER BY name
        ON CONFLICT DO NOTHING;
    END IF;
    PERFORM touch_circuits(names);
    RETURN NULL;
END $$;
COMMENT ON FUNCTION touch_changed_providers IS 'Internal: has workers told of changes in llm_providers.';
CREATE TRIGGER touch_inserted AFTER INSERT ON llm_providers
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION touch_changed_providers();
CREATE TRIGGER touch_updated AFTER UPDATE ON llm_providers
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION touch_changed_providers();
CREATE TRIGGER touch_deleted AFTER DELETE ON llm_providers
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION touch_changed_providers();

CREATE FUNCTION touch_repriced_providers() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        PERFORM touch_circuits(ARRAY(SELECT DISTINCT provider FROM new_rows));
    ELSIF TG_OP = 'DELETE' THEN
        PERFORM touch_circuits(ARRAY(SELECT DISTINCT provider FROM old_rows));
    ELSE
        PERFORM touch_circuits(ARRAY(SELECT provider FROM old_rows UNION SELECT provider FROM new_rows));
    END IF;
    RETURN NULL;
END $$;
COMMENT ON FUNCTION touch_repriced_providers IS 'Internal: has workers told of changes in llm_prices.';
CREATE TRIGGER touch_inserted AFTER INSERT ON llm_prices
    REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION touch_repriced_providers();
CREATE TRIGGER touch_updated AFTER UPDATE ON llm_prices
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION touch_repriced_providers();
CREATE TRIGGER touch_deleted AFTER DELETE ON llm_prices
    REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION touch_repriced_providers();

CREATE VIEW llm_circuits AS
SELECT
    providers.name AS provider,
    providers.display_name,
    providers.enabled,
    coalesce(now_is.state, 'closed') AS state,
    coalesce(health.throttle_until > now(), false) AS is_throttled,
    -- it became half-open by the clock, unless an order found it so
    CASE
        WHEN now_is.state = 'half_open' THEN greatest(health.open_until, entered.occurred_at)
        ELSE coalesce(entered.occurred_at, providers.created_at)
    END AS since,
    entered.reason,
    entered.actor,
    entered.note,
    CASE WHEN now_is.state = 'open' THEN health.open_until END AS next_probe_at,
    CASE WHEN health.throttle_until > now() THEN health.throttle_until END AS throttle_until,
    health.override,
    health.override_by,
    health.override_reason,
    health.override_until,
    health.epoch,
    health.version,
    entered.calls AS window_calls,
    entered.bad AS window_bad,
    entered.slow AS window_slow,
    health.rolling_success_rate::double precision AS success_rate,
    health.last_error_type,
    health.last_failure_at,
    health.last_success_at
FROM llm_providers AS providers
LEFT JOIN llm_provider_health AS health ON health.provider = providers.name
CROSS JOIN LATERAL (
    SELECT llm_circuit_state(health.state, health.override, health.open_until, now()) AS state
) AS now_is
LEFT JOIN LATERAL (
    -- what brought it into its state: a throttle that was reset, say, left it there
    SELECT * FROM llm_circuit_transitions AS transitions
    WHERE transitions.provider = providers.name AND transitions.from_state <> transitions.to_state
    ORDER BY transitions.version DESC
    LIMIT 1
) AS entered ON true
ORDER BY providers.priority, providers.name;
COMMENT ON VIEW llm_circuits IS
    'What each circuit is now, since when and why, in order of choice. reason, actor, note and window_ are of the transition into this state.';

CREATE VIEW llm_circuit_history AS
WITH transitions AS (
    SELECT *, lead(occurred_at) OVER (PARTITION BY provider ORDER BY version) AS next_at
    FROM llm_circuit_transitions
), opened AS (
    -- half-open is derived: the open epoch lasted beyond its deadline
    SELECT *, CASE
        WHEN to_state = 'open' AND coalesce(next_at, now()) >= open_until THEN open_until
    END AS half_open_at
    FROM transitions
)
SELECT
    provider, occurred_at, from_state, to_state, reason, epoch, version, actor, note, calls, bad, slow, cause_event_id,
    extract(epoch FROM coalesce(half_open_at, next_at) - occurred_at)::double precision AS lasted_seconds
FROM opened
UNION ALL
SELECT
    provider, half_open_at, 'open', 'half_open', 'open_until_passed', epoch, version, NULL, NULL, NULL, NULL, NULL, NULL,
    extract(epoch FROM next_at - half_open_at)::double precision
FROM opened
WHERE half_open_at IS NOT NULL;
COMMENT ON VIEW llm_circuit_history IS
    'Every state of every circuit with how long it lasted; rows with reason open_until_passed are derived. NULL: it lasts.';
