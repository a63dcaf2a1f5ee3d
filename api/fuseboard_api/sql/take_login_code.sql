-- Takes a login link: of any number who try it at once, one gets the token. Repeated, it gives nothing.
DELETE FROM fuseboard_login_codes
WHERE code_sha256 = %(code_sha256)s AND expires_at > now()
RETURNING token_id;
