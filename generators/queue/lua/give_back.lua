-- give_back: put claimed jobs back at the end of the queue, as if never claimed. Atomic; what is gone already stays gone.
-- KEYS[1]  phasemix:{pool}:queue  stream  jobs to claim
-- ARGV     group, then an entry and its job's bytes in turn
-- returns  how many jobs were put back
local count = 0
for place = 2, #ARGV, 2 do
    redis.call("XACK", KEYS[1], ARGV[1], ARGV[place])
    if redis.call("XDEL", KEYS[1], ARGV[place]) == 1 then
        redis.call("XADD", KEYS[1], "*", "job", ARGV[place + 1])
        count = count + 1
    end
end
return count
