"""regctl: regclient's client."""

import json
import random
import re

import pytest

import archives
from clients import (ARCHES, DOCKER_MANIFEST, Image, here,  # noqa: F401
                     program_fixture, second_server, there)
from cutter import Cutter
from figures import figure
from rawhttp import OCI_INDEX, OCI_MANIFEST, sha256, sha512

pytestmark = figure("real clients", "by regctl")
program = program_fixture("regctl")
EMPTY = "application/vnd.oci.empty.v1+json"
SEED = 42


@pytest.fixture
def regctl(program, here, there):
    for server in here, there:
        program("registry", "set", "--tls", "disabled", server.host)
    return program


def put_artifact(regctl, *args, kind="application/example", data=b"text"):
    """Its digest."""
    return regctl("artifact", "put", "--artifact-type", kind, "--format",
                  "{{.Manifest.GetDescriptor.Digest}}", *args, stdin=data
                  ).strip()


def test_image(regctl, here, repo, tmp_path):
    """import, export, inspect and read files of an image"""
    name = f"{here.host}/{repo}"
    image = Image(repo)
    image.write(tmp_path / "layout")
    archive = tmp_path / "image.tar"
    archive.write_bytes(archives.to_tar({
        str(path.relative_to(tmp_path / "layout")): path.read_bytes()
        for path in sorted((tmp_path / "layout").rglob("*"))
        if path.is_file()}))
    regctl("image", "import", f"{name}:v1", archive)
    assert here.digest(repo, "v1") == image.digest
    assert here.has_all(repo, "v1")
    regctl("image", "export", f"{name}:v1", tmp_path / "again.tar")
    regctl("image", "import", f"{name}:v2", tmp_path / "again.tar")
    assert here.digest(repo, "v2") == image.digest
    assert regctl("image", "digest", f"{name}:v1").strip() == image.digest
    config = json.loads(regctl("image", "inspect", "--format",
                               "{{json .}}", f"{name}:v1"))
    assert config["architecture"] == "amd64"
    assert regctl("image", "get-file", f"{name}:v1", "file-1").startswith(
        f"{repo} amd64 1\n")


def test_index(regctl, here, repo, tmp_path):
    """create, extend and reduce an index; pick a platform of it"""
    name = f"{here.host}/{repo}"
    image = Image(repo, ARCHES)
    regctl("image", "copy", f"ocidir://{image.write(tmp_path)}:image",
           f"{name}:v1")
    assert here.digest(repo, "v1") == image.digest
    assert here.has_all(repo, "v1")
    for arch, child in zip(ARCHES, image.children):
        assert regctl("manifest", "head", "--platform", f"linux/{arch}",
                      f"{name}:v1").strip() == child
    regctl("index", "create", f"{name}:made", "--ref", f"{name}:v1",
           "--platform", "linux/amd64", "--annotation", "a=b")
    made = here.manifest(repo, "made")
    assert [one["digest"] for one in made["manifests"]] == image.children[:1]
    assert made["annotations"] == {"a": "b"}
    regctl("index", "add", f"{name}:made", "--digest", image.children[1],
           "--desc-platform", "linux/arm64")
    assert [one["digest"] for one in here.manifest(repo, "made")["manifests"]
            ] == image.children
    regctl("index", "delete", f"{name}:made", "--platform", "linux/amd64")
    assert [one["digest"] for one in here.manifest(repo, "made")["manifests"]
            ] == image.children[1:]


def test_blob(regctl, here, there, repo):
    """put, get, head, copy and delete a blob, sha512 as well"""
    name = f"{here.host}/{repo}"
    data = random.Random(SEED).randbytes(300_000)
    for digest in sha256(data), sha512(data):
        assert regctl("blob", "put", "--digest", digest, name, stdin=data
                      ).strip() == digest
        assert here.blob(repo, digest) == data
        assert regctl.bytes("blob", "get", name, digest) == data
        regctl("blob", "head", name, digest)
        for server, target in ((here, f"{repo}-copy"), (there, repo)):
            regctl("blob", "copy", name, f"{server.host}/{target}", digest)
            assert server.blob(target, digest) == data
        regctl("blob", "delete", name, digest)
        assert here.blob(repo, digest) is None
        assert here.blob(f"{repo}-copy", digest) == data
        regctl.refused("blob", "head", name, digest)


@pytest.mark.parametrize("size", [0, 1, 65536, 500_001])
def test_chunked_upload(regctl, here, repo, size):
    """upload in chunks: nothing, one byte, one chunk, many"""
    data = random.Random(size).randbytes(size)
    regctl("registry", "set", "--blob-chunk", 65536, "--blob-max", 1,
           here.host)
    try:
        digest = regctl("blob", "put", f"{here.host}/{repo}", stdin=data
                        ).strip()
    finally:
        regctl("registry", "set", "--blob-chunk", 0, "--blob-max", 0,
               here.host)
    assert digest == sha256(data) and here.blob(repo, digest) == data
    patches = here.requests("PATCH", repo)
    assert [status for _, status in patches] == [202] * -(-size // 65536)


def test_resumption(regctl, here, shared, repo, tmp_path):
    """resume an upload and a download whose connection broke"""
    data = random.Random(SEED).randbytes(4 << 20)
    chunk = 1 << 20
    with Cutter(shared.port, up=(3 << 20) // 2, down=3 << 20) as proxy:
        regctl("registry", "set", "--tls", "disabled", "--blob-chunk", chunk,
               "--blob-max", chunk, proxy.host)
        name = f"{proxy.host}/{repo}"
        digest = regctl("blob", "put", name, stdin=data).strip()
        assert digest == sha256(data) and here.blob(repo, digest) == data
        assert proxy.cuts == ["up"]
        assert regctl.bytes("blob", "get", name, digest) == data
        assert proxy.cuts == ["up", "down"]
    # It went on from where the server stood, not from the start.
    assert 416 in [status for _, status in here.requests("PATCH", repo)]
    assert len(here.requests("POST", repo)) == 1
    assert here.requests("GET", repo)[-1][1] == 206


def test_manifest(regctl, here, repo):
    """put, get, head, diff and delete manifests by tag and by digest"""
    name = f"{here.host}/{repo}"
    one = Image("one").put(here, repo, "one")
    two = Image("two").put(here, repo, "two")
    data = regctl.bytes("manifest", "get", "--format", "raw-body",
                        f"{name}:one")
    assert sha256(data) == one.digest
    changed = json.dumps({**json.loads(data), "annotations": {"a": "b"}}
                         ).encode()
    regctl("manifest", "put", "--content-type", OCI_MANIFEST, f"{name}:three",
           stdin=changed)
    assert here.digest(repo, "three") == sha256(changed)
    regctl("manifest", "put", "--content-type", OCI_MANIFEST, "--by-digest",
           name, stdin=changed + b"\n")
    assert here.digest(repo, sha256(changed + b"\n"))
    assert regctl("manifest", "head", f"{name}:three").strip() == sha256(
        changed)
    assert '"a": "b"' in regctl("manifest", "diff", f"{name}:one",
                                f"{name}:three")
    regctl("manifest", "delete", f"{name}@{two.digest}")
    assert here.digest(repo, "two") is None
    assert here.digest(repo, two.digest) is None
    regctl("manifest", "delete", "--force-tag-dereference", f"{name}:one")
    assert here.digest(repo, one.digest) is None
    assert here.tags(repo) == ["three"]


@pytest.mark.parametrize("arches", [("amd64",), ARCHES],
                         ids=["image", "index"])
def test_copy(regctl, here, there, repo, arches):
    """copy an image and an index with all that refers to it"""
    image = Image(repo, arches).put(here, repo, "v1")
    name = f"{here.host}/{repo}"
    first = put_artifact(regctl, "--subject", f"{name}:v1")
    second = put_artifact(regctl, "--subject", f"{name}@{first}",
                          data=b"about the first")
    signature = f"sha256-{image.digest[7:]}.sig"
    signed = Image("signature").put(here, repo, signature)
    for server, target in ((here, f"{repo}-copy"), (there, repo)):
        regctl("image", "copy", f"{name}:v1", f"{server.host}/{target}:bare")
        assert server.digest(target, "bare") == image.digest
        assert server.has_all(target, "bare")
        assert server.referrers(target, image.digest) == {}
        assert server.tags(target) == ["bare"]
        regctl("image", "copy", "--referrers", "--digest-tags", f"{name}:v1",
               f"{server.host}/{target}:v2")
        assert server.referrers(target, image.digest) == {
            first: "application/example"}
        assert server.referrers(target, first) == {
            second: "application/example"}
        assert server.digest(target, signature) == signed.digest
        assert server.has_all(target, second)


def test_copy_repository(regctl, here, there, repo):
    """copy a repository, all of it and by a pattern of tags"""
    tags = "a1", "a2", "b1"
    images = {tag: Image(tag).put(here, repo, tag) for tag in tags}
    source = f"{here.host}/{repo}"
    regctl("repo", "copy", "--include", "a.*", source, f"{there.host}/{repo}")
    assert there.tags(repo) == ["a1", "a2"]
    regctl("repo", "copy", source, f"{there.host}/{repo}")
    for tag in tags:
        assert there.digest(repo, tag) == images[tag].digest
        assert there.has_all(repo, tag)


def test_referrers(regctl, here, repo):
    """attach artifacts, list them by type and as a tree, get and delete"""
    name = f"{here.host}/{repo}"
    image = Image(repo).put(here, repo, "v1")
    kinds = "application/vnd.example.sbom", "application/vnd.example.scan"
    made = {kind: put_artifact(regctl, "--subject", f"{name}:v1",
                               "--annotation", "org.example.note=x",
                               kind=kind, data=kind.encode())
            for kind in kinds}
    assert here.referrers(repo, image.digest) == {
        digest: kind for kind, digest in made.items()}
    assert here.manifest(repo, made[kinds[0]])["config"]["mediaType"] == EMPTY
    listed = json.loads(regctl("artifact", "list", "--format", "body",
                               f"{name}:v1"))
    assert {one["digest"] for one in listed["manifests"]} == set(made.values())
    listed = json.loads(regctl(
        "artifact", "list", "--filter-artifact-type", kinds[1], "--format",
        "{{json .Descriptors}}", f"{name}:v1"))
    assert [one["digest"] for one in listed] == [made[kinds[1]]]
    tree = regctl("artifact", "tree", f"{name}:v1")
    assert all(digest in tree for digest in made.values())
    assert regctl("artifact", "get", "--subject", f"{name}:v1",
                  "--filter-artifact-type", kinds[0]) == kinds[0]
    regctl("manifest", "delete", "--referrers", f"{name}@{made[kinds[0]]}")
    assert here.referrers(repo, image.digest) == {made[kinds[1]]: kinds[1]}
    # No list of referrers under a tag: the server has the API.
    assert here.tags(repo) == ["v1"]


def test_artifact(regctl, here, repo, tmp_path):
    """artifacts of own types, with files, a config and an index"""
    name = f"{here.host}/{repo}"
    (tmp_path / "a.txt").write_text("a")
    (tmp_path / "b.txt").write_text("b")
    (tmp_path / "config").write_text('{"x": 1}')
    regctl("artifact", "put", "--config-type", "application/vnd.example.c+json",
           "--config-file", "config", "--file", "a.txt", "--file-media-type",
           "text/a", "--file", "b.txt", "--file-media-type", "text/b",
           "--file-title", f"{name}:v1", cwd=tmp_path)
    made = here.manifest(repo, "v1")
    assert made["config"]["mediaType"] == "application/vnd.example.c+json"
    assert [part["mediaType"] for part in made["layers"]] == ["text/a",
                                                              "text/b"]
    assert here.has_all(repo, "v1")
    out = tmp_path / "out"
    out.mkdir()
    regctl("artifact", "get", "--output", out, f"{name}:v1")
    assert (out / "a.txt").read_text() + (out / "b.txt").read_text() == "ab"
    for number in 1, 2:
        regctl("artifact", "put", "--artifact-type", "application/example",
               "--index", f"{name}:list", stdin=b"%d" % number)
    assert len(here.manifest(repo, "list")["manifests"]) == 2


def test_mod(regctl, here, repo):
    """image mod: labels, media types, compression, referrers from tags"""
    name = f"{here.host}/{repo}"
    image = Image(repo, ARCHES).put(here, repo, "v1")
    regctl("image", "mod", f"{name}:v1", "--create", "label", "--label",
           "a=b", "--annotation", "[*]c=d")
    found = here.manifest(repo, "label")
    assert found["annotations"] == {"c": "d"}
    for child in found["manifests"]:
        part = here.manifest(repo, child["digest"])
        config = json.loads(here.blob(repo, part["config"]["digest"]))
        assert config["config"]["Labels"] == {"a": "b"}
    regctl("image", "mod", f"{name}:v1", "--create", "docker", "--to-docker")
    found = here.manifest(repo, "docker")
    assert found["mediaType"].endswith("manifest.list.v2+json")
    assert all(one["mediaType"] == DOCKER_MANIFEST
               for one in found["manifests"])
    regctl("image", "mod", f"{name}:v1", "--create", "zstd",
           "--layer-compress", "zstd")
    child = here.manifest(repo, here.manifest(repo, "zstd")["manifests"][0][
        "digest"])
    assert child["layers"][0]["mediaType"].endswith("tar+zstd")
    assert here.has_all(repo, "zstd")


def test_attestations(regctl, here, repo):
    """image mod turns the attestations in an index into referrers"""
    image = Image(repo).put(here, repo, "image")
    claim = Image("claim").put(here, repo, "claim")
    index = json.dumps({
        "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
            image.root, {**claim.root, "platform": {
                "os": "unknown", "architecture": "unknown"},
                "annotations": {
                    "vnd.docker.reference.type": "attestation-manifest",
                    "vnd.docker.reference.digest": image.digest}}]})
    regctl("manifest", "put", "--content-type", OCI_INDEX,
           f"{here.host}/{repo}:v1", stdin=index.encode())
    regctl("image", "mod", f"{here.host}/{repo}:v1", "--replace",
           "--to-oci-referrers")
    kept = here.manifest(repo, "v1")["manifests"]
    assert [one["digest"] for one in kept] == [image.digest]
    [found] = here.referrers(repo, image.digest)
    assert here.manifest(repo, found)["layers"] == here.manifest(
        repo, "claim")["layers"]


def test_sha512(regctl, here, there, repo):
    """an image of sha512 digests: made, tagged, copied, referred to"""
    name = f"{here.host}/{repo}"
    Image(repo).put(here, repo, "v1")
    regctl("image", "mod", f"{name}:v1", "--create", "strong",
           "--digest-algo", "sha512")
    digest = here.digest(repo, "strong")
    assert re.fullmatch("sha512:[0-9a-f]{128}", digest)
    parts = here.manifest(repo, "strong")
    assert all(part["digest"].startswith("sha512:")
               for part in [parts["config"], *parts["layers"]])
    assert here.has_all(repo, "strong")
    regctl("image", "copy", "--referrers", f"{name}:strong",
           f"{there.host}/{repo}:v1")
    assert there.digest(repo, "v1") == digest and there.has_all(repo, "v1")
    made = put_artifact(regctl, "--subject", f"{name}:strong")
    assert here.referrers(repo, digest) == {made: "application/example"}
    regctl("manifest", "delete", f"{name}@{digest}")
    assert here.digest(repo, "strong") is None


def test_list(regctl, here, repo):
    """list tags and repositories, page by page"""
    name = f"{here.host}/{repo}"
    for tag in "a", "b", "c", "d":
        Image(repo).put(here, repo, tag)
    assert regctl.lines("tag", "ls", name) == ["a", "b", "c", "d"]
    assert regctl.lines("tag", "ls", "--last", "a", "--limit", 2, name) == [
        "b", "c"]
    Image(repo).put(here, f"{repo}/below", "a")
    assert regctl.lines("repo", "ls", here.host) == here.repositories()
    assert regctl.lines("repo", "ls", "--last", repo, "--limit", 1,
                        here.host) == [f"{repo}/below"]


def test_delete_tag(regctl, here, repo):
    """delete a tag and keep its manifest"""
    name = f"{here.host}/{repo}"
    image = Image(repo).put(here, repo, "v1").put(here, repo, "v2")
    regctl("tag", "delete", f"{name}:v1")
    assert here.tags(repo) == ["v2"]
    assert here.digest(repo, "v2") == image.digest
    regctl.refused("tag", "delete", f"{name}:v1")
    regctl("tag", "delete", "--ignore-missing", f"{name}:v1")
