#!/usr/bin/env python3
"""Three gateways in containers over one Redis Cluster, under load, while a target is killed, one of them is cut off from
Redis and comes back, another is killed, and then a primary. No client notices but those of the killed gateway, and none has
more than its quota from all that can reach Redis. The images are those that `.ci/containers` has built."""

import json
import os
import subprocess
import sys
import time
import urllib.request

sys.dont_write_bytecode = True
import load

FOLDER = os.path.dirname(os.path.abspath(__file__))
PER_SECOND = 500
CLIENTS = 5
QUOTA = 200
REDIS = 6


def say(text):
    print(f"fleet: {text}", flush=True)


def run(*command):
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300)
    if done.returncode != 0:
        sys.exit(f"fleet: FAILED: {' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def eventually(what, ask, seconds=60):
    """The first answer that is true. Whatever is asked may not be there yet."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            if answer := ask():
                return answer
            error = "not so"
        except OSError as caught:
            error = caught
        if time.monotonic() > deadline:
            sys.exit(f"fleet: FAILED: {what}: {error} after {seconds} s")
        time.sleep(0.1)


class Fleet:
    """The containers. Left, they are gone, and if that was by an error, what they said is shown."""

    def __init__(self):
        plugin = subprocess.run(["docker", "compose", "version"], capture_output=True).returncode == 0
        program = ["docker", "compose"] if plugin else ["docker-compose"]
        self.compose = [*program, "-p", f"aegis-fleet-{os.getpid()}", "-f", f"{FOLDER}/docker-compose.yml"]

    def __enter__(self):
        try:
            run(*self.compose, "up", "--build", "-d")
            nodes = [f"{self.address(f'redis-{nth}')}:6379" for nth in range(1, REDIS + 1)]
            self.redis("redis-1", "--cluster", "create", *nodes, "--cluster-replicas", "1", "--cluster-yes")
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise
        return self

    def __exit__(self, failure, *_):
        if failure:
            subprocess.run([*self.compose, "logs", "--no-color", "--tail", "30"], stdout=sys.stderr)
        run(*self.compose, "down", "-v", "--remove-orphans", "-t", "1")

    def container(self, service):
        return run(*self.compose, "ps", "-q", service).strip()

    def address(self, service):
        form = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return run("docker", "inspect", "-f", form, self.container(service)).strip()

    def port(self, service):
        return int(run(*self.compose, "port", service, "8000").rpartition(":")[2])

    def redis(self, service, *arguments):
        return run("docker", "exec", self.container(service), "redis-cli", *arguments)

    def kill(self, service):
        run("docker", "kill", self.container(service))

    def rules(self, gateway, *rules):
        """Packets of a gateway to and from Redis: dropped by these rules, or by none."""
        for rule in rules or ["--flush"]:
            run("docker", "exec", self.container(f"cut-{gateway}"), "iptables", *rule.split())

    def cut_off(self, gateway):
        self.rules(gateway, "-A OUTPUT -p tcp --dport 6379 -j DROP", "-A INPUT -p tcp --sport 6379 -j DROP")

    def counts_in(self, gateway, store):
        """Waits until a gateway counts there: `redis`, or `memory`."""
        url = f"http://127.0.0.1:{self.port(f'gateway-{gateway}')}/gateway/stats"

        def asked():
            with urllib.request.urlopen(url, timeout=5) as answer:
                return json.load(answer)[0]["rateLimit"]["store"] == store

        eventually(f"gateway {gateway} counting in {store}", asked)

    def primary(self):
        """A node that has keys, which is not the one that is asked."""
        for nth in range(2, REDIS + 1):
            if "role:master" in self.redis(f"redis-{nth}", "info", "replication"):
                return f"redis-{nth}"
        sys.exit("fleet: FAILED: no primary")

    def is_whole(self):
        return "cluster_state:ok" in self.redis("redis-1", "cluster", "info")


class Phases:
    """What is sent in each phase, and what has come of it."""

    def __init__(self, port):
        self.load, self.phases, self.next_client = load.Load(port, "/users", PER_SECOND), [], 1

    def begin(self, name, clients=None):
        """A phase from now on, with its clients: new ones, if none are given."""
        if clients is None:
            clients = range(self.next_client, self.next_client + CLIENTS)
            self.next_client += CLIENTS
        self.phases.append((name, self.load.come_from(clients)))
        if len(self.phases) == 1:
            self.load.start()
        return clients

    def end(self):
        """The samples of each phase by its name: those that were sent in it."""
        samples = self.load.end()
        until = [begun for _, begun in self.phases[1:]] + [float("inf")]
        return {
            name: [sample for sample in samples if begun <= sample.at < end]
            for (name, begun), end in zip(self.phases, until)
        }


def story(fleet, phases):
    """What happens to the fleet under load."""
    used_up = phases.begin("a target is killed")
    time.sleep(1)
    fleet.kill("target-1")
    time.sleep(3)
    phases.begin("a gateway is cut off", used_up)
    fleet.cut_off(2)
    fleet.counts_in(2, "memory")
    time.sleep(2)
    phases.begin("new clients while it is")
    time.sleep(5)
    phases.begin("it comes back", used_up)
    fleet.rules(2)
    fleet.counts_in(2, "redis")
    phases.begin("new clients when it is back")
    time.sleep(4)
    phases.begin("a gateway is killed", used_up)
    fleet.kill("gateway-1")
    time.sleep(2)
    phases.begin("a primary is killed", used_up)
    fleet.kill(fleet.primary())
    time.sleep(1)
    eventually("the cluster to be whole", fleet.is_whole)
    for gateway in (2, 3):
        fleet.counts_in(gateway, "redis")
    time.sleep(1)
    phases.begin("new clients over its replica")
    time.sleep(4)


def expect(what, is_so, told):
    if not is_so:
        sys.exit(f"fleet: FAILED: {what}: {told}")
    say(f"ok: {what}: {told}")


def judge(samples):
    """Everything that has to be true of what came."""
    for name, of in samples.items():
        broken = load.by_status(of)[0]
        most = load.CONNECTIONS if name == "a gateway is killed" else 0
        expect(f"{name}: at most {most} break", broken <= most, dict(load.by_status(of)))
        expect(f"{name}: nothing but 200 and 429", set(load.by_status(of)) <= {0, 200, 429}, f"{len(of)} requests")
    for name in ["a target is killed", "new clients when it is back", "new clients over its replica"]:
        each = load.passed(samples[name])
        expect(f"{name}: each has its quota", set(each.values()) == {QUOTA} and len(each) == CLIENTS, dict(each))
    each = load.passed(samples["new clients while it is"])
    once_more = all(QUOTA <= passed <= 2 * QUOTA for passed in each.values())
    expect("new clients while it is: each has its quota, and at most once more", once_more, dict(each))
    for name in ["a gateway is cut off", "it comes back", "a gateway is killed", "a primary is killed"]:
        expect(f"{name}: who was refused stays refused", not load.passed(samples[name]), dict(load.passed(samples[name])))


def main():
    begun = time.monotonic()
    with Fleet() as fleet:
        for gateway in range(1, 4):
            fleet.counts_in(gateway, "redis")
        say(f"up after {time.monotonic() - begun:.0f} s")
        phases = Phases(fleet.port("balancer"))
        story(fleet, phases)
        judge(phases.end())
    say(f"done in {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
