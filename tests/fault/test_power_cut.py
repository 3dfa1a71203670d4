"""A power cut at random moments: what was acknowledged is there.

The data folder lies on a file system of its own, on a loop device.  The cut
is the file system's shutdown ioctl without a log flush: whatever was not
synced is lost, as with the power.  Then berthd is killed, the file system
mounted again (which replays its journal), and the ledger checked.
"""

import fcntl
import os
import random
import struct
import subprocess
import time

import pytest

from conftest import Berthd, kill_started_since
from ledger import Ledger, Pushers, check, resume

ROUNDS = 100 if os.environ.get("BERTH_LONG") else 8
SHUTDOWN = 0x8004587D  # _IOR('X', 125, __u32), FS_IOC_SHUTDOWN
NO_LOG_FLUSH = 2
MAKE = {"ext4": ["mkfs.ext4", "-q"], "xfs": ["mkfs.xfs", "-q"]}


class Disk:
    def __init__(self, folder, kind):
        self.image, self.mount = folder / "disk", folder / "mnt"
        with open(self.image, "wb") as f:
            f.truncate((1 << 30) + ROUNDS * (100 << 20))  # sparse
        self.mount.mkdir()
        subprocess.run([*MAKE[kind], str(self.image)], check=True)
        # One device for all mounts: one that `mount -o loop` makes is cleared
        # some time after the umount, and the next mount may still get it.
        self.device = subprocess.run(
            ["losetup", "--show", "-f", str(self.image)], check=True,
            capture_output=True, text=True).stdout.strip()
        self.attach()

    def attach(self):
        subprocess.run(["mount", self.device, str(self.mount)], check=True)
        assert os.path.ismount(self.mount)

    def cut(self):
        fd = os.open(self.mount, os.O_RDONLY)
        fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", NO_LOG_FLUSH))
        os.close(fd)

    def detach(self):
        subprocess.run(["umount", str(self.mount)], check=True)
        assert not os.path.ismount(self.mount)


@pytest.fixture(params=MAKE)
def disk(request, tmp_path):
    before = set(Berthd.running)
    made = Disk(tmp_path, request.param)
    yield made
    kill_started_since(before)
    if os.path.ismount(made.mount):
        made.detach()
    subprocess.run(["losetup", "-d", made.device], check=True)


def test_power_cut_at_random_moments(disk):
    seed = int(os.environ.get("BERTH_SEED", time.time_ns()))
    print(f"seed {seed} (BERTH_SEED), {ROUNDS} rounds")
    rng = random.Random(seed)
    server = Berthd(disk.mount / "data", "--log-level", "error", start=False)
    checked = resumed = 0
    for _ in range(ROUNDS):
        server.start()
        ledger = Ledger()
        pushers = Pushers(server, ledger, rng)
        time.sleep(rng.uniform(0.1, 0.8))
        ledger.cut.set()
        disk.cut()
        time.sleep(rng.uniform(0, 0.1))  # what it answers now must be no
        server.kill()
        pushers.join()
        assert not ledger.broken
        disk.detach()
        disk.attach()
        server.start()
        http = server.client()
        check(http, ledger)
        resumed += resume(http, ledger)
        check(http, ledger)
        checked += len(ledger.blobs) + len(ledger.manifests)
        http.close()
        server.stop()
    print(f"{checked} objects checked, {resumed} uploads resumed")
    assert checked > 0


def test_the_cut_is_sharp(disk):
    """The control: bytes that were not synced are gone after a cut."""
    path = disk.mount / "unsynced"
    path.write_bytes(b"x" * 100_000)
    disk.cut()
    disk.detach()
    disk.attach()
    assert not path.exists() or path.read_bytes() != b"x" * 100_000
