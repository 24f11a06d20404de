-- wrk sends a body: `-- BYTES`.
function init(args)
  wrk.method, wrk.body = "POST", string.rep("x", tonumber(args[1]))
  wrk.headers["Content-Length"] = args[1]
end
