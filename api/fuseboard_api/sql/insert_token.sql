-- Adds a token. Repeated with the same id it fails: ids are random.
INSERT INTO fuseboard_tokens (token_id, token_sha256, name, scope, expires_at)
VALUES (%(token_id)s, %(token_sha256)s, %(name)s, %(scope)s, now() + %(lasting)s::interval)
RETURNING expires_at;
