"""berth save and load: archives of berth's own, and hostile ones."""

import gzip
import io
import json
import os
import pathlib
import pty
import random
import resource
import signal
import subprocess
import sys
import tarfile

import pytest

import archives
from archives import (Oci, docker, hexdigest, layer, link, oci, special,
                      to_tar)
from client_host import is_alive
from waiting import wait_for
from containers import BERTH, berth, rootfs_tar

pytestmark = pytest.mark.usefixtures("fresh_store")

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


# ---- save -----------------------------------------------------------------


@pytest.fixture
def image(tmp_path):
    """rt:1 of two names: an imported root, so with a compressed layer."""
    (tmp_path / "root.tar").write_bytes(rootfs_tar())
    berth("import", "-c", "LABEL a=b", tmp_path / "root.tar", "rt:1")
    berth("tag", "rt:1", "localhost:5000/x/rt:two")
    return "rt:1"


def test_a_round_trip(image, tmp_path):
    before = inspect(image)
    path = tmp_path / "x.tar"
    berth("save", "-o", path, image, "localhost:5000/x/rt:two")
    assert path.stat().st_mode & 0o777 == 0o600
    assert sorted(os.listdir(tmp_path)) == ["root.tar", "x.tar"]
    with tarfile.open(path) as tar:
        for member in tar:
            assert (member.mtime, member.uid, member.uname) == (0, 0, "")
            if member.name.startswith("blobs/sha256/"):
                data = tar.extractfile(member).read()
                assert hexdigest(data) == member.name[13:]
    berth("rmi", image, "localhost:5000/x/rt:two")
    assert berth("images").count("\n") == 1
    assert berth("load", "-i", path) == \
        "Loaded image: rt:1\nLoaded image: localhost:5000/x/rt:two\n"
    after = inspect(image)
    for key in ("Id", "Descriptor", "RootFS", "Config", "Size"):
        assert after[key] == before[key]
    assert sorted(after["RepoTags"]) == ["localhost:5000/x/rt:two", "rt:1"]
    assert berth("run", "--rm", image, "cat", "/data/seed") == \
        "from the image\n"


def test_the_same_images_give_the_same_bytes(image, tmp_path):
    load(oci(ONE, TWO))
    names = [image, "arch:1"]
    berth("save", "-o", tmp_path / "a.tar", *names)
    saved = (tmp_path / "a.tar").read_bytes()
    for command in (["save", *names], ["save", *names, "arch:1"],
                    ["image", "save", *names]):
        done = subprocess.run([BERTH, *command], capture_output=True)
        assert done.returncode == 0 and done.stdout == saved
    # Another order only changes the order of the descriptions.
    done = subprocess.run([BERTH, "save", *names[::-1]], capture_output=True)
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as other, \
            tarfile.open(fileobj=io.BytesIO(saved)) as tar:
        assert other.getnames() == tar.getnames()
        assert len(tar.getnames()) == len(set(tar.getnames()))


def test_an_id_saves_no_name(image):
    whole = inspect(image)["Id"]
    for text in (whole, whole[7:], whole[7:19]):
        done = subprocess.run([BERTH, "save", text], capture_output=True)
        with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
            index = json.load(tar.extractfile("index.json"))
            listing = json.load(tar.extractfile("manifest.json"))
        assert "annotations" not in index["manifests"][0]
        assert listing[0]["RepoTags"] is None
    # Known by its names: they stay, and none is added.
    assert load(done.stdout) == f"Loaded image ID: {whole}\n"
    assert "unnamed" not in berth("images")
    berth("rmi", image, "localhost:5000/x/rt:two")
    assert load(done.stdout) == f"Loaded image ID: {whole}\n"
    assert inspect(whole)["RepoTags"] == []
    assert berth("run", "--rm", whole, "cat", "/data/seed") == \
        "from the image\n"
    berth("tag", whole[7:19], "named:again")
    assert inspect("named:again")["Id"] == whole


def test_an_oci_folder(image, tmp_path):
    berth("save", "--format", "oci-dir", "-o", tmp_path / "dir", image)
    descriptor = inspect(image)["Descriptor"]
    index = json.loads((tmp_path / "dir" / "index.json").read_text())
    assert index["manifests"][0]["digest"] == descriptor["digest"]
    assert not (tmp_path / "dir" / "manifest.json").exists()
    done = berth("save", "--format", "oci-dir", "-o", tmp_path / "dir", image,
                 code=None)
    assert done.returncode == 1 and "is not empty" in done.stderr
    berth("rmi", image, "localhost:5000/x/rt:two")
    assert berth("load", "-i", tmp_path / "dir") == "Loaded image: rt:1\n"
    assert inspect(image)["Descriptor"] == descriptor
    blob = next((tmp_path / "dir" / "blobs" / "sha256").iterdir())
    blob.write_bytes(b"x" + blob.read_bytes()[1:])
    done = berth("load", "-i", tmp_path / "dir", code=None)
    assert done.returncode == 1 and blob.name in done.stderr


def test_a_docker_archive():
    """Plain layers, each once, under their digests; the ids stay."""
    made = Oci()
    for name, layers in {"a:1": [ONE, TWO, ONE], "b:1": [ONE]}.items():
        made.add(made.image(layers, stored=[zstd(d) for d in layers]), name)
    load(made.files())
    berth("tag", "a:1", "localhost:5000/a:2")
    ids = {name: inspect(name)["Id"] for name in ("a:1", "b:1")}
    command = [BERTH, "save", "--format", "docker-archive", "a:1", "b:1",
               "localhost:5000/a:2"]
    done = subprocess.run(command, capture_output=True)
    assert done.returncode == 0, done
    assert subprocess.run(command, capture_output=True).stdout == done.stdout
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as tar:
        names = tar.getnames()
        listing = json.load(tar.extractfile("manifest.json"))
        for member in names[:-1]:
            assert hexdigest(tar.extractfile(member).read()) == \
                member.split(".")[0]
    assert sorted(names[:-1]) == sorted(
        [f"{hexdigest(d)}.tar" for d in (ONE, TWO)] +
        [f"{value[7:]}.json" for value in ids.values()])
    assert listing[0] == {
        "Config": ids["a:1"][7:] + ".json",
        "RepoTags": ["docker.io/library/a:1", "localhost:5000/a:2"],
        "Layers": [f"{hexdigest(d)}.tar" for d in (ONE, TWO, ONE)]}
    assert berth("rmi", "a:1", "b:1", "localhost:5000/a:2").split() == [
        "Untagged:", "a:1", "Untagged:", "b:1", "Untagged:",
        "localhost:5000/a:2"]
    load(done.stdout)
    assert {name: inspect(name)["Id"] for name in ids} == ids


def test_save_refuses_a_terminal(image):
    master, slave = pty.openpty()
    done = subprocess.run([BERTH, "save", image], stdout=slave,
                          stderr=subprocess.PIPE, text=True)
    os.close(slave)
    with pytest.raises(OSError):  # nothing was written, the other end is shut
        os.read(master, 1)
    os.close(master)
    assert done.returncode == 1 and "terminal" in done.stderr


def test_load_refuses_a_terminal():
    master, slave = pty.openpty()
    done = subprocess.run([BERTH, "load"], stdin=slave, text=True,
                          capture_output=True)
    os.close(slave)
    os.close(master)
    assert done.returncode == 1 and "terminal" in done.stderr


def test_save_leaves_nothing_half(image, tmp_path, fresh_store):
    def fails(*args):
        done = berth("save", *args, code=None)
        assert done.returncode == 1 and done.stderr.startswith("berth: save"), \
            done
        return done.stderr

    old = tmp_path / "old.tar"
    old.write_text("what was there")
    assert "no such image: no-such" in fails("-o", old, image, "no-such")
    assert "No space" in fails("-o", "/dev/full", image)
    assert "no-such" in fails("-o", tmp_path / "no-such" / "x.tar", image)
    # A blob that was damaged in the store is found out.
    descriptor = inspect(image)["Descriptor"]["digest"][7:]
    manifest = fresh_store / "blobs" / "sha256" / descriptor[:2] / descriptor
    digest = json.loads(manifest.read_text())["layers"][0]["digest"][7:]
    blob = fresh_store / "blobs" / "sha256" / digest[:2] / digest
    data = blob.read_bytes()
    blob.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert "is damaged" in fails("-o", old, image)
    # On a pipe, too, it does not end as a whole archive does.
    broken = subprocess.run([BERTH, "save", image], capture_output=True)
    assert broken.returncode == 1 and not broken.stdout.endswith(bytes(1024))
    blob.write_bytes(data)
    assert old.read_text() == "what was there"
    assert sorted(os.listdir(tmp_path)) == ["old.tar", "root.tar"]
    berth("save", "-o", old, image)
    assert tarfile.is_tarfile(old)
    bad = berth("save", "--format", "zip", "-o", old, image, code=None)
    assert bad.returncode == 1 and "oci-dir" in bad.stderr
    with open("/dev/full", "wb") as full:
        done = subprocess.run([BERTH, "save", image], stdout=full,
                              stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "No space" in done.stderr


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


# ---- what load understands ------------------------------------------------


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


@pytest.mark.parametrize("row", UNDERSTOOD)
def test_load_understands(row, fresh_store):
    assert load(UNDERSTOOD[row]()) == "Loaded image: arch:1\n"
    image = inspect("arch:1")
    assert image["RepoTags"] == ["arch:1"]
    assert image["RootFS"]["Layers"][0] == "sha256:" + hexdigest(ONE)
    assert image["Architecture"] == "amd64"
    top = list((fresh_store / "layers").glob("*/fs/one"))
    assert top and top[0].read_text() == "1\n"


def test_ids_and_digests_stay():
    made = Oci()
    descriptor = made.image([ONE, TWO])
    load(made.add(descriptor, "a:1").files())
    config = archives.config_of([ONE, TWO])
    assert inspect("a:1")["Descriptor"] == descriptor
    assert inspect("a:1")["Id"] == "sha256:" + hexdigest(config)
    # docker's way has no manifest; the id is what docker shows.
    load(docker(ONE, TWO, tags=["b:1", "localhost:5000/c:2"]))
    assert inspect("b:1")["Id"] == "sha256:" + hexdigest(config)
    assert sorted(inspect("b:1")["RepoTags"]) == ["a:1", "b:1",
                                                  "localhost:5000/c:2"]
    # Its layers are compressed as import does it, and always alike.
    digest = inspect("b:1")["Descriptor"]["digest"]
    assert digest != descriptor["digest"]
    berth("rmi", "b:1", "localhost:5000/c:2")
    load(docker(ONE, TWO, tags=["b:1"]))
    assert inspect("b:1")["Descriptor"]["digest"] == digest


def test_platforms_of_an_archive():
    files = of_platforms(True)
    load(files, "--platform", "linux/arm64")
    assert inspect("arch:1")["Architecture"] == "arm64"
    text = load(files, "--platform", "linux/s390x", code=1)
    assert "no image for linux/s390x: there is linux/arm64, linux/amd64" in text
    assert inspect("arch:1")["Architecture"] == "arm64"
    load(of_platforms(False), "--platform", "linux/arm64")
    assert inspect("arch:1")["Architecture"] == "arm64"
    text = load(of_platforms(False), "--platform", "linux/s390x", code=1)
    assert "two images with the name arch:1" in text


def test_images_without_a_name():
    for files in (oci(ONE, name=None), docker(ONE, tags=None),
                  docker(ONE, tags=[])):
        whole = "sha256:" + hexdigest(archives.config_of([ONE]))
        assert load(files) == f"Loaded image ID: {whole}\n"
    made = Oci()
    made.add(made.image([ONE]), "V1+x", archives.OCI_NAME)
    assert load(made.files()).startswith("Loaded image ID: ")
    made = Oci()
    made.add(made.image([ONE]), "a/b@sha256:" + "0" * 64)
    assert load(made.files()).startswith("Loaded image ID: ")


def test_many_images():
    made = Oci()
    for number in range(20):
        made.add(made.image([ONE, layer(n=str(number))]), f"many:{number}")
    said = load(made.files()).splitlines()
    assert said == [f"Loaded image: many:{number}" for number in range(20)]
    assert berth("images").count("many ") == 20
    names = [f"many:{number}" for number in range(20)]
    done = subprocess.run([BERTH, "save", *names], capture_output=True)
    berth("rmi", *names)
    assert load(done.stdout).splitlines() == said


def test_quiet_says_the_names():
    assert load(oci(ONE), "-q") == "Loaded image: arch:1\n"


# ---- what load refuses ----------------------------------------------------


def changed(files, name, old, new):
    """A part's bytes with old replaced by new."""
    assert old in files[name], files[name]
    return {**files, name: files[name].replace(old, new)}


def without(files, part):
    left = {k: v for k, v in files.items() if part not in k}
    assert len(left) == len(files) - 1
    return left


def oci_with(change):
    """An archive whose manifest was changed, its digest made good."""
    made = Oci()
    descriptor = made.image([ONE])
    name = "blobs/sha256/" + descriptor["digest"][7:]
    data = change(json.loads(made.blobs.pop(name)))
    if not isinstance(data, bytes):
        data = json.dumps(data).encode()
    return made.add(made.blob(data, descriptor["mediaType"]), "arch:1").files()


def nested(depth):
    made = Oci()
    descriptor = made.image([ONE])
    for _ in range(depth):
        descriptor = made.index(descriptor)
    return made.add(descriptor, "arch:1").files()


def two_of_one_name():
    made = Oci()
    made.add(made.image([ONE]), "arch:1")
    return made.add(made.image([TWO]), "arch:1").files()


def good_and_bad():
    made = Oci()
    made.add(made.image([ONE]), "good:1")
    made.add(made.image([TWO], archives.config_of([ONE])), "bad:1")
    return made.files()


def typed(kind):
    made = Oci()
    return made.add({**made.image([ONE]), "mediaType": kind}, "arch:1").files()


def sized(size):
    made = Oci()
    return made.add({**made.image([ONE]), "size": size}, "arch:1").files()


def sparse():
    """A file of a terabyte that has no byte in the tar."""
    info = tarfile.TarInfo()
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0",
                        "GNU.sparse.name": "big",
                        "GNU.sparse.realsize": str(1 << 40)}
    data = b"1\n0\n512\n".ljust(512, b"\0") + bytes(512)
    info.size = len(data)
    return {"big": (info, data), **oci(ONE)}


LAYER = hexdigest(ONE)
CONFIG = hexdigest(archives.config_of([ONE]))
DOCKER_LAYER = f"{0:064x}/layer.tar"


def docker_item(**change):
    return docker(ONE, **change)


HOSTILE = {
    # names of the tar
    "dot-dot": (lambda: {"../../../tmp/x": b"bad", **oci(ONE)}, "bad name"),
    "dot-dot-inside": (lambda: {"blobs/../../x": b"", **oci(ONE)}, "bad name"),
    "absolute": (lambda: {"/tmp/x": b"bad", **oci(ONE)}, "bad name"),
    "dot-dot-folder": (lambda: {"../x": folder(), **oci(ONE)},
                       "bad name"),
    "index-is-a-link-out": (lambda: {**oci(ONE), "index.json":
                                     link("../../etc/passwd")},
                            "no archive of images"),
    "blob-is-a-link-out": (lambda: {**oci(ONE), "blobs/sha256/" + LAYER:
                                    link("/etc/passwd")}, "has no blobs"),
    "blob-is-another": (lambda: {**oci(ONE), "blobs/sha256/" + LAYER:
                                 link(CONFIG)}, "were promised"),
    "link-loop": (lambda: {**oci(ONE), "blobs/sha256/" + LAYER: link(LAYER)},
                  "has no blobs"),
    "device": (lambda: {"dev": special(tarfile.CHRTYPE), **oci(ONE)},
               "is no file"),
    "fifo": (lambda: {"pipe": special(tarfile.FIFOTYPE), **oci(ONE)},
             "is no file"),
    "root-is-a-file": (lambda: {".": b"x", **oci(ONE)}, "is no file"),
    "two-files-of-a-name": (lambda: [*oci(ONE).items(),
                                     ("index.json", b"{}")],
                            "two different files"),
    "link-over-file": (lambda: [*oci(ONE).items(),
                                ("./index.json", link("oci-layout"))],
                       "two different files"),
    "many-entries": (lambda: [(f"f{n}", b"") for n in range(10001)],
                     "over 10000 entries"),
    # bytes of the tar
    "empty": (lambda: b"", "bad tar"),
    "zeros": (lambda: bytes(10240), "is empty"),
    "garbage": (lambda: b"garbage" * 1000, "bad tar"),
    "cut": (lambda: to_tar(oci(ONE, layer(x="x" * 50000)))[:30000], "bad tar"),
    "gzip-cut": (lambda: gzip.compress(to_tar(oci(ONE)))[:-400],
                 "ends early"),
    "gzip-crc": (lambda: gzip.compress(to_tar(oci(ONE)))[:-8] + bytes(8),
                 "damaged"),
    "gzip-tail": (lambda: gzip.compress(to_tar(oci(ONE))) + b"tail",
                  "damaged"),
    "bomb": (lambda: gzip.compress(to_tar({"zero": bytes(100 << 20)}), 9),
             "bomb"),
    "sparse": (sparse, "not of the size"),
    "xz": (lambda: b"\xfd7zXZ\0" + bytes(100), "xz is not supported"),
    # other archives
    "root-file-system": (rootfs_tar, "berth import"),
    "docker-before-1.10": (lambda: {"repositories": b"{}", "x/json": b"{}"},
                           "before 1.10"),
    "no-image": (lambda: Oci().files(), "has no image"),
    "only-artifacts": (lambda: (lambda made: made.add(made.blob(json.dumps({
        "schemaVersion": 2, "mediaType": archives.OCI_MANIFEST,
        "config": made.blob(b"{}", "application/x"), "layers": []}).encode(),
        archives.OCI_MANIFEST), "a:1").files())(Oci()), "has no image"),
    "layout-version": (lambda: {**oci(ONE), "oci-layout":
                                b'{"imageLayoutVersion":"2.0.0"}'},
                       "layout version"),
    "layout-no-json": (lambda: {**oci(ONE), "oci-layout": b"1.0.0"},
                       "bad JSON"),
    # OCI
    "index-duplicate-key": (lambda: changed(
        oci(ONE), "index.json", b'"manifests"',
        b'"manifests": [], "manifests"'), "duplicate"),
    "index-is-huge": (lambda: {**oci(ONE), "index.json":
                               b" " * (5 << 20) + b"{}"}, "is over"),
    "index-is-deep": (lambda: {**oci(ONE), "index.json":
                               b'{"a":' + b"[" * 50}, "nested"),
    "index-has-layers": (lambda: changed(
        oci(ONE), "index.json", b'"manifests"', b'"layers": [], "manifests"'),
        "both manifests and"),
    "index-is-a-list": (lambda: {**oci(ONE), "index.json": b"[]"},
                        "no object"),
    "index-is-a-manifest": (lambda: {
        **oci(ONE), "index.json": json.dumps({
            "schemaVersion": 2, "layers": [], "config": {
                "mediaType": "a/b", "size": 2,
                "digest": "sha256:" + "0" * 64}}).encode()}, "is no index"),
    "type-lies": (lambda: typed(archives.OCI_INDEX), "is not the mediaType"),
    "size-lies": (lambda: sized(7), "were promised"),
    "size-negative": (lambda: sized(-1), "no valid size"),
    "size-huge": (lambda: sized(1 << 62), "no valid size"),
    "digest-is-a-path": (lambda: changed(
        oci(ONE), "index.json", b'"sha256:', b'"sha256:../../'),
        "malformed digest"),
    "digest-sha512": (lambda: changed(
        oci(ONE), "index.json", b'"digest": "sha256:',
        b'"digest": "sha512:' + b"0" * 64), "damaged"),
    "blob-altered": (lambda: changed(oci(ONE), "blobs/sha256/" + LAYER, b"1\n",
                                     b"2\n"), "were promised"),
    "no-layer": (lambda: without(oci(ONE), LAYER), "has no blobs"),
    "no-config": (lambda: without(oci(ONE), CONFIG), "has no blobs"),
    "manifest-duplicate-key": (lambda: oci_with(
        lambda m: json.dumps(m).replace('"layers"', '"layers":[],"layers"')
        .encode()), "duplicate"),
    "manifest-has-manifests": (lambda: oci_with(
        lambda m: {**m, "manifests": []}), "both manifests and"),
    "manifest-schema-1": (lambda: oci_with(
        lambda m: {**m, "schemaVersion": 1}), "schemaVersion"),
    "no-diff-ids": (lambda: oci_with(lambda m: {**m, "layers": []}),
                    "0 layers, 1 diff ids"),
    "config-duplicate-key": (lambda: (lambda made: made.add(made.image(
        [ONE], archives.config_of([ONE]).replace(b"{", b'{"os":"x",', 1)),
        "arch:1").files())(Oci()), "duplicate"),
    "diff-id-lies": (lambda: (lambda made: made.add(made.image(
        [ONE], archives.config_of([TWO])), "arch:1").files())(Oci()),
        "config says"),
    "layer-no-tar": (lambda: oci(b"no tar at all"), "bad tar"),
    "indexes-in-indexes": (lambda: nested(3), "too deeply"),
    "name-is-a-path": (lambda: oci(ONE, name="../../etc/passwd"),
                       "invalid reference"),
    "name-has-blanks": (lambda: oci(ONE, name="a b"), "invalid reference"),
    "name-steers": (lambda: oci(ONE, name="a\x1b[2Jb"), "invalid reference"),
    "name-steers-too": (lambda: oci(ONE, name="a\u009b2Jb"),
                        "invalid reference"),
    "name-is-two-lines": (lambda: oci(ONE, name="a\nberth: all is well"),
                          "invalid reference"),
    "two-images-of-a-name": (two_of_one_name, "two images"),
    "second-image-is-bad": (good_and_bad, "bad:1"),
    # docker's way
    "tag-is-no-name": (lambda: docker_item(tags=["A B"]), "invalid reference"),
    "tag-is-a-path": (lambda: docker_item(tags=["../x"]), "invalid reference"),
    "tag-is-a-number": (lambda: docker_item(tags=[1]), "no text"),
    "tag-is-a-digest": (lambda: docker_item(tags=["a@sha256:" + "0" * 64]),
                        "has a digest"),
    "tags-are-an-object": (lambda: docker_item(RepoTags={"a": "b"}),
                           "no list"),
    "config-is-outside": (lambda: docker_item(Config="../../etc/passwd"),
                          "has no config"),
    "config-is-absent": (lambda: docker_item(Config="x.json"),
                         "has no config"),
    "config-is-no-text": (lambda: docker_item(Config={}), "has no config"),
    "config-name-lies": (lambda: {
        **docker_item(Config="0" * 64 + ".json"),
        "0" * 64 + ".json": archives.config_of([ONE])}, "is sha256:"),
    "config-no-json": (lambda: docker(ONE, config=b"{"), "bad JSON"),
    "config-no-object": (lambda: docker(ONE, config=b"[]"), "no object"),
    "layer-is-absent": (lambda: docker_item(Layers=["x/layer.tar"]),
                        "has no layer"),
    "layer-loop": (lambda: {**docker(ONE), DOCKER_LAYER: link("../a"),
                            "a": link(DOCKER_LAYER)}, "has no layer"),
    "layer-is-outside": (lambda: {**docker(ONE), DOCKER_LAYER:
                                  link("../../../etc/passwd")},
                         "has no layer"),
    "layer-altered": (lambda: changed(docker(ONE), DOCKER_LAYER, b"1\n",
                                      b"2\n"), "config says"),
    "too-few-layers": (lambda: docker_item(Layers=[]), "0 layers, 1 diff"),
    "too-many-layers": (lambda: docker_item(Layers=[DOCKER_LAYER] * 128),
                        "over 127 layers"),
    "list-is-an-object": (lambda: {**docker(ONE), "manifest.json": b"{}"},
                          "no array"),
    "list-of-numbers": (lambda: {**docker(ONE), "manifest.json": b"[1]"},
                        "has no config"),
    "list-is-empty": (lambda: {**docker(ONE), "manifest.json": b"[]"},
                      "has no image"),
    "list-is-huge": (lambda: {**docker(ONE), "manifest.json":
                              b" " * (5 << 20) + b"[]"}, "is over"),
    "list-is-deep": (lambda: {**docker(ONE), "manifest.json": b"[" * 50},
                     "nested"),
    "list-of-many": (lambda: {**docker(ONE), "manifest.json":
                              b"[" + b"1," * 2000 + b"1]"},
                     "over 1000 images"),
    "list-duplicate-key": (lambda: changed(
        docker(ONE), "manifest.json", b'"RepoTags"',
        b'"RepoTags": ["x:1"], "RepoTags"'), "duplicate"),
}


@pytest.mark.parametrize("row", HOSTILE)
def test_load_refuses(row, fresh_store, tmp_path):
    load(oci(TWO, name="kept:1"))
    before = objects(fresh_store)
    make, message = HOSTILE[row]
    data = make()
    if not isinstance(data, bytes):
        data = to_tar(data)
    (tmp_path / "in").mkdir()
    done = subprocess.run([BERTH, "load"], input=data, capture_output=True,
                          timeout=120, cwd=tmp_path / "in")
    text = done.stderr.decode()
    assert done.returncode == 1 and text.startswith("berth: load"), done
    assert message in text
    assert text.endswith("\n") and text[:-1].isprintable()
    assert objects(fresh_store) == before
    assert os.listdir(tmp_path / "in") == []
    assert not os.path.exists("/tmp/x")
    assert berth("images").count("\n") == 2


def spoil(chance, data):
    """The archive with some bytes changed, cut out or put in."""
    data = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        # Most of a tar is zeros and file contents: hit headers and JSON more.
        at = chance.randrange(len(data))
        if chance.random() < 0.7:
            at = chance.choice([i for i in range(at, min(at + 4096, len(data)))
                                if data[i]] or [at])
        kind = chance.randrange(4)
        if kind == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[at] = chance.randrange(256)
        elif kind == 2:
            del data[at:at + chance.choice([1, 2, 512])]
        else:
            data[at:at] = bytes(chance.randrange(256) for _ in range(
                chance.choice([1, 2, 512])))
        data = data or bytearray(b"x")
    return bytes(data)


@pytest.mark.parametrize("row", ["oci", "combined", "docker-linked", "gzip"])
def test_spoilt_archives(row, fresh_store):
    """Whatever is loaded is whole; whatever is refused leaves nothing."""
    seed = int(os.environ.get("BERTH_SEED") or
               random.SystemRandom().randrange(1 << 32))
    print(f"BERTH_SEED={seed}")
    chance = random.Random(seed)
    good = UNDERSTOOD[row]()
    good = good if isinstance(good, bytes) else to_tar(good)
    rounds = 1000 if os.environ.get("BERTH_LONG") else 40
    for number in range(rounds):
        data = spoil(chance, good)
        done = subprocess.run([BERTH, "load"], input=data, timeout=120,
                              capture_output=True)
        text = done.stderr.decode()
        assert done.returncode in (0, 1), (number, done)
        if done.returncode == 1:
            assert text.startswith("berth: load: ") and text.count("\n") == 1, \
                (number, text)
            assert objects(fresh_store) == [], (number, text)
            continue
        names = [line.split(": ", 1)[1]
                 for line in done.stdout.decode().splitlines()]
        saved = subprocess.run([BERTH, "save", *names], capture_output=True)
        assert saved.returncode == 0, (number, saved)
        berth("rmi", *names)


def test_a_bad_option():
    done = berth("load", "-i", "/no/such/file", code=None)
    assert done.returncode == 1 and "/no/such/file" in done.stderr
    done = berth("load", "--platform", "x", "-i", "/dev/null", code=None)
    assert done.returncode == 1 and "bad platform" in done.stderr
    berth("load", "argument", code=125)


# ---- memory ---------------------------------------------------------------

MEMORY_KIB = 64 << 10
BIG = 256 << 20


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
    """A layer of 256 MiB and 9000 files pass through a little memory."""
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
