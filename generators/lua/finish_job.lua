-- finish_job: remove a claimed job for good. Atomic; a second time changes nothing.
-- KEYS[1]  phasemix:{pool}:queue   stream  the entry is acknowledged and deleted
-- KEYS[2]  phasemix:{pool}:queued  set     its identity leaves
-- ARGV     group, entry, identity
-- returns  entries deleted: 1, or 0 when it was gone
redis.call("XACK", KEYS[1], ARGV[1], ARGV[2])
redis.call("SREM", KEYS[2], ARGV[3])
return redis.call("XDEL", KEYS[1], ARGV[2])
