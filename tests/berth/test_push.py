"""berth push against a registry that misbehaves on demand."""

import os
import pathlib
import signal
import subprocess
import threading

import pytest

from fakeregistry import FakeRegistry, MANIFEST, Tokens, basic, digest_of
from remotes import (  # noqa: F401
    BERTH, authority, berth, busy, cert_dir, forget, home, image, is_pushed,
    reg, secure, write_auth)

pytestmark = pytest.mark.usefixtures("fresh_store")


@pytest.fixture
def local(reg, image):
    """The image under its name in the store; returns it and the registry,
    which has forgotten all."""
    berth("pull", f"{reg.host}/t:1")
    berth("tag", f"{reg.host}/t:1", f"{reg.host}/p:2")
    reg.log.clear()
    return f"{reg.host}/p:2"


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
