"""One connection: kept, pipelined, dripped into, ended."""

import pytest

from rawhttp import sha256


def test_pipelining_and_keep_alive(http, repo):
    digest = http.push_blob(repo, b"pipelined")
    one = (f"GET /v2/{repo}/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n"
           ).encode()
    http.send(one * 5 + b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
    for _ in range(5):
        assert http.read().body == b"pipelined"
    assert http.read().body == b"{}"


def test_any_request_one_byte_at_a_time(http, repo):
    digest = http.push_blob(repo, b"slowly")
    for byte in (f"GET /v2/{repo}/blobs/{digest} HTTP/1.1\r\n"
                 "Host: x\r\n\r\n").encode():
        http.send(bytes([byte]))
    assert http.read().body == b"slowly"


@pytest.mark.parametrize("head, status", [
    (b"GET /v2/ HTTP/1.1\r\n\r\n", 400),
    (b"GET /v2/ HTTP/1.1\nHost: x\n\n", 400),
    (b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
     b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
     b"Content-Length: 1\r\n\r\nx", 400),
    (b"GET /v2/ HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    (b"BREW /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    (b"TRACE /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    (b"GET /v2/ HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 40000 + b"\r\n\r\n",
     431),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32), 400),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
])
def test_malformed_heads_close(http, head, status):
    http.send(head)
    answer = http.read()
    assert answer.status == status
    assert answer["connection"] == "close"


def test_expect_continue(http, repo):
    where = http.begin(repo)
    data = b"expected"
    http.send(f"PUT {where}?digest={sha256(data)} HTTP/1.1\r\nHost: x\r\n"
              f"Expect: 100-continue\r\nContent-Length: {len(data)}\r\n\r\n"
              .encode())
    assert http._line() == "HTTP/1.1 100 Continue"
    assert http._line() == ""
    http.send(data)
    assert http.read("PUT").status == 201
    http.send(b"PUT /v2/t/x/blobs/uploads/none HTTP/1.1\r\nHost: x\r\n"
              b"Expect: 100-continue\r\nContent-Length: 8\r\n\r\n")
    assert http._line().startswith("HTTP/1.1 404")
