-- wrk asks for many things in turn: `-- COUNT PATH FIELD VALUE`, in which %d, or %a (an address), stands for a number below COUNT.
local count, path, field, value, at = 1, "/", nil, nil, 0

local function fill(text, n)
  local address = string.format("10.%d.%d.%d", n / 65536, n / 256 % 256, n % 256)
  return (text:gsub("%%d", tostring(n)):gsub("%%a", address))
end

function init(args)
  count, path, field, value = tonumber(args[1]), args[2], args[3], args[4]
  -- Each second begins elsewhere, or the same few would come again and again.
  at = os.time() * 40009 % count
end

function request()
  -- A step that shares no factor with COUNT comes to every number, and to no two neighbours in a row.
  at = (at + 7919) % count
  if field then
    wrk.headers[field] = fill(value, at)
  end
  return wrk.format(nil, fill(path, at))
end
