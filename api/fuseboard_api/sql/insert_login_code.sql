-- Adds a login link. Repeated with the same secret it fails: they are random.
INSERT INTO fuseboard_login_codes (code_sha256, token_id, expires_at)
VALUES (%(code_sha256)s, %(token_id)s, now() + %(lasting)s::interval);
