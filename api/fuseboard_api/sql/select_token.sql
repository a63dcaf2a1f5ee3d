-- One token by its public part, with what decides whether it holds. Reads only.
SELECT
    token_id,
    token_sha256,
    name,
    scope,
    CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'expired' ELSE 'valid' END AS state,
    expires_at,
    last_used_at IS NULL OR last_used_at < now() - interval '1 minute' AS is_use_news
FROM fuseboard_tokens
WHERE token_id = %(token_id)s;
