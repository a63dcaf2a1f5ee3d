-- The time zone of a name, if the server knows it. Reads only.
SELECT name
FROM pg_timezone_names
WHERE name = %(time_zone)s;
