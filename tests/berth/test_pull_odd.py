"""berth pull, when the answers make no sense; interrupted, beside another."""

import os
import pathlib
import re
import signal
import subprocess
import threading
import time

import pytest

from fakeregistry import FakeRegistry, tar_of
from remotes import (  # noqa: F401
    BERTH, berth, blob_path, forget, home, image, is_pushed, on_a_terminal,
    pull_fails, reg)

pytestmark = pytest.mark.usefixtures("fresh_store")
ODD = {
    "two lengths": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                    b"Content-Length: 3\r\n\r\n{}", "two lengths"),
    "length and chunks": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                          b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
                          b"\r\n", "two lengths"),
    "chunks and length": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
                          b"Content-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                          "two lengths"),
    "bad length": (b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n{}",
                   "Content-Length"),
    "compressed": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                   b"Content-Encoding: gzip\r\n\r\n{}", "Content-Encoding"),
    "a long header": (b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * (1 << 20)
                      + b"\r\n\r\n", "127.0.0.1"),
    "many headers": (b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 300 + b"\r\n",
                     "header is too long"),
    "much header": (b"HTTP/1.1 200 OK\r\n"
                    + (b"X: " + b"y" * 9000 + b"\r\n") * 9 + b"\r\n",
                    "header is too long"),
    "a flood of 100": (b"HTTP/1.1 100 Continue\r\n\r\n" * 1000
                       + b"HTTP/1.1 200 OK\r\n\r\n", "header is too long"),
    "HTTP/0.9": (b"{}", "127.0.0.1"),
    "two locations": (b"HTTP/1.1 307 x\r\nLocation: /a\r\nLocation: /b\r\n"
                      b"Content-Length: 0\r\n\r\n", "two headers Location"),
    "no location": (b"HTTP/1.1 307 x\r\nContent-Length: 0\r\n\r\n",
                    "without a Location"),
    "empty": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", "empty"),
    "no JSON": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nnot JSON!",
                "JSON"),
    "escapes": (b"HTTP/1.1 418 x\r\nContent-Length: 49\r\n\r\n"
                b'{"errors":[{"code":"\\u001b[31m","message":"\\n"}]}',
                r"\x1b[31m"),
    "a location with escapes": (
        b"HTTP/1.1 307 x\r\nLocation: /\x1b[31m\r\nContent-Length: 0\r\n\r\n",
        r"\x1b[31m"),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_answer(reg, image, name):
    data, words = ODD[name]
    reg.on("GET", "/manifests/1", lambda h: h.raw(data))
    assert words in pull_fails(f"{reg.host}/t:1")


def test_a_manifest_over_the_limit(reg):
    reg.put_manifest("t", "1", b"{" + b" " * (4 << 20) + b"}")
    assert "over 4194304 bytes" in pull_fails(f"{reg.host}/t:1")


def test_an_endless_error(reg, image):
    def endless(h):
        h.close_connection = True
        h.connection.sendall(b"HTTP/1.1 403 no\r\n\r\n")
        try:
            for _ in range(10_000):
                h.connection.sendall(bytes(65536))
        except OSError:
            pass
    reg.on("GET", "/manifests/1", endless)
    assert "access denied (403)" in pull_fails(f"{reg.host}/t:1")


def test_another_manifest_than_its_digest(reg, image):
    other = "sha256:" + "0" * 64
    reg.manifests["t", other] = reg.manifests["t", "1"]
    assert "another manifest" in pull_fails(f"{reg.host}/t@{other}")


@pytest.mark.parametrize("digest", [
    "sha256:../../../etc/passwd", "sha256:" + "0" * 63, "SHA256:" + "0" * 64,
    "sha256:" + "0" * 63 + "G", "md5:" + "0" * 32, ""])
def test_bad_digests_reach_nobody(reg, image, digest):
    image["layers"][0]["digest"] = digest
    reg.put_manifest("t", "1", image)
    assert "descriptor" in pull_fails(f"{reg.host}/t:1")
    assert not reg.requests("GET", "/blobs/")


def test_foreign_urls_are_not_fetched(reg, image):
    layer = image["layers"][0]
    layer["urls"] = [f"http://{reg.host}/elsewhere"]
    del reg.blobs["t", layer["digest"]]
    reg.put_manifest("t", "1", image)
    assert "BLOB_UNKNOWN" in pull_fails(f"{reg.host}/t:1")
    assert not reg.requests("GET", "/elsewhere")


def test_a_layer_that_comes_twice(reg):
    layer = tar_of({"f": os.urandom(1000)})
    image = reg.put_image("t", "1", [layer, layer])
    berth("pull", f"{reg.host}/t:1")
    assert len(reg.requests("GET", blob_path(image))) == 1
    forget(reg)
    berth("push", f"{reg.host}/t:1", f"{reg.host}/p:2")
    is_pushed(reg, image)
    assert len(reg.requests("PUT", "/uploads/")) == 2


@pytest.mark.parametrize("change, words", [
    (lambda m: m["layers"].extend(m["layers"] * 127), "over 127 layers"),
    (lambda m: m["config"].update(size=(4 << 20) + 1), "config"),
    (lambda m: m["config"].update(size=-1), "descriptor"),
    (lambda m: m.pop("config"), "descriptor")])
def test_manifests_over_a_limit(reg, image, change, words):
    change(image)
    reg.put_manifest("t", "1", image)
    assert words in pull_fails(f"{reg.host}/t:1")
    assert not reg.requests("GET", "/blobs/")


def test_errors_are_told_once(reg):
    text = pull_fails(f"{reg.host}/t:none")
    assert "not found: MANIFEST_UNKNOWN: manifest unknown" in text
    done = berth("run", "--rm", f"{reg.host}/t:none", "true", code=125)
    assert done.stderr.count("berth: ") == 1, done.stderr
    assert "MANIFEST_UNKNOWN" in done.stderr


def test_no_registry_there():
    text = pull_fails("127.0.0.1:1/t:1")
    assert "is the registry running?" in text
    reg = FakeRegistry()
    reg.on("GET", "/v2/$", lambda h: h.answer(404))
    assert "does not look like a registry" in pull_fails(f"{reg.host}/t:1")
    reg.stop()


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(reg, image, sig):
    begun, release = threading.Event(), threading.Event()

    def hang(h):
        h.close_connection = True
        h.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\nx"
                             % image["layers"][2]["size"])
        begun.set()
        release.wait(60)
    reg.on("GET", blob_path(image, 2), hang)
    proc = subprocess.Popen([BERTH, "pull", f"{reg.host}/t:1"],
                            stderr=subprocess.PIPE, text=True)
    assert begun.wait(30)
    proc.send_signal(sig)
    _, text = proc.communicate(timeout=30)
    release.set()
    assert proc.returncode == -sig, text
    assert "berth: " not in text
    root = pathlib.Path(os.environ["BERTH_ROOT"])
    assert not list((root / "scratch").iterdir())
    assert reg.host not in berth("images").stdout
    berth("pull", f"{reg.host}/t:1")


def test_two_pulls_of_one_image(reg, image):
    """The second waits for the first one's blobs, and can be interrupted."""
    begun, release = threading.Event(), threading.Event()

    def hold(h):
        begun.set()
        release.wait(60)
        return False
    reg.on("GET", blob_path(image), hold)
    first = subprocess.Popen([BERTH, "pull", "-q", f"{reg.host}/t:1"])
    assert begun.wait(30)
    others = [subprocess.Popen([BERTH, "pull", "-q", f"{reg.host}/t:1"])
              for _ in range(2)]
    end = time.monotonic() + 60
    while len(reg.requests("GET", "/manifests/1")) < 3:
        assert time.monotonic() < end
        time.sleep(0.02)
    others[0].send_signal(signal.SIGINT)
    assert others[0].wait(60) == -signal.SIGINT
    release.set()
    assert first.wait(60) == 0 and others[1].wait(60) == 0
    for layer in image["layers"]:
        assert len(reg.requests("GET", layer["digest"])) == 1


def test_loopback_needs_no_proxy(reg, image, monkeypatch):
    for key in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(key, "http://127.0.0.1:1")
    berth("pull", f"{reg.host}/t:1")
    text = pull_fails(reg.name("a.localhost") + "/t:1")
    assert "a.localhost" in text


def test_progress_on_a_terminal(reg, image):
    def slow(h):
        data = reg.blobs["t", h.path.split("/")[-1]]
        h.close_connection = True
        h.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
                             % len(data) + data[:30000])
        time.sleep(0.5)  # long enough to be drawn at 30,000
        h.connection.sendall(data[30000:])
    reg.on("GET", blob_path(image), slow)
    out = on_a_terminal("pull", f"{reg.host}/t:1")
    name = image["layers"][0]["digest"][7:19]
    assert re.search(name + r": Downloading +\[=+ +\] 30kB/7\d(\.\d+)?kB", out)
    assert f"{name}: Download complete" in out
    assert "\033[1A\r\033[J" in out
    quiet = on_a_terminal("pull", "-q", f"{reg.host}/t:1")
    assert "\033" not in quiet
