-- add_job: queue a job unless it is on its way already or the queue is full. Atomic; asking again changes nothing.
-- KEYS[1]  phasemix:{pool}:queue   stream  jobs to claim; closed entries are deleted, so XLEN is what is left
-- KEYS[2]  phasemix:{pool}:on_way  hash    identity to purpose and recipe; may be lost, then the publisher refuses the double
-- ARGV     identity, purpose, job bytes, max_length
-- returns  1 added, 0 on its way already, -1 full
local identity, purpose, job, max_length = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4])
if redis.call("HEXISTS", KEYS[2], identity) == 1 then return 0 end
if redis.call("XLEN", KEYS[1]) >= max_length then return -1 end
redis.call("HSET", KEYS[2], identity, purpose)
redis.call("XADD", KEYS[1], "*", "job", job)
return 1
