"""A root file system of Debian's static busybox, as tar bytes."""

import io
import pathlib
import tarfile

BUSYBOX = pathlib.Path("/bin/busybox")


def busybox_tar(applets, folders, files=(), links=()):
    """files are (name, bytes, mode), links are (name, target)."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        def add(name, kind, mode=0o755, data=b"", target=""):
            info = tarfile.TarInfo(name)
            info.type, info.mode, info.linkname = kind, mode, target
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name in folders:
            add(name, tarfile.DIRTYPE)
        add("bin/busybox", tarfile.REGTYPE, data=BUSYBOX.read_bytes())
        for name in applets:
            add("bin/" + name, tarfile.SYMTYPE, target="busybox")
        for name, data, mode in files:
            add(name, tarfile.REGTYPE, mode, data)
        for name, target in links:
            add(name, tarfile.SYMTYPE, target=target)
    return out.getvalue()
