-- add_job: queue a job unless it is queued already or the queue is full. Atomic; asking again changes nothing.
-- KEYS[1]  phasemix:{pool}:queue   stream  jobs to claim; finished entries are deleted, so XLEN is what is left
-- KEYS[2]  phasemix:{pool}:queued  set     identities in the queue; may be lost, then the publisher refuses the double
-- ARGV     identity, job bytes, max_length
-- returns  1 added, 0 queued already, -1 full
local identity, job, max_length = ARGV[1], ARGV[2], tonumber(ARGV[3])
if redis.call("SISMEMBER", KEYS[2], identity) == 1 then return 0 end
if redis.call("XLEN", KEYS[1]) >= max_length then return -1 end
redis.call("SADD", KEYS[2], identity)
redis.call("XADD", KEYS[1], "*", "job", job)
return 1
