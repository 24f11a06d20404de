"""Requests at a steady pace, whatever becomes of those before: open loop."""

import asyncio
import time
from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """One request."""

    id: str
    # Seconds since the load began.
    at: float
    took: float
    # 0: no whole answer.
    status: int


class Load:
    """`rate` requests a second for `seconds`, over connections that are kept."""

    def __init__(self, port: int, method: str, rate: int, seconds: float) -> None:
        self.port, self.method, self.rate, self.seconds = port, method, rate, seconds
        self.idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self.began = 0.0

    async def run(self) -> list[Sample]:
        """What became of each."""
        self.began = time.monotonic()
        tasks = []
        for number in range(int(self.rate * self.seconds)):
            ahead = self.began + number / self.rate - time.monotonic()
            if ahead > 0:
                await asyncio.sleep(ahead)
            tasks.append(asyncio.create_task(self.request(f"{self.method}-{number}")))
        samples = await asyncio.gather(*tasks)
        for _, writer in self.idle:
            writer.close()
        return samples

    async def request(self, id: str) -> Sample:
        """One of them, whose answer is waited for at most 20 s."""
        at = time.monotonic()
        try:
            status = await asyncio.wait_for(self.exchange(id), 20)
        except (OSError, asyncio.IncompleteReadError, asyncio.TimeoutError, ValueError):
            status = 0
        return Sample(id, at - self.began, time.monotonic() - at, status)

    async def exchange(self, id: str) -> int:
        """The status of the answer, once all of it is there."""
        reader, writer = self.idle.pop() if self.idle else await asyncio.open_connection("127.0.0.1", self.port)
        try:
            body = b"hello" if self.method == "POST" else b""
            length = f"Content-Length: {len(body)}\r\n" if body else ""
            head = f"{self.method} /users HTTP/1.1\r\nHost: localhost\r\nX-Id: {id}\r\n{length}\r\n"
            writer.write(head.encode() + body)
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
            if fields.get("transfer-encoding") == "chunked":
                while size := int(await reader.readline(), 16):
                    await reader.readexactly(size + 2)
                await reader.readline()
            else:
                await reader.readexactly(int(fields["content-length"]))
            if fields.get("connection") == "close":
                writer.close()
            else:
                self.idle.append((reader, writer))
            return int(lines[0].split(" ")[1])
        except BaseException:
            writer.close()
            raise
