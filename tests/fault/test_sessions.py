"""Upload sessions among clients that break off at any moment.

Clients share a few sessions: they send chunks, whole or broken off by an end
or a reset, from the right offset and from wrong ones, ask, cancel, commit
under a wrong digest. All chunks are of one stream, so whatever is kept must
be its start, and any session can be completed to the one right digest.
"""

import os
import random
import socket
import struct
import threading
import time

import pytest

from conftest import Berthd
from rawhttp import sha256
from waiting import wait_for

STREAM = random.Random(1).randbytes(700_000)
DIGEST = sha256(STREAM)
SESSIONS = 3
CLIENTS = 6
LONG = os.environ.get("BERTH_LONG")
STEPS = 1000 if LONG else 120
ENDS = 60 if LONG else 4
GONE = (OSError, EOFError)


class Places:
    """The sessions that there are now; an ended one is replaced."""

    def __init__(self, server):
        self.lock = threading.Lock()
        http = server.client()
        self.list = [http.begin("a") for _ in range(SESSIONS)]
        http.close()

    def replace(self, old, http):
        new = http.begin("a")
        with self.lock:
            if old in self.list:
                self.list[self.list.index(old)] = new
                return
        assert http("DELETE", new, b"").status == 204


class Disturber:
    def __init__(self, server, places, rng):
        self.server, self.places, self.rng = server, places, rng
        self.http = server.client()
        self.error = None
        self.counts = {}

    def offset(self, where):
        status = self.http("GET", where)
        if status.status == 404:
            return None
        assert status.status == 204, status
        last = int(status["range"].split("-")[1])
        return last + (last > 0)

    def begin(self, where, at, size, promised, extra=""):
        """The head of a chunk that promises more than it may keep."""
        self.http.send(f"PATCH {where} HTTP/1.1\r\nHost: x\r\n{extra}"
                       f"Content-Length: {promised}\r\nContent-Range: "
                       f"{at}-{at + promised - 1}\r\n\r\n".encode()
                       + STREAM[at:at + size])

    def chunk(self, where, at):
        size = self.rng.randrange(1, len(STREAM) - at + 1)
        self.begin(where, at, size, size)
        answer = self.http.read("PATCH")
        assert answer.status in (202, 404, 416), answer

    def broken_chunk(self, where, at):
        size = self.rng.randrange(len(STREAM) - at + 1)
        self.begin(where, at, size, size + 1 + self.rng.randrange(1000))
        if self.rng.random() < 0.5:
            self.http.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                      struct.pack("ii", 1, 0))
        self.http.close()

    def asked_chunk(self, where, at):
        promised = self.rng.randrange(1, len(STREAM) - at + 1)
        self.begin(where, at, 0, promised, "Expect: 100-continue\r\n")
        if self.rng.random() < 0.5:
            self.http.close()
            return
        line = self.http._line()
        if " 100 " in line:
            self.http.send(STREAM[at:at + promised // 2])
        self.http.close()

    def chunk_from_elsewhere(self, where, at):
        """Of the same stream, so it may be taken when its turn has come."""
        self.chunk(where, self.rng.randrange(len(STREAM)))

    def commit(self, where, at):
        answer = self.http("PUT", f"{where}?digest={DIGEST}", b"")
        assert answer.status in (201, 400, 404, 416), answer
        if answer.status == 201:
            self.read_or_delete()
        if answer.status in (201, 400):
            self.places.replace(where, self.http)

    def read_or_delete(self):
        """Others may delete it too."""
        path = f"/v2/a/blobs/{DIGEST}"
        if self.rng.random() < 0.5:
            assert self.http("DELETE", path).status in (202, 404)
            return
        answer = self.http("GET", path)
        assert answer.status == 404 or answer.body == STREAM, answer

    def cancel(self, where, at):
        answer = self.http("DELETE", where, b"")
        assert answer.status in (204, 404, 416), answer
        if answer.status == 204:
            self.places.replace(where, self.http)

    def step(self):
        with self.places.lock:
            where = self.rng.choice(self.places.list)
        at = self.offset(where)
        if at is None:
            self.places.replace(where, self.http)
            return
        done = at >= len(STREAM)
        if done:
            todo = [self.commit]
        else:
            todo = [self.chunk] * 4 + [self.broken_chunk] * 8 + \
                [self.asked_chunk] * 3 + \
                [self.chunk_from_elsewhere, self.cancel]
            if self.rng.random() < 0.05:
                todo = [self.commit]
        what = self.rng.choice(todo)
        self.counts[what.__name__] = self.counts.get(what.__name__, 0) + 1
        what(where, at)

    def work(self):
        try:
            for _ in range(STEPS):
                try:
                    self.step()
                except GONE:  # another one took the session over
                    self.http.close()
        except BaseException as error:  # judged by the main thread
            self.error = error
        self.http.close()


def complete(server, where):
    """Whatever was kept of it is the stream's start; False: nothing was."""
    client = Disturber(server, None, None)
    if client.offset(where) is None:
        client.http.close()
        return False

    def go_on():
        at = client.offset(where)
        assert at is not None and at <= len(STREAM)
        if at == len(STREAM):
            return True
        # "0-0" is said of no byte and of one byte alike.
        for first in (at, 1)[:1 + (at == 0)]:
            client.begin(where, first, len(STREAM) - first,
                         len(STREAM) - first)
            assert client.http.read("PATCH").status in (202, 416)
        return False
    wait_for(go_on, "the rest of a session")
    answer = client.http("PUT", f"{where}?digest={DIGEST}", b"")
    assert answer.status == 201, answer
    assert client.http("GET", f"/v2/a/blobs/{DIGEST}").body == STREAM
    client.http.close()
    return True


def start(tmp_path):
    seed = int(os.environ.get("BERTH_SEED", time.time_ns()))
    print(f"seed {seed} (BERTH_SEED)")
    conf = tmp_path / "registry.conf"
    conf.write_text("upload-takeover = 20\nbody-memory = 1048576\n"
                    "min-free = 0\ndelete-delay = 2\n")
    server = Berthd(tmp_path / "data", "--config", str(conf), "--log-level",
                    "error")
    return server, random.Random(seed)


def disturb(server, places, rng, end=lambda: None):
    """Clients for a while; end() may end the server meanwhile."""
    clients = [Disturber(server, places, random.Random(rng.getrandbits(64)))
               for _ in range(CLIENTS)]
    threads = [threading.Thread(target=c.work) for c in clients]
    for thread in threads:
        thread.start()
    end()
    for thread in threads:
        thread.join()
    for client in clients:
        if client.error:
            raise client.error
    return clients


def test_sessions_in_disorder(tmp_path):
    server, rng = start(tmp_path)
    places = Places(server)
    clients = disturb(server, places, rng)
    totals = {}
    for client in clients:
        for name, count in client.counts.items():
            totals[name] = totals.get(name, 0) + count
    print(totals)
    assert all([complete(server, where) for where in places.list])
    assert server.text().count(" error ") == 0, server.text()
    server.stop()
    assert not list((tmp_path / "data" / "uploads").iterdir())


@pytest.mark.parametrize("ending", ["stop", "kill"])
def test_sessions_across_an_end(tmp_path, ending):
    """Where berthd is stopped or killed, too, the sessions go on."""
    server, rng = start(tmp_path)
    completed = 0

    def end():
        time.sleep(rng.uniform(0.05, 0.6))
        getattr(server, ending)()

    for _ in range(ENDS):
        places = Places(server)
        disturb(server, places, rng, end)
        server.start()
        completed += sum([complete(server, where) for where in places.list])
    print(f"{completed} sessions completed")
    assert completed
    server.stop()
