"""A disk that is soon full."""

import subprocess

import pytest

from conftest import Berthd, kill_started_since


@pytest.fixture
def small_disk(tmp_path):
    """A 64 MiB ext4 of its own on a loop device."""
    before = set(Berthd.running)
    image, mount = tmp_path / "disk", tmp_path / "mnt"
    with open(image, "wb") as f:
        f.truncate(64 << 20)
    mount.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(mount)], check=True)
    yield mount
    kill_started_since(before)
    subprocess.run(["umount", str(mount)], check=True)
