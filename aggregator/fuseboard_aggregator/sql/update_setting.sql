-- Sets one of the installation's settings. Safe to repeat.
UPDATE fuseboard_settings
SET value = %(value)s, updated_at = now()
WHERE name = %(name)s;
