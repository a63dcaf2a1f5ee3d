-- Adds a session. Repeated with the same secret it fails: they are random.
INSERT INTO fuseboard_sessions (session_sha256, token_id, expires_at)
VALUES (%(session_sha256)s, %(token_id)s, now() + %(lasting)s::interval);
