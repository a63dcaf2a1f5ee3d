-- Notes that a token was used, at most once a minute. Safe to repeat.
UPDATE fuseboard_tokens
SET last_used_at = now()
WHERE token_id = %(token_id)s AND (last_used_at IS NULL OR last_used_at < now() - interval '1 minute');
