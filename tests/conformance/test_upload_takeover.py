"""An upload goes on over a new connection while the old one looks alive."""

import random
import threading
import time

import pytest

from conftest import Berthd
from rawhttp import sha256

DATA = bytes(range(256)) * 2600  # over two blocks of the server
FIRST = 300000
DEADLINE_S = 60


def start(tmp_path, takeover_ms):
    conf = tmp_path / "registry.conf"
    conf.write_text(f"upload-takeover = {takeover_ms}\n")
    return Berthd(tmp_path / "data", "--config", str(conf))


@pytest.fixture
def eager(tmp_path):
    """A server that takes a connection for dead at once."""
    server = start(tmp_path, 20)
    yield server
    server.stop()


@pytest.fixture
def patient(tmp_path):
    server = start(tmp_path, 3600000)
    yield server
    server.stop()


def half_open(server, where, sent=DATA[:FIRST], method="PATCH",
              total=len(DATA)):
    """A request whose client has fallen silent in the middle of its body."""
    client = server.client()
    client.send(f"{method} {where} HTTP/1.1\r\nHost: x\r\n"
                "Expect: 100-continue\r\n"
                f"Content-Length: {total}\r\n\r\n".encode())
    assert client._line() == "HTTP/1.1 100 Continue"
    assert client._line() == ""
    client.send(sent)
    return client


def is_closed(client):
    """Did the server end the connection, with or without a reset?"""
    try:
        return client.sock.recv(1) == b""
    except ConnectionResetError:
        return True


def until_not(status, ask):
    end = time.monotonic() + DEADLINE_S
    while (answer := ask()).status == status:
        assert time.monotonic() < end, answer
        time.sleep(0.005)
    return answer


def chunk(http, where, first, last=len(DATA) - 1, method="PATCH"):
    return http(method, where, DATA[first:last + 1],
                {"Content-Range": f"{first}-{last}"})


def finish(http, where, repo="a"):
    done = http("PUT", f"{where}?digest={sha256(DATA)}", b"")
    assert done.status == 201
    assert http("GET", f"/v2/{repo}/blobs/{sha256(DATA)}").body == DATA


def test_chunk_at_the_received_bytes(eager):
    http = eager.client()
    where = http.begin("a")
    dead = half_open(eager, where)
    answer = until_not(416, lambda: chunk(http, where, FIRST))
    assert (answer.status, answer["range"]) == (202, f"0-{len(DATA) - 1}")
    assert is_closed(dead)
    finish(http, where)
    http.close()


def test_last_chunk_at_the_received_bytes(eager):
    http = eager.client()
    where = http.begin("a")
    dead = half_open(eager, where)
    final = f"{where}?digest={sha256(DATA)}"
    answer = until_not(416, lambda: chunk(http, final, FIRST, method="PUT"))
    assert answer.status == 201
    assert is_closed(dead)
    assert http("GET", f"/v2/a/blobs/{sha256(DATA)}").body == DATA
    http.close()


def test_chunk_at_the_acknowledged_bytes(eager):
    """What the session's status says is not all that had come: the client
    that asked for it learns the truth, and the old connection ends."""
    http = eager.client()
    where = http.begin("a")
    assert chunk(http, where, 0, 999).status == 202
    dead = half_open(eager, where, DATA[1000:FIRST], total=len(DATA) - 1000)
    assert http("GET", where)["range"] == "0-999"
    until_not("0-999", lambda: Status(chunk(http, where, 1000)))
    assert is_closed(dead)
    status = http("GET", where)
    assert status["range"] == f"0-{FIRST - 1}"
    assert chunk(http, where, FIRST).status == 202
    finish(http, where)
    http.close()


class Status:
    """Compare an answer by its Range."""

    def __init__(self, answer):
        self.status = answer["range"]


@pytest.mark.parametrize("first", [1, FIRST - 1, FIRST + 1, len(DATA) - 1])
def test_chunk_from_elsewhere_disturbs_nobody(eager, first):
    http = eager.client()
    where = http.begin("a")
    alive = half_open(eager, where)
    for _ in range(20):
        answer = chunk(http, where, first)
        assert (answer.status, answer.code) == (416, "BLOB_UPLOAD_INVALID")
        time.sleep(0.002)
    no_claim = http("PATCH", where, b"x")
    assert no_claim.status == 416
    alive.send(DATA[FIRST:])
    assert alive.read("PATCH").status == 202
    finish(http, where)
    http.close()


def test_moving_connection_is_not_dead(patient):
    http = patient.client()
    where = http.begin("a")
    alive = half_open(patient, where)
    for _ in range(20):
        answer = chunk(http, where, FIRST)
        assert (answer.status, answer["range"]) == (416, "0-0")
    alive.send(DATA[FIRST:])
    assert alive.read("PATCH").status == 202
    finish(http, where)
    http.close()


def test_other_repository_cannot_take_it(eager):
    http = eager.client()
    where = http.begin("a")
    alive = half_open(eager, where)
    for _ in range(20):
        answer = chunk(http, where.replace("/v2/a/", "/v2/b/"), FIRST)
        assert (answer.status, answer.code) == (404, "BLOB_UPLOAD_UNKNOWN")
        time.sleep(0.002)
    alive.send(DATA[FIRST:])
    assert alive.read("PATCH").status == 202
    http.close()


def test_many_that_come_back_at_once(tmp_path):
    """One of them goes on; the others are refused; no byte is lost."""
    # Long enough that the one is not taken for dead in its turn.
    eager = start(tmp_path, 500)
    seed = random.randrange(1 << 32)
    print("seed", seed)
    rng = random.Random(seed)
    http = eager.client()
    for _ in range(4):
        where = http.begin("a")
        cut = rng.randrange(1, len(DATA))
        dead = half_open(eager, where, DATA[:cut])
        results = []

        def come_back():
            client = eager.client()
            answer = until_not(416, lambda: chunk(client, where, cut)
                               if not results else Done)
            if answer is not Done:
                results.append(answer.status)
            client.close()

        threads = [threading.Thread(target=come_back) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert results.count(202) == 1 and len(results) == 1, results
        assert is_closed(dead)
        finish(http, where)
    http.close()
    eager.stop()


class Done:
    """Somebody else went on."""

    status = None


def test_stop_keeps_what_came(tmp_path):
    """The one that went on is cut by the end of the server in its turn."""
    conf = tmp_path / "registry.conf"
    conf.write_text("upload-takeover = 20\ndrain-timeout = 0\n")
    server = Berthd(tmp_path / "data", "--config", str(conf))
    http = server.client()
    where = http.begin("a")
    dead = half_open(server, where)
    second = server.client()
    end = time.monotonic() + DEADLINE_S
    line = ""
    while line != "HTTP/1.1 100 Continue":
        assert time.monotonic() < end
        second.send(f"PATCH {where} HTTP/1.1\r\nHost: x\r\n"
                    f"Content-Range: {FIRST}-{len(DATA) - 1}\r\n"
                    "Expect: 100-continue\r\nContent-Length: "
                    f"{len(DATA) - FIRST}\r\n\r\n".encode())
        line = second._line()
        if line != "HTTP/1.1 100 Continue":
            second.close()
    second.send(DATA[FIRST:FIRST + 5000])
    for one in (dead, http):
        one.close()
    server.stop()
    second.close()
    server = Berthd(tmp_path / "data", "--config", str(conf))
    http = server.client()
    last = int(http("GET", where)["range"].split("-")[1])
    assert FIRST - 1 <= last < FIRST + 5000
    assert chunk(http, where, last + 1).status == 202
    finish(http, where)
    http.close()
    server.stop()


def keep_busy(server, count=10):
    """Manifests, refused in the end, that keep the slow workers busy."""
    body = b'{"a":"' + bytes([120]) * (3 << 20) + b'"}'
    clients = [server.client() for _ in range(count)]
    for client in clients:
        client.send(b"PUT /v2/a/manifests/x HTTP/1.1\r\nHost: x\r\n"
                    b"Content-Length: %d\r\n\r\n" % len(body) + body[:-1])
    for client in clients:
        client.send(body[-1:])
    return clients


def test_cancel_is_not_disturbed(eager):
    """Who cancels has the session too, and ends by himself: he is not cut."""
    http, other = eager.client(), eager.client()
    for _ in range(2):
        where = http.begin("a")
        assert chunk(http, where, 0, 999).status == 202
        busy = keep_busy(eager)
        http.send(f"DELETE {where} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        late = chunk(other, where, 1000)
        assert (http.read("DELETE").status, late.status) in (
            (204, 404), (204, 202), (416, 202))
        for client in busy:
            assert client.read("PUT").status == 400
            client.close()
    http.close()
    other.close()
