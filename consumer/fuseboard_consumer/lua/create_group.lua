-- Makes a stream's consumer group, from the first entry on; safe to repeat, and to race.
-- By XGROUP alone Redis refuses that at the limit of its memory, and what fills it would never be drained. A script
-- that has written is let finish, so this deletes an entry that cannot be.
-- KEYS: the stream. ARGV: the group. Answers OK, or the error BUSYGROUP where the group is there.
redis.call('XDEL', KEYS[1], '0-1')
return redis.pcall('XGROUP', 'CREATE', KEYS[1], ARGV[1], '0', 'MKSTREAM')
