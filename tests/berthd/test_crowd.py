"""Crowds of slow clients: all are cut by their limits, nobody else waits.

By default small crowds and small limits; BERTH_LONG=1 takes 10,000 slow heads,
2,000 slow bodies and 2,000 readers of 1 GiB, once with the small limits and
once with those that berthd has when nobody sets any.
"""

import os
import resource
import selectors
import socket
import subprocess
import sys
import time

import pytest

from conftest import TOP, VARIANT, Berthd
from figures import note
from test_http import statuses

LONG = bool(os.environ.get("BERTH_LONG"))
HEADS, BODIES, READERS = (10000, 2000, 2000) if LONG else (600, 150, 100)
BLOB = (1 << 30) if LONG else (64 << 20)
LIMITS = {"small limits": "head-timeout = 3000\nbody-window = 1000\n"
          "body-rate = 2000\nbody-idle = 3000\n",
          **({"default limits": ""} if LONG else {})}
DEADLINE_S = 300
MEMORY_KIB = 256 * 1024


@pytest.fixture(params=LIMITS)
def server(request, tmp_path):
    conf = tmp_path / "registry.conf"
    conf.write_text(LIMITS[request.param])
    one = Berthd(tmp_path / "data", "--config", str(conf))
    one.name = request.param
    yield one
    one.stop()


def dial(server, text, small=False):
    sock = socket.socket()
    if small:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(DEADLINE_S)
    sock.connect(("127.0.0.1", server.port))
    sock.sendall(text.encode())
    return sock


class Crowd:
    """Sockets that dribble a byte now and then, until the server ends them."""

    def __init__(self):
        self.selector = selectors.DefaultSelector()
        self.got = {}
        self.open = {}

    def add(self, sock, dribbles):
        sock.setblocking(False)
        self.got[sock] = b""
        self.open[sock] = dribbles
        if dribbles:  # a slow reader reads nothing at all
            self.selector.register(sock, selectors.EVENT_READ)

    def end(self, sock):
        if self.open.pop(sock, False):
            self.selector.unregister(sock)
        sock.close()

    def turn(self):
        """Read what came; one in twenty of the open ones sends a byte."""
        for key, _ in self.selector.select(0.02):
            try:
                data = key.fileobj.recv(65536)
            except BlockingIOError:
                continue
            except ConnectionResetError:
                data = b""
            self.got[key.fileobj] += data
            if not data:
                self.end(key.fileobj)
        for i, (sock, dribbles) in enumerate(list(self.open.items())):
            if dribbles and i % 20 == self.count % 20:
                try:
                    sock.send(b"a")
                except OSError:
                    pass
        self.count += 1

    count = 0


# A process of its own: here one would measure the crowd's interpreter.
HEALTHY = r"""
import select, sys, time
sys.path.insert(0, sys.argv[1])
from rawhttp import Client
client, times = Client(int(sys.argv[2])), []
while not select.select([sys.stdin], [], [], 0.01)[0]:
    begin = time.monotonic()
    assert client("GET", sys.argv[3]).status == 200
    times.append(time.monotonic() - begin)
print(*times)  # at the end: nobody reads the pipe before
"""


class Healthy:
    """Somebody else who asks for a manifest again and again."""

    def __init__(self, server, path):
        self.proc = subprocess.Popen(
            [sys.executable, "-c", HEALTHY, TOP / "tests", str(server.port),
             path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def stop(self):
        """The times, sorted."""
        text = self.proc.communicate("stop")[0]
        assert self.proc.returncode == 0
        return sorted(float(line) for line in text.split())


def test_crowds(server):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = HEADS + BODIES + READERS + 200
    if hard < need:
        pytest.skip(f"needs {need} descriptors, may have {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, need), hard))
    http = server.client()
    blob = f"/v2/a/blobs/{http.push_blob('a', bytes(BLOB))}"
    _, digest = http.push_image("a", "v1")
    sessions = [http.begin("a") for _ in range(min(BODIES, 900))]
    http.close()
    while len(sessions) < BODIES:
        sessions.append(http.begin("a"))
        if len(sessions) % 900 == 0:
            http.close()
    other = Healthy(server, f"/v2/a/manifests/{digest}")
    crowd, readers, bodies = Crowd(), [], []
    for where in sessions:
        bodies.append(dial(server, f"PATCH {where} HTTP/1.1\r\nHost: x\r\n"
                           "Content-Length: 1000000\r\n\r\n"))
        crowd.add(bodies[-1], True)
    for _ in range(READERS):
        readers.append(dial(server, f"GET {blob} HTTP/1.1\r\nHost: x\r\n\r\n",
                            small=True))
        crowd.add(readers[-1], False)
    heads = []
    for _ in range(HEADS):
        heads.append(dial(server, "GET /v2/ HTTP/1.1\r\nA: "))
        crowd.add(heads[-1], True)
        if len(heads) % 500 == 0:
            crowd.turn()
    end = time.monotonic() + DEADLINE_S
    while any(crowd.open.values()):
        assert time.monotonic() < end, len(crowd.open)
        crowd.turn()
    # A reader that reads nothing hears nothing: the server says it was cut.
    while sum(f'"GET {blob}" 200' in line and "cut" in line
              for line in server.log) < READERS:
        assert time.monotonic() < end
        time.sleep(0.05)
    times = other.stop()
    for sock in list(crowd.open):
        crowd.end(sock)
    # A reset may overtake the answer of one that goes on sending.
    told = sum(statuses(crowd.got[s]) == [408] for s in heads + bodies)
    assert told >= 0.9 * (HEADS + BODIES)
    assert all(statuses(crowd.got[s]) in ([408], []) for s in heads + bodies)
    p99 = times[int(len(times) * 0.99)]
    memory = server.memory_kib("VmHWM")
    note(f"crowds of {HEADS}, {BODIES}, {READERS}, {server.name}",
         f"{memory // 1024} MiB at most, p99 of {len(times)} others "
         f"{p99 * 1000:.0f} ms, at most {times[-1] * 1000:.0f} ms")
    if VARIANT == "release":
        assert memory < MEMORY_KIB
    assert p99 < (0.1 if LONG else 1.0)
