"""One upstream that can be told to misbehave: `target.py PORT`.

GET /_mode/NAME    from now on `ok`; `fail`, answer 500; `reset`, read a request and reset the connection; `cut`, begin
                   an answer and reset
GET /_seen         how often each request came, by its `x-id`, as JSON
"""

import asyncio
import json
import socket
import struct
import sys
from collections import Counter

BODY = b'{"users":[]}'


class Target:
    """What it does, and what it has seen."""

    def __init__(self) -> None:
        self.mode, self.seen = "ok", Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        try:
            while await self.answer(reader, writer):
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request. Whether the connection goes on."""
        lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:-2])}
        await reader.readexactly(int(fields.get("content-length", 0)))
        path = lines[0].split(" ")[1]
        status, body = "200 OK", BODY
        if path.startswith("/_mode/"):
            self.mode = path.removeprefix("/_mode/")
        elif path == "/_seen":
            body = json.dumps(self.seen).encode()
        else:
            if "x-id" in fields:  # checks have none
                self.seen[fields["x-id"]] += 1
            if self.mode == "fail":
                status = "500 Internal Server Error"
            elif self.mode in ("reset", "cut"):
                if self.mode == "cut":
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
                    await writer.drain()
                on = struct.pack("ii", 1, 0)
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, on)
                return False
        writer.write(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
        return True


async def main() -> None:
    """Serves until it is killed."""
    server = await asyncio.start_server(Target().serve, "127.0.0.1", int(sys.argv[1]), backlog=4096)
    await server.serve_forever()


asyncio.run(main())
