"""berth for tests: a store and a run folder of the test's own, a small image.

Import the fixtures `store`, `image` and `name` into a test module; `berth()`
runs the program against the store of the module.
"""

import json
import os
import pathlib
import re
import signal
import subprocess

import pytest

from conftest import BUILD
from rootfs import busybox_tar
from waiting import PATIENCE_S, wait_for

BERTH = str(BUILD / "berth")
APPLETS = ["sh", "cat", "chmod", "chown", "chroot", "cut", "date", "dd", "df",
           "dmesg", "echo", "env", "false", "find", "grep", "head", "hostname",
           "id", "ip", "kill", "ln", "ls", "mkdir", "mknod", "mount", "nproc",
           "ping", "printf", "ps", "pwd", "readlink", "rm", "sed", "seq",
           "sleep", "sort", "stat", "stty", "tail", "test", "touch", "tr",
           "true", "tty", "umount", "uname", "unshare", "wc", "yes"]
WAIT_S = PATIENCE_S

# What every call adds to the environment: the module's own store.
environment = {}


def rootfs_tar(files=()):
    """Busybox with a user, a group and a seed, and with further files."""
    texts = {
        "etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"
                      "app:x:1000:1000::/home/app:/bin/sh\n",
        "etc/group": "root:x:0:\napp:x:1000:\nextra:x:2000:app\n",
        "data/seed": "from the image\n", **dict(files)}
    return busybox_tar(APPLETS, ("bin", "etc", "tmp", "data"), [
        (name, text.encode(), 0o644) for name, text in texts.items()])


def berth(*args, code=0, stdin=None, timeout=120, env=None):
    """Run berth; returns what it printed.

    code None: any exit status, and the result is the finished process.
    """
    done = subprocess.run([BERTH, *map(str, args)], input=stdin,
                          capture_output=True, text=True, timeout=timeout,
                          env={**os.environ, **environment, **(env or {})})
    assert code is None or done.returncode == code, (args, done)
    return done.stdout if code is not None else done


def refused(*args, code=125):
    """Run berth, which must refuse; returns its message."""
    done = berth(*args, code=None)
    assert done.returncode == code, (args, done)
    assert done.stderr.startswith("berth: "), done
    return done.stderr


def popen(*args, **options):
    return subprocess.Popen(
        [BERTH, *map(str, args)],
        env={**os.environ, **environment, **options.pop("env", {})}, **options)


def inspect(*names):
    shown = json.loads(berth("inspect", *names))
    return shown[0] if len(names) == 1 else shown


def in_log(name, text):
    wait_for(lambda: text in berth("logs", name), f"{text!r} in the log")


def state(name):
    return inspect(name)["State"]["Status"]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """A store of this module's own; nothing of it may stay mounted."""
    folder = tmp_path_factory.mktemp("berth")
    environment.update(BERTH_ROOT=str(folder / "root"),
                       BERTH_RUN=str(folder / "run"))
    yield folder
    for container in berth("ps", "-aq").split():
        berth("rm", "-f", container)
    assert not list((folder / "root" / "containers").iterdir())
    mounts = pathlib.Path("/proc/self/mountinfo").read_text()
    assert str(folder) not in mounts
    environment.clear()


@pytest.fixture(scope="module")
def image(store):
    """The image rt:1, of busybox."""
    path = store / "rootfs.tar"
    path.write_bytes(rootfs_tar())
    berth("import", path, "rt:1")
    path.unlink()
    return "rt:1"


@pytest.fixture
def name(request, image):
    """A container's name, and its removal."""
    given = re.sub(r"\W+", "-", request.node.name)[:40] + f"-{os.getpid()}"
    yield given
    berth("rm", "-f", given, code=None)


def end(proc):
    """Kill a process that a test started, and reap it."""
    if proc.poll() is None:
        proc.send_signal(signal.SIGKILL)
    proc.wait()
