"""A gateway timed beside another: a second of the one, a second of the other, in turn, so that what slows the machine down slows both."""

import statistics
from dataclasses import dataclass
from typing import Callable

import machine
from machine import Load


@dataclass(frozen=True)
class Loaded:
    """A gateway that runs, and how it is loaded for so many seconds."""

    pid: int
    load: Callable[[int], Load]


@dataclass(frozen=True)
class Run:
    """What some seconds of load took of a gateway's core."""

    load: Load
    # Seconds of processor: the gateway's, those of them that the kernel worked for it, and everybody's.
    spent: float
    kernel: float
    busy: float

    @property
    def cost(self) -> float:
        """Microseconds for a request."""
        return self.spent / self.load.requests * 1e6


def watched(gateway: Loaded, seconds: int = 1) -> Run:
    """So many seconds of load."""
    before = machine.cpu(gateway.pid), machine.busy_seconds(machine.GATEWAY_CORE)
    load = gateway.load(seconds)
    after = machine.cpu(gateway.pid), machine.busy_seconds(machine.GATEWAY_CORE)
    return Run(load, sum(after[0]) - sum(before[0]), after[0].kernel - before[0].kernel, after[1] - before[1])


def alone(gateway: Loaded, seconds: int) -> tuple[dict[str, float], int]:
    """The gateway's figures over so many seconds in one go, and how many requests it answered in them."""
    return summed(gateway, [watched(gateway, seconds)], seconds)


def timed(gateway: Loaded, reference: Loaded, seconds: int) -> tuple[dict[str, float], int]:
    """The gateway's figures over so many seconds, and how many requests it answered in them. `beside` and `over`: how many times, and how many
    microseconds more than, what it took the reference in the second next to it, as medians; which of them goes first changes from pair to pair."""
    pairs: list[tuple[Run, Run]] = []
    for number in range(seconds):
        order = (reference, gateway) if number % 2 else (gateway, reference)
        runs = [watched(each) for each in order]
        pairs.append((runs[order.index(gateway)], runs[order.index(reference)]))
    figures, requests = summed(gateway, [ours for ours, _ in pairs], seconds)
    return figures | {
        "beside": statistics.median(ours.cost / other.cost for ours, other in pairs),
        "over": statistics.median(ours.cost - other.cost for ours, other in pairs),
    }, requests


def summed(gateway: Loaded, runs: list[Run], seconds: int) -> tuple[dict[str, float], int]:
    """What the runs say of a gateway together, and how many requests it answered."""
    requests = sum(each.load.requests for each in runs)
    middle = lambda of: statistics.median(map(of, runs))
    return {
        "CPU µs/request": sum(each.spent for each in runs) / requests * 1e6,
        "kernel µs/request": sum(each.kernel for each in runs) / requests * 1e6,
        "requests/s": middle(lambda each: each.load.rate),
        "p50 ms": middle(lambda each: each.load.p50_ms),
        "p99 ms": middle(lambda each: each.load.p99_ms),
        "others": max(0.0, sum(each.busy - each.spent for each in runs) / seconds),
        "peak MiB": machine.peak_mib(gateway.pid),
    }, requests
