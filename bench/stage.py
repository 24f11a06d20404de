"""What stands around a gateway while it is measured: upstreams, Redis, and a folder with everybody's configs."""

import contextlib
import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import Iterator, Sequence

import machine
import peers
from machine import expect
from peers import Peer

HERE = Path(__file__).resolve().parent
PORTS = ["GATEWAY_PORT", "TLS_PORT", "ADMIN_PORT", "REDIS_PORT", "UPSTREAM_PORT_1", "UPSTREAM_PORT_2", "UPSTREAM_PORT_3"]


def build(crate: Path, binary: str, anew: bool = True) -> Path:
    """Where the release binary of `crate` is, built unless that is not wanted."""
    if anew:
        subprocess.run(["cargo", "build", "--release", "--locked", "--bin", binary], cwd=crate, check=True)
    metadata = subprocess.check_output(["cargo", "metadata", "--no-deps", "--format-version=1"], cwd=crate)
    path = Path(json.loads(metadata)["target_directory"], "release", binary)
    expect(path.exists(), f"{binary} has not been built; leave out --no-build")
    return path


@contextlib.contextmanager
def surroundings(upstreams: tuple[int, ...] = (1, 2, 3)) -> Iterator[tuple[dict[str, str], Path]]:
    """Starts these upstreams, in one process, and Redis; gives where everybody is to listen and which secrets hold, and the
    folder that all run in. Cores stay awake meanwhile (`machine.awake`)."""
    settings = dict(zip(PORTS, map(str, machine.free_ports(len(PORTS))))) | peers.SECRETS
    with tempfile.TemporaryDirectory(prefix="aegis-bench-") as folder, machine.awake(), contextlib.ExitStack() as stack:
        run = Path(folder)
        peers.write_configs(run, settings)
        if upstreams:
            stack.enter_context(upstream(settings, run, upstreams))
        port = settings["REDIS_PORT"]
        settings["REDIS_PID"] = str(stack.enter_context(machine.running(redis(port), machine.LOAD_CORE, int(port), run, {})))
        yield settings, run


def elsewhere(settings: dict[str, str], run: Path, name: str) -> tuple[dict[str, str], Path]:
    """The same surroundings for one more gateway that is up at the same time: with ports and a folder of its own."""
    doors = ("GATEWAY_PORT", "TLS_PORT", "ADMIN_PORT")
    settings = settings | dict(zip(doors, map(str, machine.free_ports(len(doors)))))
    folder = run / name
    folder.mkdir()
    peers.write_configs(folder, settings)
    for file in run.glob("*.pem"):
        (folder / file.name).symlink_to(file)
    return settings, folder


@contextlib.contextmanager
def upstream(settings: dict[str, str], run: Path, which: tuple[int, ...]) -> Iterator[int]:
    """One process that is these upstreams, by its pid."""
    ports = {nth: settings[f"UPSTREAM_PORT_{nth}"] for nth in (1, 2, 3)}
    config = run / f"upstream-{'-'.join(map(str, which))}.conf"
    lines = (run / "upstream.conf").read_text().splitlines(keepends=True)
    others = [f"127.0.0.1:{port} " for nth, port in ports.items() if nth not in which]
    config.write_text("".join(line for line in lines if not any(other in line for other in others)).replace("upstream.pid", f"{config.stem}.pid"))
    with machine.running(peers.nginx(config.name), machine.LOAD_CORE, int(ports[which[0]]), run, {}) as pid:
        yield pid


def certificate(run: Path) -> None:
    """One for localhost, and its key."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "cert.pem"],
        cwd=run, check=True, capture_output=True,
    )


def redis(port: str) -> list[str]:
    """A Redis that keeps nothing."""
    return ["redis-server", "--bind", "127.0.0.1", "--port", port, "--save", ""]


@contextlib.contextmanager
def own_redis(peer: Peer, settings: dict[str, str], run: Path) -> Iterator[dict[str, str]]:
    """A Redis that trouble is to come over, and the settings with which the peer finds it."""
    if not peer.trouble:
        yield settings
        return
    port = str(machine.free_ports(1)[0])
    with machine.running(redis(port), machine.LOAD_CORE, int(port), run, {}) as pid:
        yield settings | {"REDIS_PORT": port, "REDIS_URL": f"redis://127.0.0.1:{port}", "REDIS_PID": str(pid)}
        # Who is stopped does not hear that he should end.
        os.kill(pid, signal.SIGCONT)


@contextlib.contextmanager
def started(peer: Peer, settings: dict[str, str], run: Path, cores: Sequence[int] = (machine.GATEWAY_CORE,)) -> Iterator[int]:
    """The peer on its core, or on several, by its pid."""
    (run / "access.log").unlink(missing_ok=True)
    environment = {"REDIS_URL": ""} | settings | peer.env
    with machine.running(peer.command, cores, int(settings["GATEWAY_PORT"]), run, environment) as pid:
        yield pid


def log_of(peer: Peer, settings: dict[str, str], run: Path) -> Path:
    """Where the peer writes a line for each request."""
    return run / (f"output-{settings['GATEWAY_PORT']}.log" if peer.logs_to_output else "access.log")
