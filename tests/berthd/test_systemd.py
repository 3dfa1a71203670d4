"""deploy/berthd.service under a real systemd.

systemd runs as pid 1 of namespaces of its own (mount, pid, uts, ipc, net,
cgroup), in a Debian tree made for the test, over a cgroup made for the test.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

from conftest import CACHE, TOP, VARIANT

PACKAGES = ("systemd,dbus,curl,libevent-2.1-7,libevent-pthreads-2.1-7,"
            "libsqlite3-0,libjansson4,libconfuse2,libssl3")
CACHED = CACHE / "debian-systemd.tar"
START_S = 60

# $1: the tree, $2: the cgroup hierarchy, v1 or v2. Runs in the namespaces.
ENTER = r"""
set -eu
mount --make-rprivate /
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
if [ "$2" = v1 ]; then
    mount -t tmpfs -o mode=755 tmpfs sys/fs/cgroup
    mkdir sys/fs/cgroup/systemd
    mount -t cgroup -o none,name=systemd,xattr cgroup sys/fs/cgroup/systemd
else
    mount -t cgroup2 cgroup2 sys/fs/cgroup
fi
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs -o mode=1777 tmpfs tmp
mount -t tmpfs -o mode=755 tmpfs dev # its own: an init may change nodes
for node in "null 1 3" "zero 1 5" "full 1 7" "random 1 8" "urandom 1 9" \
    "tty 5 0"; do
    set -- "$1" "$2" $node
    mknod -m 666 dev/$3 c $4 $5
done
mkdir dev/pts dev/shm
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts dev/pts
ln -s pts/ptmx dev/ptmx
ln -s /proc/self/fd dev/fd
mkdir -p .old
pivot_root . .old
umount -l /.old
export container=test
exec /lib/systemd/systemd --log-target=console multi-user.target
"""


def hierarchy():
    """Where systemd may have a cgroup: (folder, "v1" or "v2")."""
    named = pathlib.Path("/sys/fs/cgroup/systemd")
    if (named / "cgroup.procs").exists():
        return named, "v1"
    return pathlib.Path("/sys/fs/cgroup"), "v2"


class Machine:
    """A booted tree: run() is a command inside."""

    def __init__(self, folder):
        self.tree = folder / "tree"
        self.tree.mkdir()
        subprocess.run(["tar", "-xf", CACHED, "-C", self.tree], check=True)
        subprocess.run(["make", "-C", TOP, "--no-print-directory", "install",
                        f"DESTDIR={self.tree}"], check=True,
                       stdout=subprocess.DEVNULL)
        top, kind = hierarchy()
        self.cgroup = top / f"berth-test-{os.getpid()}"
        self.cgroup.mkdir()
        self.console = open(folder / "console", "wb+")
        script = folder / "enter"
        script.write_text(ENTER)
        self.proc = subprocess.Popen(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts",
             "--ipc", "--net", "--cgroup", "sh", script, self.tree, kind],
            stdin=subprocess.DEVNULL, stdout=self.console,
            stderr=self.console,
            env={"PATH": os.environ["PATH"], "TERM": "dumb"},
            preexec_fn=lambda: (self.cgroup / "cgroup.procs").write_text(
                str(os.getpid())))
        self.init = None

    def booted(self):
        """Find systemd, the only child of unshare, and wait for its bus."""
        children = f"/proc/{self.proc.pid}/task/{self.proc.pid}/children"
        deadline = time.monotonic() + START_S
        while time.monotonic() < deadline and self.proc.poll() is None:
            pids = open(children).read().split()
            if pids and "systemd" in open(f"/proc/{pids[0]}/comm").read():
                self.init = pids[0]
                state = self.run("systemctl", "is-system-running",
                                 check=False)
                if state in ("running", "degraded"):
                    return
            time.sleep(0.05)
        self.console.seek(0)
        raise RuntimeError("systemd did not boot:\n" +
                           self.console.read().decode(errors="replace"))

    def run(self, *command, check=True):
        done = subprocess.run(
            ["nsenter", "-t", self.init, "-m", "-u", "-i", "-n", "-p", "-C",
             *command], capture_output=True, text=True)
        if check:
            assert done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout.strip()

    def show(self, *keys):
        text = self.run("systemctl", "show", "berthd",
                        *[f"--property={k}" for k in keys])
        return dict(line.split("=", 1) for line in text.splitlines())

    def until(self, what, holds):
        deadline = time.monotonic() + START_S
        while not holds():
            assert time.monotonic() < deadline, \
                what + "\n" + self.run("journalctl", "-u", "berthd",
                                       "--no-pager")
            time.sleep(0.05)

    def end(self):
        if self.init:
            os.kill(int(self.init), signal.SIGKILL)
        self.proc.kill()
        self.proc.wait()
        self.console.close()
        deadline = time.monotonic() + START_S
        while self.cgroup.exists() and time.monotonic() < deadline:
            for path, _, _ in os.walk(self.cgroup, topdown=False):
                try:
                    os.rmdir(path)
                except OSError:  # a process of it is still going
                    time.sleep(0.05)
        shutil.rmtree(self.tree)


@pytest.fixture(scope="module")
def machine(tmp_path_factory):
    if not CACHED.exists():
        CACHED.parent.mkdir(parents=True, exist_ok=True)
        part = CACHED.with_suffix(".part.tar")
        subprocess.run(["mmdebstrap", "--quiet", "--variant=minbase",
                        f"--include={PACKAGES}", "bookworm", part],
                       check=True)
        part.rename(CACHED)
    booted = Machine(tmp_path_factory.mktemp("systemd"))
    try:
        booted.booted()
        yield booted
    finally:
        booted.end()


@pytest.mark.skipif(VARIANT != "release",
                    reason="the unit runs the release build; a sanitizer's "
                    "shadow and its /proc needs are not in its sandbox")
def test_unit(machine):
    machine.run("systemctl", "enable", "--now", "berthd")
    # Type=notify: start returned, so it is ready, as a user of its own.
    assert machine.show("ActiveState", "SubState", "NRestarts") == {
        "ActiveState": "active", "SubState": "running", "NRestarts": "0"}
    pid = machine.show("MainPID")["MainPID"]
    status = machine.run("cat", f"/proc/{pid}/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines()
                  if ":\t" in line)
    assert fields["Uid"].split()[0] != "0"
    assert fields["CapEff"] == fields["CapBnd"] == "0" * 16
    assert fields["NoNewPrivs"] == "1" and fields["Seccomp"] == "2"
    curl = ["curl", "-sS", "--max-time", "20", "-o", "/dev/null", "-w",
            "%{http_code}"]
    address = "http://127.0.0.1:5000"
    assert machine.run(*curl, f"{address}/readyz") == "200"

    # A blob goes in, and is there after a reload, a crash and a restart.
    digest = "sha256:" + ("2cf24dba5fb0a30e26e83b2ac5b9e29e"
                          "1b161e5c1fa7425e73043362938b9824")
    assert machine.run(
        *curl, "-X", "POST", "-H", "Content-Type: application/octet-stream",
        "--data-binary", "hello",
        f"{address}/v2/a/blobs/uploads/?digest={digest}") == "201"
    assert machine.run("stat", "-L", "-c", "%a", "/var/lib/berthd") == "700"
    machine.run("systemctl", "reload", "berthd")
    assert machine.run(*curl, f"{address}/v2/a/blobs/{digest}") == "200"
    assert machine.show("MainPID")["MainPID"] == pid

    machine.run("sh", "-c", f"kill -9 {pid}")
    machine.until("no restart after a crash",
                  lambda: machine.show("NRestarts", "SubState") == {
                      "NRestarts": "1", "SubState": "running"})
    assert machine.run(*curl, f"{address}/v2/a/blobs/{digest}") == "200"

    # What the sandbox must allow: chunks, a file larger than a buffer, both
    # ways, a delete.
    machine.run("sh", "-c", "head -c 5000000 /dev/urandom >/tmp/layer")
    digest = "sha256:" + machine.run("sha256sum", "/tmp/layer").split()[0]
    where = machine.run(
        "curl", "-sS", "-o", "/dev/null", "-w", "%header{location}", "-X",
        "POST", f"{address}/v2/a/blobs/uploads/")
    assert machine.run(*curl, "-X", "PATCH", "--data-binary", "@/tmp/layer",
                       f"{address}{where}") == "202"
    assert machine.run(*curl, "-X", "PUT",
                       f"{address}{where}?digest={digest}") == "201"
    back = machine.run("sh", "-c", f"curl -sS {address}/v2/a/blobs/{digest}"
                       " | sha256sum")
    assert "sha256:" + back.split()[0] == digest
    assert machine.run(*curl, "-X", "DELETE",
                       f"{address}/v2/a/blobs/{digest}") == "202"
    assert machine.run(*curl, f"{address}/v2/a/blobs/{digest}") == "404"

    machine.run("systemctl", "stop", "berthd")
    assert machine.show("ActiveState", "Result", "ExecMainStatus") == {
        "ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
    log = machine.run("journalctl", "-u", "berthd", "--no-pager")
    assert " ready: listening on 127.0.0.1:5000, [::1]:5000" in log
