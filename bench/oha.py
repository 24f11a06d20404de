"""oha: a load that keeps its rate whatever becomes of the requests before, and tells latency from when each was due."""

import json
import sqlite3
import subprocess
from pathlib import Path
from typing import NamedTuple

from machine import LOAD_CORE, expect, which
from peers import Peer


class Answers(NamedTuple):
    """What oha has to say of one run; times in milliseconds."""

    count: int
    rate: float
    p50: float
    p99: float
    p999: float


class Answer(NamedTuple):
    """One request: when it was due and how long its answer took from then, both in seconds."""

    due: float
    took: float
    status: int


def load(peer: Peer, port: str, seconds: float, connections: int, rate: int | None = None) -> Answers:
    """As many requests as there are answers, or `rate` a second. Any that fails makes the run invalid."""
    pace = ["-q", str(rate), "--latency-correction"] if rate else []
    said = json.loads(run(peer, port, seconds, connections, [*pace, "--output-format", "json"]))
    statuses, broken = said["statusCodeDistribution"], said["errorDistribution"]
    expect(set(statuses) == {str(peer.status)} and not broken, f"oha: {statuses}, {broken}")
    spread = said["latencyPercentiles"]
    of = {name: spread[name] * 1e3 for name in ("p50", "p99", "p99.9")}
    return Answers(sum(statuses.values()), said["summary"]["requestsPerSec"], of["p50"], of["p99"], of["p99.9"])


def each(peer: Peer, port: str, seconds: float, connections: int, rate: int, file: Path) -> list[Answer]:
    """Every answer to `rate` requests a second, in the order in which they were due. What had none is not among them."""
    file.unlink(missing_ok=True)
    run(peer, port, seconds, connections, ["-q", str(rate), "--latency-correction", "--db-url", str(file)])
    with sqlite3.connect(file) as answers:
        rows = answers.execute("SELECT start_latency_correction, duration, status FROM oha ORDER BY 1")
        return [Answer(*row) for row in rows]


def run(peer: Peer, port: str, seconds: float, connections: int, options: list[str]) -> str:
    """What oha prints."""
    bearer = ["-H", f"Authorization: Bearer {peer.token}"] if peer.token else []
    length = ["-z", f"{int(seconds * 1e3)}ms", "-w", "-c", str(connections), "--no-tui", "-r", "0"]
    command = ["taskset", "-c", str(LOAD_CORE), str(which("oha")), *length, *bearer, *options]
    url = f"http://127.0.0.1:{port}{peer.path}"
    done = subprocess.run([*command, url], capture_output=True, text=True)
    expect(done.returncode == 0, f"oha: {done.stderr[-500:]}")
    return done.stdout
