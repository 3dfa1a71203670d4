"""What berth unpacks is what GNU tar unpacks, of a real root file system."""

import os
import pathlib
import subprocess

import pytest

from containers import berth

# Real files, links, set-id bits; zone files have many names each.
REAL = ["etc", "usr/share/zoneinfo", "usr/bin/passwd", "usr/bin/crontab",
        "usr/bin/wall", "usr/share/doc/tar", "var/lib/dpkg/alternatives",
        "var/mail", "var/run", "var/lock", "bin", "lib64"]
FORMATS = {
    "gnu-sparse": ["--format=gnu", "--sparse"],
    "oldgnu": ["--format=oldgnu"],
    "pax": ["--format=pax", "--xattrs", "--xattrs-include=*"],
    "pax-sparse": ["--format=pax", "--sparse", "--sparse-version=1.0",
                   "--xattrs", "--xattrs-include=*"],
    "pax-sparse-0.1": ["--format=pax", "--sparse", "--sparse-version=0.1"],
    "absolute": ["--format=gnu", "-P", "--transform=s,^,/,rSh"],
    # A file that tar is given twice becomes a link to itself.
    "dot-slash": ["--format=gnu", "--transform=s,^,./,S", "etc/hostname",
                  "etc/hostname"],
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """A folder "odd" of what a real root has seldom."""
    top = tmp_path_factory.mktemp("odd")
    root = top / "odd"
    root.mkdir()
    long = root / ("l" * 120) / ("m" * 120)
    long.mkdir(parents=True)
    (long / ("n" * 200)).write_text("long")
    os.symlink("x" * 180, root / "long-link")
    os.link(long / ("n" * 200), root / "short-name")
    (root / "grün-é-😀").write_text("unicode")
    with open(os.fsencode(root) + b"/latin-\xe9", "wb") as f:
        f.write(b"latin")
    with open(root / "sparse", "wb") as f:
        f.truncate(8 << 20)
        for at in (0, 3 << 20, 7 << 20):
            f.seek(at)
            f.write(os.urandom(5000))
    (root / "hole-at-end").write_bytes(b"x" * 4096)
    os.truncate(root / "hole-at-end", 2 << 20)
    (root / "empty").touch()
    for mode in (0o4755, 0o2711, 0o1777, 0o000, 0o444, 0o6777):
        path = root / f"mode-{mode:o}"
        path.write_text(str(mode))
        os.chown(path, mode, 65534)
        path.chmod(mode)
        folder = root / f"folder-{mode:o}"
        folder.mkdir()
        os.chown(folder, 7, mode)
        folder.chmod(mode)
    os.utime(root / "empty", ns=(1234567890123456789, 987654321987654321))
    os.setxattr(root / "empty", "user.some", bytes(range(256)))
    # Version 2, effective, CAP_NET_RAW.
    os.setxattr(root / "mode-444", "security.capability",
                bytes([1, 0, 0, 2, 0, 0x20]) + bytes(14))
    os.utime(root, (86400, 86400))
    return top


def describe(top):
    """Everything that an unpacked tree has, as lines."""
    # Folders above the named ones are in no archive: their time is now.
    implied = {parent for name in REAL
               for parent in map(bytes, pathlib.Path(name).parents)}
    names, lines = {}, []
    for folder, dirs, files in os.walk(os.fsencode(top)):
        for name in sorted([*dirs, *files]):
            path = os.path.join(folder, name)
            rel = os.path.relpath(path, os.fsencode(top))
            st = os.lstat(path)
            extra = ""
            if path in (os.path.join(folder, d) for d in dirs) and \
                    not os.path.islink(path):
                kind = "d"
            elif os.path.islink(path):
                kind, extra = "l", os.readlink(path)
            else:
                kind = "f"
                first = names.setdefault(st.st_ino, rel)
                extra = (st.st_size, first, st.st_nlink,
                         hash(pathlib.Path(os.fsdecode(path)).read_bytes()))
            xattrs = [] if kind == "l" else sorted(
                (key, os.getxattr(path, key)) for key in os.listxattr(path)
                if key.startswith("user.") or key == "security.capability")
            lines.append((rel, kind, oct(st.st_mode), st.st_uid, st.st_gid,
                          0 if rel in implied else st.st_mtime_ns, extra,
                          xattrs))
    return sorted(lines)


@pytest.mark.parametrize("row", FORMATS)
def test_as_gnu_tar(tmp_path, odd, row):
    archive, want = tmp_path / "root.tar", tmp_path / "want"
    want.mkdir()
    real = [name for name in REAL if os.path.lexists("/" + name)]
    extra = [x for x in FORMATS[row] if not x.startswith("-")]
    subprocess.run(
        ["tar", "-cf", archive, *[x for x in FORMATS[row] if x[0] == "-"],
         "-C", "/", *real, *extra, "-C", odd, "odd"], check=True,
        stderr=subprocess.DEVNULL)
    subprocess.run(
        ["tar", "-xpf", archive, "--numeric-owner", "--xattrs",
         "--xattrs-include=*", "-C", want], check=True,
        stderr=subprocess.DEVNULL)
    before = layers()
    berth("import", archive, "reference:1")
    (made,) = layers() - before
    try:
        got = describe(made / "fs")
        ours, theirs = set(map(str, got)), set(map(str, describe(want)))
        assert not ours ^ theirs, sorted(ours ^ theirs)[:10]
        assert len(got) > 1000
    finally:
        berth("rmi", "reference:1")


def layers():
    root = pathlib.Path(os.environ["BERTH_ROOT"]) / "layers"
    return set(root.iterdir()) if root.is_dir() else set()
