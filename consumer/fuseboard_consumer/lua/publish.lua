-- Publishes one provider's circuit. Safe to repeat: a revision is applied once, and never after a newer one (P8).
-- KEYS: snapshot, hints. ARGV: channel, provider, revision, ms that it stays open or '', ms that it stays throttled or '',
-- revision of the last reset of the throttle; circuit, health and settings as parts of a JSON text; seconds to live.
-- Returns {1 applied or 0, the revision that was stored or -1}.
-- Durations come in and Redis adds its own clock, because nobody else's agrees with it. The text is put together by hand:
-- cjson would write long numbers with fewer digits, and an empty array as an object.
local snapshot, hints = KEYS[1], KEYS[2]
local channel, provider, revision = ARGV[1], ARGV[2], tonumber(ARGV[3])
local open_ms, throttle_ms, reset_revision = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local circuit, health, settings, ttl_seconds = ARGV[7], ARGV[8], ARGV[9], ARGV[10]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function read_number(value, default)
    return type(value) == 'number' and value or default
end

local text = redis.call('HGET', snapshot, provider) or ''
local is_read, stored = pcall(cjson.decode, text)
local kept = string.match(text, '^(.-)"h":')
-- what workers cannot read is no state, so anything is newer
if not is_read or type(stored) ~= 'table' or not kept or (stored.st ~= 'open' and stored.st ~= 'closed') then
    stored = {}
end
local stored_revision = read_number(stored.r, -1)
if revision < stored_revision then
    return {0, stored_revision}
end
local is_newer = revision > stored_revision
-- of the same revision the circuit is the same; but prices begin and figures age without one
local head = kept
local throttle_until = read_number(stored.thr, 0)
if is_newer then
    local open_until = open_ms and now + math.ceil(open_ms) or 0
    local told_until = throttle_ms and now + math.ceil(throttle_ms) or 0
    if math.max(stored_revision, 0) < reset_revision then
        redis.call('HDEL', hints, provider)
        throttle_until = told_until
    else
        throttle_until = math.max(throttle_until, told_until)
    end
    head = string.format('{"r":%.0f,"til":%.0f,"thr":%.0f,%s,', revision, open_until, throttle_until, circuit)
end
redis.call('HSET', snapshot, provider, head .. health .. ',' .. settings .. '}')
redis.call('EXPIRE', snapshot, ttl_seconds)

-- every batch is a revision: workers look at once only for what matters to them at once
if (is_newer and not string.find(text, circuit, 1, true)) or not string.find(text, settings, 1, true)
    or math.abs(throttle_until - read_number(stored.thr, 0)) >= 1000 then
    redis.call('PUBLISH', channel, provider)
end
return {is_newer and 1 or 0, stored_revision}
