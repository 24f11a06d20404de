"""Who is compared."""

import base64
import hashlib
import hmac
import json
import re
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import machine

NEEDED = {"nginx": "nginx", "wrk": "wrk", "redis-server": "redis-server"}
FOR_LUA = {
    "libnginx-mod-http-lua": "usr/share/nginx/modules/ngx_http_lua_module.so",
    "lua-nginx-redis": "usr/share/lua/5.1/nginx/redis.lua",
    "lua-cjson": "usr/lib/*/lua/5.1/cjson.so",
}
PGO = Path(__file__).resolve().parent.parent / "target/pgo/aegis"
USER = "user-42"
SECRET = "a secret of the benchmark, of 32 bytes or more"
# As it is written in a JSON Web Key (RFC 7518, section 6.4).
KEY = base64.urlsafe_b64encode(SECRET.encode()).rstrip(b"=").decode()
SECRETS = {"JWT_SECRET": SECRET, "JWT_KEY": KEY}
MANY_USERS = 100_000
MANY_CLIENTS = 100_000
FREE, MEMORY, HOT = "no limit", "in memory, one client", "in Redis, one client"
LEASED, REFUSED = "in Redis, one client, leased", "in Redis, one client that is refused"
TROUBLES = {"Redis killed": "killed", "Redis stopped (SIGSTOP)": "stopped"}
BODY = '{"users":[{"id":1,"name":"Ada"},{"id":2,"name":"Grace"},{"id":3,"name":"Edsger"}]}'


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
    # Whether Redis runs a script for each request.
    scripts: bool = False
    # The table it stands in.
    table: str = "gateways"
    # What most of its answers are.
    status: int = 200
    # Addresses that requests come from, in turn.
    clients: int = 1
    # What becomes of its Redis before the clock runs: "killed" or "stopped".
    trouble: str = ""
    logs_to_output: bool = False
    # After so many requests each of the three upstreams has had a third of them.
    round: int = 3
    # Whether it listens before it has read its routes.
    is_late: bool = False

    def wrk(self) -> list[str]:
        """What the load generator is told of tokens."""
        if self.many:
            return ["-s", "many-users.lua"]
        if self.clients > 1:
            return ["-s", "many-clients.lua"]
        return ["-H", f"Authorization: Bearer {self.token}"] if self.token else []


def missing_packages() -> tuple[list[str], list[str]]:
    """Debian packages that have to be installed, and those without which only the Lua row is left out."""
    needed = [package for package, program in NEEDED.items() if not machine.which(program)]
    return needed, [package for package, file in FOR_LUA.items() if not any(Path("/").glob(file))]


def missing_gateways() -> list[str]:
    """Programs that would have rows if they were there."""
    return sorted({peer.command[0] for peer in others("") if not machine.which(peer.command[0])})


def rows(aegis: Path, bare: Path, settings: dict[str, str]) -> list[Peer]:
    """All gateways that can run here."""
    gateway, pingora = [str(aegis), "run", "-c", "aegis.yaml"], [str(bare)]
    shared = {"REDIS_URL": f"redis://127.0.0.1:{settings['REDIS_PORT']}"}
    lean = {"READ_BUFFER": "4096", "LOG_BUFFER": "65536", "WORK_STEALING": "0"}
    token = sign({"userId": USER, "iat": int(time.time()), "exp": int(time.time()) + 86_400})
    peers = [
        Peer("nginx, plain", nginx("nginx.conf")),
        Peer("bare Pingora", pingora, request_id=False),
        Peer("bare Pingora, lean", pingora, request_id=False, env=lean),
        Peer("aegis, plain", gateway, path="/plain"),
        Peer("aegis, JWT", gateway, path="/jwt", token=token),
        Peer(f"aegis, JWT, {MANY_USERS:,} users in turn", gateway, path="/jwt", token=token, many=True),
        Peer("aegis, JWT + limit in memory", gateway, token=token),
        Peer("aegis, JWT + limit in Redis", gateway, token=token, env=shared, counter="aegis:rl:{127.0.0.1}:/users"),
    ]
    if not missing_packages()[1]:
        lua = nginx("nginx-lua.conf")
        peers.append(Peer("nginx + Lua, JWT + limit in Redis", lua, token=token, counter="lua:rl:/users:127.0.0.1"))
    return peers + by_profile(peers) + [peer for peer in others(token) if machine.which(peer.command[0])]


def by_profile(peers: list[Peer]) -> list[Peer]:
    """The cheapest and the dearest row of ours once more, by the program that bench/pgo has built, if it has."""
    if not PGO.exists():
        return []
    ours = {peer.name: peer for peer in peers}
    rows = [ours["aegis, plain"], ours["aegis, JWT + limit in Redis"]]
    return [replace(row, name=row.name.replace("aegis", "aegis (PGO)"), command=[str(PGO), *row.command[1:]]) for row in rows]


def others(token: str) -> list[Peer]:
    """Gateways that are not everywhere, each with as much of the job as it can do without a service of its own."""
    haproxy = ["haproxy", "-db", "-f", "haproxy.cfg"]
    envoy = ["envoy", "-c", "envoy.yml", "--concurrency", "1", "-l", "error", "--disable-hot-restart"]
    traefik = ["traefik", "--configFile=traefik.yml"]
    caddy = ["caddy", "run", "--config", "Caddyfile", "--adapter", "caddyfile"]
    # As many threads as the others have.
    go = {"GOMAXPROCS": "1"}
    return [
        Peer("HAProxy, plain", haproxy, path="/plain", logs_to_output=True),
        Peer("HAProxy, JWT + limit of its own", haproxy, token=token, logs_to_output=True),
        Peer("Envoy, plain", envoy, path="/plain"),
        Peer("Envoy, JWT + limit of its own", envoy, token=token),
        Peer("Traefik, plain", traefik, path="/plain", env=go, request_id=False, round=9, is_late=True),
        Peer("Traefik, limit in Redis", traefik, env=go, request_id=False, scripts=True, round=9, is_late=True),
        Peer("Caddy, plain", caddy, path="/plain", env=go),
    ]


def limits(aegis: Path, settings: dict[str, str]) -> list[Peer]:
    """The limiter alone: what a request costs without it, and with it in all of its states."""
    gateway, shared = [str(aegis), "run", "-c", "limits.yaml"], {"REDIS_URL": f"redis://127.0.0.1:{settings['REDIS_PORT']}"}
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
