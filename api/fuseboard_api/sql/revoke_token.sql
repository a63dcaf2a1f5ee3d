-- Ends a token for good; its sessions end with it. Repeated, the first time stays.
UPDATE fuseboard_tokens
SET revoked_at = coalesce(revoked_at, now())
WHERE token_id = %(token_id)s
RETURNING name;
