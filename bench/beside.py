"""A gateway timed beside another: a tenth of a second of the one, a tenth of the other, in turn, so that what slows the machine down slows both."""

import contextlib
import statistics
import time
from dataclasses import dataclass
from typing import Callable, Iterable

import machine
from machine import Load, Loading

Figures = dict[str, float]
# Machines that others use, too, change their speed for seconds; within this they seldom do, and thousands of requests are answered in it.
TURN_SECONDS = 0.1
# How often `timed` begins a load.
LOADS = 2


@dataclass(frozen=True)
class Loaded:
    """A gateway that runs, and how a load for so many seconds begins."""

    pid: int
    loading: Callable[[int], Loading]

    def load(self, seconds: int) -> Load:
        """So many seconds in one go."""
        return self.loading(seconds).done()


def alone(gateway: Loaded, seconds: int) -> tuple[Figures, int]:
    """The gateway's figures over so many seconds in one go, and how many requests it answered in them."""
    before = machine.cpu(gateway.pid), machine.busy_seconds(machine.GATEWAY_CORE)
    load = gateway.load(seconds)
    after = machine.cpu(gateway.pid), machine.busy_seconds(machine.GATEWAY_CORE)
    spent = sum(after[0]) - sum(before[0])
    return {
        "CPU µs/request": spent / load.requests * 1e6,
        "kernel µs/request": (after[0].kernel - before[0].kernel) / load.requests * 1e6,
        "requests/s": load.rate,
        "p50 ms": load.p50_ms,
        "p99 ms": load.p99_ms,
        "others": max(0.0, (after[1] - before[1] - spent) / seconds),
        "peak MiB": machine.peak_mib(gateway.pid),
    }, load.requests


def timed(gateway: Loaded, reference: Loaded, seconds: int) -> tuple[Figures, int]:
    """The same, and over as many seconds in turn with the reference how many times its microseconds a request took (`beside`), and how many those
    were (`reference µs`)."""
    figures, requests = alone(gateway, seconds)
    (cost, load), (other, _) = in_turn((gateway, reference), seconds)
    return figures | {"beside": cost / other, "reference µs": other}, requests + load.requests


def in_turn(gateways: tuple[Loaded, Loaded], seconds: int) -> list[tuple[float, Load]]:
    """What a request took each gateway over so many seconds, in microseconds, and what it was loaded with. While the load of the one has its turn,
    that of the other is stopped."""
    before = [machine.cpu_seconds(each.pid) for each in gateways]
    with contextlib.ExitStack() as stack:
        loadings = [stack.enter_context(each.loading(2 * seconds)) for each in gateways]
        for loading in loadings:
            loading.pause()
        while not all(loading.has_ended() for loading in loadings):
            for loading in loadings:
                loading.go_on()
                time.sleep(TURN_SECONDS)
                loading.pause()
        loads = [loading.done() for loading in loadings]
    spent = [machine.cpu_seconds(each.pid) - earlier for each, earlier in zip(gateways, before)]
    return [(each / load.requests * 1e6, load) for each, load in zip(spent, loads)]


def settled(rows: dict[str, list[Figures]]) -> dict[str, list[Figures]]:
    """The rows with microseconds that follow from the ratios: by what the reference took in the middle, whatever the machine did meanwhile.
    `over` is what a request takes more than it takes the reference."""
    reference = middle((sample for row in rows.values() for sample in row), "reference µs")
    return {name: [by_ratio(sample, reference) for sample in row] for name, row in rows.items()}


def by_ratio(sample: Figures, reference: float) -> Figures:
    """One of them."""
    cost = sample["beside"] * reference
    kernel = cost * sample["kernel µs/request"] / sample["CPU µs/request"]
    return sample | {"CPU µs/request": cost, "kernel µs/request": kernel, "over": cost - reference}


def middle(samples: Iterable[Figures], figure: str) -> float:
    """The median of one figure."""
    return statistics.median(sample[figure] for sample in samples)
