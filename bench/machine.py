"""Processes of the benchmark: started on a core, watched through /proc, stopped. And what machine this is."""

import contextlib
import glob
import http.client
import os
import platform
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Callable, Iterator, NamedTuple, Sequence

CORES = sorted(os.sched_getaffinity(0))
# One for the gateway alone; load generator, upstreams and Redis share the other.
GATEWAY_CORE, LOAD_CORE = CORES[0], CORES[-1]
# Where the kernel is told how late it may be when it wakes a core.
LATENCY = "/dev/cpu_dma_latency"
# Where Debian has nginx, and where `.ci/need` puts what Debian has not.
os.environ["PATH"] += f":/usr/sbin:{Path(__file__).resolve().parent.parent / 'target/tools'}"


def which(program: str) -> str | None:
    """Where a program is, among those of the system and those that were fetched for the project."""
    return shutil.which(program)


class Invalid(Exception):
    """What was measured is not what was to be measured: the numbers are worth nothing."""


def expect(condition: object, message: str) -> None:
    """Raises `Invalid` with `message` unless `condition` holds."""
    if not condition:
        raise Invalid(message)


def free_ports(count: int) -> list[int]:
    """Ports nobody listens on, below those that outgoing connections are given."""
    def is_free(port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) != 0
    return list(filter(is_free, random.sample(range(15_000, 30_000), count + 100)))[:count]


@contextlib.contextmanager
def running(
    command: list[str], cores: int | Sequence[int], port: int, run: Path, env: dict[str, str], patience: int = 10
) -> Iterator[int]:
    """Runs `command` on a core, or on several, in the folder `run` until the block ends; gives its pid once it listens on `port`."""
    said = run / f"output-{port}.log"
    with open(said, "wb") as output:
        process = subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, [cores] if isinstance(cores, int) else cores)), *command], cwd=run, env=os.environ | env, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
        )
    try:
        expect(listens(process, port, patience), f"{command[0]} does not start: {said.read_text(errors='replace')[-1_000:]}")
        yield process.pid
    finally:
        stop(process)


@contextlib.contextmanager
def awake() -> Iterator[None]:
    """While the block runs, cores that have nothing to do poll in place of being halted, if that may be asked for here.

    A halted core is woken by an interrupt, which a hypervisor has to deliver, and the time that takes is the waker's: a gateway would pay for it
    that the load generator waits for it, and the slower it is the more. The kernel takes the wish as long as the file is open
    (https://docs.kernel.org/power/pm_qos_interface.html)."""
    if not may_stay_awake():
        yield
        return
    with open(LATENCY, "r+b", buffering=0) as wish:
        wish.write(bytes(4))  # microseconds, as an integer of four bytes
        yield


def may_stay_awake() -> bool:
    """Whether `awake` can do what it says."""
    # Root may write to all files, and still not open a device that its container has not; nor is a file to be made in its place.
    try:
        with open(LATENCY, "r+b", buffering=0):
            return True
    except OSError:
        return False


def listens(process: subprocess.Popen, port: int, patience: int) -> bool:
    """Waits until the process accepts connections on `port`. False: it has ended, or it takes more seconds than that."""
    deadline = time.monotonic() + patience
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return True
        time.sleep(0.02)
    return False


def stop(process: subprocess.Popen) -> None:
    """Asks the process to end, and makes what is left of it and its children end."""
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # a group of its own: start_new_session
    process.wait()


def tree(pid: int) -> list[int]:
    """The process and its descendants."""
    children = [child for path in glob.glob(f"/proc/{pid}/task/*/children") for child in read(path).split()]
    return [pid, *(descendant for child in children for descendant in tree(int(child)))]


class Cpu(NamedTuple):
    """Seconds of processor."""

    user: float
    kernel: float


def cpu(pid: int) -> Cpu:
    """What the process and its descendants have taken so far."""
    # Fields 14 and 15 of proc(5); the second, a name in brackets, may hold blanks.
    fields = [read(f"/proc/{each}/stat").rpartition(")")[2].split() for each in tree(pid)]
    return Cpu(*(sum(int(of[field]) for of in fields) / os.sysconf("SC_CLK_TCK") for field in (11, 12)))


def cpu_seconds(pid: int) -> float:
    """The same, user's and kernel's together."""
    return sum(cpu(pid))


def busy_seconds(core: int) -> float:
    """Time that the core has not been idle so far, whoever used it; the hypervisor's other guests, too."""
    fields = [int(each) for each in found(rf"cpu{core} (.+)", read("/proc/stat")).split()]
    return (sum(fields[:3]) + sum(fields[5:8])) / os.sysconf("SC_CLK_TCK")


def peak_mib(pid: int) -> float:
    """The most memory that the process and its descendants have held, resident, summed up."""
    return sum(int(found(r"VmHWM:\s+(\d+)", read(f"/proc/{each}/status"))) for each in tree(pid)) / 1_024


class Load(NamedTuple):
    """What wrk has to say of one run."""

    requests: int
    rate: float
    p50_ms: float
    p99_ms: float


class Loading:
    """A load generator at work, on its core. What it says at its end is read by `read`; it is ended with the block that it is used in."""

    def __init__(self, command: list[str], read: Callable[[str], Load], run: Path) -> None:
        command = ["taskset", "-c", str(LOAD_CORE), *command]
        self.name, self.read = command[3], read
        self.process = subprocess.Popen(command, cwd=run, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def __enter__(self) -> "Loading":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def pause(self) -> None:
        """Lets it do nothing for a while; its time goes on."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """And then go on."""
        self.process.send_signal(signal.SIGCONT)

    def has_ended(self) -> bool:
        """Whether it has."""
        return self.process.poll() is not None

    def done(self) -> Load:
        """What it has done, when it has ended."""
        with self:
            said, _ = self.process.communicate()
        expect(self.process.returncode == 0, f"{self.name}: {said[-500:]}")
        return self.read(said)


def loading(
    url: str, options: list[str], seconds: int, connections: int, run: Path, refused: bool = False, arguments: Sequence[str] = ()
) -> Loading:
    """Starts wrk in the folder `run`, with arguments for its script. Any answer but 2xx, and any connection that breaks, makes the run invalid; where
    all are to be refused, any answer of 2xx does."""
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *options, url, *(("--", *arguments) if arguments else ())]
    return Loading(command, lambda report: read_wrk(report, refused), run)


def read_wrk(report: str, refused: bool) -> Load:
    """What wrk says."""
    requests = int(found(r"(\d+) requests in", report))
    failures = re.findall(r"Non-2xx.*|Socket errors.*", report)
    if refused:
        expect(failures == [f"Non-2xx or 3xx responses: {requests}"], f"wrk: {requests} requests, {', '.join(failures)}")
    else:
        expect(not failures, f"wrk: {', '.join(failures)}")
    return Load(
        requests=requests,
        rate=float(found(r"Requests/sec:\s+([\d.]+)", report)),
        p50_ms=milliseconds(found(r"\s50%\s+(\S+)", report)),
        p99_ms=milliseconds(found(r"\s99%\s+(\S+)", report)),
    )


@contextlib.contextmanager
def asking(port: int, path: str, token: str | None, body: int = 0) -> Iterator[Callable[[], str]]:
    """Sends one request for `path` each time it is called, over one connection, with a body of so many bytes if any; gives the body of the answer.
    Any answer but 200 makes the run invalid."""
    method, fields = ("POST", f"Content-Length: {body}\r\n") if body else ("GET", "")
    fields += f"Authorization: Bearer {token}\r\n" if token else ""
    # In one piece, which Python's own client does not do.
    request = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{fields}\r\n{'x' * body}".encode()
    with socket.create_connection(("127.0.0.1", port), 30) as connection:
        def ask() -> str:
            connection.sendall(request)
            answer = http.client.HTTPResponse(connection, method=method)
            answer.begin()
            expect(answer.status == 200, f"{method} {path} was answered {answer.status}")
            return answer.read().decode()

        yield ask


def milliseconds(text: str) -> float:
    """A duration as wrk writes it."""
    value, unit = re.fullmatch(r"([\d.]+)(us|ms|s|m)", text).groups()
    return float(value) * {"us": 1e-3, "ms": 1, "s": 1e3, "m": 6e4}[unit]


def redis(port: str, *words: str) -> str:
    """Redis' answer to one command: a status, a number, a string of one line, or `missing`."""
    with socket.create_connection(("127.0.0.1", int(port)), 1) as connection, connection.makefile() as answer:
        connection.sendall(" ".join(words).encode() + b"\r\n")
        first = answer.readline().strip()
        if first.startswith("$"):
            return "missing" if first == "$-1" else answer.readline().strip()
        return first.lstrip("+:")


def scripts_run(port: str) -> int:
    """How often Redis has run a script."""
    with socket.create_connection(("127.0.0.1", int(port)), 1) as connection, connection.makefile("rb") as answer:
        connection.sendall(b"INFO commandstats\r\n")
        text = answer.read(int(answer.readline()[1:])).decode()
    return sum(int(calls) for calls in re.findall(r"cmdstat_(?:evalsha|eval):calls=(\d+)", text))


def description() -> dict[str, str]:
    """The machine and the programs on it."""
    memory = int(found(r"MemTotal:\s+(\d+)", read("/proc/meminfo"))) / 1024**2
    cpu = found(r"model name\s*:\s*(.+)", read("/proc/cpuinfo")) or platform.machine()
    facts = {
        "CPU": f"{cpu}, {os.cpu_count()} cores, {memory:.1f} GiB of memory",
        "kernel": f"{platform.system()} {found(r'([0-9.]+)', platform.release())}",
        "cores that have nothing to do": "poll" if may_stay_awake() else "are halted, and woken at the cost of whoever wakes them",
        "aegis": said("git", "describe", "--always", "--dirty"),
        "rustc": found(r"rustc (\S+)", said("rustc", "--version")),
        "nginx": found(r"nginx/(\S+)", said("nginx", "-v")),
        "redis": found(r"v=(\S+)", said("redis-server", "--version")),
        "wrk": found(r"wrk \D*(\S+)", said("wrk", "-v")),
        "haproxy": found(r"version (\S+)", said("haproxy", "-v")),
        "envoy": found(r"/(\d+\.\d+\.\d+)/", said("envoy", "--version")),
        "traefik": found(r"Version:\s+(\S+)", said("traefik", "version")),
        "caddy": found(r"v(\S+)", said("caddy", "version")),
        "oha": found(r"oha (\S+)", said("oha", "--version")),
    }
    return {name: fact for name, fact in facts.items() if fact}


def said(*command: str) -> str:
    """What a program says of itself; nothing, if it is not there."""
    if not which(command[0]):
        return ""
    run = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parent)
    return (run.stdout or run.stderr).strip()


def found(pattern: str, text: str) -> str:
    """The first group of the pattern in the text, or nothing."""
    match = re.search(pattern, text)
    return match[1] if match else ""


def read(path: str) -> str:
    """A file of /proc."""
    return Path(path).read_text()


def put_between(file: Path, begin: str, end: str, text: str) -> None:
    """Puts the text into the file between two marks, in place of what is there; at the end, where they are not yet."""
    before, _, rest = (file.read_text() if file.exists() else "").partition(begin)
    file.write_text(f"{before.rstrip()}\n\n{begin}{text}{end}{rest.partition(end)[2]}")
