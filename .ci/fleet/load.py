"""Requests at a steady pace over connections that are kept, and what became of each."""

import http.client
import itertools
import threading
import time
from collections import Counter, namedtuple

CONNECTIONS = 10
PATIENCE = 10

Sample = namedtuple("Sample", "at until client status")
"""When it was sent and answered (seconds of `time.monotonic`), for which client, and its status; 0: no whole answer came."""


class Load:
    """A load of `per_second` on `path`, from clients that change as it goes on, until it is ended."""

    def __init__(self, port, path, per_second):
        self.port, self.path, self.every = port, path, CONNECTIONS / per_second
        self.samples, self.ended, self.clients = [], threading.Event(), None
        self.turn = threading.Lock()
        begun = time.monotonic()
        offsets = [begun + nth / per_second for nth in range(CONNECTIONS)]
        self.threads = [threading.Thread(target=self._send, args=(offset,), daemon=True) for offset in offsets]

    def start(self):
        for thread in self.threads:
            thread.start()

    def come_from(self, clients):
        """From now on, which is given, each request is from the next of these, over and over."""
        with self.turn:
            self.clients = itertools.cycle(clients)
            return time.monotonic()

    def end(self):
        """All samples, in the order they were sent."""
        self.ended.set()
        for thread in self.threads:
            thread.join()
        return sorted(self.samples)

    def _send(self, due):
        connection = None
        while not self.ended.is_set():
            time.sleep(max(0, due - time.monotonic()))
            due += self.every
            with self.turn:
                client, at = next(self.clients), time.monotonic()
            try:
                connection = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
                connection.request("GET", self.path, headers={"X-Forwarded-For": f"203.0.113.{client}"})
                answer = connection.getresponse()
                answer.read()
                status = answer.status
            except (OSError, http.client.HTTPException):
                connection.close()
                connection, status = None, 0
            self.samples.append(Sample(at, time.monotonic(), client, status))


def by_status(samples):
    return Counter(sample.status for sample in samples)


def passed(samples):
    """How many requests of each client passed."""
    return Counter(sample.client for sample in samples if sample.status == 200)
