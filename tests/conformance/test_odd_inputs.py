"""Every row of the table of bad and odd inputs, by its number."""

import os
import threading

import pytest

from conftest import Berthd
from figures import figure, note
from rawhttp import sha256
from waiting import wait_for
from odd_steps import ABSENT, DATA, Names
from odd_rows import OPEN, ROWS

LAST = 90
FIGURE = ("odd inputs", "rows passed")
functions = set()


@figure(*FIGURE)
@pytest.mark.parametrize("number", sorted(ROWS))
def test_row(http, number):
    title, steps = ROWS[number]
    names = Names(http, f"row/{number}")
    for step in steps:
        step.run(http, names)


def row(number):
    """A row that is a function."""
    functions.add(number)
    return figure(*FIGURE)


@pytest.fixture
def configured(tmp_path):
    servers = []

    def start(text):
        conf = tmp_path / f"{len(servers)}.conf"
        conf.write_text(text)
        servers.append(Berthd(tmp_path / str(len(servers)), "--config",
                              str(conf)))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@row(38)
def test_38_dropped_body(shared, http):
    where = http.begin("row/38")
    client = shared.client()
    client.send(f"PATCH {where} HTTP/1.1\r\nHost: x\r\n"
                "Content-Length: 5000\r\n\r\n".encode() + DATA)
    client.close()
    wait_for(lambda: http("GET", where)["range"] == "0-2047")
    wait_for(lambda: http("PUT", f"{where}?digest={sha256(DATA)}",
                          b"").status == 201)


@row(39)
def test_39_two_writers(configured):
    server = configured("upload-takeover = 10\n")
    http, first = server.client(), server.client()
    where = http.begin("row/39")
    first.send(f"PATCH {where} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"
               "Content-Length: 2048\r\n\r\n".encode())
    assert first._line() == "HTTP/1.1 100 Continue"
    first.send(DATA[:1000])
    elsewhere = http("PATCH", where, b"x", {"Content-Range": "5-5"})
    assert (elsewhere.status, elsewhere.code) == (416, "BLOB_UPLOAD_INVALID")
    assert elsewhere["range"] == "0-0"
    wait_for(lambda: http("PATCH", where, DATA[1000:],
                          {"Content-Range": "1000-2047"}).status == 202)
    assert http("PUT", f"{where}?digest={sha256(DATA)}", b"").status == 201
    first.close()
    http.close()


@row(45)
def test_45_the_same_blob_by_many(berthd):
    data, results = os.urandom(300000), []

    def push():
        client = berthd.client()
        results.append(client.push_blob("row/45", data))
        client.close()

    threads = [threading.Thread(target=push) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [sha256(data)] * 8
    http = berthd.client()
    names = Names(http, "row/45")
    assert names.count_blobs(berthd) == 1
    assert http("GET", f"/v2/row/45/blobs/{sha256(data)}").body == data
    http.close()
    wait_for(lambda: not list((berthd.root / "uploads").iterdir()))


@row(49)
def test_49_full_disk(configured):
    """As full as the floor of free space says; see tests/fault for more."""
    server = configured(f"min-free = {1 << 60}\n")
    http = server.client()
    where = http.begin("row/49")
    for answer in (http("PATCH", where, DATA),
                   http("PUT", f"{where}?digest={sha256(DATA)}", DATA)):
        assert (answer.status, answer.code) == (507, "UNAVAILABLE")
    # Who asks first is told before a byte of the body.
    http.send(f"PATCH {where} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
              "Expect: 100-continue\r\n\r\n".encode())
    assert http._line().startswith("HTTP/1.1 507")
    http.close()
    assert http("GET", where)["range"] == "0-0"
    assert http("HEAD", f"/v2/row/49/blobs/{sha256(DATA)}").status == 404
    assert Names(http, "row/49").count_blobs(server) == 0
    assert http("DELETE", where, b"").status == 204
    http.close()


@row(68)
def test_68_deletes_switched_off(configured):
    http = configured("allow-delete = false\n").client()
    _, digest = http.push_image("row/68", "v1")
    for path, left in ((f"manifests/{digest}", "GET, HEAD, PUT"),
                       ("manifests/v1", "GET, HEAD, PUT"),
                       (f"blobs/{sha256(b'layer')}", "GET, HEAD")):
        answer = http("DELETE", f"/v2/row/68/{path}")
        assert (answer.status, answer.code) == (405, "UNSUPPORTED")
        assert answer["allow"] == left
        assert http("HEAD", f"/v2/row/68/{path}").status == 200
    http.close()


@row(74)
def test_74_catalog(http):
    """The half about rights waits for users."""
    answer = http("GET", "/v2/_catalog?n=abc")
    assert (answer.status, answer.code) == (400, "UNSUPPORTED")


@row(86)
def test_86_slow_heads_and_bodies(configured):
    server = configured("head-timeout = 100\nbody-window = 50\n"
                        "body-idle = 100\n")
    http = server.client()
    where = http.begin("row/86")
    for text in (b"GET /v2/ HTTP/1.1\r\nHo",
                 f"PATCH {where} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n"
                 "\r\nabc".encode()):
        slow = server.client()
        slow.send(text)
        assert slow.read().status == 408
        assert slow.sock is None
    # What came in is kept.
    wait_for(lambda: http("GET", where)["range"] == "0-2")
    http.close()


@row(87)
def test_87_hang_up_in_a_download(berthd):
    http = berthd.client()
    big = os.urandom(1 << 20) * 16
    path = f"/v2/row/87/blobs/{http.push_blob('row/87', big)}"
    folder = f"/proc/{berthd.proc.pid}/fd"
    http.close()
    wait_for(lambda: not sockets(folder))
    before = len(os.listdir(folder))
    for _ in range(20):
        client = berthd.client()
        client.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert client._line() == "HTTP/1.1 200 OK"
        client.close()
    wait_for(lambda: len(os.listdir(folder)) <= before)
    assert " error " not in berthd.text()


def sockets(folder):
    """Connections: sockets beyond those that listen."""
    found = 0
    for name in os.listdir(folder):
        try:
            found += os.readlink(f"{folder}/{name}").startswith("socket:")
        except FileNotFoundError:
            pass
    return found > 1


@row(89)
def test_89_forwarded_headers(berthd):
    http = berthd.client()
    answer = http("POST", "/v2/row/89/blobs/uploads/", b"", {
        "X-Forwarded-For": "192.0.2.7", "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "evil.example", "Forwarded": "for=192.0.2.7"})
    assert answer["location"].startswith("/v2/row/89/blobs/uploads/")
    wait_for(lambda: "POST /v2/row/89" in berthd.text())
    assert "192.0.2.7" not in berthd.text()
    assert "evil" not in str(answer.pairs)
    http.close()


@row(90)
def test_90_read_only(configured):
    """A storage fault, the third of them, is made in tests/fault."""
    http = configured("read-only = true\n").client()
    for method, path, left in (
            ("POST", "/v2/a/blobs/uploads/", ""),
            ("PUT", "/v2/a/manifests/x", "GET, HEAD"),
            ("DELETE", f"/v2/a/blobs/{ABSENT}", "GET, HEAD")):
        answer = http(method, path, b"")
        assert (answer.status, answer.code) == (405, "UNSUPPORTED")
        assert answer["allow"] == left
        assert http("OPTIONS", path)["allow"] == left
    assert http("GET", f"/v2/a/blobs/{ABSENT}").status == 404
    http.close()


def test_every_row_is_there():
    rows = set(range(1, LAST + 1))
    assert set(ROWS) | functions | set(OPEN) == rows
    assert len(ROWS) + len(functions) + len(OPEN) == LAST
    note(FIGURE[0], f"{len(OPEN)} open ({', '.join(map(str, sorted(OPEN)))})")
