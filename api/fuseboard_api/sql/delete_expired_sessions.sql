-- Forgets sessions and login links that are over. Safe to repeat.
WITH codes AS (
    DELETE FROM fuseboard_login_codes WHERE expires_at <= now()
)
DELETE FROM fuseboard_sessions WHERE expires_at <= now();
