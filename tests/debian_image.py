"""A real Debian image with everything that layers do to one another.

Layer 0 is Debian's minimal system as mmdebstrap makes it (usr-merged, setuid
programs, device-free).  The layers above replace folders by files and files
by folders, remove by whiteout and by opaque folder, add below the
usr-merged folders, and carry hard links, file capabilities and odd modes.
CHECK is a program inside the image whose output must not depend on who
unpacked the layers.  (No entry is written *through* a usr-merge link: docker
and podman unpack each layer by itself and turn such a link into a folder,
containerd and we follow it, so their answers differ there.)
"""

import gzip
import hashlib
import io
import json
import os
import pathlib
import subprocess
import tarfile

EPOCH = 1_700_000_000

# cap_net_raw+ep as the kernel stores it (struct vfs_cap_data, revision 2).
CAP_NET_RAW_EP = bytes.fromhex("0100000200200000" + "00" * 12)

CHECK = r"""#!/bin/sh
# Prints facts that only right unpacking gives.
cd /
for f in lib bin sbin; do echo "$f -> $(readlink $f)"; done
stat -c '%n %a %U:%G %F' /usr/bin/su /tmp /var/tmp /opt/odd /opt/tofile \
    /opt/todir /opt/opaque /opt/opaque/new /opt/sticky /usr/lib/merged.so \
    /usr/bin/merged-tool /opt/empty
for f in /opt/gone /opt/todir.txt /opt/opaque/old /opt/tofile/inside \
    /opt/wh; do [ -e $f ] && echo "WRONG: $f is there" || echo "no $f"; done
[ /opt/hard-a -ef /opt/hard-b ] && echo "hard links are one file"
cat /opt/hard-b /opt/tofile /opt/todir/inside /opt/opaque/new
ls -A /opt | LC_ALL=C sort | tr '\n' ' '; echo
getfattr -n security.capability --only-values /opt/capfile 2>/dev/null |
    od -An -tx1 || :
stat -c '%Y' /opt/odd
/usr/bin/merged-tool
"""


def _entry(name, data=None, mode=0o644, kind=tarfile.REGTYPE, link="",
           pax=None, uid=0, gid=0):
    info = tarfile.TarInfo(name)
    info.type = kind
    info.mode = mode
    info.uid, info.gid = uid, gid
    info.mtime = EPOCH
    info.linkname = link
    if pax:
        info.pax_headers = pax
    if data is not None:
        info.size = len(data)
    return info, data


def _dir(name, mode=0o755):
    return _entry(name, mode=mode, kind=tarfile.DIRTYPE)


def _tar(entries):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for info, data in entries:
            tar.addfile(info, io.BytesIO(data) if data is not None else None)
    return out.getvalue()


def upper_layers():
    """The hand-made layers as uncompressed tar bytes, lowest first."""
    cap = CAP_NET_RAW_EP.decode("latin-1")
    first = _tar([
        _dir("opt"), _dir("opt/tofile"), _entry("opt/tofile/inside", b"x\n"),
        _entry("opt/todir", b"was a file\n"),
        _entry("opt/todir.txt", b"goes\n"),
        _dir("opt/opaque"), _entry("opt/opaque/old", b"old\n"),
        _entry("opt/gone", b"gone\n"), _dir("opt/wh"),
        _entry("opt/wh/deep", b"deep\n"),
        _entry("opt/odd", b"odd\n", mode=0o4750, uid=1, gid=2),
        _dir("opt/sticky", mode=0o1777), _dir("opt/empty", mode=0o700),
        _entry("opt/capfile", b"#!/bin/true\n", mode=0o755,
               pax={"SCHILY.xattr.security.capability": cap}),
        _entry("opt/hard-a", b"hard\n"),
        _entry("opt/hard-b", kind=tarfile.LNKTYPE, link="opt/hard-a"),
    ])
    second = _tar([
        _entry("usr/lib/merged.so", b"beside the link\n"),
        _entry("usr/bin/merged-tool", b"#!/bin/sh\necho merged-tool runs\n",
               mode=0o755),
        _entry("opt/tofile", b"now a file\n"),
        _entry("opt/.wh.todir.txt", b""), _entry("opt/.wh.gone", b""),
        _entry("opt/.wh.wh", b""),
        _dir("opt/opaque"), _entry("opt/opaque/.wh..wh..opq", b""),
        _entry("opt/opaque/new", b"new\n"),
    ])
    third = _tar([
        _dir("opt/todir"), _entry("opt/todir/inside", b"now a folder\n"),
        _entry("check", CHECK.encode(), mode=0o755),
    ])
    return [first, second, third]


def base_tar(cache):
    """Debian's minimal system as a tar; made once and kept in cache."""
    cache = pathlib.Path(cache)
    cache.mkdir(parents=True, exist_ok=True)
    path = cache / "debian-base.tar"
    if not path.exists():
        part = path.with_suffix(f".part{os.getpid()}")
        subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=minbase", "--include=attr",
             "--dpkgopt=path-exclude=/usr/share/doc/*",
             "--dpkgopt=path-exclude=/usr/share/locale/*",
             "--dpkgopt=path-exclude=/usr/share/man/*",
             "--format=tar", "bookworm", str(part)],
            check=True, stdin=subprocess.DEVNULL)
        part.rename(path)
    return path


def _blob(blobs, data):
    digest = hashlib.sha256(data).hexdigest()
    (blobs / digest).write_bytes(data)
    return {"digest": "sha256:" + digest, "size": len(data)}


def _write(folder, tars, tag, config):
    """Write layers (uncompressed tars) and config as an OCI layout."""
    folder = pathlib.Path(folder)
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    layers, diff_ids = [], []
    for data in tars:
        diff_ids.append("sha256:" + hashlib.sha256(data).hexdigest())
        layers.append({
            "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip",
            **_blob(blobs, gzip.compress(data, 1, mtime=0))})
    config = {
        "architecture": "amd64", "os": "linux", "config": config,
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
        "history": [{"created_by": f"layer {i}"} for i in range(len(tars))],
    }
    manifest = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                   **_blob(blobs, json.dumps(config).encode())},
        "layers": layers,
    }
    entry = _blob(blobs, json.dumps(manifest).encode())
    index = {"schemaVersion": 2, "manifests": [{
        "mediaType": manifest["mediaType"], **entry,
        "annotations": {"org.opencontainers.image.ref.name": tag}}]}
    (folder / "index.json").write_text(json.dumps(index))
    (folder / "oci-layout").write_text('{"imageLayoutVersion": "1.0.0"}')
    return entry["digest"]


def write_layout(folder, cache, tag="debian"):
    """Write the Debian image as an OCI layout; returns its digest."""
    tars = [base_tar(cache).read_bytes(), *upper_layers()]
    return _write(folder, tars, tag, {
        "Cmd": ["/check"],
        "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
                "/sbin:/bin"]})


def write_small(folder, seed, layers, tag="image"):
    """A small image whose content depends on seed; returns its digest."""
    tars = [_tar([_entry(f"file-{number}", f"{seed} {number}\n".encode() * 99)])
            for number in range(layers)]
    return _write(folder, tars, tag, {"Cmd": ["/file-0"]})
