"""Requests sent ahead: little of them is taken in, all of them are answered."""

import socket

import pytest

from conftest import VARIANT
from http_cases import get, request
from rawhttp import sha256
from tcpqueue import unread
from test_http import DEADLINE_S, END, statuses
from waiting import wait_for

AHEAD = 512
COUNT = 900  # of requests sent ahead; below requests-per-connection


def busy_with(server, path, before, more=()):
    """A connection whose answer to GET path, after `before`, stands still.

    before: a request as head and body; the body is sent when it is read.
    """
    head, body = before
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.settimeout(DEADLINE_S)
    sock.connect(("127.0.0.1", server.port))
    sock.sendall(head)
    assert sock.recv(100).startswith(b"HTTP/1.1 100 ")
    first = body + get(target=path).encode()
    ahead = b"".join(get(*more, target=f"/v2/p{i}/tags/list").encode()
                     for i in range(COUNT)) + END
    sock.sendall(first + ahead)
    return sock, len(ahead)


def upload(framing, body):
    """Head and body of a whole blob."""
    return (request(framing, "Expect: 100-continue",
                    line=f"POST /v2/a/blobs/uploads/?digest={sha256(b'abc')} "
                    "HTTP/1.1").encode(), body)


UPLOADS = {"length": upload("Content-Length: 3", b"abc"),
           "chunked": upload("Transfer-Encoding: chunked",
                             b"3\r\nabc\r\n0\r\n\r\n")}


@pytest.mark.parametrize("kind", UPLOADS)
def test_what_is_sent_ahead_waits(limited, kind):
    """The bytes wait outside, no matter what came before them; then all are
    answered, in order."""
    server = limited(f"pipeline-bytes = {AHEAD}\n")
    http = server.client()
    digest = http.push_blob("a", bytes(6 << 20))
    path = f"/v2/a/blobs/{digest}"
    http.close()
    sock, ahead = busy_with(server, path, UPLOADS[kind])
    got = b""
    while b"\r\nDocker-Content-Digest: " + digest.encode() not in got:
        got += sock.recv(1000)
    # What was taken in stays so; what is on its way only seems to be.
    wait_for(lambda: ahead - unread(server.port, sock) <= AHEAD)
    assert unread(server.port, sock) > 0
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    while data := sock.recv(1 << 20):
        got += data
    assert statuses(got) == [201, 200, *[404] * COUNT, 200]
    names = [got.find(b"p%d" % i) for i in range(COUNT)]
    assert names == sorted(names)
    sock.close()


def test_memory_of_what_is_sent_ahead(limited):
    """A body in chunks does not carry along what stands behind it."""
    server = limited("")
    http = server.client()
    path = f"/v2/a/blobs/{http.push_blob('a', bytes(6 << 20))}"
    before = server.memory_kib("VmRSS")
    crowd = []
    for _ in range(100):
        sock, ahead = busy_with(server, path, UPLOADS["chunked"],
                                ["A: " + "a" * 200])
        crowd.append(sock)
    for sock in crowd:
        assert sock.recv(1)
    assert ahead > 200000
    assert http("GET", "/v2/").status == 200
    grown = server.memory_kib("VmRSS") - before
    print(grown, "KiB for", len(crowd))
    if VARIANT == "release":
        assert grown < len(crowd) * 32
    for sock in crowd:
        sock.close()
    http.close()
