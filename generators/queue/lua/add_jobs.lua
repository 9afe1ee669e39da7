-- add_jobs: queue jobs unless they are on their way already or the queue is full. Atomic; asking again changes nothing.
-- KEYS[1]  phasemix:{pool}:queue   stream  jobs to claim; closed entries are deleted, so XLEN is what is left
-- KEYS[2]  phasemix:{pool}:on_way  hash    identity to purpose and recipe; may be lost, then the publisher refuses the double
-- ARGV     max_length, then identity, purpose and recipe, job bytes of each in turn
-- returns  how many were added
local room, added = tonumber(ARGV[1]) - redis.call("XLEN", KEYS[1]), 0
for place = 2, #ARGV, 3 do
    if added < room and redis.call("HSETNX", KEYS[2], ARGV[place], ARGV[place + 1]) == 1 then
        redis.call("XADD", KEYS[1], "*", "job", ARGV[place + 2])
        added = added + 1
    end
end
return added
