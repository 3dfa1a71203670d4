"""Fixtures: a berthd of one's own, and a raw HTTP client."""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import pytest

import figures
from rawhttp import Client

# Ctrl-C is a part of some tests; a background job starts with it ignored, and
# what it starts would inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

TOP = pathlib.Path(__file__).resolve().parents[1]
BUILD = pathlib.Path(os.environ.get("BERTH_BUILD", TOP / "build"))
CACHE = TOP / "build" / "cache"  # what takes long to make, for all variants
VARIANT = os.environ.get("BERTH_VARIANT", "release")
READY = re.compile(r"berthd \S+ ready: listening on (.*); data in (.*)")
START_TIMEOUT_S = 60
REPORTS = ("ERROR: AddressSanitizer", "runtime error:", "LeakSanitizer",
           "WARNING: ThreadSanitizer", "invariant broken")


def pytest_configure(config):
    config.addinivalue_line(
        "markers", "figure(name, what, key): counted, see figures.py")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.failed or report.when == "call" and report.passed:
        for marker in item.iter_markers("figure"):
            figures.count(marker, item.nodeid, report.passed)


def pytest_terminal_summary(terminalreporter):
    figures.finish(terminalreporter.write_line)


class Berthd:
    """One running berthd; log holds its lines so far."""

    running = set()

    def __init__(self, root, *args, listen="127.0.0.1:0", start=True,
                 wrapper=()):
        self.root = pathlib.Path(root)
        self.args = args
        self.listen = listen
        self.wrapper = wrapper
        self.log = []
        self.proc = None
        self.port = None
        self.ready = threading.Event()
        if start:
            self.start()

    def start(self):
        self.ready.clear()
        command = [*self.wrapper, str(BUILD / "berthd"), "serve", "--root",
                   str(self.root), *self.args]
        if self.listen:
            command += ["--listen", self.listen]
        self.proc = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL,
                                     stderr=subprocess.PIPE)
        Berthd.running.add(self)
        self.reader = threading.Thread(target=self._read,
                                       args=(self.proc,), daemon=True)
        self.reader.start()
        if not self.ready.wait(START_TIMEOUT_S) or self.port is None:
            self.proc.kill()
            self.proc.wait()
            raise RuntimeError("berthd did not start:\n" + self.text())
        return self

    def _read(self, proc):
        for raw in proc.stderr:
            line = raw.decode(errors="replace").rstrip("\n")
            self.log.append(line)
            found = READY.search(line)
            if found:
                self.addresses = found[1].split(", ")
                self.port = int(self.addresses[0].rsplit(":", 1)[1])
                self.ready.set()
        self.ready.set()

    def text(self):
        return "\n".join(self.log)

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def client(self):
        return Client(self.port)

    def memory_kib(self, key="VmHWM"):
        for line in open(f"/proc/{self.proc.pid}/status"):
            if line.startswith(key + ":"):
                return int(line.split()[1])
        raise KeyError(key)

    def kill(self):
        """kill -9, as a power cut without the power."""
        Berthd.running.discard(self)
        self.proc.send_signal(signal.SIGKILL)
        self.proc.wait()
        self.reader.join()

    def stop(self):
        """SIGTERM; a clean exit without any report is part of every test."""
        Berthd.running.discard(self)
        if self.proc.poll() is None:
            self.proc.send_signal(signal.SIGTERM)
        try:
            status = self.proc.wait(60)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
            status = "no end after SIGTERM"
        self.reader.join()
        text = self.text()
        for report in REPORTS:
            assert report not in text, text
        assert status == 0, f"exit {status}\n{text}"


def kill_started_since(before):
    """End the servers that a failed test left behind."""
    for server in Berthd.running - before:
        server.kill()


@pytest.fixture(scope="session", autouse=True)
def own_store():
    """A store of its own for berth: no test sees, or harms, the user's."""
    folder = tempfile.mkdtemp(prefix="berth-")  # short: sockets lie below
    os.environ["BERTH_ROOT"] = f"{folder}/root"
    os.environ["BERTH_RUN"] = f"{folder}/run"
    yield
    mounts = pathlib.Path("/proc/self/mountinfo").read_text()
    assert folder not in mounts, mounts
    shutil.rmtree(folder)


@pytest.fixture(autouse=True)
def no_server_stays():
    before = set(Berthd.running)
    yield
    kill_started_since(before)


@pytest.fixture
def berthd(tmp_path):
    server = Berthd(tmp_path / "data")
    yield server
    server.stop()


@pytest.fixture
def limited(tmp_path):
    """limited(text): a berthd of its own with these keys."""
    servers = []

    def start(text, **more):
        conf = tmp_path / f"{len(servers)}.conf"
        conf.write_text(text)
        servers.append(Berthd(tmp_path / f"d{len(servers)}", "--config",
                              str(conf), **more))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One berthd for all tests of a module; each uses its own repository."""
    server = Berthd(tmp_path_factory.mktemp("berthd") / "data")
    yield server
    server.stop()


@pytest.fixture
def http(shared):
    client = shared.client()
    yield client
    client.close()


@pytest.fixture(scope="module")
def fresh_store(tmp_path_factory):
    """berth's folders, empty and of this module's own."""
    kept = {key: os.environ.get(key) for key in ("BERTH_ROOT", "BERTH_RUN")}
    root = tmp_path_factory.mktemp("berth")
    os.environ["BERTH_ROOT"] = str(root / "root")
    os.environ["BERTH_RUN"] = str(root / "run")
    yield root / "root"
    for key, value in kept.items():
        if value is None:
            del os.environ[key]
        else:
            os.environ[key] = value
    assert str(root) not in pathlib.Path("/proc/self/mountinfo").read_text()


@pytest.fixture
def repo(request):
    """A repository name of this test's own."""
    name = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())
    return "t/" + name[:60].strip("-")


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]
