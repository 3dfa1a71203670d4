"""A registry that misbehaves on demand, and berth at the other end."""

import base64
import fcntl
import json
import os
import pathlib
import pty
import select
import subprocess
import termios
import time

import pytest

from conftest import BUILD
from fakeregistry import Authority, FakeRegistry, digest_of, tar_of

BERTH = str(BUILD / "berth")


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


def busy(status, **headers):
    def action(h):
        h.error(status, "TOOMANYREQUESTS", "slow down",
                {key.replace("_", "-"): value
                 for key, value in headers.items()})
    return action


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


def forget(reg):
    kept = dict(reg.blobs)
    reg.blobs.clear()
    return kept


def is_pushed(reg, image, repo="p", tag="2"):
    data = reg.manifests[repo, tag][1]
    assert json.loads(data) == image
    for blob in [image["config"], *image["layers"]]:
        assert digest_of(reg.blobs[repo, blob["digest"]]) == blob["digest"]
