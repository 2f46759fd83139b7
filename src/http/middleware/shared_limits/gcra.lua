-- Takes one request from a bucket by the generic cell rate algorithm, on the clock of the server, so that the clocks of
-- replicas do not matter.
--
-- KEYS[1]  the bucket. It holds the time at which it is full again, in microseconds since the epoch, and expires then.
-- ARGV[1]  the time in which a request comes back, in nanoseconds
-- ARGV[2]  how many requests the bucket holds
--
-- Returns four whole numbers: 1 if the request may pass, else 0; how many requests are left; the microseconds until the
-- bucket is full again; and those until the next request may pass, 0 if this one may.
local interval = tonumber(ARGV[1]) / 1000
local capacity = interval * tonumber(ARGV[2])
local clock = redis.call('TIME')
local now = tonumber(clock[1]) * 1000000 + tonumber(clock[2])

-- The time until it is full. A bucket is never emptier than empty, even if the clock was set back or the limit raised.
local missing = (tonumber(redis.call('GET', KEYS[1]) or 0) or 0) - now
missing = math.min(math.max(0, missing), capacity)

local wait = missing + interval - capacity
-- Fractions of a microsecond are lost in times since the epoch, so a difference below one is none.
if wait >= 1 then
  return {0, 0, math.ceil(missing), math.ceil(wait)}
end
missing = missing + interval
redis.call('SET', KEYS[1], string.format('%.3f', now + missing), 'PX', math.ceil(missing / 1000))
return {1, math.max(math.floor((capacity - missing) / interval + 0.001), 0), math.ceil(missing), 0}
