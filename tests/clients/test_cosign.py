"""cosign: signatures and attestations, with a key on disk and no log.

It knows three ways to keep them: under tags named after the digest, as
referrers, and as referrers that hold a Sigstore bundle.
"""

import base64
import json

import pytest

from clients import (ARCHES, Image, here, program_fixture,  # noqa: F401
                     second_server, there)
from figures import figure

pytestmark = figure("real clients", "by cosign")
cosign = program_fixture("cosign", COSIGN_PASSWORD="", COSIGN_EXPERIMENTAL="1")
HTTP = "--allow-http-registry", "--allow-insecure-registry"
SIGNATURE = "application/vnd.dev.cosign.artifact.sig.v1+json"
SBOM = "application/vnd.dev.cosign.artifact.sbom.v1+json"
SIMPLE = "application/vnd.dev.cosign.simplesigning.v1+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


@pytest.fixture(scope="module", autouse=True)
def keys(cosign):
    """cosign.key and cosign.pub, and another pair, in its folder."""
    cosign("generate-key-pair")
    cosign("generate-key-pair", "--output-key-prefix", "other")
    cosign("trusted-root", "create", "--out", "root.json")  # trusts nobody


# way: (flags to sign with, flags to verify with)
WAYS = {
    "tag": ((), ()),
    "referrer": (("--registry-referrers-mode", "oci-1-1"),
                 ("--experimental-oci11",)),
    "bundle": (("--new-bundle-format",),
               ("--new-bundle-format", "--trusted-root", "root.json")),
}


def sign(cosign, name, *flags):
    cosign("sign", *HTTP, "--key", "cosign.key", "--tlog-upload=false", "-y",
           *flags, name)


def verify_args(name, *flags, key="cosign"):
    return ("verify", *HTTP, "--key", f"{key}.pub", "--insecure-ignore-tlog",
            *flags, name)


def attest(cosign, name, predicate, *flags):
    cosign("attest", *HTTP, "--key", "cosign.key", "--tlog-upload=false", "-y",
           "--type", "custom", "--predicate", "-", *flags, name,
           stdin=json.dumps(predicate).encode())


def attestations(cosign, name, *flags):
    """The predicates that verify."""
    shown = cosign("verify-attestation", *HTTP, "--key", "cosign.pub",
                   "--insecure-ignore-tlog", "--type", "custom", *flags, name)
    claims = [json.loads(base64.b64decode(json.loads(line)["payload"]))
              for line in shown.splitlines()]
    return [json.loads(claim["predicate"]["Data"]) for claim in claims]


def tag_of(digest, suffix):
    return digest.replace(":", "-") + "." + suffix


@pytest.mark.parametrize("way", WAYS)
def test_sign(cosign, here, repo, way):
    """sign and verify: under a tag, as a referrer, as a bundle"""
    image = Image(repo).put(here, repo, "v1")
    name = f"{here.host}/{repo}"
    to_sign, to_verify = WAYS[way]
    cosign.refused(*verify_args(f"{name}:v1", *to_verify))
    sign(cosign, f"{name}@{image.digest}", *to_sign)
    if way == "tag":
        tag = tag_of(image.digest, "sig")
        assert here.tags(repo) == [tag, "v1"]
        made = here.manifest(repo, tag)
        assert [part["mediaType"] for part in made["layers"]] == [SIMPLE]
        assert here.has_all(repo, tag)
        assert here.referrers(repo, image.digest) == {}
    else:
        assert here.tags(repo) == ["v1"]
        [(made, kind)] = here.referrers(repo, image.digest).items()
        assert kind == (SIGNATURE if way == "referrer" else BUNDLE)
        assert here.has_all(repo, made)
    shown = json.loads(cosign(*verify_args(f"{name}:v1", *to_verify)))
    assert [one["critical"]["image"]["docker-manifest-digest"]
            for one in shown] == [image.digest]
    # Another key, or another image under the tag, and it is refused.
    cosign.refused(*verify_args(f"{name}:v1", *to_verify, key="other"))
    Image("forged").put(here, repo, "v1")
    cosign.refused(*verify_args(f"{name}:v1", *to_verify))
    cosign(*verify_args(f"{name}@{image.digest}", *to_verify))


def test_sign_index(cosign, here, repo):
    """sign an index with its images, with annotations that are checked"""
    image = Image(repo, ARCHES).put(here, repo, "v1")
    name = f"{here.host}/{repo}"
    sign(cosign, f"{name}@{image.digest}", "--recursive", "-a", "a=b")
    digests = [image.digest, *image.children]
    assert here.tags(repo) == sorted(
        ["v1"] + [tag_of(digest, "sig") for digest in digests])
    for digest in digests:
        cosign(*verify_args(f"{name}@{digest}", "-a", "a=b"))
        cosign.refused(*verify_args(f"{name}@{digest}", "-a", "a=c"))


@pytest.mark.parametrize("way", ["tag", "bundle"])
def test_attest(cosign, here, repo, way):
    """attest and verify-attestation: under a tag, as a bundle; replace"""
    image = Image(repo).put(here, repo, "v1")
    name = f"{here.host}/{repo}@{image.digest}"
    to_sign, to_verify = WAYS[way]
    attest(cosign, name, {"n": 1}, *to_sign)
    assert attestations(cosign, name, *to_verify) == [{"n": 1}]
    attest(cosign, name, {"n": 2}, *to_sign)
    found = attestations(cosign, name, *to_verify)
    assert sorted(one["n"] for one in found) == [1, 2]
    if way == "tag":
        tag = tag_of(image.digest, "att")
        assert len(here.manifest(repo, tag)["layers"]) == 2
        attest(cosign, name, {"n": 3}, "--replace")
        assert attestations(cosign, name) == [{"n": 3}]
        assert len(here.manifest(repo, tag)["layers"]) == 1
        assert here.tags(repo) == [tag, "v1"]
    else:
        assert list(here.referrers(repo, image.digest).values()) == [
            BUNDLE, BUNDLE]
        assert here.tags(repo) == ["v1"]


def test_attach(cosign, here, repo, tmp_path):
    """attach a signature made elsewhere, and an SBOM: tag and referrer"""
    image = Image(repo).put(here, repo, "v1")
    name = f"{here.host}/{repo}@{image.digest}"
    payload, signature = tmp_path / "payload", tmp_path / "signature"
    payload.write_bytes(cosign.bytes("generate", *HTTP, name))
    cosign("sign-blob", "--key", "cosign.key", "--tlog-upload=false", "-y",
           "--output-signature", signature, payload)
    cosign("attach", "signature", *HTTP, "--payload", payload, "--signature",
           signature, name)
    cosign(*verify_args(name))
    got = json.loads(cosign("download", "signature", *HTTP, name))
    assert got["Base64Signature"] == signature.read_text()
    (tmp_path / "sbom").write_text('{"spdxVersion": "SPDX-2.3"}')
    cosign("attach", "sbom", *HTTP, "--sbom", tmp_path / "sbom", name)
    cosign("attach", "sbom", *HTTP, "--registry-referrers-mode", "oci-1-1",
           "--sbom", tmp_path / "sbom", name)
    assert here.tags(repo) == [tag_of(image.digest, "sbom"),
                               tag_of(image.digest, "sig"), "v1"]
    assert list(here.referrers(repo, image.digest).values()) == [SBOM]
    assert cosign("download", "sbom", *HTTP, name) == (
        tmp_path / "sbom").read_text()


def test_find(cosign, here, repo):
    """triangulate and tree show what lies there"""
    image = Image(repo).put(here, repo, "v1")
    name = f"{here.host}/{repo}"
    sign(cosign, f"{name}@{image.digest}")
    sign(cosign, f"{name}@{image.digest}", *WAYS["referrer"][0])
    attest(cosign, f"{name}@{image.digest}", {"n": 1})
    for kind, suffix in ("signature", "sig"), ("attestation", "att"):
        where = cosign("triangulate", *HTTP, "--type", kind, f"{name}:v1")
        assert where.strip() == f"{name}:{tag_of(image.digest, suffix)}"
        assert here.digest(repo, where.strip().rpartition(":")[2])
    shown = cosign("tree", *HTTP, "--experimental-oci11", f"{name}:v1")
    [referrer] = here.referrers(repo, image.digest)
    for found in (tag_of(image.digest, "sig"), tag_of(image.digest, "att"),
                  referrer):
        assert found in shown


def test_copy(cosign, here, there, repo, tmp_path):
    """copy, save and load an image with its signatures"""
    image = Image(repo, ARCHES).put(here, repo, "v1")
    name = f"{here.host}/{repo}"
    sign(cosign, f"{name}@{image.digest}")
    attest(cosign, f"{name}@{image.digest}", {"n": 1})
    tags = [tag_of(image.digest, suffix) for suffix in ("sig", "att")]
    for server, target in ((here, f"{repo}-copy"), (there, repo)):
        cosign("copy", *HTTP, f"{name}:v1", f"{server.host}/{target}:v1")
        assert server.digest(target, "v1") == image.digest
        assert server.has_all(target, "v1")
        for tag in tags:
            assert server.digest(target, tag) == here.digest(repo, tag)
            assert server.has_all(target, tag)
        cosign(*verify_args(f"{server.host}/{target}:v1"))
    cosign("save", *HTTP, "--dir", tmp_path / "saved", f"{name}:v1")
    cosign("load", *HTTP, "--dir", tmp_path / "saved",
           f"{there.host}/{repo}-loaded:v1")
    assert there.digest(f"{repo}-loaded", "v1") == image.digest
    assert there.has_all(f"{repo}-loaded", "v1")
    cosign(*verify_args(f"{there.host}/{repo}-loaded:v1"))


@pytest.mark.parametrize("kind, left", [
    ("all", []), ("signature", ["att"]), ("attestation", ["sig"])])
def test_clean(cosign, here, repo, kind, left):
    """clean removes signatures, attestations or both, never the image"""
    image = Image(repo).put(here, repo, "v1")
    name = f"{here.host}/{repo}"
    sign(cosign, f"{name}@{image.digest}")
    attest(cosign, f"{name}@{image.digest}", {"n": 1})
    cosign("clean", *HTTP, "-f", "--type", kind, f"{name}:v1")
    assert here.tags(repo) == [tag_of(image.digest, one) for one in left] + [
        "v1"]
    assert here.digest(repo, "v1") == image.digest


def test_upload(cosign, here, repo, tmp_path):
    """upload blob: files as an artifact, one for each platform"""
    for arch in ARCHES:
        (tmp_path / arch).write_text(arch)
    name = f"{here.host}/{repo}"
    cosign("upload", "blob", *HTTP, "-f", tmp_path / "amd64", "--ct",
           "text/plain", f"{name}:one")
    [part] = here.manifest(repo, "one")["layers"]
    assert part["mediaType"] == "text/plain"
    assert here.blob(repo, part["digest"]) == b"amd64"
    cosign("upload", "blob", *HTTP, *(
        arg for arch in ARCHES
        for arg in ("-f", f"{tmp_path / arch}:linux/{arch}")), f"{name}:both")
    found = here.manifest(repo, "both")["manifests"]
    assert sorted(one["platform"]["architecture"] for one in found) == list(
        ARCHES)
    assert here.has_all(repo, "both")
