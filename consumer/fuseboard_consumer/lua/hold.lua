-- Sets how long the entries that a consumer has read are taken to lie idle, for all of them and none of another's:
-- 0 keeps others from claiming them, much lets others claim them at once. Repeating it changes nothing else.
-- KEYS: the stream. ARGV: its group, the consumer, idle milliseconds. Answers how many entries there are.
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 10000, ARGV[2])
for first = 1, #pending, 1000 do
    local claim = {'XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0}
    for position = first, math.min(first + 999, #pending) do
        claim[#claim + 1] = pending[position][1]
    end
    claim[#claim + 1] = 'IDLE'
    claim[#claim + 1] = ARGV[3]
    claim[#claim + 1] = 'JUSTID'
    redis.call(unpack(claim))
end
return #pending
