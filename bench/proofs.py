"""The proof that a peer does the work it is measured for."""

import http.client
import json
import time
from pathlib import Path

from machine import expect, redis
from peers import BODY, USER, Peer, sign

# Answers that are looked at one by one before the clock runs, and as many of what the upstreams see.
LOOKS = 30


def prove_work(peer: Peer, settings: dict[str, str]) -> int:
    """Raises `Invalid` unless the peer does all that its row says. Gives the number of requests it let pass."""
    expect(redis(settings["REDIS_PORT"], "FLUSHALL") == "OK", "Redis does not obey")
    if peer.status != 200:
        return prove_refusals(peer, settings)
    connection = http.client.HTTPConnection("127.0.0.1", int(settings["GATEWAY_PORT"]), timeout=5)
    if peer.is_late:
        await_routes(connection, peer)
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


def await_routes(connection: http.client.HTTPConnection, peer: Peer) -> None:
    """Waits until the gateway has read its routes."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and get(connection, peer.path, peer.token)[0] == 404:
        time.sleep(0.05)


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
    whole = ports[:LOOKS - LOOKS % peer.round]
    expect([whole.count(port) for port in set(ports)] == [len(whole) // 3] * 3, f"upstreams do not take turns: {ports}")
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
