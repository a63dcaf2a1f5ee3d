-- Ends a session. Safe to repeat.
DELETE FROM fuseboard_sessions WHERE session_sha256 = %(session_sha256)s;
