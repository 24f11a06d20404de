"""What is made more of, step by step, to see what that costs: routes, targets, clients, bytes, connections, layers, threads."""

import contextlib
import http.client
import resource
from dataclasses import dataclass, field
from pathlib import Path
from typing import Iterator

import machine
import peers
import proofs
import stage
from machine import expect
from peers import Peer

# Addresses that the upstream listens on, all with one port.
ADDRESSES = [f"127.{1 + n // 250}.0.{1 + n % 250}" for n in range(1_000)]
SIZES = [64, 1 << 10, 10 << 10, 100 << 10, 1 << 20]
# Each has one to a target beside it while its request is answered.
MANY_CONNECTIONS = 10_000 if resource.getrlimit(resource.RLIMIT_NOFILE)[1] >= 24_000 else 8_000
LIMIT = "plugins: { rateLimit: { max: 4000000000, window: 1h } }"


@dataclass(frozen=True)
class Point:
    """One step of a series."""

    label: str
    peer: Peer
    # The config of the gateway, and where that goes; a peer's own one is there already.
    config: str = ""
    file: str = "curves.yaml"
    # What wrk is told besides.
    wrk: list[str] = field(default_factory=list)
    # Its arguments for a script.
    script: list[str] = field(default_factory=list)
    connections: int = 64
    # How h2load speaks, in place of wrk: options, and the setting that has the port.
    h2load: list[str] | None = None
    port: str = "GATEWAY_PORT"
    # Bytes of an answer's body, where that is what grows.
    body: int = 0
    both_cores: bool = False
    # Requests that come first, so that all is there of which there are to be so many.
    fill: int = 0


@dataclass(frozen=True)
class Series:
    """What grows, by how much a request may grow with it (nothing, if that is not said), and its steps."""

    name: str
    points: list[Point]
    aim: float | None = None
    # Whether the first step stays up and is timed in turn with every other.
    beside_first: bool = True


def all_of_them(aegis: Path, settings: dict[str, str]) -> list[Series]:
    """Every series."""
    gateway = [str(aegis), "run", "-c", "curves.yaml"]
    shared = {"REDIS_URL": f"redis://127.0.0.1:{settings['REDIS_PORT']}"}
    three = [f"http://127.0.0.1:{settings[f'UPSTREAM_PORT_{n}']}" for n in (1, 2, 3)]
    plain = config(settings, [route("/", three)])
    ours = lambda path="/plain", env=shared: Peer("aegis", gateway, path=path, env=env)
    nginx = Peer("nginx, plain", peers.nginx("nginx.conf"), path="/plain")
    both = [("aegis", ours(), plain), ("nginx", nginx, "")]
    many = lambda n: [f"{each}:{settings['MANY_PORT']}" for each in ADDRESSES[:n]]
    theirs = lambda n, path, locations, servers, *wrk: Point(
        f"{n:,}", Peer("nginx", peers.nginx("curves-nginx.conf"), path=path), nginx_config(settings, locations, servers), "curves-nginx.conf", *wrk)
    return [
        Series("routes", [
            Point(f"{n:,}", ours("/r/0"), config(settings, [route(f"/r/{each}", three) for each in range(n)]), wrk=["-s", "spread.lua"], script=[str(n), "/r/%d"])
            for n in (1, 10, 100, 1_000, 10_000)
        ], 0.05),
        Series("routes, of nginx", [
            theirs(n, "/r/0", [f"/r/{each}" for each in range(n)], [], ["-s", "spread.lua"], [str(n), "/r/%d"]) for n in (1, 10_000)
        ]),
        Series("targets of a route", [
            Point(f"{n:,}", ours(), config(settings, [route("/", [f"http://{each}" for each in many(n)])])) for n in (3, 10, 100, 1_000)
        ], 0.05),
        Series("targets of a route, of nginx", [theirs(n, "/plain", ["/"], many(n)) for n in (3, 1_000)]),
        *(Series(f"clients with a limit in {where}", [
            Point(f"{n:,}", ours(env=env), config(settings, [route("/", three, LIMIT)]), wrk=["-s", "spread.lua"], script=[str(n), "/plain", "X-Forwarded-For", "%a"], fill=n)
            for n in (1, 1_000, 100_000, 1_000_000)
        ], aim) for where, env, aim in (("memory", {}, 0.20), ("Redis", shared, None))),
        Series("bytes of an answer", [
            Point(f"{who}, {size:,}", Peer(peer.name, peer.command, path=f"/body/{size}", env=peer.env), text, body=size) for size in SIZES for who, peer, text in both
        ]),
        Series("bytes of a request", [
            Point(f"{who}, {size:,}", peer, text, wrk=["-s", "upload.lua"], script=[str(size)]) for size in SIZES for who, peer, text in both
        ]),
        Series("connections", [
            Point(f"{who}, {n:,}", peer, text, connections=n) for n in (1, 10, 100, 1_000, MANY_CONNECTIONS) for who, peer, text in both
        ]),
        Series("layers, by h2load", [
            Point("HTTP/1.1", ours(), plain, h2load=["--h1"]),
            Point("HTTP/1.1 by TLS", ours(), plain, h2load=["--h1"], port="TLS_PORT"),
            Point("HTTP/2, 10 streams on each of 64 connections", ours(), plain, h2load=["-m", "10"]),
            Point("HTTP/2 by TLS, 10 streams on each of 64 connections", ours(), plain, h2load=["-m", "10"], port="TLS_PORT"),
        ]),
        Series("threads, on two cores that the load has to share", [
            Point(f"{n}", ours(), config(settings, [route("/", three)], n), both_cores=True) for n in (1, 2)
        ], beside_first=False),
    ]


def route(path: str, targets: list[str], more: str = "") -> str:
    """Some lines of a config."""
    quoted = ", ".join(f"'{target}'" for target in targets)
    return f"  - path: {path}\n    targets: [{quoted}]\n" + (f"    {more}\n" if more else "")


def config(settings: dict[str, str], routes: list[str], threads: int = 1) -> str:
    """A config that has these routes."""
    return "".join([
        f"listen: 127.0.0.1:{settings['GATEWAY_PORT']}\nh2c: true\nthreads: {threads}\n",
        f"tls: {{ listen: '127.0.0.1:{settings['TLS_PORT']}', certificates: [{{ certFile: cert.pem, keyFile: key.pem }}] }}\n",
        "accessLog: { file: access.log }\ntrustedProxies: [127.0.0.1]\nroutes:\n",
        *routes,
    ])


def nginx_config(settings: dict[str, str], locations: list[str], servers: list[str]) -> str:
    """One of nginx that forwards these paths to these servers, or to the usual three."""
    upstream = "".join(f"        server {server} max_fails=3 fail_timeout=60s;\n" for server in servers)
    return "".join([
        "worker_processes 1;\ndaemon off;\npid nginx.pid;\nevents { worker_connections 16384; }\nhttp {\n",
        "    include nginx-http.conf;\n    include nginx-proxy.conf;\n",
        f"    upstream many {{\n{upstream}        keepalive 4096;\n        keepalive_requests 1000000000;\n    }}\n" if servers else "",
        f"    server {{\n        listen 127.0.0.1:{settings['GATEWAY_PORT']} backlog=4096;\n",
        *(f"        location {path} {{ proxy_pass http://{'many' if servers else 'services'}; }}\n" for path in locations),
        "    }\n}\n",
    ])


@contextlib.contextmanager
def surroundings() -> Iterator[tuple[dict[str, str], Path]]:
    """Those of every gateway, with an upstream that listens on many addresses, and a certificate."""
    with stage.surroundings(()) as (settings, run):
        settings["MANY_PORT"] = str(machine.free_ports(1)[0])
        stage.certificate(run)
        (run / "curves-upstream.conf").write_text(upstreams(settings, run))
        upstream = peers.nginx("curves-upstream.conf")
        with machine.running(upstream, machine.LOAD_CORE, int(settings["UPSTREAM_PORT_1"]), run, {}):
            yield settings, run


def upstreams(settings: dict[str, str], run: Path) -> str:
    """The config of an nginx that listens on many addresses, and gives bodies of all sizes on the usual three ports."""
    # Started by root, nginx reads files as somebody else.
    run.chmod(0o755)
    for size in SIZES:
        (run / f"body-{size}").write_bytes(b"x" * size)
    text = (run / "upstream.conf").read_text()
    many = "".join(f"        listen {address}:{settings['MANY_PORT']} backlog=4096;\n" for address in ADDRESSES)
    sizes = "".join(f"        location = /body/{size} {{ alias {run}/body-{size}; }}\n" for size in SIZES)
    return text.replace("        location / {", f"{many}{sizes}        client_max_body_size 0;\n        location / {{")


def prove(point: Point, settings: dict[str, str]) -> int:
    """Raises `Invalid` unless answers are what they should be. Gives the number of requests."""
    body = "x" * point.body if point.body else peers.BODY
    connection = http.client.HTTPConnection("127.0.0.1", int(settings["GATEWAY_PORT"]), timeout=5)
    for _ in range(proofs.LOOKS):
        status, answer = proofs.get(connection, point.peer.path, None)
        expect((status, answer) == (200, body), f"GET {point.peer.path} was answered {status} {answer[:100]}")
    connection.close()
    return proofs.LOOKS


def loading(point: Point, settings: dict[str, str], run: Path, seconds: int) -> machine.Loading:
    """By wrk or by h2load."""
    port = settings[point.port]
    url = f"{'https' if point.port == 'TLS_PORT' else 'http'}://127.0.0.1:{port}{point.peer.path}"
    if point.h2load is None:
        return machine.loading(url, point.wrk, seconds, point.connections, run, arguments=point.script)
    command = ["h2load", "-t1", f"-c{point.connections}", "-D", str(seconds), *point.h2load, url]
    return machine.Loading(command, read_h2load, run)


def read_h2load(said: str) -> machine.Load:
    """What h2load says."""
    failed = machine.found(r"(\d+) failed", said)
    good, rate = machine.found(r"status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx", said), machine.found(r"([\d.]+) req/s", said)
    expect(failed == "0" and good, f"h2load: {said[-500:]}")
    return machine.Load(int(good), float(rate), 0, 0)
