-- Says that the consumers made progress, by Redis's clock, the only one that all agree on. Safe to repeat.
-- KEYS: snapshot. ARGV: seconds to live.
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('HSET', KEYS[1], '__hb__', string.format('%.0f', now))
redis.call('EXPIRE', KEYS[1], ARGV[1])
