"""A store of berth's own, and what the machine shows of its containers."""

import itertools
import json
import os
import pathlib
import signal
import subprocess

from conftest import BUILD
from rootfs import busybox_tar

BERTH = str(BUILD / "berth")
APPLETS = ["cat", "chmod", "echo", "env", "grep", "head", "hostname", "id",
           "kill", "ln", "ls", "mkdir", "mknod", "mount", "mv", "ps", "pwd",
           "readlink", "rm", "sh", "sleep", "stat", "tail", "touch", "tr",
           "true", "umount", "unshare", "wc"]


def rootfs_tar(files=(), links=(), without=()):
    """Busybox alone; folders in `without` are left out."""
    folders = [name for name in ("bin", "etc", "tmp") if name not in without]
    return busybox_tar(APPLETS, folders, files, links)


def is_alive(pid):
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


class Host:
    """A store of one's own, and what the machine shows of it."""

    def __init__(self, folder):
        self.root = folder / "root"
        self.run = folder / "run"
        self.token = f"BERTH_KILL_TEST={folder}"
        self.env = dict(os.environ, BERTH_ROOT=str(self.root),
                        BERTH_RUN=str(self.run))
        self.ids = set()

    def start(self, *args):
        return subprocess.Popen(
            [BERTH, *map(str, args)], env=self.env, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)

    def berth(self, *args, code=0):
        done = subprocess.run(
            [BERTH, *map(str, args)], env=self.env, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=120)
        assert code is None or done.returncode == code, (args, done)
        return done.stdout

    def processes(self, marker=None):
        """Living processes with our store (or the marker) in their
        environment: clients and monitors, not what runs in containers."""
        wanted = (marker or f"BERTH_ROOT={self.root}").encode()
        found = {}
        for entry in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    status = (entry / "status").read_text()
                    if "\nState:\tZ" not in status:
                        found[int(entry.name)] = (
                            entry / "comm").read_text().strip()
            except OSError:
                continue
        return found

    def state(self, container):
        try:
            return json.loads((self.run / container / "state.json")
                              .read_text())
        except (OSError, ValueError):
            return {}

    def containers(self):
        """Id -> state, as ps -a tells it."""
        out = {}
        for line in self.berth("ps", "-a", "--format", "json").splitlines():
            row = json.loads(line)
            out[row["ID"]] = row["State"]
        return out

    def folders(self):
        try:
            return sorted(p.name for p in (self.root / "containers").iterdir())
        except OSError:
            return []

    def groups(self):
        """Cgroup folders of containers of ours, with their members."""
        out = {}
        for path in itertools.chain(
                pathlib.Path("/sys/fs/cgroup").glob("berth/*"),
                pathlib.Path("/sys/fs/cgroup").glob("*/berth/*")):
            if path.name in self.ids:
                try:
                    out[str(path)] = (path / "cgroup.procs").read_text()
                except OSError:
                    continue
        return out

    def note_ids(self):
        if self.run.exists():
            self.ids |= {p.name for p in self.run.iterdir()
                         if len(p.name) == 64}
        self.ids |= set(self.folders())

    def import_busybox(self, image):
        tar = self.root.parent / "rootfs.tar"
        tar.write_bytes(rootfs_tar())
        self.berth("import", tar, image)

    def remove_containers(self):
        for short in self.containers():
            self.berth("rm", "-f", short)

    def end(self):
        """End what a failed test left running."""
        for pid in self.processes() | self.processes(self.token):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
