-- wrk sends one token after the other, from tokens.txt in the working directory.
local tokens, at = {}, 0

function init()
  for token in io.lines("tokens.txt") do
    tokens[#tokens + 1] = token
  end
  -- Each second begins with others, or the same few would come again and again.
  at = os.time() * 40009 % #tokens
end

function request()
  at = at % #tokens + 1
  wrk.headers["Authorization"] = "Bearer " .. tokens[at]
  return wrk.format()
end
