-- wrk comes from 100,000 addresses in turn.
-- Each second begins with others, or the same few would come again and again.
local at = os.time() * 40009 % 100000

function request()
  at = at % 100000 + 1
  wrk.headers["X-Forwarded-For"] = string.format("10.%d.%d.%d", at / 65536, at / 256 % 256, at % 256)
  return wrk.format()
end
