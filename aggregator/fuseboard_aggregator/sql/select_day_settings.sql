-- How days are formed, since when raw requests are kept, and the first day of which all are. Reads only.
SELECT
    zone.value AS time_zone,
    retained.value::timestamptz AS raw_retained_from,
    greatest(
        ((retained.value::timestamptz - interval '1 microsecond') AT TIME ZONE zone.value)::date + 1,
        whole.value::date
    ) AS first_whole_day
FROM fuseboard_settings AS zone, fuseboard_settings AS retained, fuseboard_settings AS whole
WHERE zone.name = 'day_time_zone' AND retained.name = 'raw_retained_from' AND whole.name = 'whole_days_from';
