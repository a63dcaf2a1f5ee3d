-- Says that the consumers made progress, by Redis's clock, the only one that all agree on. Safe to repeat.
-- KEYS: snapshot. ARGV: seconds to live, providers that must be there. Returns 1, or 0 where one is missing: workers take
-- the heartbeat to mean that the snapshot is complete, and Redis may have been emptied since it was written.
for index = 2, #ARGV do
    if redis.call('HEXISTS', KEYS[1], ARGV[index]) == 0 then
        return 0
    end
end
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('HSET', KEYS[1], '__hb__', string.format('%.0f', now))
redis.call('EXPIRE', KEYS[1], ARGV[1])
return 1
