-- JWT (HS256) and a limit per address in Redis: what a gateway written in Lua does for each request.
local base64 = require "ngx.base64"
local cjson = require "cjson.safe"
local ffi = require "ffi"
local redis = require "nginx.redis"

ffi.cdef [[
const void *EVP_sha256(void);
unsigned char *HMAC(const void *digest, const void *key, int key_length,
                    const unsigned char *data, size_t length, unsigned char *out, unsigned int *out_length);
]]

local SECRET = "${JWT_SECRET}"
local MAX, WINDOW = 4000000000, 3600
local mac, mac_length = ffi.new("unsigned char[32]"), ffi.new("unsigned int[1]")

local function refuse(status, reason)
    ngx.status = status
    ngx.say(cjson.encode { error = reason })
    return ngx.exit(status)
end

local function signature_of(signed)
    ffi.C.HMAC(ffi.C.EVP_sha256(), SECRET, #SECRET, signed, #signed, mac, mac_length)
    return base64.encode_base64url(ffi.string(mac, 32))
end

local function claims_of(authorization)
    local head, payload, signature = (authorization or ""):match("^Bearer ([%w_-]+)%.([%w_-]+)%.([%w_-]+)$")
    local header = head and cjson.decode(base64.decode_base64url(head))
    if not header or header.alg ~= "HS256" or signature_of(head .. "." .. payload) ~= signature then
        return nil
    end
    local claims = cjson.decode(base64.decode_base64url(payload))
    return claims and not (claims.exp and claims.exp <= ngx.time()) and claims
end

local function count(address)
    local connection = redis:new()
    connection:set_timeout(1000)
    assert(connection:connect("127.0.0.1", ${REDIS_PORT}))
    local key = "lua:rl:/users:" .. address
    local used = assert(connection:incr(key))
    if used == 1 then
        connection:expire(key, WINDOW)
    end
    connection:set_keepalive(60000, 1024)
    return used
end

local gateway = {}

function gateway.admit()
    local claims = claims_of(ngx.var.http_authorization)
    if not claims then
        return refuse(401, "invalid token")
    end
    ngx.req.set_header("x-user-id", claims.userId)
    if count(ngx.var.remote_addr) > MAX then
        return refuse(429, "too many requests")
    end
end

return gateway
