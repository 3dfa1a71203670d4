"""Hostile and odd layers: the host stays untouched, whatever a tar says."""

import gzip
import io
import os
import tarfile

import pytest

from containers import berth, rootfs_tar

REG, SYM, LNK, DIR, CHR, FIFO = (
    tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE,
    tarfile.CHRTYPE, tarfile.FIFOTYPE)


def tar_of(entries, victim):
    """entries: (type, name, link or data); {v} is the victim's path."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for kind, name, rest in entries:
            info = tarfile.TarInfo(name.format(v=victim))
            info.type, info.mode = kind, 0o755
            data = None
            if kind == REG:
                data = io.BytesIO(rest)
                info.size = len(rest)
            elif kind in (SYM, LNK):
                info.linkname = rest.format(v=victim)
            elif kind == CHR:
                info.devmajor, info.devminor = rest
            tar.addfile(info, data)
    return out.getvalue()


HOSTILE = {
    "dot-dot": [(REG, "../../../../{v}/x", b"bad")],
    "dot-dot-inside": [(DIR, "a", None), (REG, "a/../../../{v}/x", b"bad")],
    "absolute": [(REG, "{v}/x", b"bad")],
    "symlink-then-file": [(SYM, "link", "{v}"), (REG, "link/x", b"bad")],
    "relative-symlink": [(SYM, "link", "../../../../../..{v}"),
                         (REG, "link/x", b"bad")],
    "symlink-chain": [(SYM, "a", "b"), (SYM, "b", "{v}"),
                      (REG, "a/x", b"bad")],
    "symlink-over-folder": [(DIR, "d", None), (SYM, "d", "{v}"),
                            (REG, "d/x", b"bad")],
    "hardlink-outside": [(LNK, "x", "{v}/secret"), (REG, "x", b"bad")],
    "hardlink-dot-dot": [(LNK, "x", "../../../../../..{v}/secret"),
                         (REG, "x", b"bad")],
    "hardlink-through-symlink": [(SYM, "s", "{v}/secret"), (LNK, "x", "s"),
                                 (REG, "x", b"bad")],
    "root-is-a-symlink": [(SYM, ".", "{v}"), (REG, "x", b"bad")],
    "whiteout-of-parent": [(REG, ".wh...", b""), (REG, ".wh..", b"")],
    "whiteout-through-symlink": [(SYM, "s", "{v}"),
                                 (REG, "s/.wh.secret", b"")],
    "device": [(CHR, "disk", (8, 0)), (CHR, "zero-zero", (0, 0))],
    "fifo": [(FIFO, "pipe", None), (REG, "after", b"x")],
}


@pytest.mark.parametrize("row", HOSTILE)
def test_the_host_is_untouched(tmp_path, row):
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "secret").write_text("untouched")
    before = os.stat(victim / "secret")
    path = tmp_path / "layer.tar"
    path.write_bytes(tar_of(HOSTILE[row], victim))
    done = berth("import", path, "hostile:1", code=None)
    assert done.returncode in (0, 1), done
    assert sorted(os.listdir(victim)) == ["secret"]
    assert (victim / "secret").read_text() == "untouched"
    assert os.stat(victim / "secret").st_nlink == before.st_nlink
    assert os.stat(victim / "secret").st_mode == before.st_mode
    if done.returncode == 0:
        berth("rmi", "hostile:1")
    else:
        assert done.stderr.startswith("berth: ")
        assert "hostile" not in berth("images")


@pytest.mark.parametrize("damage", ["cut", "crc", "garbage", "tail"])
def test_damaged_archives(tmp_path, damage):
    data = gzip.compress(rootfs_tar(), 1, mtime=0)
    data = {"cut": data[:len(data) // 2],
            "crc": data[:-8] + bytes(4) + data[-4:],
            "garbage": b"\x1f\x8b" + os.urandom(1000),
            "tail": data + b"garbage"}[damage]
    path = tmp_path / "layer.tar.gz"
    path.write_bytes(data)
    done = berth("import", path, "damaged:1", code=None)
    assert done.returncode == 1 and done.stderr.startswith("berth: ")
    assert "damaged" not in berth("images")


def test_compressed_archives(tmp_path):
    whole = rootfs_tar()
    half = len(whole) // 2
    for name, data in {
            "one": gzip.compress(whole, 1, mtime=0),
            "members": gzip.compress(whole[:half]) +
            gzip.compress(whole[half:])}.items():
        path = tmp_path / name
        path.write_bytes(data)
        berth("import", path, "packed:1")
        assert berth("run", "--rm", "packed:1", "cat", "/data/seed") == \
            "from the image\n"
        berth("rmi", "packed:1")
