"""Who is compared, and the proof that each does the work it is measured for."""

import base64
import hashlib
import hmac
import http.client
import json
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path

from machine import expect, redis

NEEDED = {"nginx": "nginx", "wrk": "wrk", "redis-server": "redis-server"}
FOR_LUA = {
    "libnginx-mod-http-lua": "usr/share/nginx/modules/ngx_http_lua_module.so",
    "lua-nginx-redis": "usr/share/lua/5.1/nginx/redis.lua",
    "lua-cjson": "usr/lib/*/lua/5.1/cjson.so",
}
USER = "user-42"
SECRET = "a secret of the benchmark, of 32 bytes or more"
MANY_USERS = 100_000
MANY_CLIENTS = 100_000
FREE, MEMORY, HOT = "no limit", "in memory, one client", "in Redis, one client"
LEASED, REFUSED = "in Redis, one client, leased", "in Redis, one client that is refused"
TROUBLES = {"Redis killed": "killed", "Redis stopped (SIGSTOP)": "stopped"}
BODY = '{"users":[{"id":1,"name":"Ada"},{"id":2,"name":"Grace"},{"id":3,"name":"Edsger"}]}'
# Answers that are looked at one by one before the clock runs, and as many of what the upstreams see.
LOOKS = 30


@dataclass(frozen=True)
class Peer:
    """One row of the table."""

    name: str
    command: list[str]
    path: str = "/users"
    env: dict[str, str] = field(default_factory=dict)
    request_id: bool = True
    token: str | None = None
    # Whether the load comes from many users in turn, each with a token of its own.
    many: bool = False
    # The key in Redis that counts the requests of 127.0.0.1.
    counter: str | None = None
    # The table it stands in.
    table: str = "gateways"
    # What most of its answers are.
    status: int = 200
    # Addresses that requests come from, in turn.
    clients: int = 1
    # What becomes of its Redis before the clock runs: "killed" or "stopped".
    trouble: str = ""

    def wrk(self) -> list[str]:
        """What the load generator is told of tokens."""
        if self.many:
            return ["-s", "many-users.lua"]
        if self.clients > 1:
            return ["-s", "many-clients.lua"]
        return ["-H", f"Authorization: Bearer {self.token}"] if self.token else []


def missing_packages() -> tuple[list[str], list[str]]:
    """Debian packages that have to be installed, and those without which only the Lua row is left out."""
    needed = [package for package, program in NEEDED.items() if not shutil.which(program)]
    return needed, [package for package, file in FOR_LUA.items() if not any(Path("/").glob(file))]


def rows(aegis: Path, bare: Path, settings: dict[str, str]) -> list[Peer]:
    """All peers that can run here."""
    gateway, pingora = [str(aegis), "run", "-c", "aegis.yaml"], [str(bare)]
    shared = {"REDIS_URL": f"redis://127.0.0.1:{settings['REDIS_PORT']}"}
    lean = {"READ_BUFFER": "4096", "LOG_BUFFER": "65536"}
    token = sign({"userId": USER, "iat": int(time.time()), "exp": int(time.time()) + 86_400})
    peers = [
        Peer("nginx, plain", nginx("nginx.conf")),
        Peer("bare Pingora", pingora, request_id=False),
        Peer("bare Pingora, 4 KiB reads, buffered log", pingora, request_id=False, env=lean),
        Peer("aegis, plain", gateway, path="/plain"),
        Peer("aegis, JWT", gateway, path="/jwt", token=token),
        Peer(f"aegis, JWT, {MANY_USERS:,} users in turn", gateway, path="/jwt", token=token, many=True),
        Peer("aegis, JWT + limit in memory", gateway, token=token),
        Peer("aegis, JWT + limit in Redis", gateway, token=token, env=shared, counter="aegis:rl:{127.0.0.1}:/users"),
    ]
    if not missing_packages()[1]:
        lua = nginx("nginx-lua.conf")
        peers.append(Peer("nginx + Lua, JWT + limit in Redis", lua, token=token, counter="lua:rl:/users:127.0.0.1"))
    return peers + limits([str(aegis), "run", "-c", "limits.yaml"], shared)


def limits(gateway: list[str], shared: dict[str, str]) -> list[Peer]:
    """The limiter alone: what a request costs without it, and with it in all of its states."""
    hot = {"table": "limits", "path": "/limited"}
    one = "aegis:rl:{127.0.0.1}:/limited"
    return [
        Peer(FREE, gateway, table="limits", path="/free"),
        Peer(MEMORY, gateway, **hot),
        Peer(f"in memory, {MANY_CLIENTS:,} clients in turn", gateway, clients=MANY_CLIENTS, **hot),
        Peer(HOT, gateway, env=shared, counter=one, **hot),
        Peer(LEASED, gateway, env=shared, table="limits", path="/leased"),
        Peer(f"in Redis, {MANY_CLIENTS:,} clients in turn", gateway, env=shared, clients=MANY_CLIENTS, **hot),
        Peer("in Redis, three limits at once, one client", gateway, env=shared, table="limits", path="/three"),
        Peer(REFUSED, gateway, env=shared, table="limits", path="/refused", status=429),
        *(Peer(name, gateway, trouble=trouble, **hot) for name, trouble in TROUBLES.items()),
    ]


def nginx(config: str) -> list[str]:
    """nginx with a config of the working directory, to which its paths are relative."""
    return ["nginx", "-p", ".", "-c", config, "-e", "nginx-error.log"]


def write_configs(run: Path, settings: dict[str, str]) -> None:
    """Copies the configs, known `${NAME}`s filled in (aegis fills in its own), and writes the tokens of many users."""
    values = settings | {"RUN": str(run), "BODY": BODY}
    for source in Path(__file__).with_name("conf").iterdir():
        text = source.read_text()
        if source.suffix != ".yaml":
            text = re.sub(r"\$\{([A-Z_0-9]+)\}", lambda name: values.get(name[1], name[0]), text)
        (run / source.name).write_text(text)
    expires = int(time.time()) + 86_400
    tokens = (sign({"userId": f"user-{n}", "exp": expires}) for n in range(MANY_USERS))
    (run / "tokens.txt").write_text("\n".join(tokens))


def sign(claims: dict[str, object]) -> str:
    """A JWT, signed with HS256."""
    def encode(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
    signed = ".".join(encode(json.dumps(part).encode()) for part in ({"alg": "HS256", "typ": "JWT"}, claims))
    return f"{signed}.{encode(hmac.digest(SECRET.encode(), signed.encode(), hashlib.sha256))}"


def prove_work(peer: Peer, settings: dict[str, str]) -> int:
    """Raises `Invalid` unless the peer does all that its row says. Gives the number of requests it let pass."""
    expect(redis(settings["REDIS_PORT"], "FLUSHALL") == "OK", "Redis does not obey")
    if peer.status != 200:
        return prove_refusals(peer, settings)
    connection = http.client.HTTPConnection("127.0.0.1", int(settings["GATEWAY_PORT"]), timeout=5)
    for _ in range(LOOKS):
        answer = get(connection, peer.path, peer.token)
        expect(answer == (200, BODY), f"GET {peer.path} was answered {answer}")
    prove_forwarding(peer, [get(connection, f"{peer.path}/seen", peer.token) for _ in range(LOOKS)])
    prove_counts(peer, settings, 2 * LOOKS, 2 * LOOKS)
    if peer.token:
        for token in (None, peer.token[:-8] + "AAAAAAAA", sign({"userId": USER, "exp": 1})):
            status, _ = get(connection, peer.path, token)
            expect(status == 401, f"the token {token} was answered {status}")
    connection.close()
    return 2 * LOOKS


def prove_refusals(peer: Peer, settings: dict[str, str]) -> int:
    """One request passes, all others are refused. Gives the number of those that are logged."""
    connection = http.client.HTTPConnection("127.0.0.1", int(settings["GATEWAY_PORT"]), timeout=5)
    statuses = [get(connection, peer.path, None)[0] for _ in range(LOOKS)]
    expect(statuses == [200] + [peer.status] * (LOOKS - 1), f"GET {peer.path} was answered {statuses}")
    connection.close()
    return LOOKS


def prove_forwarding(peer: Peer, answers: list[tuple[int, str]]) -> None:
    """The upstreams take turns, and see the headers that the gateway has to send."""
    expect(all(status == 200 for status, _ in answers), f"GET {peer.path}/seen was answered {answers}")
    seen = [json.loads(body) for _, body in answers]
    ports = [each["port"] for each in seen]
    expect([ports.count(port) for port in set(ports)] == [LOOKS // 3] * 3, f"upstreams do not take turns: {ports}")
    ids = {each["requestId"] for each in seen} - {""}
    expect(len(ids) == (LOOKS if peer.request_id else 0), f"{LOOKS} requests arrived with the ids {ids}")
    users = {each["userId"] for each in seen}
    expect(users == {USER if peer.token else ""}, f"requests arrived with the user ids {users}")


def get(connection: http.client.HTTPConnection, path: str, token: str | None) -> tuple[int, str]:
    """Status and body of the answer to a GET."""
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"} if token else {})
    response = connection.getresponse()
    return response.status, response.read().decode()


def prove_counts(peer: Peer, settings: dict[str, str], at_least: int, at_most: int) -> None:
    """Redis has counted every request, if it is the peer's to be counted there."""
    if peer.counter:
        # Of aegis' counters, the count is the last of several numbers.
        counted = redis(settings["REDIS_PORT"], "GET", peer.counter).split()[-1]
        right = counted.isdecimal() and at_least <= int(counted) <= at_most
        expect(right, f"{at_least} requests were let pass, but {peer.counter} in Redis is {counted}")


def prove_log(log: Path, requests: int) -> None:
    """Every request has its line. To be asked when the peer has ended, and has written all."""
    expect(log.exists(), "there is no access log")
    with open(log, "rb") as file:
        lines = sum(piece.count(b"\n") for piece in iter(lambda: file.read(1 << 20), b""))
    expect(lines >= requests, f"{requests} requests were let pass, but the access log has {lines} lines")
