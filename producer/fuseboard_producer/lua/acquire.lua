-- Decides on one call of a provider by the state in Redis, atomically over all workers; the table of part C.8, in its order.
-- Asking again with a lease that is held gives the same answer and takes no second place.
-- KEYS: hints, leases of the provider. ARGV: snapshot, provider, lease id, ms without heartbeat after which consumers are dead.
-- Returns {1 granted or 0, admission or '', reason, epoch or 0, ms to wait or 0}.
-- The snapshot is no key: Redis takes every key of a script for one that it writes, and workers may only read this one.
local hints, leases = KEYS[1], KEYS[2]
local snapshot, provider, lease_id, dead_ms = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)

local function read_number(value, default)
    return type(value) == 'number' and value or default
end

-- What cannot be read fails open.
local function read_entry()
    local text = redis.call('HGET', snapshot, provider)
    local is_read, entry = pcall(cjson.decode, text or 'null')
    if not is_read or type(entry) ~= 'table' or (entry.st ~= 'open' and entry.st ~= 'closed') then
        return nil
    end
    return entry
end

local entry = read_entry()
if not entry then
    return {1, 'normal', 'no_state', 0, 0}
end
local epoch = read_number(entry.ep, 0)
local settings = type(entry.c) == 'table' and entry.c or {}

local function admit(admission, reason)
    return {1, admission, reason, epoch, 0}
end

local function refuse(reason, wait_ms)
    return {0, '', reason, epoch, wait_ms or 0}
end

if entry.ov == 'forced_open' then
    return refuse('forced_open')
end
if entry.ov == 'disabled' then
    return admit('normal', 'disabled')
end
local throttle_until = read_number(entry.thr, 0)
local hint = tonumber(redis.call('HGET', hints, provider) or 0) or 0
-- workers write hints: what none of them can have been told binds nobody
if hint <= now + read_number(settings.retry_after_cap_s, 3600) * 1000 then
    throttle_until = math.max(throttle_until, hint)
end
if now < throttle_until then
    return refuse('throttled', throttle_until - now)
end
if entry.st == 'closed' then
    return admit('normal', 'closed')
end
local open_until = read_number(entry.til, 0)
if now < open_until then
    return refuse('open', open_until - now)
end
local heartbeat = tonumber(redis.call('HGET', snapshot, '__hb__') or '')
if heartbeat and now - heartbeat > dead_ms then
    return admit('normal', 'pipeline_dead')
end

local prefix = string.format('%.0f:', epoch)
local lease = prefix .. lease_id
redis.call('ZREMRANGEBYSCORE', leases, '-inf', now)
for _, other in ipairs(redis.call('ZRANGE', leases, 0, -1)) do
    if string.sub(other, 1, #prefix) ~= prefix then
        redis.call('ZREM', leases, other)
    end
end
if redis.call('ZSCORE', leases, lease) then
    return admit('probe', 'half_open')
end
if redis.call('ZCARD', leases) >= read_number(settings.half_open_max_probes, 3) then
    return refuse('probes_busy')
end
local ttl_ms = math.ceil(read_number(settings.probe_lease_ttl_s, 90) * 1000)
redis.call('ZADD', leases, now + ttl_ms, lease)
-- the key ends with its longest lease
if redis.call('PTTL', leases) < ttl_ms then
    redis.call('PEXPIRE', leases, string.format('%.0f', ttl_ms))
end
return admit('probe', 'half_open')
