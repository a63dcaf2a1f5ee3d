-- Who may use the HTTP API. Of each secret only its SHA-256 is kept: they are random, so there is nothing to guess.
CREATE TABLE fuseboard_tokens (
    -- the public part of the token, by which it is found and named
    token_id     text PRIMARY KEY,
    token_sha256 bytea NOT NULL CHECK (length(token_sha256) = 32),
    name         text NOT NULL CHECK (name <> '' AND length(name) <= 128),
    scope        text NOT NULL CHECK (scope IN ('read', 'write', 'admin')),
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    revoked_at   timestamptz,
    last_used_at timestamptz
);
COMMENT ON TABLE fuseboard_tokens IS 'Tokens of the HTTP API, hashed. Made by `fuseboard tokens create`; rows are kept as the record of who had access.';
COMMENT ON COLUMN fuseboard_tokens.last_used_at IS 'To the minute.';

-- Browsers that a token was turned into; they end with it.
CREATE TABLE fuseboard_sessions (
    session_sha256 bytea PRIMARY KEY CHECK (length(session_sha256) = 32),
    token_id       text NOT NULL REFERENCES fuseboard_tokens ON DELETE CASCADE,
    created_at     timestamptz NOT NULL DEFAULT now(),
    expires_at     timestamptz NOT NULL
);
COMMENT ON TABLE fuseboard_sessions IS 'Sessions of browsers, hashed.';

-- Login links that work once.
CREATE TABLE fuseboard_login_codes (
    code_sha256 bytea PRIMARY KEY CHECK (length(code_sha256) = 32),
    token_id    text NOT NULL REFERENCES fuseboard_tokens ON DELETE CASCADE,
    expires_at  timestamptz NOT NULL
);
COMMENT ON TABLE fuseboard_login_codes IS 'Login links not used yet, hashed.';
