"""The root folder of a container is the image's: owner, mode and time."""

import io
import tarfile

import pytest

from containers import berth, rootfs_tar

# (mode, owner, mtime) of the entry "./"; None: the layer has no such entry.
ROOTS = {
    "private": (0o700, 1000, 1000000000),
    "sticky": (0o1777, 0, 1100000000),
    "setgid": (0o2755, 2000, 1200000000),
    "plain": (0o755, 0, 0),
    "unsaid": None,
}


def tar_with_root(root):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        if root is not None:
            info = tarfile.TarInfo("./")
            info.type = tarfile.DIRTYPE
            info.mode, info.uid, info.mtime = root
            info.gid = info.uid
            tar.addfile(info)
        for name in ("proc", "sys", "dev", "etc"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        with tarfile.open(fileobj=io.BytesIO(rootfs_tar())) as base:
            for member in base:
                if member.name != "etc":
                    tar.addfile(member, base.extractfile(member)
                                if member.isreg() else None)
    return out.getvalue()


@pytest.mark.parametrize("row", ROOTS)
def test_root_folder(tmp_path, row):
    path = tmp_path / "root.tar"
    path.write_bytes(tar_with_root(ROOTS[row]))
    berth("import", path, f"root:{row}")
    try:
        mode, owner, mtime = berth("run", "--rm", f"root:{row}", "stat", "-c",
                                   "%a %u:%g %Y", "/").split()
        if ROOTS[row] is None:
            assert (mode, owner) == ("755", "0:0")
        else:
            want_mode, uid, when = ROOTS[row]
            assert (mode, owner) == (f"{want_mode:o}", f"{uid}:{uid}")
            assert int(mtime) == when
    finally:
        berth("rmi", f"root:{row}")
