"""save and load killed, side by side, on a full disk, in little memory."""

import gzip
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tarfile

import pytest

from archives import Oci, docker, layer, oci, to_tar
from client_host import is_alive
from waiting import wait_for
from containers import BERTH, berth
from loading import ONE, TWO, empty, image, load, objects  # noqa: F401

pytestmark = pytest.mark.usefixtures("fresh_store")


# ---- killed, and side by side ---------------------------------------------
def test_a_killed_save_leaves_no_file(image, tmp_path):
    """It stands still in the middle: what it writes to has no name."""
    made = Oci()
    load(made.add(made.image([layer(x="x" * (8 << 20))]), "big:1").files())
    old = tmp_path / "old.tar"
    old.write_text("what was there")
    before = sorted(os.listdir(tmp_path))
    # RLIMIT_FSIZE kills it by SIGXFSZ once it has written half.
    done = subprocess.run([BERTH, "save", "-o", old, "big:1"],
                          preexec_fn=lambda: resource.setrlimit(
                              resource.RLIMIT_FSIZE, (4 << 20, 4 << 20)))
    assert done.returncode == -signal.SIGXFSZ
    assert sorted(os.listdir(tmp_path)) == before
    assert old.read_text() == "what was there"


def test_a_killed_load_is_as_if_never_begun(fresh_store):
    load(oci(TWO, name="kept:1"))
    before = objects(fresh_store)
    data = to_tar(oci(ONE, layer(x="x" * 100000)))
    proc = subprocess.Popen([BERTH, "load"], stdin=subprocess.PIPE)
    proc.stdin.write(data[:len(data) - 50000])
    proc.stdin.flush()
    try:
        wait_for(lambda: list((fresh_store / "scratch").glob("*/spool/s-*")),
                 "something is spooled")
        # Who reads the tar sits in a cage, and goes with who waits for it.
        child = int(pathlib.Path(
            f"/proc/{proc.pid}/task/{proc.pid}/children").read_text())
        status = pathlib.Path(f"/proc/{child}/status").read_text()
        assert "Seccomp:\t2\n" in status and "NoNewPrivs:\t1\n" in status
        assert os.listdir(f"/proc/{child}/root") == []
    finally:
        proc.kill()
        proc.wait()
    wait_for(lambda: not is_alive(child), "the child is gone")
    proc.stdin.close()
    assert berth("images").count("\n") == 2
    # Whatever comes next takes back what it had.
    load(oci(TWO, name="kept:1"))
    assert objects(fresh_store) == before


@pytest.fixture
def small_disk(tmp_path, monkeypatch):
    """A store on a disk of 24 MiB."""
    (tmp_path / "disk").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none",
                    tmp_path / "disk"], check=True)
    monkeypatch.setenv("BERTH_ROOT", str(tmp_path / "disk" / "root"))
    yield tmp_path / "disk" / "root"
    monkeypatch.undo()
    subprocess.run(["umount", tmp_path / "disk"], check=True)


def test_a_full_disk(small_disk, tmp_path):
    """Too large an archive takes nothing, and what was there goes on."""
    load(oci(ONE, name="kept:1"))
    before = objects(small_disk)
    noise = layer(noise="".join(map(chr, os.urandom(16 << 20).translate(
        bytes(range(32, 96)) * 4))))
    for data in (oci(noise), docker(noise)):
        assert "no space left" in load(data, code=1).lower()
        assert objects(small_disk) == before
    # Half of it fits, but not beside its plain layer.
    some = layer(some="x" * (10 << 20))
    made = Oci()
    load(made.add(made.image([some], stored=[gzip.compress(some, 1)]),
                  "some:1").files())
    fits = subprocess.run([BERTH, "save", "some:1"], capture_output=True)
    assert fits.returncode == 0
    (small_disk.parent / "fill").write_bytes(bytes(8 << 20))
    done = berth("save", "--format", "docker-archive", "-o",
                 tmp_path / "x.tar", "some:1", code=None)
    assert done.returncode == 1 and not (tmp_path / "x.tar").exists()
    assert "no space left on the store's disk" in done.stderr
    (small_disk.parent / "fill").unlink()
    berth("save", "--format", "docker-archive", "-o", tmp_path / "x.tar",
          "some:1")
    berth("rmi", "some:1", "kept:1")
    assert objects(small_disk) == []


def test_many_at_once(fresh_store):
    """Loads of shared layers, while others remove them, all end well."""
    shared_layers = [layer(n=str(n)) for n in range(4)]
    archives_of = []
    for number in range(4):
        made = Oci()
        made.add(made.image(shared_layers[:number + 1]), f"many:{number}")
        archives_of.append(to_tar(made.files()))
    for _ in range(5):
        procs = [subprocess.Popen([BERTH, "load", "-q"],
                                  stdin=subprocess.PIPE,
                                  stdout=subprocess.DEVNULL)
                 for _ in archives_of]
        for proc, data in zip(procs, archives_of):
            proc.stdin.write(data)
            proc.stdin.close()
        assert [proc.wait() for proc in procs] == [0] * len(procs)
        savers = [subprocess.Popen([BERTH, "save", f"many:{number}"],
                                   stdout=subprocess.DEVNULL)
                  for number in range(4)]
        assert [proc.wait() for proc in savers] == [0] * len(savers)
        berth("rmi", *(f"many:{number}" for number in range(4)))
    assert objects(fresh_store) == []


# ---- memory ---------------------------------------------------------------
MEMORY_KIB = 64 << 10

BIG = 128 << 20


def peak_kib(*args):
    """Run berth; the most memory that any of its processes had."""
    # The memory of whoever forks counts until the exec: hence a small one.
    code = ("import os, subprocess, sys\n"
            "proc = subprocess.Popen(sys.argv[1:], stdout=2)\n"
            "_, status, usage = os.wait4(proc.pid, 0)\n"
            "print(usage.ru_maxrss if status == 0 else 1 << 40)\n")
    return int(subprocess.run(
        [sys.executable, "-S", "-c", code, BERTH, *map(str, args)], text=True,
        stdout=subprocess.PIPE, check=True).stdout)


@pytest.mark.skipif("asan" in os.environ.get("BERTH_VARIANT", ""),
                    reason="memory is measured without sanitizers")
def test_memory_is_bounded(tmp_path):
    """A layer of 128 MiB and 9000 files pass through a little memory."""
    noise = tmp_path / "noise"
    with open(noise, "wb") as out:
        for _ in range(BIG >> 20):
            out.write(os.urandom(1 << 16) * 16)
    with tarfile.open(tmp_path / "layer.tar", "w") as tar:
        tar.add(noise, "noise")
    noise.unlink()
    data = (tmp_path / "layer.tar").read_bytes()
    files = {**{f"f{n}": b"" for n in range(9000)}, **oci(data)}
    (tmp_path / "oci.tar").write_bytes(to_tar(files))
    (tmp_path / "docker.tar").write_bytes(to_tar(docker(data,
                                                        tags=["arch:2"])))
    del files, data
    assert peak_kib("load", "-q", "-i", tmp_path / "oci.tar") < MEMORY_KIB
    assert peak_kib("load", "-q", "-i", tmp_path / "docker.tar") < MEMORY_KIB
    assert peak_kib("save", "-o", tmp_path / "out.tar", "arch:1",
                    "arch:2") < MEMORY_KIB
    assert (tmp_path / "out.tar").stat().st_size > BIG
