"""A real server of gRPC that knows its health protocol.

Says its port, then takes lines "SERVICE STATUS" and answers each with "ok". Ends with its standard input.
"""

import sys
from concurrent.futures import ThreadPoolExecutor

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

server = grpc.server(ThreadPoolExecutor(4))
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
