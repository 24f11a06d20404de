"""A real server of gRPC that knows its health protocol, and a service `echo.Echo` of four methods on plain bytes.

Says its port, then takes lines "SERVICE STATUS" and answers each with "ok". Ends with its standard input.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


def unary(request, context):
    """What it got, and who it believes the caller to be; "CODE" fails with that."""
    known = dict(context.invocation_metadata())
    context.set_trailing_metadata((("x-tail", "end"), ("x-user", known.get("x-user-id", "-"))))
    if request.isupper():
        context.abort(grpc.StatusCode[request.decode()], "as you say")
    return request


def parts(request, context):
    """Each byte of what it got."""
    for byte in request:
        yield bytes([byte])


def joined(requests, context):
    """All that it got."""
    return b"".join(requests)


def each(requests, context):
    """What it gets, when it gets it."""
    yield from requests


ECHO = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "Parts": grpc.unary_stream_rpc_method_handler(parts),
    "Joined": grpc.stream_unary_rpc_method_handler(joined),
    "Each": grpc.stream_stream_rpc_method_handler(each),
}
server = grpc.server(ThreadPoolExecutor(4))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo.Echo", ECHO),))
servicer = health.HealthServicer()
health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
print(server.add_insecure_port("127.0.0.1:0"), flush=True)
servicer.set("", health_pb2.HealthCheckResponse.SERVING)
server.start()
for line in sys.stdin:
    service, status = line.split()
    servicer.set(service, health_pb2.HealthCheckResponse.ServingStatus.Value(status))
    print("ok", flush=True)
server.stop(None)
