"""Answers that come before the request is through, and reach the client."""

import json
import select
import socket
import ssl

import pytest

from http_cases import request
from rawhttp import sha256
from test_http import DEADLINE_S, statuses
from waiting import wait_for

ZERO = "sha256:" + "0" * 64
UNKNOWN = "/v2/a/blobs/uploads/00000000-0000-4000-8000-000000000000"
# What is wrong is known from the head: (method, path, more, status, code)
CHECKS = {
    "unknown session": ("PATCH", UNKNOWN, [], 404, "BLOB_UPLOAD_UNKNOWN"),
    "unknown session at its end": ("PUT", f"{UNKNOWN}?digest={ZERO}", [], 404,
                                   "BLOB_UPLOAD_UNKNOWN"),
    "no digest": ("PUT", "{session}", [], 400, "DIGEST_INVALID"),
    "malformed digest": ("PUT", "{session}?digest=sha256:x", [], 400,
                         "DIGEST_INVALID"),
    "malformed digest at once": (
        "POST", "/v2/a/blobs/uploads/?digest=x", [], 400, "DIGEST_INVALID"),
    "a gap": ("PATCH", "{session}", ["Content-Range: 5-14"], 416,
              "BLOB_UPLOAD_INVALID"),
    "a name": ("POST", "/v2/A/blobs/uploads/", [], 400, "NAME_INVALID"),
    "a tag": ("PUT", "/v2/a/manifests/-", [], 400, "MANIFEST_INVALID"),
    "a method": ("PUT", "/v2/a/tags/list", [], 405, "UNSUPPORTED"),
    "a path": ("POST", "/v2/a/nothing", [], 404, "NAME_UNKNOWN"),
    "a large manifest": ("PUT", "/v2/a/manifests/t", ["Content-Length: 9000000"],
                         413, "SIZE_INVALID"),
    "another expectation": ("PUT", "/v2/a/manifests/t", ["Expect: tea"], 417,
                            "UNSUPPORTED"),
    "no host": ("PUT", "/v2/a/manifests/t", ["Host: x"], 400, None),
}


@pytest.mark.parametrize("name", CHECKS)
def test_refused_instead_of_100(shared, name):
    """Not one byte of the body is asked for."""
    method, path, more, status, code = CHECKS[name]
    http = shared.client()
    path = path.replace("{session}", http.begin("a"))
    length = [] if any("Content-Length" in line for line in more) else [
        "Content-Length: 10"]
    http.send(request("Expect: 100-continue", *length, *more,
                      line=f"{method} {path} HTTP/1.1").encode())
    first = http._line()
    assert first.startswith(f"HTTP/1.1 {status} "), first
    head = http.buffer
    while data := http.sock.recv(1 << 16):
        head += data
    # Nobody knows whether the body comes: the connection ends.
    head, body = head.split(b"\r\n\r\n", 1)
    assert b"\r\nConnection: close" in head
    if code:
        assert json.loads(body)["errors"][0]["code"] == code
    http.close()


def test_read_only_instead_of_100(limited):
    http = limited("read-only = true\n").client()
    http.send(request("Expect: 100-continue", "Content-Length: 10").encode())
    assert http._line() == "HTTP/1.1 405 Method Not Allowed"
    http.close()


@pytest.mark.parametrize("path, body, status", [
    ("/v2/a/blobs/uploads/?digest=" + sha256(b"abc"), b"abc", 201),
    ("/v2/a/blobs/uploads/?digest=" + ZERO, b"abc", 400),
    ("{session}?digest=" + sha256(b"abc"), b"abc", 201),
    ("/v2/a/manifests/t", b"{}", 400),
])
def test_100_and_then_the_answer(shared, path, body, status):
    http = shared.client()
    path = path.replace("{session}", http.begin("a"))
    method = "POST" if "?digest" in path and "uploads/?" in path else "PUT"
    http.send(request("Expect: 100-continue", f"Content-Length: {len(body)}",
                      line=f"{method} {path} HTTP/1.1").encode())
    assert http._line() == "HTTP/1.1 100 Continue"
    assert http._line() == ""
    assert not select.select([http.sock], [], [], 0)[0]
    http.send(body)
    assert http.read(method).status == status
    assert http("GET", "/v2/").status == 200  # on the same connection
    http.close()


def test_100_comes_once(shared):
    """Also when the body came without waiting for it."""
    http = shared.client()
    http.send(request("Expect: 100-continue", "Content-Length: 3",
                      line="POST /v2/a/blobs/uploads/?digest="
                      f"{sha256(b'abc')} HTTP/1.1", body="abc").encode())
    got = b""
    http.send(b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    while data := http.sock.recv(1 << 16):
        got += data
    assert statuses(got) == [100, 201, 200]
    http.close()


@pytest.mark.parametrize("path, status", [
    ("/v2/a/manifests/t", 413), (UNKNOWN, 404), ("/v2/a/tags/list", 405)])
@pytest.mark.parametrize("framing", ["Content-Length: 100000000000",
                                     "Transfer-Encoding: chunked"])
def test_answer_reaches_who_still_sends(shared, path, status, framing):
    """It comes whole, long before all was sent, and no reset overtakes it."""
    sock = socket.create_connection(("127.0.0.1", shared.port), DEADLINE_S)
    sock.sendall(request(framing, line=f"PUT {path} HTTP/1.1").encode())
    piece = b"%x\r\n%s\r\n" % (1 << 16, bytes(1 << 16))
    sent, got, rest = 0, b"", piece
    sock.setblocking(False)
    while not got:
        readable, writable, _ = select.select([sock], [sock], [], DEADLINE_S)
        assert readable or writable
        if readable:
            got = sock.recv(1 << 16)
        else:
            count = sock.send(rest)
            sent, rest = sent + count, rest[count:] or piece
        assert sent < 64 << 20
    sock.setblocking(True)
    while data := sock.recv(1 << 16):
        got += data
    sock.close()
    assert statuses(got) == [status]
    assert b"\r\nConnection: close\r\n" in got
    assert json.loads(got.split(b"\r\n\r\n", 1)[1])["errors"]


@pytest.mark.parametrize("text", [
    b"\x16", b"\x16\x03\x01", b"\x00", b"GET /v2/ HTTP/1.1\n", b"\x80\x2e\x01",
    b"GET  ", b"\r\n\r\n\r\n", b"GET /v2/\x01", b"A\x00"])
def test_what_cannot_become_a_request(shared, text):
    """The first wrong byte is answered; no time is waited for more."""
    if text in (b"GET  ", b"\x80\x2e\x01"):
        text += b"\r\n"  # is judged as a line
    sock = socket.create_connection(("127.0.0.1", shared.port), DEADLINE_S)
    sock.sendall(text)
    got = b""
    while data := sock.recv(1 << 16):
        got += data
    sock.close()
    assert statuses(got) == [400]
    assert b"\r\nConnection: close\r\n" in got


def test_tls_client(shared):
    """It hears at once that nobody speaks TLS here, and so does the log."""
    context = ssl.create_default_context()
    sock = socket.create_connection(("127.0.0.1", shared.port), DEADLINE_S)
    with pytest.raises(ssl.SSLError):
        context.wrap_socket(sock, server_hostname="localhost")
    sock.close()
    wait_for(lambda: "note=tls-on-plain-port" in shared.text())
    assert '"-" 400 ' in shared.text()  # no request was read
