"""berth save: what is in an archive."""

import io
import json
import os
import pty
import subprocess
import tarfile

import pytest

from archives import Oci, hexdigest, oci
from containers import BERTH, berth
from loading import ONE, TWO, empty, image, inspect, load, zstd  # noqa: F401

pytestmark = pytest.mark.usefixtures("fresh_store")


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
