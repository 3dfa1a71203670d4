"""Random clients at once against a model of the registry, in bad times.

Several clients push, mount, tag, read and delete the same few blobs and
manifests of two repositories; some hang up, some break off in the middle of a
body, in every third round berthd is killed, or the disk is full again and
again: what is answered 507 must have done nothing.  After each round everything
is read, and all that the clients and the reader heard must have one
explanation (registry_model.py).  At the end the index and the files are
compared.
"""

import hashlib
import math
import os
import pathlib
import random
import sqlite3
import threading
import time

from conftest import Berthd
from rawhttp import sha256
from smalldisk import small_disk  # noqa: F401, a fixture
from waiting import wait_for

import registry_model as model
from registry_model import Call

LONG = os.environ.get("BERTH_LONG")
ROUNDS = 300 if LONG else 9
CLIENTS = 4
CALLS = 25  # of each client in a round
GONE = (OSError, EOFError)


class Refused(Exception):
    """The disk is full."""


class Caller:
    """One client: does operations over HTTP and notes what it heard."""

    def __init__(self, server, world, rng, may_be_full=False):
        self.world, self.rng, self.http = world, rng, server.client()
        self.server, self.may_be_full = server, may_be_full
        self.http.read = self.read
        self.refused = 0
        self.heard, self.unheard = [], []
        self.error = None

    def read(self, method="GET"):
        answer = type(self.http).read(self.http, method)
        if answer.status == 507:
            raise Refused
        return answer

    # -- one operation each: the answer in the model's words ----------------

    def push(self, repo, name):
        way = self.rng.choice([self.push_at_once, self.push_in_parts,
                               self.push_broken, self.push_twice])
        return way(repo, self.world.blobs[name])

    def push_at_once(self, repo, data):
        return self.http("POST", f"/v2/{repo}/blobs/uploads/?digest="
                         f"{sha256(data)}", data).status

    def push_in_parts(self, repo, data):
        where = self.http.begin(repo)
        middle = self.rng.randrange(len(data) + 1)
        for part in (data[:middle], data[middle:]):
            assert self.http("PATCH", where, part).status == 202
        return self.finish(where, data)

    def push_broken(self, repo, data):
        """
        The connection ends in the middle; the client comes back, perhaps
        before the server has seen that, or the request.
        """
        where = self.http.begin(repo)
        half = data[:len(data) // 2]
        self.http.send(f"PATCH {where} HTTP/1.1\r\nHost: x\r\n"
                       f"Content-Length: {len(data) + 1}\r\n"
                       f"Content-Range: 0-{len(data)}\r\n\r\n".encode() + half)
        self.http.close()
        wait_for(lambda: self.go_on(where, data), "a broken upload")
        busy = 416
        return wait_for(lambda: (s := self.finish(where, data)) != busy and s)

    def go_on(self, where, data):
        status = self.http("GET", where)
        assert status.status == 204, status
        at = int(status["range"].split("-")[1])
        at += at > 0
        if at >= len(data):
            answer = self.http("PATCH", where, b"")
        else:
            answer = self.http("PATCH", where, data[at:],
                               {"Content-Range": f"{at}-{len(data) - 1}"})
        assert answer.status in (202, 416), answer
        if answer.status == 202 and len(data) < 2:
            return True
        return answer.status == 202 and answer["range"].endswith(
            f"-{len(data) - 1}")

    def push_twice(self, repo, data):
        """PUT over two connections at once: one of them, or both, do it."""
        where = self.http.begin(repo)
        assert self.http("PATCH", where, data).status == 202
        other = self.server.client()
        request = (f"PUT {where}?digest={sha256(data)} HTTP/1.1\r\nHost: x\r\n"
                   "Content-Length: 0\r\n\r\n").encode()
        other.send(request)
        self.http.send(request)
        try:
            both = {type(other).read(c).status for c in (self.http, other)}
        finally:
            other.close()
        if both <= {416, 507}:
            raise Refused
        assert both in ({201, 404}, {201, 416}, {201, 507}), both
        return 201

    def finish(self, where, data):
        return self.http("PUT", f"{where}?digest={sha256(data)}", b"").status

    def mount(self, repo, name, source):
        source = f"&from={source}" if source else ""
        answer = self.http("POST", f"/v2/{repo}/blobs/uploads/?mount="
                           f"{self.world.digest(name)}{source}", b"")
        if answer.status == 202:
            assert self.http("DELETE", answer["location"], b"").status == 204
        return answer.status

    def get_blob(self, repo, name):
        answer = self.http("GET", f"/v2/{repo}/blobs/"
                           f"{self.world.digest(name)}")
        assert answer.status != 200 or answer.body == self.world.blobs[name]
        return answer.status

    def delete_blob(self, repo, name):
        return self.http("DELETE", f"/v2/{repo}/blobs/"
                         f"{self.world.digest(name)}").status

    def put_request(self, repo, name, tags, by_tag, condition):
        ref = tags[0] if by_tag else self.world.digest(name)
        if not by_tag and tags:
            ref += "?" + "&".join(f"tag={t}" for t in tags)
        headers = {"Content-Type": self.world.manifests[name].kind}
        if condition == "absent":
            headers["If-None-Match"] = "*"
        elif condition:
            headers["If-Match"] = f'"{self.world.digest(condition)}"'
        return (f"/v2/{repo}/manifests/{ref}",
                self.world.manifests[name].data, headers)

    def put(self, repo, name, tags, by_tag, condition):
        path, data, headers = self.put_request(repo, name, tags, by_tag,
                                               condition)
        answer = self.http("PUT", path, data, headers)
        assert answer.status != 400 or \
            answer.code == "MANIFEST_BLOB_UNKNOWN", answer
        return answer.status

    def get_tag(self, repo, ref):
        answer = self.http("GET", f"/v2/{repo}/manifests/{ref}")
        if answer.status != 200:
            return answer.status
        assert answer["docker-content-digest"] == sha256(answer.body)
        name = self.world.names[sha256(answer.body)]
        assert answer["content-type"] == self.world.manifests[name].kind
        return name

    def get_manifest(self, repo, name):
        return self.get_tag(repo, self.world.digest(name))

    def delete_tag(self, repo, tag):
        return self.http("DELETE", f"/v2/{repo}/manifests/{tag}").status

    def delete_manifest(self, repo, name):
        return self.delete_tag(repo, self.world.digest(name))

    def list_tags(self, repo):
        answer = self.http("GET", f"/v2/{repo}/tags/list")
        if answer.status != 200:
            return answer.status
        return tuple(answer.json()["tags"])

    def list_referrers(self, repo, subject):
        answer = self.http("GET", f"/v2/{repo}/referrers/"
                           f"{self.world.digest(subject)}")
        assert answer.status == 200, answer
        return tuple(sorted(self.world.names[one["digest"]]
                            for one in answer.json()["manifests"]))

    # -- many ---------------------------------------------------------------

    def hang_up(self, op):
        """Send a put or a delete and do not wait for what it does."""
        function, repo, name, *rest = op
        if function is model.put:
            path, data, headers = self.put_request(repo, name, *rest)
            lines = "".join(f"{k}: {v}\r\n" for k, v in headers.items())
            head = (f"PUT {path} HTTP/1.1\r\nHost: x\r\n{lines}"
                    f"Content-Length: {len(data)}\r\n\r\n")
            self.http.send(head.encode() + data)
        else:
            ref = {model.delete_blob: "blobs/", model.delete_tag:
                   "manifests/", model.delete_manifest: "manifests/"}[function]
            ref += name if function is model.delete_tag else \
                self.world.digest(name)
            self.http.send(f"DELETE /v2/{repo}/{ref} HTTP/1.1\r\n"
                           "Host: x\r\n\r\n".encode())
        self.http.close()

    def call(self, op):
        start = time.monotonic()
        may_hang_up = op[0] in (model.put, model.delete_blob,
                                model.delete_tag, model.delete_manifest)
        try:
            if may_hang_up and len(self.unheard) < 1 and \
                    self.rng.random() < 0.05:
                self.unheard.append(Call(op, start, math.inf, None))
                self.hang_up(op)
                return
            result = getattr(self, op[0].__name__)(*op[1:])
        except Refused:
            self.refused += 1
            return
        except GONE:
            # A refusal, and the end, before the whole body was sent.
            if self.may_be_full:
                self.refused += 1
                self.http.close()
                return
            self.unheard.append(Call(op, start, math.inf, None))
            raise
        self.heard.append(Call(op, start, time.monotonic(), result))

    def work(self):
        try:
            for _ in range(CALLS):
                self.call(model.random_op(self.world, self.rng))
        except BaseException as error:  # judged by the main thread
            self.error = error
        self.http.close()


class Ballast:
    """A file that fills the disk, gives a little back, and fills it again."""

    def __init__(self, path, rng):
        self.path, self.rng = path, rng
        self.stopping = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        with open(self.path, "wb", buffering=0) as f:
            while not self.stopping.is_set():
                try:
                    f.write(bytes(self.rng.choice([4096, 65536, 1 << 20])))
                except OSError:
                    room = self.rng.choice([4096, 100_000, 1 << 20, 5 << 20])
                    f.truncate(max(0, f.tell() - room))
                    f.seek(0, os.SEEK_END)
                    self.stopping.wait(self.rng.uniform(0, 0.03))

    def stop(self):
        self.stopping.set()
        self.thread.join()
        self.path.unlink()


def one_round(server, world, rng, is_killed, is_full):
    """
    Returns the clients' calls, those whose answers nobody heard, and how
    many found the disk full.
    """
    callers = [Caller(server, world, random.Random(rng.getrandbits(64)),
                      is_full) for _ in range(CLIENTS)]
    threads = [threading.Thread(target=c.work) for c in callers]
    for thread in threads:
        thread.start()
    if is_killed:
        time.sleep(rng.uniform(0.01, 0.3))
        server.kill()
    for thread in threads:
        thread.join()
    for caller in callers:
        if caller.error and not (is_killed and
                                 isinstance(caller.error, GONE)):
            raise caller.error
    if is_killed:
        server.start()
    reader = Caller(server, world, rng)
    for op in model.all_reads(world):
        reader.call(op)
    reader.http.close()
    return ([c.heard for c in (*callers, reader)],
            frozenset(call for c in callers for call in c.unheard),
            sum(c.refused for c in callers))


def check_files(root, may_have_garbage):
    """The index is whole, and says what lies on the disk."""
    db = sqlite3.connect(f"file:{root}/index.db?mode=ro", uri=True)
    ask = lambda text: db.execute(text).fetchall()
    assert ask("PRAGMA integrity_check") == [("ok",)]
    assert ask("SELECT * FROM tag WHERE manifest NOT IN"
               " (SELECT id FROM manifest)") == []
    assert ask("SELECT * FROM ref WHERE manifest NOT IN"
               " (SELECT id FROM manifest)") == []
    assert ask("SELECT repo, digest FROM ref EXCEPT SELECT * FROM (SELECT"
               " repo, digest FROM manifest UNION SELECT * FROM repo_blob)"
               ) == []
    assert ask("SELECT digest FROM repo_blob EXCEPT"
               " SELECT digest FROM blob") == []
    assert ask("SELECT digest FROM blob EXCEPT"
               " SELECT digest FROM repo_blob") == []
    assert ask("SELECT digest FROM dead_object INTERSECT"
               " SELECT digest FROM blob") == []
    sizes = {digest[1:].hex(): size
             for digest, size in ask("SELECT digest, size FROM blob")}
    dead = {digest[1:].hex() for digest, in
            ask("SELECT digest FROM dead_object")}
    db.close()
    files = {p.name: p for p in pathlib.Path(root, "blobs").rglob("*")
             if p.is_file()}
    for name, size in sizes.items():
        data = files[name].read_bytes()
        assert len(data) == size
        assert hashlib.sha256(data).hexdigest() == name
    if not may_have_garbage:
        assert set(files) - dead <= set(sizes)


def play(tmp_path, kills=False, disk=None):
    seed = int(os.environ.get("BERTH_SEED", time.time_ns()))
    print(f"seed {seed} (BERTH_SEED), {ROUNDS} rounds of {CLIENTS} clients")
    model.selfcheck(seed)
    rng = random.Random(seed)
    world = model.World(rng)
    conf = tmp_path / "registry.conf"
    conf.write_text("delete-delay = 2\nmin-free = 0\n")
    root = (disk or tmp_path) / "data"
    server = Berthd(root, "--config", str(conf), "--log-level", "error")
    ends, old, total = {(model.EMPTY, frozenset())}, frozenset(), 0
    refused = 0
    for number in range(ROUNDS):
        is_killed = kills and number % 3 == 2
        ballast = disk and number % 3 and Ballast(disk / "ballast", rng)
        try:
            clients, lost, full = one_round(server, world, rng, is_killed,
                                             bool(ballast))
        finally:
            if ballast:
                ballast.stop()
        refused += full
        starts = {(state, (left - old) | lost) for state, left in ends}
        ends, furthest = model.explain(world, starts, clients)
        assert ends, model.report(clients, furthest)
        old = frozenset().union(*(left for _, left in ends)) - lost
        if is_killed:  # what was not done by then never will be
            ends = {(state, frozenset()) for state, _ in ends}
        total += sum(map(len, clients))
    assert "read-only" not in server.text()
    server.stop()
    print(f"{total} answers explained, {refused} refused")
    assert (refused > 0) == (disk is not None)
    check_files(root, kills or disk)
    assert kills or disk or not list((root / "uploads").iterdir())


def test_model(tmp_path):
    play(tmp_path)


def test_model_with_kills(tmp_path):
    play(tmp_path, kills=True)


def test_model_on_a_full_disk(tmp_path, small_disk):
    play(tmp_path, disk=small_disk)
