-- All tokens, the newest first, without their hashes. Reads only.
SELECT
    token_id,
    name,
    scope,
    CASE WHEN revoked_at IS NOT NULL THEN 'revoked' WHEN expires_at <= now() THEN 'expired' ELSE 'valid' END AS state,
    created_at,
    expires_at,
    revoked_at,
    last_used_at
FROM fuseboard_tokens
ORDER BY created_at DESC, token_id;
