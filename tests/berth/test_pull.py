"""berth pull, when the registry breaks off, stalls or is busy."""

import os
import re
import threading
import time

import pytest

from fakeregistry import digest_of, tar_of
from remotes import (  # noqa: F401
    berth, blob_path, busy, home, image, pull_fails, reg)

pytestmark = pytest.mark.usefixtures("fresh_store")


# ---- pulling -----------------------------------------------------------------
def test_pull(reg, image):
    done = berth("pull", f"{reg.host}/t:1")
    assert done.stdout == f"{reg.host}/t:1\n"
    digest = digest_of(reg.manifests["t", "1"][1])
    assert f"Digest: {digest}" in done.stderr
    for layer in image["layers"]:
        assert f"{layer['digest'][7:19]}: Download complete" in done.stderr
    again = berth("pull", "-q", f"{reg.host}/t:1")
    assert again.stderr == "" and again.stdout == f"{reg.host}/t:1\n"
    assert len(reg.requests("GET", "/blobs/")) == 4


def test_layers_come_in_parallel_but_not_more_than_three(reg):
    groups = set()
    while len(groups) < 8:  # the locks of digests: one group, one at a time
        layers = [tar_of({f"f{i}": os.urandom(1000)}) for i in range(7)]
        manifest = reg.put_image("t", "1", layers)
        groups = {blob["digest"][:9]
                  for blob in [manifest["config"], *manifest["layers"]]}
    meet = threading.Barrier(3)
    now, most, lock = [0], [0], threading.Lock()

    def wait(h):
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        try:
            meet.wait(20)  # broken unless three are here at once
        except threading.BrokenBarrierError:
            pass
        with lock:
            now[0] -= 1
        return False
    reg.on("GET", "/blobs/", *[wait] * 6)
    berth("pull", f"{reg.host}/t:1")
    assert most[0] == 3 and not meet.broken


def cut(at, headers=()):
    """The blob, but only its first bytes; then the connection ends."""
    def action(h):
        data = h.server.registry.blobs[
            h.path.split("/")[2], h.path.split("/")[-1]]
        start = int(re.sub(r"\D", "", h.headers.get("Range", "0")))
        status = "206 Partial Content" if start else "200 OK"
        more = "".join(f"{k}: {v}\r\n" for k, v in headers)
        if start:
            more += (f"Content-Range: bytes {start}-{len(data) - 1}/"
                     f"{len(data)}\r\n")
        h.raw(f"HTTP/1.1 {status}\r\n{more}Content-Length: "
              f"{len(data) - start}\r\n\r\n".encode() + data[start:start + at])
    return action


def test_a_broken_download_goes_on(reg, image):
    part = blob_path(image)
    etag = [("ETag", f'"{image["layers"][0]["digest"]}"')]
    reg.on("GET", part, cut(5000, etag), cut(7000, etag), lambda h: h.reset())
    berth("pull", f"{reg.host}/t:1")
    asked = reg.requests("GET", part)
    assert [r.headers.get("Range") for r in asked] == [
        None, "bytes=5000-", "bytes=12000-", "bytes=12000-"]
    assert asked[1].headers["If-Range"] == etag[0][1]


def test_a_registry_without_ranges_starts_anew(reg, image):
    part = blob_path(image)

    def whole(h):
        del h.headers["Range"]
        return False
    reg.on("GET", part, cut(5000), whole)
    berth("pull", f"{reg.host}/t:1")
    assert len(reg.requests("GET", part)) == 2


def test_the_rest_that_is_gone_starts_anew(reg, image):
    part = blob_path(image)
    reg.on("GET", part, cut(5000),
           lambda h: h.error(416, "RANGE_INVALID"))
    berth("pull", f"{reg.host}/t:1")
    assert [r.headers.get("Range") for r in reg.requests("GET", part)] == [
        None, "bytes=5000-", None]


@pytest.mark.parametrize("content_range", [
    "bytes 0-9/10", "bytes 4999-9999/10000", "", "items 5000-1/2"])
def test_a_rest_of_something_else(reg, image, content_range):
    def other(h):
        h.answer(206, {"Content-Range": content_range}, b"x" * 100)
    reg.on("GET", blob_path(image), cut(5000), other)
    assert "another part" in pull_fails(f"{reg.host}/t:1")


@pytest.mark.parametrize("first", ["stop", "other"])
def test_the_digest_is_of_the_whole(reg, image, first):
    """A resumed download whose first part was wrong is found out."""
    def wrong(h):
        size = image["layers"][0]["size"]
        h.raw(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size
              + b"x" * 100)
    reg.on("GET", blob_path(image), wrong)
    text = pull_fails(f"{reg.host}/t:1")
    assert image["layers"][0]["digest"][7:19] in text and "came, not" in text


def test_wrong_bytes(reg, image):
    size = image["layers"][1]["size"]
    reg.on("GET", blob_path(image, 1), lambda h: h.answer(200, {}, b"x" * size))
    assert "came, not" in pull_fails(f"{reg.host}/t:1")


@pytest.mark.parametrize("more", [-1, 1, 1000])
def test_a_wrong_length(reg, image, more):
    size = image["layers"][1]["size"] + more
    reg.on("GET", blob_path(image, 1), lambda h: h.answer(200, {}, b"x" * size))
    assert "the manifest says" in pull_fails(f"{reg.host}/t:1")


def chunked(*chunks):
    return b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks)


def test_an_endless_blob(reg, image):
    sent = []

    def endless(h):
        h.close_connection = True
        h.connection.sendall(b"HTTP/1.1 200 OK\r\n"
                             b"Transfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                h.connection.sendall(chunked(bytes(65536)))
                sent.append(65536)
        except OSError:
            pass
    reg.on("GET", blob_path(image), endless)
    assert "more bytes came" in pull_fails(f"{reg.host}/t:1")
    assert sum(sent) < 64 << 20


def test_a_short_blob_in_chunks(reg, image):
    reg.on("GET", blob_path(image), lambda h: h.raw(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        + chunked(b"short", b"")))
    assert "5 bytes came" in pull_fails(f"{reg.host}/t:1")


def test_a_blob_that_stalls(reg, image):
    release = threading.Event()

    def stall(h):
        data = reg.blobs["t", image["layers"][0]["digest"]]
        h.close_connection = True
        h.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
                             % len(data) + data[:1])
        release.wait(60)
    reg.on("GET", blob_path(image), stall)
    berth("pull", f"{reg.host}/t:1", BERTH_STALL_S="1")
    release.set()
    assert [r.headers.get("Range")
            for r in reg.requests("GET", blob_path(image))] == [
                None, "bytes=1-"]


def test_a_blob_of_a_byte_a_second(reg, image):
    def drip(h):
        h.close_connection = True
        h.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
                             % image["layers"][0]["size"])
        try:
            while True:
                h.connection.sendall(b"x")
                time.sleep(0.1)
        except OSError:
            pass
    reg.on("GET", blob_path(image), drip)
    reg.on("GET", blob_path(image), lambda h: h.error(404, "BLOB_UNKNOWN"))
    assert "not found" in pull_fails(f"{reg.host}/t:1", BERTH_STALL_S="2")
    assert len(reg.requests("GET", blob_path(image))) == 2


def test_a_busy_registry_is_asked_again(reg, image):
    reg.on("GET", "/v2/$", busy(503))
    reg.on("GET", "/manifests/1", busy(429, Retry_After="1"))
    reg.on("GET", blob_path(image), busy(502), busy(500))
    start = time.monotonic()
    berth("pull", f"{reg.host}/t:1")
    assert time.monotonic() - start > 1.5  # 1 s as it wants, 0.5 s by itself
    assert len(reg.requests("GET", blob_path(image))) == 3


def test_a_registry_that_stays_busy(reg, image):
    reg.on("GET", "/manifests/1", *[busy(429, Retry_After="1")] * 10)
    text = pull_fails(f"{reg.host}/t:1")
    assert "429" in text and "TOOMANYREQUESTS: slow down" in text
    assert len(reg.requests("GET", "/manifests/1")) == 6


def test_too_long_a_wait_is_not_waited(reg, image):
    reg.on("GET", "/manifests/1", busy(429, Retry_After="3600"))
    start = time.monotonic()
    assert "429" in pull_fails(f"{reg.host}/t:1")
    assert time.monotonic() - start < 20
