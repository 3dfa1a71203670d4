"""berth pull, push and login against a registry that misbehaves on demand."""

import base64
import fcntl
import json
import os
import pathlib
import pty
import re
import select
import signal
import subprocess
import termios
import threading
import time

import pytest

from conftest import BUILD
from fakeregistry import (Authority, FakeRegistry, MANIFEST, Tokens, basic,
                          digest_of, tar_of)

BERTH = str(BUILD / "berth")
pytestmark = pytest.mark.usefixtures("fresh_store")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Empty credential files of the test's own."""
    for key in ("REGISTRY_AUTH_FILE", "http_proxy", "https_proxy",
                "BERTH_TOKEN_HOSTS", "BERTH_STALL_S"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    (tmp_path / "docker").mkdir()
    return tmp_path


@pytest.fixture
def reg(home):
    registry = FakeRegistry()
    yield registry
    registry.stop()


@pytest.fixture
def image(reg, request):
    """The image t:1 of three layers that no other test has."""
    seed = request.node.name.encode()
    layers = [tar_of({f"f{i}": seed + os.urandom(70_000)}) for i in range(3)]
    return reg.put_image("t", "1", layers)


def berth(*args, code=0, stdin=None, timeout=120, **env):
    done = subprocess.run([BERTH, *map(str, args)], input=stdin, text=True,
                          capture_output=True, timeout=timeout,
                          env={**os.environ, **env})
    assert code is None or done.returncode == code, (args, done)
    return done


def pull_fails(name, *flags, **env):
    """One clear message, and nothing half in the store."""
    before = berth("images", "-q").stdout
    done = berth("pull", *flags, name, code=1, **env)
    lines = done.stderr.splitlines()
    assert [line.startswith("berth: ") for line in lines].count(True) == 1
    assert lines[-1].startswith("berth: pull "), lines
    assert all(0x20 <= ord(c) < 0x7f for line in lines for c in line), lines
    root = pathlib.Path(os.environ["BERTH_ROOT"])
    assert not list((root / "scratch").iterdir())
    assert berth("images", "-q").stdout == before
    return lines[-1]


def blob_path(image, i=0):
    return "/blobs/" + image["layers"][i]["digest"]


def write_auth(home, host, user="u", password="p", name="docker/config.json",
               **more):
    path = home / name
    path.parent.mkdir(parents=True, exist_ok=True)
    auth = base64.b64encode(f"{user}:{password}".encode()).decode()
    path.write_text(json.dumps({"auths": {host: {"auth": auth, **more}}}))
    path.chmod(0o600)


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


def busy(status, **headers):
    def action(h):
        h.error(status, "TOOMANYREQUESTS", "slow down",
                {key.replace("_", "-"): value
                 for key, value in headers.items()})
    return action


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


# ---- odd answers -------------------------------------------------------------
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


def on_a_terminal(*args, say=(), code=0):
    """What berth writes to a terminal; say: (prompt, answer) in turn."""
    mine, theirs = pty.openpty()
    proc = subprocess.Popen([BERTH, *args], stdin=theirs, stdout=theirs,
                            stderr=theirs, start_new_session=True,
                            preexec_fn=lambda: fcntl.ioctl(
                                0, termios.TIOCSCTTY, 0))
    out, say, end = b"", list(say), time.monotonic() + 60
    while True:
        if time.monotonic() > end:
            proc.kill()
            pytest.fail(f"no end: {out}")
        if select.select([mine], [], [], 0.1)[0]:
            out += os.read(mine, 65536)
            if say and out.endswith(say[0][0]):
                os.write(mine, say.pop(0)[1])
        elif proc.poll() is not None:
            break
    has_echo = bool(termios.tcgetattr(theirs)[3] & termios.ECHO)
    os.close(mine)
    os.close(theirs)
    assert proc.wait(60) == code, out
    assert has_echo and not say, out
    return out.decode()


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


# ---- who asks ----------------------------------------------------------------
def test_basic(reg, image, home):
    reg.guard = basic("u", "p")
    name = f"{reg.host}/t:1"
    text = pull_fails(name)
    assert f"wants a user and a password: berth login {reg.host}" in text
    write_auth(home, reg.host, password="wrong")
    assert "refuses the user u: wrong password?" in pull_fails(name)
    write_auth(home, reg.host)
    berth("pull", name)
    for request in reg.requests("GET", "/(manifests|blobs)/")[-4:]:
        assert request.headers["Authorization"] == reg.guard.header


@pytest.mark.parametrize("place", ["given", "podman", "docker", "home"])
def test_where_passwords_are_found(reg, image, home, monkeypatch, place):
    reg.guard = basic("u", "p")
    files = {"given": "auth.json", "podman": "run/containers/auth.json",
             "docker": "docker/config.json", "home": "home/.docker/config.json"}
    if place == "given":
        monkeypatch.setenv("REGISTRY_AUTH_FILE", str(home / files[place]))
    if place == "home":
        monkeypatch.delenv("DOCKER_CONFIG")
    write_auth(home, reg.host, name=files[place])
    berth("pull", f"{reg.host}/t:1")


def test_a_readable_password_file_is_told(reg, image, home):
    reg.guard = basic("u", "p")
    write_auth(home, reg.host)
    (home / "docker/config.json").chmod(0o644)
    done = berth("pull", f"{reg.host}/t:1")
    assert "warning: others can read" in done.stderr


def test_a_damaged_password_file(reg, image, home):
    (home / "docker/config.json").write_text("{")
    assert "docker/config.json" in pull_fails(f"{reg.host}/t:1")
    (home / "docker/config.json").unlink()
    os.mkfifo(home / "docker/config.json")
    assert "no regular file" in pull_fails(f"{reg.host}/t:1")


def helper(home, monkeypatch, script):
    path = home / "bin" / "docker-credential-test"
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n" + script)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:{os.environ['PATH']}")


def test_a_credential_helper(reg, image, home, monkeypatch):
    reg.guard = basic("u", "p;$(false)`false`")
    helper(home, monkeypatch, f'read s; test "$s" = {reg.host} || exit 1\n'
           'echo \'{"Username":"u","Secret":"p;$(false)`false`"}\'\n')
    (home / "docker/config.json").write_text(
        json.dumps({"credHelpers": {reg.host: "test"}}))
    berth("pull", f"{reg.host}/t:1")
    (home / "docker/config.json").write_text(
        json.dumps({"credHelpers": {reg.host: "../bin/test"}}))
    assert "bad name of a credential helper" in pull_fails(f"{reg.host}/t:1")


def test_anonymous_tokens(reg, image):
    tokens = Tokens(reg)
    berth("pull", f"{reg.host}/t:1")
    first = reg.requests("GET", "^/token")[0]
    assert "Authorization" not in first.headers
    assert "service=fake%20service" in first.path
    assert "scope=repository%3At%3Apull" in first.path
    assert tokens.count == 1


def test_tokens_for_a_user(reg, image, home):
    Tokens(reg, user="u:p")
    assert "access denied without a user: try berth login" in \
        pull_fails(f"{reg.host}/t:1")
    write_auth(home, reg.host, password="wrong")
    text = pull_fails(f"{reg.host}/t:1")
    assert "refuses the user u: wrong password?" in text
    assert "incorrect username or password" in text
    write_auth(home, reg.host)
    berth("pull", f"{reg.host}/t:1")
    assert "account=u" in reg.requests("GET", "^/token")[-1].path


def test_tokens_that_end_are_renewed(reg, image):
    tokens = Tokens(reg, uses=2)
    berth("pull", f"{reg.host}/t:1")
    assert tokens.count >= 2


def test_an_identity_token(reg, image, home):
    Tokens(reg, user="refresh-me")
    path = home / "docker/config.json"
    path.write_text(json.dumps({"auths": {reg.host: {
        "auth": base64.b64encode(b"u:").decode(),
        "identitytoken": "refresh-me"}}}))
    path.chmod(0o600)
    berth("pull", f"{reg.host}/t:1")
    form = reg.requests("POST", "^/token")[0]
    assert b"grant_type=refresh_token" in form.body
    assert "Authorization" not in form.headers


def test_an_identity_token_that_is_refused(reg, image, home):
    Tokens(reg, user="refresh-me")
    write_auth(home, reg.host, identitytoken="stale")
    assert "refuses the kept token" in pull_fails(f"{reg.host}/t:1")


def test_bearer_among_others(reg, image):
    tokens = Tokens(reg)
    tokens.challenge = lambda scope: [
        'Negotiate, Basic realm="b, Bearer realm=x"',
        f'bearer  realm="{tokens.realm}" , service=s']
    berth("pull", f"{reg.host}/t:1")
    assert tokens.count == 1


@pytest.mark.parametrize("challenge, words", [
    ("Negotiate", "neither Basic nor Bearer"),
    ('Bearer realm="open', "neither Basic nor Bearer"),
    ('Bearer realm="http://u:p@127.0.0.1/t"', "bad address"),
    ('Bearer realm="file:///etc/passwd"', "bad address"),
    ('Bearer realm="http://169.254.169.254/latest"', "internal address"),
    ('Bearer realm="http://[fe80::1]/"', "internal address"),
    ("Bearer realm=\"" + "x" * 5000 + "\"", "challenges are too long"),
])
def test_bad_challenges(reg, image, challenge, words):
    Tokens(reg, challenge=lambda scope: challenge)
    assert words in pull_fails(f"{reg.host}/t:1")


@pytest.mark.parametrize("body, words", [
    (b"{}", "gave no token"), (b"[]", "no object"), (b"", "JSON"),
    (b'{"token":"a b"}', "gave no token"),
    (b'{"token":"a\\r\\nX: y"}', "gave no token"),
    (b'{"token":"' + b"x" * 20_000 + b'"}', "gave no token"),
    (b'{"token":"' + b"x" * 70_000 + b'"}', "over 65536 bytes"),
    (b'{"token":1}', "gave no token")])
def test_bad_tokens(reg, image, body, words):
    reg.on("GET", "^/token", lambda h: h.answer(200, {}, body))
    Tokens(reg)
    assert words in pull_fails(f"{reg.host}/t:1")


def test_the_password_stays_with_its_host(reg, image, home):
    """A token server elsewhere is asked without it, and named."""
    other = FakeRegistry()
    try:
        Tokens(reg, user="u:p", realm=f"http://{other.name('b.localhost')}"
                                      "/token")
        Tokens(other, user="u:p")
        write_auth(home, reg.host)
        text = pull_fails(f"{reg.host}/t:1")
        assert "is not sent to the other" in text and "b.localhost" in text
        for request in other.requests():
            assert "Authorization" not in request.headers
            assert "account" not in request.path
        hosts = f"x=y {reg.host}=b.localhost"
        berth("pull", f"{reg.host}/t:1", code=None, BERTH_TOKEN_HOSTS=hosts)
        assert "Authorization" in other.requests("GET", "^/token")[-1].headers
    finally:
        other.stop()


def test_a_token_server_that_redirects(reg, image, home):
    write_auth(home, reg.host)
    reg.on("GET", "^/token", lambda h: h.answer(
        307, {"Location": f"http://{reg.name('b.localhost')}/steal"}))
    Tokens(reg, user="u:p")
    assert "that is not followed" in pull_fails(f"{reg.host}/t:1")
    assert not reg.requests(None, "/steal")


def test_denied(reg, image, home):
    write_auth(home, reg.host)
    reg.on("GET", "/manifests/", lambda h: h.error(
        403, "DENIED", "not for you\x1b[31m"))
    text = pull_fails(f"{reg.host}/t:1")
    assert r"access denied (403): DENIED: not for you\x1b[31m" in text


def test_no_loop_of_challenges(reg, image):
    reg.always("GET", "/manifests/", lambda h: h.error(
        401, "DENIED", "insufficient scope", {
            "WWW-Authenticate": f'Bearer realm="http://{reg.host}/token",'
                                'error="insufficient_scope"'}))
    Tokens(reg)
    assert "insufficient scope" in pull_fails(f"{reg.host}/t:1")
    assert len(reg.requests("GET", "/manifests/")) == 2


# ---- login -------------------------------------------------------------------
@pytest.mark.parametrize("guard", ["basic", "tokens"])
def test_login(reg, image, home, guard):
    if guard == "basic":
        reg.guard = basic("u", "p w")
    else:
        Tokens(reg, user="u:p w")
    bad = berth("login", "-u", "u", "--password-stdin", reg.host, code=1,
                stdin="wrong\n")
    assert "wrong password?" in bad.stderr
    path = home / "docker/config.json"
    assert not path.exists()
    done = berth("login", "-u", "u", "--password-stdin", reg.host,
                 stdin="p w\n")
    assert done.stdout == "Login Succeeded\n"
    assert path.stat().st_mode & 0o7777 == 0o600
    assert json.loads(path.read_text())["auths"] == {
        reg.host: {"auth": base64.b64encode(b"u:p w").decode()}}
    berth("pull", f"{reg.host}/t:1")
    assert "Removed" in berth("logout", reg.host).stdout
    assert "Not logged in" in berth("logout", reg.host).stdout
    assert json.loads(path.read_text())["auths"] == {}


def test_login_asks(reg, home):
    reg.guard = basic("u", "p w")
    out = on_a_terminal("login", reg.host, say=[(b"Username: ", b"u\n"),
                                                (b"Password: ", b"p w\n")])
    assert "Login Succeeded" in out and "p w" not in out
    # Ctrl-C at the password leaves the terminal as it was.
    on_a_terminal("login", "-u", "u", reg.host, code=-signal.SIGINT,
                  say=[(b"Password: ", b"\x03")])


def test_podman_reads_what_login_wrote(reg, home):
    reg.guard = basic("u", "p")
    berth("login", "-u", "u", "--password-stdin", reg.host, stdin="p")
    done = subprocess.run(
        ["skopeo", "login", "--get-login", "--authfile",
         home / "docker/config.json", reg.host], capture_output=True, text=True)
    assert done.stdout == "u\n", done
    subprocess.run(
        ["skopeo", "login", "--tls-verify=false", "--authfile",
         home / "docker/config.json", "-u", "u", "-p", "p", reg.name(
             "localhost")], capture_output=True, check=True)
    assert "Removed" in berth("logout", reg.name("localhost")).stdout


@pytest.mark.parametrize("args, stdin, words", [
    (["--password-stdin"], "p", "needs --username"),
    (["-u", "u", "-p", "p", "--password-stdin"], "p", "exclude each other"),
    (["-u", "u", "--password-stdin"], "", "no password on standard input"),
    (["-u", "u"], "", "no terminal to ask at"),
    (["-u", "u", "--password-stdin", "x/y"], "p", "bad registry"),
])
def test_login_refuses(reg, home, args, stdin, words):
    if args[-1] != "x/y":
        args = [*args, reg.host]
    assert words in berth("login", *args, stdin=stdin, code=1).stderr


# ---- redirects ---------------------------------------------------------------
def to(location, status=307):
    return lambda h: h.answer(status, {"Location": location.replace(
        "{path}", h.path)})


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_blobs_elsewhere_get_no_credentials(reg, image, home, status):
    other = FakeRegistry()
    other.blobs = reg.blobs
    try:
        reg.guard = basic("u", "p")
        write_auth(home, reg.host)
        reg.always("GET", "/blobs/", to(
            f"http://{other.name('b.localhost')}{{path}}", status))
        berth("pull", f"{reg.host}/t:1")
        assert len(other.requests("GET", "/blobs/")) == 4
        for request in other.requests():
            assert "Authorization" not in request.headers
    finally:
        other.stop()


def test_credentials_never_come_back(reg, image, home):
    """Away and home again: still without."""
    other = FakeRegistry()
    try:
        reg.guard = basic("u", "p")
        write_auth(home, reg.host)
        part = blob_path(image)
        reg.on("GET", part, to(f"http://{other.name('b.localhost')}{{path}}"))
        other.on("GET", part, to(f"http://{reg.host}/second{part}"))
        pull_fails(f"{reg.host}/t:1")
        assert "Authorization" not in reg.requests("GET", "/second")[0].headers
    finally:
        other.stop()


@pytest.mark.parametrize("location, words", [
    ("http://169.254.169.254/latest/meta-data", "internal address"),
    ("http://[fd00:ec2::254]/", "internal address"),
    ("http://[::ffff:169.254.169.254]/", "internal address"),
    ("http://2852039166/", "internal address"),
    ("http://0xa9fea9fe/", "internal address"),
    ("ftp://127.0.0.1/x", "bad address"),
    ("file:///etc/passwd", "bad address"),
    ("http://u:p@127.0.0.1/x", "bad address"),
    ("{path}", "more than 5 redirects"),
])
def test_redirects_that_are_refused(reg, image, location, words):
    reg.always("GET", blob_path(image), to(location))
    reg.rules[-1][2] = to(location)
    text = pull_fails(f"{reg.host}/t:1")
    assert words in text
    assert len(reg.requests("GET", blob_path(image))) <= 6


PUBLIC = r"""
set -e
ip link set lo up
ip addr add 93.184.216.34/32 dev lo
ip addr add 10.9.9.9/32 dev lo
exec "$@"
"""

SCRIPT = r"""
import os, sys
sys.path.insert(0, sys.argv[1])
from fakeregistry import FakeRegistry, Tokens, tar_of
target, kind, berth = sys.argv[2:]
inner = FakeRegistry(address=target)
reg = FakeRegistry(address="93.184.216.34")
image = reg.put_image("t", "1", [tar_of({"f": b"x"})])
inner.blobs = reg.blobs
where = f"http://{inner.host}"
if kind == "name":  # only the resolver knows what it is
    where = f"http://{inner.name('inner.localhost')}"
if kind == "realm":
    Tokens(reg, realm=where + "/token")
    Tokens(inner)
else:
    reg.always("GET", "/blobs/", lambda h: h.answer(
        307, {"Location": where + h.path}))
import subprocess
done = subprocess.run([berth, "pull", "--tls-verify=false", reg.host + "/t:1"],
                      capture_output=True, text=True)
print(done.returncode, len(inner.log), done.stderr)
"""


@pytest.mark.parametrize("target, kind, is_refused", [
    ("127.0.0.1", "literal", True), ("127.0.0.1", "name", True),
    ("127.0.0.1", "realm", True), ("10.9.9.9", "literal", True),
    ("93.184.216.34", "literal", False)])
def test_a_public_registry_leads_nobody_inside(home, target, kind, is_refused):
    """In a network namespace whose loopback has a public address."""
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", PUBLIC, "sh", "/usr/bin/python3", "-B",
         "-c", SCRIPT, str(pathlib.Path(__file__).parents[1]), target, kind,
         BERTH], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done
    code, reached, text = done.stdout.split(" ", 2)
    if is_refused:
        assert (code, reached) == ("1", "0"), done
        assert "internal address" in text
    else:
        assert code == "0" and int(reached) > 0, done


# ---- TLS ---------------------------------------------------------------------
@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    def run(*command):
        subprocess.run([str(part) for part in command], check=True,
                       capture_output=True)
    return Authority(tmp_path_factory.mktemp("ca"), run)


@pytest.fixture
def secure(home, authority, request):
    """A function that starts a TLS registry; its name is a.localhost."""
    started = []

    def start(san="DNS:a.localhost", name="server", **options):
        registry = FakeRegistry(authority.server(name, san, **options))
        registry.put_image("t", "1", [tar_of({"f": os.urandom(100)})])
        started.append(registry)
        return registry
    yield start
    for registry in started:
        registry.stop()


@pytest.fixture
def cert_dir(home, authority):
    path = home / "certs"
    path.mkdir()
    (path / "ca.crt").write_bytes(authority.crt.read_bytes())
    return path


def test_tls(secure, cert_dir):
    reg = secure()
    name = reg.name("a.localhost") + "/t:1"
    text = pull_fails(name)
    assert "the certificate of a.localhost is refused" in text
    assert "unable to get local issuer certificate" in text
    assert f"certs.d/{reg.name('a.localhost')}/" in text
    assert not reg.requests()
    berth("pull", "--cert-dir", cert_dir, name)
    berth("pull", "--tls-verify=false", name)


@pytest.mark.parametrize("place", ["/etc/containers/certs.d",
                                   "/etc/docker/certs.d"])
def test_tls_with_certs_d(secure, cert_dir, place):
    reg = secure()
    folder = pathlib.Path(place) / reg.name("a.localhost")
    folder.mkdir(parents=True)
    try:
        (folder / "our-ca.crt").symlink_to(cert_dir / "ca.crt")
        berth("pull", reg.name("a.localhost") + "/t:1")
    finally:
        (folder / "our-ca.crt").unlink()
        folder.rmdir()


@pytest.mark.parametrize("san, days, words", [
    ("DNS:b.localhost", 2, "subject name"),
    ("IP:127.0.0.1", 2, "subject name"),
    ("DNS:a.localhost", -1, "expired")])
def test_tls_with_a_wrong_certificate(secure, cert_dir, san, days, words):
    reg = secure(san, name="wrong", days=days)
    text = pull_fails(reg.name("a.localhost") + "/t:1", "--cert-dir", cert_dir)
    assert words in text and not reg.requests()


def test_tls_with_a_client_certificate(secure, cert_dir, authority):
    reg = secure(client_ca=authority.crt)
    name = reg.name("a.localhost") + "/t:1"
    text = pull_fails(name, "--cert-dir", cert_dir)
    assert "alert handshake failure" in text and "plain HTTP" not in text
    crt, key = authority.issue("client", "DNS:client")
    (cert_dir / "client.cert").write_bytes(crt.read_bytes())
    text = pull_fails(name, "--cert-dir", cert_dir)
    assert "client.cert needs" in text
    (cert_dir / "client.key").write_bytes(key.read_bytes())
    berth("pull", "--cert-dir", cert_dir, name)
    assert "no folder" in pull_fails(name, "--cert-dir", "/nowhere")


def test_no_fall_back_to_plain_http(reg, image, home):
    write_auth(home, reg.name("a.localhost"))
    name = reg.name("a.localhost") + "/t:1"
    text = pull_fails(name)
    assert "--tls-verify=false allows plain HTTP" in text
    assert not reg.requests("GET", "/v2/")
    berth("pull", "--tls-verify=false", name)


def test_no_redirect_from_tls_to_plain(secure, cert_dir, reg):
    tls = secure()
    tls.always("GET", "/blobs/", to(f"http://{reg.host}{{path}}"))
    text = pull_fails(tls.name("a.localhost") + "/t:1", "--cert-dir", cert_dir)
    assert "from TLS to plain HTTP" in text and not reg.requests()
    tls = secure()
    Tokens(tls, realm=f"http://{reg.host}/token")
    text = pull_fails(tls.name("a.localhost") + "/t:1", "--cert-dir", cert_dir)
    assert "speaks no TLS" in text and not reg.requests()


# ---- pushing -----------------------------------------------------------------
@pytest.fixture
def local(reg, image):
    """The image under its name in the store; returns it and the registry,
    which has forgotten all."""
    berth("pull", f"{reg.host}/t:1")
    berth("tag", f"{reg.host}/t:1", f"{reg.host}/p:2")
    reg.log.clear()
    return f"{reg.host}/p:2"


def forget(reg):
    kept = dict(reg.blobs)
    reg.blobs.clear()
    return kept


def is_pushed(reg, image, repo="p", tag="2"):
    data = reg.manifests[repo, tag][1]
    assert json.loads(data) == image
    for blob in [image["config"], *image["layers"]]:
        assert digest_of(reg.blobs[repo, blob["digest"]]) == blob["digest"]


def test_push(reg, image, local):
    forget(reg)
    done = berth("push", local)
    is_pushed(reg, image)
    data = reg.manifests["p", "2"][1]
    assert done.stdout == f"2: digest: {digest_of(data)} size: {len(data)}\n"
    for layer in image["layers"]:
        assert f"{layer['digest'][7:19]}: Pushed" in done.stderr
    again = berth("push", local)
    assert again.stderr.count("Layer already exists") == 4
    assert len(reg.requests("PATCH")) == 4
    quiet = berth("push", "-q", local)
    assert quiet.stdout == digest_of(data) + "\n" and quiet.stderr == ""


def test_push_mounts(reg, image, local):
    done = berth("push", local)
    assert done.stderr.count("Mounted from t") == 4
    assert not reg.requests("PATCH")
    is_pushed(reg, image)


def test_push_asks_for_the_right_to_mount(reg, image, local):
    Tokens(reg)
    berth("push", local)
    scopes = reg.requests("GET", "^/token")[-1].path
    assert "scope=repository%3Ap%3Apull%2Cpush" in scopes
    assert "scope=repository%3At%3Apull" in scopes


@pytest.mark.parametrize("answer", ["202", "403", "404"])
def test_push_without_mounts(reg, image, local, answer):
    if answer == "202":
        reg.mounts = False
    else:
        reg.always("POST", "mount=", lambda h: h.error(int(answer), "DENIED"))
    berth("push", local)
    is_pushed(reg, image)
    # The session that a refused mount opens is used, not left behind.
    assert len(reg.requests("POST")) == (4 if answer == "202" else 8)
    assert not reg.sessions


def test_push_tries_other_repositories(reg, image, local):
    """A refused mount's session is given back before the next one."""
    berth("tag", local, f"{reg.host}/another:1")
    for digest in [blob["digest"] for blob in
                   [image["config"], *image["layers"]]]:
        reg.blobs["another", digest] = reg.blobs.pop(("t", digest))
    done = berth("push", local)
    assert "Mounted from another" in done.stderr
    is_pushed(reg, image)
    assert not reg.requests("PATCH") and not reg.sessions
    assert len(reg.requests("POST", "from=another")) == 4


def test_push_from_many_names(reg, image, local):
    for i in range(12):
        berth("tag", local, f"{reg.host}/name{i}:1")
    forget(reg)
    Tokens(reg)
    berth("push", local)
    is_pushed(reg, image)
    scopes = reg.requests("GET", "^/token")[-1].path
    assert scopes.count("scope=") == 9  # one's own and at most eight
    for blob in image["layers"]:
        digest = blob["digest"].replace(":", "%3A")
        assert len(reg.requests("POST", "mount=" + digest)) == 3


def test_push_after_a_resume_that_was_lost(reg, image, local):
    """A registry that forgot bytes says so at the end: once more, whole."""
    forget(reg)

    def swallow(h):
        reg.sessions[h.path.split("/")[-1]] += h.rfile.read(20_000)
        h.reset()

    def forget_some(h):
        session = h.path.split("/")[-1]
        reg.told(h, 204, "p", session)
        reg.sessions[session] = bytearray(len(reg.sessions[session]))
    reg.on("PATCH", "/uploads/", swallow, early=True)
    reg.on("GET", "/uploads/", forget_some)
    berth("push", local)
    is_pushed(reg, image)


@pytest.mark.parametrize("range_", ["", "0-", "bytes=0-5", "5-9", "0-99999999"])
def test_push_with_a_status_of_no_sense(reg, image, local, range_):
    forget(reg)
    reg.on("PATCH", "/uploads/", lambda h: h.reset(), early=True)
    reg.on("GET", "/uploads/", lambda h: h.answer(204, {"Range": range_}))
    berth("push", local)
    is_pushed(reg, image)


def test_push_where_uploads_are_no_uploads(reg, local):
    forget(reg)
    reg.always("POST", "/uploads/", lambda h: h.answer(200))
    text = berth("push", local, code=1).stderr
    assert "no upload address" in text or "answers 200 to POST" in text


def test_push_of_a_damaged_blob(reg, image, local):
    forget(reg)
    digest = image["layers"][0]["digest"][7:]
    path = (pathlib.Path(os.environ["BERTH_ROOT"]) / "blobs/sha256" /
            digest[:2] / digest)
    path.write_bytes(path.read_bytes()[:-1])
    assert "is damaged" in berth("push", local, code=1).stderr
    path.write_bytes(b"x" * image["layers"][0]["size"])
    assert "DIGEST_INVALID" in berth("push", local, code=1).stderr
    assert ("p", "2") not in reg.manifests


def test_push_goes_on_where_it_broke(reg, image, local):
    forget(reg)
    part = image["layers"][0]

    def half(h):
        """Take 20,000 bytes, then reset."""
        session = h.path.split("/")[-1]
        reg.sessions[session] += h.rfile.read(20_000)
        h.reset()
    reg.on("PATCH", "/uploads/", half, half, early=True)
    berth("push", local)
    is_pushed(reg, image)
    resumed = [r.headers["Content-Range"] for r in reg.requests("PATCH")
               if "Content-Range" in r.headers]
    assert len(resumed) == 2 and resumed[0].startswith("20000-")
    assert part["size"] > 40_000


def test_push_begins_anew_when_the_session_is_gone(reg, image, local):
    forget(reg)

    def lose(h):
        reg.sessions.pop(h.path.split("/")[-1])
        h.reset()
    reg.on("PATCH", "/uploads/", lose, early=True)
    reg.on("PATCH", "/uploads/", lambda h: h.error(404, "BLOB_UPLOAD_UNKNOWN"),
           lambda h: h.error(416, "BLOB_UPLOAD_INVALID"))
    berth("push", local)
    is_pushed(reg, image)


def test_push_whose_last_answer_was_lost(reg, image, local):
    forget(reg)

    def done_but(h):
        h.answer = lambda *args: None
        reg.serve(h)
        h.reset()
    reg.on("PUT", "/uploads/", done_but)
    berth("push", local)
    is_pushed(reg, image)
    assert len(reg.requests("POST")) == 4


def test_push_to_a_busy_registry(reg, image, local):
    forget(reg)
    reg.on("POST", "/uploads/", busy(429, Retry_After="1"))
    reg.on("PUT", "/manifests/", busy(503))
    berth("push", local)
    is_pushed(reg, image)


@pytest.mark.parametrize("location", [
    "http://{host}/v2/{repo}/blobs/uploads/{id}?_state=a%2Fb",
    "/v2/{repo}/blobs/uploads/{id}?x=1&y=2", "{id}"])
def test_upload_addresses(reg, image, local, location):
    forget(reg)
    reg.location = location.replace("{host}", reg.host)
    berth("push", local)
    is_pushed(reg, image)
    query = location.partition("?")[2]
    assert query in reg.requests("PUT", "/uploads/")[0].path


def test_uploads_elsewhere_get_no_credentials(reg, image, local, home):
    other = FakeRegistry()
    other.blobs, other.sessions = reg.blobs, reg.sessions
    try:
        forget(reg)
        reg.guard = basic("u", "p")
        write_auth(home, reg.host)
        reg.location = (f"http://{other.name('b.localhost')}"
                        "/v2/{repo}/blobs/uploads/{id}")
        other.location = reg.location
        berth("push", local)
        is_pushed(reg, image)
        assert len(other.requests("PUT")) == 4
        for request in other.requests():
            assert "Authorization" not in request.headers
    finally:
        other.stop()


@pytest.mark.parametrize("location, words", [
    ("http://169.254.169.254/x", "internal address"),
    ("ftp://127.0.0.1/x", "bad address"), ("", "no upload address")])
def test_upload_addresses_that_are_refused(reg, local, location, words):
    forget(reg)
    reg.location = location
    done = berth("push", local, code=1)
    assert words in done.stderr and done.stderr.count("berth: ") == 1


def test_uploads_do_not_leave_tls(secure, cert_dir, reg, image, local):
    tls = secure()
    tls.location = f"http://{reg.host}/v2/{{repo}}/blobs/uploads/{{id}}"
    reg.log.clear()
    done = berth("push", "--cert-dir", cert_dir, local,
                 tls.name("a.localhost") + "/p:1", code=1)
    assert "from TLS to plain HTTP" in done.stderr
    assert not reg.requests()


@pytest.mark.parametrize("status, code, words", [
    (400, "MANIFEST_INVALID", "answers 400: MANIFEST_INVALID: no\\x1b"),
    (413, "SIZE_INVALID", "answers 413: SIZE_INVALID: no\\x1b"),
    (403, "DENIED", "access denied (403): DENIED: no\\x1b")])
def test_push_is_refused(reg, local, status, code, words):
    reg.on("PUT", "/manifests/", lambda h: h.error(status, code, "no\x1b"))
    done = berth("push", local, code=1)
    assert words in done.stderr and done.stderr.count("berth: ") == 1
    assert "\x1b" not in done.stderr and done.stdout == ""


def test_push_finds_a_wrong_digest(reg, local):
    reg.on("PUT", "/manifests/", lambda h: h.answer(
        201, {"Docker-Content-Digest": "sha256:" + "0" * 64}))
    assert "for another one" in berth("push", local, code=1).stderr


def test_push_is_interrupted(reg, image, local):
    forget(reg)
    begun, release = threading.Event(), threading.Event()

    def hang(h):
        begun.set()
        release.wait(60)
        h.reset()
    reg.always("PATCH", "/uploads/", hang, early=True)
    proc = subprocess.Popen([BERTH, "push", local], stderr=subprocess.PIPE,
                            text=True)
    assert begun.wait(30)
    proc.send_signal(signal.SIGINT)
    _, text = proc.communicate(timeout=30)
    release.set()
    assert proc.returncode == -signal.SIGINT, text
    assert ("p", "2") not in reg.manifests


def test_push_of_what_is_removed_meanwhile(reg, image, local):
    forget(reg)
    begun, release = threading.Event(), threading.Event()

    def hold(h):
        begun.set()
        release.wait(60)
        return False
    reg.always("PATCH", "/uploads/", hold)
    proc = subprocess.Popen([BERTH, "push", local], stderr=subprocess.PIPE,
                            text=True)
    assert begun.wait(30)
    names = [local, f"{reg.host}/t:1"]
    berth("rmi", *names)
    release.set()
    _, text = proc.communicate(timeout=60)
    assert proc.returncode == 0, text
    is_pushed(reg, image)
    assert reg.host not in berth("images").stdout
    root = pathlib.Path(os.environ["BERTH_ROOT"])
    assert not list((root / "scratch").iterdir())


def test_pushed_types_are_kept(reg, image, local):
    forget(reg)
    berth("push", local)
    put, = reg.requests("PUT", "/manifests/")
    assert put.headers["Content-Type"] == MANIFEST
