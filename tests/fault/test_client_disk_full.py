"""A full disk under berth: a clear error, nothing half, and removing works."""

import gzip
import io
import json
import os
import re
import subprocess
import tarfile

import pytest

from client_host import BERTH, Host, rootfs_tar
from conftest import Berthd, kill_started_since
from rawhttp import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, sha256
from waiting import wait_for

DISK = 64 << 20
KEPT = DISK // 20


@pytest.fixture
def host(tmp_path):
    """A store on a 64 MiB ext4 of its own."""
    before = set(Berthd.running)
    image, mount = tmp_path / "disk", tmp_path / "mnt"
    with open(image, "wb") as f:
        f.truncate(DISK)
    mount.mkdir()
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
    subprocess.run(["mount", "-o", "loop", str(image), str(mount)], check=True)
    made = Host(mount)
    made.run = tmp_path / "run"
    made.env["BERTH_RUN"] = str(made.run)
    (tmp_path / "root.tar").write_bytes(rootfs_tar())
    made.berth("import", tmp_path / "root.tar", "small:1")
    yield made
    made.end()
    kill_started_since(before)
    # The monitor of --rm unlinks files after the client's end, and a process
    # that exits has lost its environment, by which it is found, before its
    # files: the disk is free when it can be unmounted.
    wait_for(lambda: subprocess.run(["umount", str(mount)]).returncode == 0,
             "the disk to be free")


def objects(host):
    """Everything in the store but lock files and empty shards."""
    return sorted(
        str(path.relative_to(host.root)) for path in host.root.rglob("*")
        if not path.is_dir() and path.parent.name != "busy" and
        path.name not in ("lock", "boot"))


def free(host):
    st = os.statvfs(host.root)
    return st.f_bavail * st.f_frsize


def big_tar(path, size, is_dense, files=1):
    """Files of `size` bytes in all, which gzip shrinks or does not."""
    with tarfile.open(path, "w") as tar:
        for i in range(files):
            info = tarfile.TarInfo(f"big{i}")
            info.size = size // files
            data = os.urandom(info.size) if is_dense else bytes(info.size)
            tar.addfile(info, io.BytesIO(data))


def fill(host):
    """Take the disk's last byte, and its last folder entry's room."""
    with open(host.root.parent / "filler", "wb", buffering=0) as f:
        for size in (1 << 20, 4096, 1):
            try:
                while f.write(bytes(size)):
                    pass
            except OSError:
                continue
    assert free(host) < 4096


def import_fails(host, path, name="big:1"):
    before = objects(host)
    done = subprocess.run([BERTH, "import", str(path), name],
                          env=host.env, capture_output=True, text=True)
    assert done.returncode == 1, done
    assert done.stderr.startswith("berth: "), done
    assert re.search("no space left", done.stderr, re.I), done
    assert objects(host) == before
    assert "big" not in host.berth("images")
    return done.stderr


# The blob is too large; the blob fits and its file does not; nor do many.
@pytest.mark.parametrize("size, is_dense, files", [
    (2 * DISK, True, 1), (2 * DISK, False, 1), (2 * DISK, False, 2000),
    (DISK // 2 + DISK // 10, True, 4)])
def test_an_image_that_does_not_fit(tmp_path, host, size, is_dense, files):
    big_tar(tmp_path / "big.tar", size, is_dense, files)
    before = free(host)
    text = import_fails(host, tmp_path / "big.tar")
    assert re.search(r"[\d.]+ \w+ needed, [\d.]+ \w+ free", text), text
    assert before - free(host) < 1 << 20
    assert free(host) > KEPT
    assert host.berth("run", "--rm", "small:1", "echo", "ok") == "ok\n"


def test_too_many_files(tmp_path, host):
    """Inodes end before bytes do."""
    inodes = os.statvfs(host.root).f_favail
    with tarfile.open(tmp_path / "many.tar", "w") as tar:
        for i in range(inodes + 10):
            tar.addfile(tarfile.TarInfo(f"{i % 100}/{i}"))
    import_fails(host, tmp_path / "many.tar")
    assert os.statvfs(host.root).f_favail >= inodes - 10


def test_removing_on_a_full_disk(tmp_path, host):
    host.berth("run", "--name", "old", "small:1", "sh", "-c",
               "head -c 100000 /bin/busybox >/file")
    big_tar(tmp_path / "mid.tar", DISK // 4, True)
    host.berth("import", tmp_path / "mid.tar", "mid:1")
    fill(host)
    big_tar(tmp_path / "big.tar", 1 << 20, True)
    import_fails(host, tmp_path / "big.tar")
    done = subprocess.run(
        [BERTH, "run", "--name", "new", "small:1", "true"],
        env=host.env, capture_output=True, text=True)
    assert done.returncode == 125
    assert re.search("no space left", done.stderr, re.I), done
    assert list(host.containers().values()) == ["exited"]
    assert "mid" in host.berth("images")
    host.berth("rm", "old")
    assert host.folders() == []
    before = free(host)
    host.berth("rmi", "mid:1")
    assert free(host) - before > DISK // 4
    host.berth("rmi", "small:1")
    assert objects(host) == ["format"]
    (host.root.parent / "filler").unlink()
    host.berth("import", tmp_path / "root.tar", "small:1")
    assert host.berth("run", "--rm", "small:1", "echo", "ok") == "ok\n"


def push_layer(http, folder, size):
    """An image big:v2 whose blob fits on the disk, but not its content."""
    big_tar(folder / "mid.tar", size, False)
    plain = (folder / "mid.tar").read_bytes()
    layer = gzip.compress(plain, 1)
    config = json.dumps({"rootfs": {"type": "layers",
                                    "diff_ids": [sha256(plain)]}}).encode()
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST}
    for key, kind, data in (("config", OCI_CONFIG, config),
                            ("layers", OCI_LAYER, layer)):
        found = {"mediaType": kind, "size": len(data),
                 "digest": http.push_blob("big", data)}
        manifest[key] = [found] if key == "layers" else found
    answer = http.put_manifest("big", "v2", json.dumps(manifest).encode())
    assert answer.status == 201, answer


def test_a_pull_that_does_not_fit(tmp_path, host):
    server = Berthd(tmp_path / "registry")
    http = server.client()
    before = objects(host)
    half = [os.urandom(DISK // 2) for _ in range(3)]
    http.push_image("big", "v1", half)
    push_layer(http, tmp_path, 2 * DISK)
    for tag in ("v1", "v2"):
        done = subprocess.run(
            [BERTH, "pull", f"{server.host}/big:{tag}"], env=host.env,
            capture_output=True, text=True)
        assert done.returncode == 1, done
        assert "no space left" in done.stderr, done
        assert "needed" in done.stderr, done
        assert ("96.0 MiB needed" in done.stderr) == (tag == "v1"), done
        assert objects(host) == before
        assert "big" not in host.berth("images")
    gets = [line for line in server.log if "GET" in line and "/blobs/" in line]
    assert len(gets) == 2, gets  # of v2 only: its config and its layer
    http.close()
    server.stop()
