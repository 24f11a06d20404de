"""The features whose cost is measured, each as a config that has nothing else, and what shows that it is at work."""

import base64
import contextlib
import http.client
import json
import subprocess
import threading
import time
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator

import machine
import peers
import proofs
import stage
from machine import expect, redis

ALONE, WHOLE = "forwarding alone", "JWT, limit in Redis, log line, breakers, admin listener"
VIEWER = "admin listener, dashboard open"
QUIET = "accessLog: { sample: 0%, file: access.log }"
LOGGED = "accessLog: { file: access.log }"
ADMIN = "admin: { listen: '127.0.0.1:@ADMIN_PORT@' }"
LIMIT = "rateLimit: { max: 4000000000, window: 1h"
# Each request is of another of so many users in turn, so that no token is in the cache of verified ones.
USERS = 100_000


@dataclass(frozen=True)
class Feature:
    """One row."""

    name: str
    # Lines of the config beside `listen`, `threads` and `routes`.
    lines: list[str] = field(default_factory=lambda: [QUIET])
    plugins: str = ""
    breaker: bool = False
    # The algorithm of the token that clients show.
    token: str = ""
    many: bool = False
    # Where its requests are counted in Redis.
    counter: str = ""
    viewer: bool = False
    # Bytes that each request has, in its body.
    body: int = 0
    # Routes beside the one that is asked for.
    others: int = 0

    def config(self, settings: dict[str, str]) -> str:
        """The config file."""
        targets = ", ".join(f"'http://127.0.0.1:{settings[f'UPSTREAM_PORT_{n}']}'" for n in (1, 2, 3))
        own = f"    plugins: {{ {self.plugins} }}\n" if self.plugins else ""
        breaker = "true" if self.breaker else "off"
        head = f"listen: 127.0.0.1:{settings['GATEWAY_PORT']}\nthreads: 1\n"
        lines = "".join(f"{line}\n" for line in self.lines)
        for name, value in settings.items():
            lines = lines.replace(f"@{name}@", value)
        route = f"    breaker: {breaker}\n    targets: [{targets}]\n{own}"
        others = "".join(f"  - path: /other-{nth}\n{route}" for nth in range(self.others))
        return f"{head}{lines}routes:\n  - path: /users\n{route}{others}"


def all_of_them() -> list[Feature]:
    """Every row, the one that they are compared to first."""
    jwt = {name: f"auth: {{ jwt: {{ {how} }} }}" for name, how in {
        "HS256": f"secret: '{peers.SECRET}'",
        "RS256": "publicKeyFile: RS256.pub, algorithms: [RS256]",
        "ES256": "publicKeyFile: ES256.pub, algorithms: [ES256]",
    }.items()}
    shared, counter = "redis: { url: 'redis://127.0.0.1:@REDIS_PORT@' }", "aegis:rl:{127.0.0.1}:/users"
    admin = ADMIN
    traces = "tracing: { endpoint: 'http://127.0.0.1:@UPSTREAM_PORT_1@/v1/traces', sample: %s }"
    return [
        Feature(ALONE),
        Feature("a body of 1,000 bytes", body=1_000),
        Feature("breakers", breaker=True),
        Feature("log line", [LOGGED]),
        Feature("log line, JSON", ["accessLog: { file: access.log, format: json }"]),
        *(Feature(f"JWT, {name}", [QUIET, lines], "auth: true", token=name) for name, lines in jwt.items()),
        Feature(f"JWT, HS256, {USERS:,} users in turn", [QUIET, jwt["HS256"]], "auth: true", token="HS256", many=True),
        Feature("limit in memory", plugins=f"{LIMIT} }}"),
        Feature("limit in Redis", [QUIET, shared], f"{LIMIT} }}", counter=counter),
        Feature("limit in Redis, leased", [QUIET, shared], f"{LIMIT}, sync: leased }}"),
        Feature("admin listener, explain: off", [QUIET, admin.replace(" }", ", explain: off }")]),
        Feature("admin listener", [QUIET, admin]),
        Feature(VIEWER, [QUIET, admin], viewer=True),
        *(Feature(f"traces, {share}", [QUIET, traces % share]) for share in ("0%", "1%", "100%")),
        Feature(WHOLE, [LOGGED, jwt["HS256"], shared, admin], f"auth: true, {LIMIT} }}", True, "HS256", counter=counter),
    ]


@contextlib.contextmanager
def surroundings() -> Iterator[tuple[dict[str, str], Path]]:
    """Those of every gateway, with keys of all algorithms in the folder."""
    with stage.surroundings() as (settings, run):
        write_keys(run)
        yield settings, run


def write_keys(run: Path) -> None:
    """Keys of RSA and of P-256, by openssl."""
    for name, how in {"RS256": ["rsa", "-pkeyopt", "rsa_keygen_bits:2048"], "ES256": ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]}.items():
        private = ["openssl", "genpkey", "-algorithm", *how, "-out", f"{name}.key"]
        for command in (private, ["openssl", "pkey", "-in", f"{name}.key", "-pubout", "-out", f"{name}.pub"]):
            subprocess.run(command, cwd=run, check=True, capture_output=True)


def token(algorithm: str, run: Path) -> str:
    """A token of the user that the upstreams are to see, signed with the key in `run`."""
    claims = {"userId": peers.USER, "exp": int(time.time()) + 86_400}
    if algorithm == "HS256":
        return peers.sign(claims)
    parts = ({"alg": algorithm, "typ": "JWT"}, claims)
    signed = b".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in parts)
    command = ["openssl", "dgst", "-sha256", "-sign", f"{algorithm}.key"]
    signature = subprocess.run(command, cwd=run, check=True, capture_output=True, input=signed).stdout
    if algorithm == "ES256":
        signature = raw(signature)
    return f"{signed.decode()}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def raw(der: bytes) -> bytes:
    """The two numbers of an ECDSA signature of P-256 in 32 bytes each (RFC 7518, 3.4), from a DER sequence of them."""
    r_length = der[3]
    r, s = der[4:4 + r_length], der[6 + r_length:]
    return b"".join(number.lstrip(b"\0").rjust(32, b"\0") for number in (r, s))


def prove(feature: Feature, settings: dict[str, str], run: Path) -> int:
    """Raises `Invalid` unless the feature is at work. Gives the number of requests that it let pass."""
    expect(redis(settings["REDIS_PORT"], "FLUSHALL") == "OK", "Redis does not obey")
    connection = http.client.HTTPConnection("127.0.0.1", int(settings["GATEWAY_PORT"]), timeout=5)
    bearer = token(feature.token, run) if feature.token else None
    for _ in range(proofs.LOOKS):
        answer = proofs.get(connection, "/users", bearer)
        expect(answer == (200, peers.BODY), f"GET /users was answered {answer}")
    seen = json.loads(proofs.get(connection, "/users/seen", bearer)[1])
    with machine.asking(int(settings["GATEWAY_PORT"]), "/users/seen", bearer, feature.body) as ask:
        arrived = json.loads(ask())["length"]
        expect(arrived == (str(feature.body) if feature.body else ""), f"a request arrived with a length of {arrived!r}")
    expect(seen["userId"] == (peers.USER if bearer else ""), f"a request arrived of the user {seen['userId']}")
    if bearer:
        for wrong in (None, bearer[:-8] + "AAAAAAAA"):
            expect(proofs.get(connection, "/users", wrong)[0] == 401, f"the token {wrong} was not refused")
    if feature.plugins.find("rateLimit") >= 0:
        limits = [row["rateLimit"] for row in json.loads(proofs.get(connection, "/gateway/stats", None)[1])]
        where = "redis" if "redis" in "".join(feature.lines) else "memory"
        expect(limits[0]["store"] == where, f"limits are kept in {limits[0]['store']}, not in {where}")
    connection.close()
    return proofs.LOOKS + 2


@contextlib.contextmanager
def viewer(settings: dict[str, str]) -> Iterator[None]:
    """Somebody who looks at the dashboard: reads its events, as they come."""
    events = urllib.request.urlopen(f"http://127.0.0.1:{settings['ADMIN_PORT']}/events", timeout=30)
    seen, ended = [], threading.Event()

    def look() -> None:
        while not ended.is_set():
            seen.append(events.readline()[:5])

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    yield
    ended.set()
    thread.join(30)
    events.close()
    expect(seen.count(b"data:") > 2, f"the dashboard has shown nothing: {seen[:9]}")


def prove_counts(feature: Feature, settings: dict[str, str], passed: int, at_most: int) -> None:
    """Redis has counted what passed, if that was its to do."""
    proofs.prove_counts(peers.Peer("", [], counter=feature.counter), settings, passed, at_most)
