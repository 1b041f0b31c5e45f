"""The other side of the pool's benches: what one would do instead, timed on its own side.

Reads lines `name bytes count` and answers with nanoseconds for so many round trips.
"""

import concurrent.futures
import importlib
import json
import multiprocessing
import sys
import time


def echo(value):
    return value


def serve(connection):
    while True:
        value = connection.recv()
        if value is None:
            return
        connection.send(value)


class Pipe:
    def __init__(self):
        self.connection, other = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=serve, args=(other,), daemon=True)
        self.process.start()

    def round_trip(self, value):
        self.connection.send(value)
        return self.connection.recv()


class Executor:
    def __init__(self):
        self.executor = concurrent.futures.ProcessPoolExecutor(1)

    def round_trip(self, value):
        return self.executor.submit(echo, value).result()


class Execnet:
    def __init__(self):
        execnet = importlib.import_module("execnet")
        source = "while True:\n    channel.send(channel.receive())"
        self.channel = execnet.makegateway().remote_exec(source)

    def round_trip(self, value):
        self.channel.send(value)
        return self.channel.receive()


class Rpyc:
    def __init__(self):
        rpyc = importlib.import_module("rpyc")
        server = importlib.import_module("rpyc.utils.server")
        classic = importlib.import_module("rpyc.core.service").ClassicService
        listener = server.ThreadedServer(classic, port=0)
        self.process = multiprocessing.Process(target=listener.start, daemon=True)
        self.process.start()
        self.connection = rpyc.classic.connect("localhost", port=listener.port)
        # By value, as the others do.
        self.echo = self.connection.eval("lambda text: text")

    def round_trip(self, value):
        return json.loads(self.echo(json.dumps(value)))


PEERS = {"pipe": Pipe, "executor": Executor, "execnet": Execnet, "rpyc": Rpyc}


def main():
    peers = {}
    for line in sys.stdin:
        name, size, count = line.split()
        value = {"id": 1234, "text": "x" * int(size)}
        try:
            if name not in peers:
                peers[name] = PEERS[name]()
        except ImportError:
            print("absent", flush=True)
            continue
        peer = peers[name]
        assert peer.round_trip(value) == value
        start = time.perf_counter_ns()
        for _ in range(int(count)):
            peer.round_trip(value)
        print(time.perf_counter_ns() - start, flush=True)


if __name__ == "__main__":
    main()
