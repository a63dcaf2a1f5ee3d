-- The token of a session that has not ended, with what decides whether it holds. Reads only.
SELECT
    tokens.token_id,
    tokens.token_sha256,
    tokens.name,
    tokens.scope,
    CASE
        WHEN tokens.revoked_at IS NOT NULL THEN 'revoked'
        WHEN tokens.expires_at <= now() THEN 'expired'
        ELSE 'valid'
    END AS state,
    tokens.expires_at,
    tokens.last_used_at IS NULL OR tokens.last_used_at < now() - interval '1 minute' AS is_use_news
FROM fuseboard_sessions AS sessions
JOIN fuseboard_tokens AS tokens USING (token_id)
WHERE sessions.session_sha256 = %(session_sha256)s AND sessions.expires_at > now();
