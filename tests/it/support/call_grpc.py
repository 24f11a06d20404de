"""A real client of gRPC: `call_grpc.py HOST:PORT METHOD [METADATA=VALUE...]`, over TLS if GRPC_CA names authorities.

Sends what METHOD of `echo.Echo` takes and says, a line each: what came, the status, the trailing metadata.
"""

import os
import sys

import grpc

address, method, *metadata = sys.argv[1:]
metadata = [tuple(pair.split("=", 1)) for pair in metadata]
text = dict(metadata).get("x-text", "hello").encode()
ca = os.environ.get("GRPC_CA")
if ca:
    channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(open(ca, "rb").read()))
else:
    channel = grpc.insecure_channel(address)
path = f"/echo.Echo/{method}"
pieces = iter([text[:2], text[2:]])
calls = {
    "Parts": lambda: channel.unary_stream(path)(text, metadata=metadata, timeout=10),
    "Joined": lambda: channel.stream_unary(path).future(pieces, metadata=metadata, timeout=10),
    "Each": lambda: channel.stream_stream(path)(pieces, metadata=metadata, timeout=10),
}
call = calls.get(method, lambda: channel.unary_unary(path).future(text, metadata=metadata, timeout=10))()
try:
    came = list(call) if method in ("Parts", "Each") else [call.result()]
except grpc.RpcError:
    came = []
print(b"|".join(came).decode())
print(call.code().name, call.details())
print(sorted((key, value) for key, value in call.trailing_metadata() if key.startswith("x-")))
