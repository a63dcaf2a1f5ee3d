-- Notes for all workers until when a provider asked to be left alone. Safe to repeat: of two deadlines the later one holds.
-- KEYS: hints. ARGV: snapshot, provider, retry after in ms or ''. Returns 1 if the deadline moved, else 0.
-- Without a time to retry after, only the first refusal of an episode sets a deadline, as in rule R1 of the circuit.
-- The snapshot is no key: Redis takes every key of a script for one that it writes, and workers may only read this one.
local hints = KEYS[1]
local snapshot, provider, retry_after_ms = ARGV[1], ARGV[2], tonumber(ARGV[3])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local HOUR_MS = 3600000

local function read_number(value, default)
    return type(value) == 'number' and value or default
end

local is_read, entry = pcall(cjson.decode, redis.call('HGET', snapshot, provider) or '{}')
if not is_read or type(entry) ~= 'table' then
    entry = {}
end
local settings = type(entry.c) == 'table' and entry.c or {}
local cap_ms = read_number(settings.retry_after_cap_s, 3600) * 1000

local hint = tonumber(redis.call('HGET', hints, provider) or 0) or 0
-- one that no worker can have been told is not kept
if hint > now + cap_ms then
    hint = 0
end
if not retry_after_ms then
    if now < math.max(hint, read_number(entry.thr, 0)) then
        return 0
    end
    retry_after_ms = read_number(settings.throttle_default_s, 5) * 1000
end
retry_after_ms = math.ceil(math.min(retry_after_ms, cap_ms))
if now + retry_after_ms <= math.max(hint, now) then
    return 0
end
redis.call('HSET', hints, provider, string.format('%.0f', now + retry_after_ms))
if redis.call('PTTL', hints) < retry_after_ms + HOUR_MS then
    redis.call('PEXPIRE', hints, string.format('%.0f', retry_after_ms + HOUR_MS))
end
return 1
