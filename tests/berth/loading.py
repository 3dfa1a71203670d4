"""What the tests of save and load share: an empty store, an image, load."""

import gzip
import json
import subprocess
import tarfile

import pytest

import archives
from archives import Oci, docker, hexdigest, layer, link, oci, to_tar
from containers import BERTH, berth, rootfs_tar

ONE, TWO = layer(one="1\n", both="1\n"), layer(two="2\n", both="2\n")


def load(data, *args, code=0):
    """Load an archive's bytes from stdin; what berth printed."""
    if not isinstance(data, bytes):
        data = to_tar(data)
    done = subprocess.run([BERTH, "load", *args], input=data, timeout=120,
                          capture_output=True)
    assert done.returncode == code, done
    return (done.stdout if code == 0 else done.stderr).decode()


def inspect(name):
    return json.loads(berth("inspect", "--type", "image", name))[0]


def objects(root):
    """All that the store holds of images, scratch and trash."""
    return sorted(str(p.relative_to(root)) for part in
                  ("blobs", "refs", "scratch", "trash", "layers")
                  for p in (root / part).glob("**/*")
                  if p.is_file() and "/fs/" not in str(p))


@pytest.fixture(autouse=True)
def empty(fresh_store):
    """Every test begins and ends without images."""
    yield
    for line in berth("images", "--format", "json").splitlines():
        row = json.loads(line)
        berth("rmi", "-f", row["Repository"] + (
            f"@{row['Digest']}" if row["Tag"] == "<none>"
            else ":" + row["Tag"]))
    assert objects(fresh_store) == []


@pytest.fixture
def image(tmp_path):
    """rt:1 of two names: an imported root, so with a compressed layer."""
    (tmp_path / "root.tar").write_bytes(rootfs_tar())
    berth("import", "-c", "LABEL a=b", tmp_path / "root.tar", "rt:1")
    berth("tag", "rt:1", "localhost:5000/x/rt:two")
    return "rt:1"


def oci_combined():
    """As docker 25 and newer: both descriptions, plain layers."""
    made = Oci()
    config = archives.config_of([ONE, TWO])
    files = made.add(made.image([ONE, TWO], config), "docker.io/library/arch:1",
                     ).files(mediaType=archives.OCI_INDEX)
    item = {"Config": "blobs/sha256/" + hexdigest(config),
            "RepoTags": ["other:name"],
            "Layers": ["blobs/sha256/" + hexdigest(d) for d in (ONE, TWO)],
            "LayerSources": {}}
    return {"blobs": folder(), **files, "repositories": b"{}",
            "manifest.json": json.dumps([item]).encode()}


def folder():
    info = tarfile.TarInfo()
    info.type, info.mode = tarfile.DIRTYPE, 0o755
    return info


def docker_linked():
    """As docker before 25 saves a layer that comes twice, and old links."""
    files = docker(ONE, TWO)
    first, second = list(files)[:2]
    config = archives.config_of([ONE, TWO, ONE, ONE])
    files[f"{7:064x}/layer.tar"] = link(f"../{first}")
    files["hard/layer.tar"] = link(first, tarfile.LNKTYPE)
    files[hexdigest(config) + ".json"] = config
    files["manifest.json"] = json.dumps([{
        "Config": hexdigest(config) + ".json", "RepoTags": ["arch:1"],
        "Layers": [first, second, f"{7:064x}/layer.tar", "hard/layer.tar"]}
        ]).encode()
    return files


def of_platforms(nested):
    made = Oci()
    images = [
        {**made.image([ONE], archives.config_of([ONE], arch=arch)),
         "platform": {"os": system, "architecture": arch}}
        for system, arch in (("unknown", "unknown"), ("linux", "arm64"),
                             ("linux", "amd64"))]
    if nested:
        return made.add(made.index(made.index(*images)), "arch:1").files()
    for entry in images[1:]:
        made.add(entry, "arch:1")
    return made.files()


def artifact():
    """A signature beside an image."""
    made = Oci()
    made.add(made.image([ONE, TWO]), "arch:1")
    return made.add(made.blob(json.dumps({
        "schemaVersion": 2, "mediaType": archives.OCI_MANIFEST,
        "config": made.blob(b"{}", "application/vnd.example+json"),
        "layers": []}).encode(), archives.OCI_MANIFEST)).files()


def zstd(data):
    return subprocess.run(["zstd", "-qc"], input=data, check=True,
                          capture_output=True).stdout


UNDERSTOOD = {
    "oci": lambda: oci(ONE, TWO),
    "oci-reversed": lambda: list(oci(ONE, TWO).items())[::-1],
    "oci-dot-slash": lambda: {"./" + k: v for k, v in oci(ONE, TWO).items()},
    "oci-ref-name": lambda: (lambda made: made.add(
        made.image([ONE, TWO]), "arch:1", archives.OCI_NAME).files())(Oci()),
    "oci-gzip-layers": lambda: (lambda made: made.add(made.image(
        [ONE, TWO], stored=[gzip.compress(d) for d in (ONE, TWO)]),
        "arch:1").files())(Oci()),
    "oci-extra-files": lambda: {**oci(ONE, TWO), "readme": b"hello",
                                "blobs/sha256/x": b"no digest"},
    "oci-artifact": artifact,
    "combined": oci_combined,
    "docker": lambda: docker(ONE, TWO),
    "docker-reversed": lambda: list(docker(ONE, TWO).items())[::-1],
    "docker-linked": docker_linked,
    "docker-gzip-layers": lambda: (lambda files: {
        name: gzip.compress(data) if name.endswith("/layer.tar") else data
        for name, data in files.items()})(docker(ONE, TWO)),
    "docker-zstd-layers": lambda: (lambda files: {
        name: zstd(data) if name.endswith("/layer.tar") else data
        for name, data in files.items()})(docker(ONE, TWO)),
    "index": lambda: of_platforms(True),
    "side-by-side": lambda: of_platforms(False),
    "gnu-tar": lambda: to_tar({"x" * 200: b"long", **oci(ONE, TWO)},
                              tarfile.GNU_FORMAT),
    "gzip": lambda: gzip.compress(to_tar(oci(ONE, TWO))),
    "zstd": lambda: zstd(to_tar(docker(ONE, TWO))),
    "twice-the-same": lambda: [*oci(ONE, TWO).items(),
                               *oci(ONE, TWO).items()],
}


def nested(depth):
    made = Oci()
    descriptor = made.image([ONE])
    for _ in range(depth):
        descriptor = made.index(descriptor)
    return made.add(descriptor, "arch:1").files()
