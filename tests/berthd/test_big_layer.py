"""A layer far larger than memory limits: up and down, berthd stays small."""

import hashlib
import os

from conftest import VARIANT

GIB = 1 << 30
SIZE = 10 * GIB if os.environ.get("BERTH_LONG") else GIB
LIMIT_KIB = 64 * 1024
BLOCK = 1 << 20


def blocks():
    """SIZE bytes that do not compress and do not repeat within a block."""
    seed = hashlib.sha512(b"big layer").digest() * (BLOCK // 64)
    for number in range(SIZE // BLOCK):
        yield number.to_bytes(8, "big") + seed[8:]


def test_big_layer(berthd):
    http = berthd.client()
    where = http.begin("big")
    digest = hashlib.sha256()
    http.send(f"PATCH {where} HTTP/1.1\r\nHost: x\r\n"
              f"Content-Length: {SIZE}\r\n\r\n".encode())
    for block in blocks():
        digest.update(block)
        http.send(block)
    patch = http.read("PATCH")
    assert (patch.status, patch["range"]) == (202, f"0-{SIZE - 1}")
    name = "sha256:" + digest.hexdigest()
    assert http("PUT", f"{where}?digest={name}", b"").status == 201
    http.send(f"GET /v2/big/blobs/{name} HTTP/1.1\r\nHost: x\r\n\r\n"
              .encode())
    assert http._line() == "HTTP/1.1 200 OK"
    while http._line():
        pass
    got, left = hashlib.sha256(http.buffer), SIZE - len(http.buffer)
    http.buffer = b""
    while left > 0:
        data = http.sock.recv(min(left, BLOCK))
        assert data, "the download was cut"
        got.update(data)
        left -= len(data)
    assert got.hexdigest() == digest.hexdigest()
    assert http("GET", "/v2/").status == 200  # the connection is still good
    http.close()
    peak = berthd.memory_kib("VmHWM")
    print(f"{SIZE // GIB} GiB up and down, peak {peak / 1024:.1f} MiB")
    if VARIANT == "release":  # a sanitizer's shadow is not our memory
        assert peak <= LIMIT_KIB
