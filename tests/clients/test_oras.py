"""oras: artifacts of any type."""

import json
import random

import pytest

from clients import (ARCHES, Image, View, here,  # noqa: F401
                     program_fixture, second_server, there)
from conftest import Berthd
from figures import figure
from rawhttp import OCI_INDEX, OCI_MANIFEST, sha256

pytestmark = figure("real clients", "by oras")
oras = program_fixture("oras")
KIND = "application/vnd.example.thing"
SEED = 42
# copy has a flag for each side.
BOTH = "--from-plain-http", "--to-plain-http"


def push(oras, name, folder, **files):
    """Push files as an artifact of KIND; its digest."""
    for key, text in files.items():
        (folder / key).write_text(text)
    return oras("push", "--plain-http", "--artifact-type", KIND, "--format",
                "go-template={{.digest}}", name, *files, cwd=folder).strip()


def attach(oras, name, kind, folder, text):
    (folder / "note").write_text(text)
    return oras("attach", "--plain-http", "--artifact-type", kind, "--format",
                "go-template={{.digest}}", name, "note:text/plain",
                cwd=folder).strip()


def test_artifact(oras, here, repo, tmp_path):
    """push and pull files of own types, under several tags at once"""
    name = f"{here.host}/{repo}"
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "b").write_text("b" * 100_000)
    (tmp_path / "config").write_text('{"x": 1}')
    oras("push", "--plain-http", f"{name}:v1,v2,latest", "--config",
         f"config:{KIND}.config+json", "--artifact-type", KIND, "--annotation",
         "a=b", "a.txt:text/a", f"folder:{KIND}.folder", cwd=tmp_path)
    made = here.manifest(repo, "v1")
    assert here.tags(repo) == ["latest", "v1", "v2"]
    assert here.digest(repo, "v1") == here.digest(repo, "latest")
    assert made["artifactType"] == KIND and made["annotations"]["a"] == "b"
    assert made["config"]["mediaType"] == f"{KIND}.config+json"
    assert [part["mediaType"] for part in made["layers"]] == [
        "text/a", f"{KIND}.folder"]
    assert here.has_all(repo, "v1")
    oras("pull", "--plain-http", f"{name}:v2", "-o", tmp_path / "out",
         "--config", "got")
    assert (tmp_path / "out" / "a.txt").read_text() == "a"
    assert (tmp_path / "out" / "folder" / "b").read_text() == "b" * 100_000
    assert (tmp_path / "out" / "got").read_text() == '{"x": 1}'


@pytest.mark.parametrize("spec", ["v1.0", "v1.1"])
def test_artifact_forms(oras, here, repo, tmp_path, spec):
    """push an artifact in the form of image-spec 1.0 and of 1.1"""
    (tmp_path / "file").write_text(spec)
    oras("push", "--plain-http", "--image-spec", spec, "--artifact-type",
         KIND, f"{here.host}/{repo}:v1", "file", cwd=tmp_path)
    made = here.manifest(repo, "v1")
    kind = (made["config"]["mediaType"] if spec == "v1.0"
            else made["artifactType"])
    assert kind == KIND and here.has_all(repo, "v1")


def test_blob(oras, here, repo, tmp_path):
    """push, fetch and delete a blob, also a large one from a pipe"""
    name = f"{here.host}/{repo}"
    data = random.Random(SEED).randbytes(20 << 20)
    digest = sha256(data)
    shown = json.loads(oras(
        "blob", "push", "--plain-http", "--descriptor", "--size", len(data),
        f"{name}@{digest}", "-", stdin=data))
    assert (shown["digest"], shown["size"]) == (digest, len(data))
    assert here.blob(repo, digest) == data
    assert oras.bytes("blob", "fetch", "--plain-http", "-o", "-",
                      f"{name}@{digest}") == data
    shown = json.loads(oras("blob", "fetch", "--plain-http", "--descriptor",
                            f"{name}@{digest}"))
    assert (shown["digest"], shown["size"]) == (digest, len(data))
    (tmp_path / "empty").write_bytes(b"")
    oras("blob", "push", "--plain-http", name, tmp_path / "empty")
    assert here.blob(repo, sha256(b"")) == b""
    oras("blob", "delete", "--plain-http", "--force", f"{name}@{digest}")
    assert here.blob(repo, digest) is None
    oras.refused("blob", "fetch", "--plain-http", "-o", "-",
                 f"{name}@{digest}")


def test_manifest(oras, here, repo, tmp_path):
    """push, fetch and delete a manifest; fetch its config"""
    name = f"{here.host}/{repo}"
    image = Image(repo).put(here, repo, "v1")
    raw = here.manifest(repo, "v1", bare=True)
    assert oras.bytes("manifest", "fetch", "--plain-http", f"{name}:v1"
                      ).rstrip() == raw
    assert json.loads(oras("manifest", "fetch", "--plain-http",
                           "--descriptor", f"{name}:v1"))[
        "digest"] == image.digest
    config = here.manifest(repo, "v1")["config"]["digest"]
    assert oras.bytes("manifest", "fetch-config", "--plain-http",
                      f"{name}:v1").rstrip() == here.blob(repo, config)
    changed = json.dumps({**json.loads(raw), "annotations": {"a": "b"}})
    oras("manifest", "push", "--plain-http", "--media-type", OCI_MANIFEST,
         f"{name}:v2,v3", "-", stdin=changed.encode())
    assert here.digest(repo, "v2") == sha256(changed.encode())
    assert here.tags(repo) == ["v1", "v2", "v3"]
    # By its tag, oras deletes what the tag names: all of it.
    oras("manifest", "delete", "--plain-http", "--force", f"{name}:v2")
    assert here.digest(repo, sha256(changed.encode())) is None
    assert here.tags(repo) == ["v1"]
    oras("manifest", "delete", "--plain-http", "--force",
         f"{name}@{image.digest}")
    assert here.tags(repo) == []
    oras("manifest", "delete", "--plain-http", "--force", f"{name}:v2")
    oras.refused("manifest", "fetch", "--plain-http", f"{name}:v1")


def test_index(oras, here, repo):
    """create and change an index; pick a platform of it"""
    name = f"{here.host}/{repo}"
    image = Image(repo, ARCHES).put(here, repo, "v1")
    more = Image("more", ("s390x",)).put(here, repo, "more")
    oras("manifest", "index", "create", "--plain-http", f"{name}:made,also",
         *image.children, "--annotation", "a=b")
    made = here.manifest(repo, "made")
    assert made["mediaType"] == OCI_INDEX
    assert made["annotations"] == {"a": "b"}
    assert [one["digest"] for one in made["manifests"]] == image.children
    assert [one["platform"]["architecture"] for one in made["manifests"]
            ] == list(ARCHES)
    oras("manifest", "index", "update", "--plain-http", f"{name}:made",
         "--add", "more", "--remove", image.children[0])
    assert [one["digest"] for one in here.manifest(repo, "made")["manifests"]
            ] == [image.children[1], more.digest]
    assert here.digest(repo, "also") != here.digest(repo, "made")
    for arch, child in zip(ARCHES, image.children):
        assert oras("resolve", "--plain-http", "--platform", f"linux/{arch}",
                    f"{name}:v1").strip() == child


def test_referrers(oras, here, repo, tmp_path):
    """attach to artifacts and attachments, discover by type, delete"""
    name = f"{here.host}/{repo}"
    image = Image(repo).put(here, repo, "v1")
    sbom = attach(oras, f"{name}:v1", f"{KIND}.sbom", tmp_path, "sbom")
    scan = attach(oras, f"{name}:v1", f"{KIND}.scan", tmp_path, "scan")
    signed = attach(oras, f"{name}@{sbom}", f"{KIND}.sig", tmp_path, "sig")
    assert here.referrers(repo, image.digest) == {
        sbom: f"{KIND}.sbom", scan: f"{KIND}.scan"}
    assert here.referrers(repo, sbom) == {signed: f"{KIND}.sig"}
    found = json.loads(oras("discover", "--plain-http", "--format", "json",
                            f"{name}:v1"))
    assert {one["digest"]: [below["digest"] for below in
                            one.get("referrers") or ()]
            for one in found["referrers"]} == {sbom: [signed], scan: []}
    found = json.loads(oras("discover", "--plain-http", "--format", "json",
                            "--artifact-type", f"{KIND}.scan", f"{name}:v1"))
    assert [one["digest"] for one in found["referrers"]] == [scan]
    oras("pull", "--plain-http", "-o", tmp_path / "out", f"{name}@{sbom}")
    assert (tmp_path / "out" / "note").read_text() == "sbom"
    oras("manifest", "delete", "--plain-http", "--force", f"{name}@{scan}")
    assert here.referrers(repo, image.digest) == {sbom: f"{KIND}.sbom"}
    assert here.tags(repo) == ["v1"]


def test_referrers_by_tag(oras, here, repo, tmp_path):
    """attach, discover and delete with the list of referrers under a tag"""
    by_tag = "--plain-http", "--distribution-spec", "v1.1-referrers-tag"
    conf = tmp_path / "registry.conf"
    conf.write_text("delete-used = true\n")
    lenient = Berthd(tmp_path / "data", "--config", str(conf))
    for server in here, View(lenient):
        name = f"{server.host}/{repo}"
        image = Image(repo).put(server, repo, "v1")
        fallback = image.digest.replace(":", "-")
        (tmp_path / "note").write_text("x")
        made = oras("attach", *by_tag, "--artifact-type", KIND, "--format",
                    "go-template={{.digest}}", f"{name}:v1", "note",
                    cwd=tmp_path).strip()
        assert server.referrers(repo, image.digest) == {made: KIND}
        assert server.tags(repo) == [fallback, "v1"]
        found = json.loads(oras("discover", *by_tag, "--format", "json",
                                f"{name}:v1"))
        assert [one["digest"] for one in found["referrers"]] == [made]
        delete = "manifest", "delete", *by_tag, "--force", f"{name}@{made}"
        if server is here:
            # The former list stays untagged, and what a manifest lists is
            # in use: `delete-used` is for those who want it the other way.
            assert "the manifest is in use" in oras.refused(*delete)
            assert server.referrers(repo, image.digest) == {made: KIND}
        else:
            oras(*delete)
            assert server.digest(repo, made) is None
            assert server.referrers(repo, image.digest) == {}
        assert server.manifest(repo, fallback)["manifests"] == []
    lenient.stop()


@pytest.mark.parametrize("arches", [("amd64",), ARCHES],
                         ids=["image", "index"])
def test_copy(oras, here, there, repo, tmp_path, arches):
    """copy an image and an index, alone and with all that refers to it"""
    image = Image(repo, arches).put(here, repo, "v1")
    name = f"{here.host}/{repo}"
    first = attach(oras, f"{name}:v1", KIND, tmp_path, "1")
    second = attach(oras, f"{name}@{first}", KIND, tmp_path, "2")
    for server, target in ((here, f"{repo}-copy"), (there, repo)):
        oras("cp", *BOTH, f"{name}:v1", f"{server.host}/{target}:bare")
        assert server.digest(target, "bare") == image.digest
        assert server.has_all(target, "bare")
        assert server.referrers(target, image.digest) == {}
        oras("cp", *BOTH, "-r", f"{name}:v1", f"{server.host}/{target}:v2,v3")
        assert server.referrers(target, image.digest) == {first: KIND}
        assert server.referrers(target, first) == {second: KIND}
        assert server.has_all(target, second)
        assert server.tags(target) == ["bare", "v2", "v3"]
    oras("cp", *BOTH, "--platform", "linux/amd64", f"{name}:v1",
         f"{there.host}/{repo}:one")
    assert there.digest(repo, "one") == image.children[0]


def test_layout(oras, here, repo, tmp_path):
    """copy from and to a layout on disk"""
    name = f"{here.host}/{repo}"
    image = Image(repo, ARCHES)
    oras("cp", "--from-oci-layout", "--to-plain-http",
         f"{image.write(tmp_path / 'in')}:image", f"{name}:v1")
    assert here.digest(repo, "v1") == image.digest
    assert here.has_all(repo, "v1")
    oras("cp", "--to-oci-layout", "--from-plain-http", f"{name}:v1",
         f"{tmp_path}/out:image")
    for path in (tmp_path / "in" / "blobs").rglob("*"):
        copy = tmp_path / "out" / path.relative_to(tmp_path / "in")
        assert path.is_dir() or copy.read_bytes() == path.read_bytes()


def test_backup(oras, here, there, repo, tmp_path):
    """backup a repository with referrers, restore it on another server"""
    name = f"{here.host}/{repo}"
    images = {tag: Image(tag).put(here, repo, tag) for tag in ("a", "b")}
    made = attach(oras, f"{name}:a", KIND, tmp_path, "note")
    oras("backup", "--plain-http", "--include-referrers", "-o",
         tmp_path / "backup.tar", name)
    oras("restore", "--plain-http", "--input", tmp_path / "backup.tar",
         f"{there.host}/{repo}")
    assert there.tags(repo) == ["a", "b"]
    for tag, image in images.items():
        assert there.digest(repo, tag) == image.digest
        assert there.has_all(repo, tag)
    assert there.referrers(repo, images["a"].digest) == {made: KIND}


def test_list(oras, here, repo, tmp_path):
    """tag and resolve; list tags and repositories from a given one on"""
    name = f"{here.host}/{repo}"
    digest = push(oras, f"{name}:a", tmp_path, file="x")
    oras("tag", "--plain-http", f"{name}:a", "b", "c", "d")
    assert here.tags(repo) == ["a", "b", "c", "d"]
    assert here.digest(repo, "c") == digest
    assert oras("resolve", "--plain-http", f"{name}:c").strip() == digest
    assert oras.lines("repo", "tags", "--plain-http", name) == here.tags(repo)
    assert oras.lines("repo", "tags", "--plain-http", "--last", "b", name
                      ) == ["c", "d"]
    push(oras, f"{name}/below:a", tmp_path, file="x")
    assert oras.lines("repo", "ls", "--plain-http", here.host
                      ) == here.repositories()
    assert oras.lines("repo", "ls", "--plain-http", name) == ["below"]
