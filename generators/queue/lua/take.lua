-- take: entries of a stream for one consumer: first those whose holder is silent, then new ones. Atomic.
-- KEYS[1]  phasemix:{pool}:queue or :files  stream  what may be claimed
-- KEYS[2]  phasemix:{pool}:files            stream  while it is as long as ARGV[5], nothing is claimed
-- ARGV     group, consumer, count, milliseconds after which a holder is silent, longest :files
-- returns  for each: entry, its fields, how often it was delivered
local group, consumer, count, silent_ms = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4]
local found = {}
if redis.call("XLEN", KEYS[2]) >= tonumber(ARGV[5]) then return found end
local old = redis.call("XAUTOCLAIM", KEYS[1], group, consumer, silent_ms, "0-0", "COUNT", count)[2]
for place = 1, #old do
    local one = old[place]
    if one and one[2] then -- 6.2 answers nil for entries that were deleted
        local pending = redis.call("XPENDING", KEYS[1], group, one[1], one[1], 1)
        found[#found + 1] = {one[1], one[2], pending[1][4]}
    end
end
if #found < count then
    local answer = redis.call("XREADGROUP", "GROUP", group, consumer, "COUNT", count - #found, "STREAMS", KEYS[1], ">")
    for _, one in ipairs(answer and answer[1][2] or {}) do
        found[#found + 1] = {one[1], one[2], 1}
    end
end
return found
