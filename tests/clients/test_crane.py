"""crane: go-containerregistry's client."""

import tarfile

import pytest

import archives
from clients import (ARCHES, DOCKER_MANIFEST, Image, here,  # noqa: F401
                     program_fixture, second_server, there)
from debian_image import write_small
from figures import figure
from rawhttp import sha256

pytestmark = figure("real clients", "by crane")
crane = program_fixture("crane")


def write_tar(path, **files):
    path.write_bytes(archives.layer(**files))
    return path


def test_image(crane, here, repo, tmp_path):
    """push, validate and pull an image: layout and docker archive"""
    name = f"{here.host}/{repo}"
    digest = write_small(tmp_path / "layout", repo, 3)
    crane("push", tmp_path / "layout", f"{name}:v1")
    assert here.digest(repo, "v1") == digest
    assert here.has_all(repo, "v1")
    assert "PASS" in crane("validate", "--remote", f"{name}:v1")
    crane("pull", "--format", "oci", f"{name}:v1", tmp_path / "pulled")
    blob = tmp_path / "pulled" / "blobs" / digest.replace(":", "/")
    assert blob.read_bytes() == here.manifest(repo, "v1", bare=True)
    # A docker archive has no manifest: crane makes one, of Docker's types.
    crane("pull", f"{name}:v1", tmp_path / "image.tar")
    crane("push", tmp_path / "image.tar", f"{name}:archive")
    made = here.manifest(repo, "archive")
    assert made["mediaType"] == DOCKER_MANIFEST
    assert len(made["layers"]) == 3 and here.has_all(repo, "archive")
    assert "PASS" in crane("validate", "--remote", f"{name}:archive")
    assert "PASS" in crane("validate", "--tarball", tmp_path / "image.tar")


def test_index(crane, here, repo, tmp_path):
    """push, filter, extend and list an index of two platforms"""
    name = f"{here.host}/{repo}"
    image = Image(repo, ARCHES)
    crane("push", image.write(tmp_path), f"{name}:v1")
    assert here.digest(repo, "v1") == image.digest
    assert here.has_all(repo, "v1")
    assert "PASS" in crane("validate", "--remote", f"{name}:v1")
    for arch, child in zip(ARCHES, image.children):
        assert crane("digest", "--platform", f"linux/{arch}",
                     f"{name}:v1").strip() == child
    crane("index", "filter", f"{name}:v1", "--platform", "linux/arm64", "-t",
          f"{name}:one")
    kept = here.manifest(repo, "one")["manifests"]
    assert [one["digest"] for one in kept] == image.children[1:]
    more = Image("more").put(here, repo, "more")
    crane("index", "append", f"{name}:one", "-m", f"{name}:more", "-t",
          f"{name}:two")
    assert {one["digest"] for one in here.manifest(repo, "two")["manifests"]
            } == {image.children[1], more.digest}


def test_read(crane, here, repo, tmp_path):
    """digest, manifest, config, blob and export read what is served"""
    name = f"{here.host}/{repo}"
    image = Image(repo).put(here, repo, "v1")
    assert crane("digest", f"{name}:v1").strip() == image.digest
    manifest = here.manifest(repo, "v1")
    assert crane.bytes("manifest", f"{name}:v1").rstrip() == here.manifest(
        repo, "v1", bare=True)
    assert crane.bytes("config", f"{name}:v1").rstrip() == here.blob(
        repo, manifest["config"]["digest"])
    part = manifest["layers"][0]["digest"]
    assert sha256(crane.bytes("blob", f"{name}@{part}")) == part
    crane("export", f"{name}:v1", tmp_path / "root.tar")
    with tarfile.open(tmp_path / "root.tar") as tar:
        assert sorted(tar.getnames()) == ["file-0", "file-1"]
    assert "MANIFEST_UNKNOWN" in crane.refused("manifest", f"{name}:none")


def test_make(crane, here, repo, tmp_path):
    """append, mutate, rebase and flatten make images on the server"""
    name = f"{here.host}/{repo}"
    tar = write_tar(tmp_path / "one.tar", one="1")
    crane("append", "--oci-empty-base", "-f", tar, "-t", f"{name}:base")
    assert len(here.manifest(repo, "base")["layers"]) == 1
    crane("append", "-b", f"{name}:base", "-f",
          write_tar(tmp_path / "two.tar", two="2"), "-t", f"{name}:app")
    made = here.manifest(repo, "app")
    base = here.manifest(repo, "base")
    assert made["layers"][0] == base["layers"][0]
    assert len(made["layers"]) == 2
    crane("mutate", f"{name}:app", "--label", "a=b", "--annotation", "c=d",
          "-t", f"{name}:changed")
    changed = here.manifest(repo, "changed")
    assert changed["annotations"] == {"c": "d"}
    assert changed["layers"] == made["layers"]
    assert b'"a":"b"' in here.blob(repo, changed["config"]["digest"])
    crane("append", "--oci-empty-base", "-f",
          write_tar(tmp_path / "three.tar", three="3"), "-t",
          f"{name}:newbase")
    crane("rebase", f"{name}:app", "--old_base", f"{name}:base", "--new_base",
          f"{name}:newbase", "-t", f"{name}:rebased")
    assert here.manifest(repo, "rebased")["layers"] == [
        here.manifest(repo, "newbase")["layers"][0], made["layers"][1]]
    crane("flatten", f"{name}:app", "-t", f"{name}:flat")
    assert len(here.manifest(repo, "flat")["layers"]) == 1
    for tag in "app", "changed", "rebased", "flat":
        assert "PASS" in crane("validate", "--remote", f"{name}:{tag}")
    # Without a tag: by digest, and the list of tags stays what it was.
    before = here.tags(repo)
    made = crane("mutate", f"{name}:app", "--label", "x=y").strip()
    assert here.digest(repo, made.rpartition("@")[2])
    assert here.tags(repo) == before


@pytest.mark.parametrize("arches", [("amd64",), ARCHES],
                         ids=["image", "index"])
def test_copy(crane, here, there, repo, arches):
    """copy an image and an index to another repository and server"""
    image = Image(repo, arches).put(here, repo, "v1")
    crane("copy", f"{here.host}/{repo}:v1", f"{here.host}/{repo}-copy:v2")
    assert here.digest(f"{repo}-copy", "v2") == image.digest
    assert here.has_all(f"{repo}-copy", "v2")
    crane("copy", f"{here.host}/{repo}:v1", f"{there.host}/{repo}:v3")
    assert there.digest(repo, "v3") == image.digest
    assert there.has_all(repo, "v3")


def test_copy_all_tags(crane, here, there, repo):
    """copy all tags, and leave those that are there"""
    images = {tag: Image(tag).put(here, repo, tag) for tag in ("a", "b", "c")}
    kept = Image("kept").put(there, repo, "b")
    crane("copy", "--all-tags", "--no-clobber", f"{here.host}/{repo}",
          f"{there.host}/{repo}")
    assert there.tags(repo) == ["a", "b", "c"]
    assert there.digest(repo, "a") == images["a"].digest
    assert there.digest(repo, "b") == kept.digest
    crane("copy", "--all-tags", f"{here.host}/{repo}", f"{there.host}/{repo}")
    assert there.digest(repo, "b") == images["b"].digest


def test_list(crane, here, repo):
    """tag, ls and catalog over many pages' worth of names"""
    name = f"{here.host}/{repo}"
    Image(repo).put(here, repo, "v0")
    root = here.manifest(repo, "v0", bare=True)
    tags = ["v0"] + [f"t{number:04}" for number in range(1100)]
    for tag in tags[1:]:
        here.use("put_manifest", repo, tag, root)
    crane("tag", f"{name}:v0", "again")
    assert here.digest(repo, "again") == here.digest(repo, "v0")
    assert crane.lines("ls", name) == sorted([*tags, "again"])
    assert crane.lines("catalog", here.host) == here.repositories()
    assert repo in here.repositories()


def test_delete(crane, here, repo):
    """delete a tag, and a manifest with the tags that name it"""
    name = f"{here.host}/{repo}"
    image = Image(repo).put(here, repo, "v1").put(here, repo, "v2")
    crane("delete", f"{name}:v1")
    assert here.tags(repo) == ["v2"]
    assert here.digest(repo, image.digest) == image.digest
    crane("delete", f"{name}@{image.digest}")
    assert here.digest(repo, image.digest) is None
    assert here.digest(repo, "v2") is None and here.tags(repo) == []
    assert "MANIFEST_UNKNOWN" in crane.refused("delete", f"{name}:v1")
