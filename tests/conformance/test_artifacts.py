"""What tools push that are no plain images: each as its tool shapes it."""

import pytest

from content import Content
from lifecycle import (check_all_is_there, check_referrers, check_tags,
                       delete_all, push_blobs, push_manifests)
from rawhttp import OCI_LAYER

GZIP = OCI_LAYER + "+gzip"
BUILDKIT_CACHE = "application/vnd.buildkit.cacheconfig.v0"
DOCKER = "application/vnd.docker."
DOCKER_MANIFEST = DOCKER + "distribution.manifest.v2+json"
DOCKER_LIST = DOCKER + "distribution.manifest.list.v2+json"
DOCKER_CONFIG = DOCKER + "container.image.v1+json"
DOCKER_LAYER = DOCKER + "image.rootfs.diff.tar.gzip"


def helm_chart(c):
    helm = "application/vnd.cncf.helm."
    c.image(c.config(helm + "config.v1+json", name="chart"), [
        c.layer("chart", helm + "chart.content.v1.tar+gzip"),
        c.layer("proof", helm + "chart.provenance.v1.prov")],
        annotations={"org.opencontainers.image.title": "chart",
                     "org.opencontainers.image.version": "0.1.0+build.1"},
        tag="0.1.0_build.1")


def oras_files(c):
    c.image(c.empty(data="e30="), [
        c.layer("file", OCI_LAYER,
                annotations={"org.opencontainers.image.title": "a/b.txt"}),
        c.layer("folder", GZIP, annotations={
            "io.deis.oras.content.unpack": "true",
            "org.opencontainers.image.title": "folder"})],
        artifactType="application/vnd.unknown.artifact.v1",
        annotations={"org.opencontainers.image.created":
                     "2026-01-01T00:00:00Z"}, tag="files")


def oras_attached(c):
    subject = c.image(tag="image")
    sbom = c.image(c.empty(data="e30="), [c.layer("sbom", "text/spdx")],
                   artifactType="application/spdx+json", subject=subject,
                   annotations={"org.opencontainers.image.created": "now"})
    c.image(c.empty(), [c.layer("of the sbom", "text/plain")],
            artifactType="application/vnd.signature", subject=sbom)


def cache_layers(c):
    return [c.layer(f"cached {i}", GZIP, annotations={
        "buildkit/createdat": "2026-01-01T00:00:00Z",
        "containerd.io/uncompressed": "sha256:" + "a" * 64})
        for i in range(3)]


def buildkit_cache_index(c):
    """The older form: children of the index are layers and a config."""
    c.index(*cache_layers(c), c.config(BUILDKIT_CACHE, layers=[]),
            tag="cache")


def buildkit_cache_image(c):
    """The newer form: an image manifest of the same parts."""
    c.image(c.config(BUILDKIT_CACHE, layers=[]), cache_layers(c), tag="cache")


def buildkit_inline_cache(c):
    c.image(c.config(**{"moby.buildkit.cache.v0": "W10=", "os": "linux"}),
            tag="latest")


def buildkit_attestation(c):
    [image] = c.platforms("amd64")
    toto = "application/vnd.in-toto+json"
    proof = c.image(layers=[
        c.layer("provenance", toto, annotations={
            "in-toto.io/predicate-type": "https://slsa.dev/provenance/v0.2"}),
        c.layer("sbom", toto)])
    c.index(image, {**proof, "platform": {
        "architecture": "unknown", "os": "unknown"}, "annotations": {
            "vnd.docker.reference.digest": image["digest"],
            "vnd.docker.reference.type": "attestation-manifest"}},
        tag="latest")


def cosign_tags(c):
    """Signatures of the tag kind have no subject; a fat one has layers."""
    image = c.image(tag="image")
    name = image["digest"].replace(":", "-")
    signature = "application/vnd.dev.cosign.simplesigning.v1+json"
    c.image(layers=[c.layer(f"signature {i}", signature, annotations={
        "dev.cosignproject.cosign/signature": "MEUCIQ=="})
        for i in range(2)], tag=name + ".sig")
    c.image(layers=[c.layer("proof",
                            "application/vnd.dsse.envelope.v1+json")],
            tag=name + ".att")
    c.image(layers=[c.layer("sbom", "text/spdx+json")], tag=name + ".sbom")


def cosign_bundle(c):
    bundle = "application/vnd.dev.sigstore.bundle.v0.3+json"
    c.image(c.empty(), [c.layer("bundle", bundle)], artifactType=bundle,
            subject=c.index(*c.platforms("amd64"), tag="image"),
            annotations={"dev.sigstore.bundle.content": "dsse-envelope"})


def notation_signature(c):
    notary = "application/vnd.cncf.notary.signature"
    c.image(c.blob(b"{}", notary), [c.layer("jws", "application/jose+json")],
            subject=c.image(tag="image"), annotations={
                "io.cncf.notary.x509chain.thumbprint#S256": '["ab"]'})


def wasm(c):
    c.image(c.config("application/vnd.wasm.config.v0+json"),
            [c.layer("wasm", "application/wasm")], tag="wasm")


def singularity(c):
    sif = "application/vnd.sylabs.sif."
    c.image(c.config(sif + "config.v1+json"),
            [c.layer("sif", sif + "layer.v1.sif")], tag="sif")


def docker_list(c):
    children = [{**c.image(c.config(DOCKER_CONFIG, architecture=name),
                           [c.layer("shared", DOCKER_LAYER)],
                           mediaType=DOCKER_MANIFEST),
                 "platform": {"os": "linux", "architecture": name}}
                for name in ("amd64", "arm64")]
    c.index(*children, mediaType=DOCKER_LIST, tag="list")


def docker_plugin(c):
    c.image(c.config(DOCKER + "plugin.v1+json"),
            [c.layer("plugin", DOCKER_LAYER)], mediaType=DOCKER_MANIFEST,
            tag="plugin")


def docker_foreign_layer(c):
    digest = "sha256:" + "f" * 64
    c.image(c.config(DOCKER_CONFIG), [
        {"mediaType": DOCKER + "image.rootfs.foreign.diff.tar.gzip",
         "size": 99, "digest": digest, "urls": ["https://elsewhere/x"]},
        c.layer("ours", DOCKER_LAYER)], mediaType=DOCKER_MANIFEST,
        tag="windows")


def index_of_mixed_children(c):
    """As buildah makes it: an OCI index of docker's manifests as well."""
    docker = c.image(c.config(DOCKER_CONFIG), [c.layer("d", DOCKER_LAYER)],
                     mediaType=DOCKER_MANIFEST)
    c.index(docker, c.image(), tag="mixed")


def zstd_chunked(c):
    c.image(layers=[c.layer("zstd", OCI_LAYER + "+zstd", annotations={
        "io.github.containers.zstd-chunked.manifest-position": "1:2:3:1"}),
        c.layer("estargz", GZIP, annotations={
            "containerd.io/snapshot/stargz/toc.digest": "sha256:x"})],
        tag="lazy")


SHAPES = [helm_chart, oras_files, oras_attached, buildkit_cache_index,
          buildkit_cache_image, buildkit_inline_cache, buildkit_attestation,
          cosign_tags, cosign_bundle, notation_signature, wasm, singularity,
          docker_list, docker_plugin, docker_foreign_layer,
          index_of_mixed_children, zstd_chunked]


@pytest.mark.parametrize("shape", SHAPES)
def test_life_of(http, repo, shape):
    c = Content(repo)
    shape(c)
    push_blobs(http, repo, c)
    push_manifests(http, repo, c)
    check_all_is_there(http, repo, c)
    check_tags(http, repo, c)
    check_referrers(http, repo, c)
    for digest in c.blobs:  # each is in use by something
        answer = http("DELETE", f"/v2/{repo}/blobs/{digest}")
        assert (answer.status, answer.code) == (405, "UNSUPPORTED")
    delete_all(http, repo, c)


@pytest.mark.parametrize("kind", [
    DOCKER + "distribution.manifest.v1+json",
    DOCKER + "distribution.manifest.v1+prettyjws"])
def test_schema_1_is_refused(http, repo, kind):
    answer = http.put_manifest(repo, "old", b'{"schemaVersion":1,"name":"a",'
                               b'"tag":"b","fsLayers":[],"history":[]}', kind)
    assert (answer.status, answer.code) == (400, "MANIFEST_INVALID")


def test_index_child_that_is_a_blob_is_still_checked(http, repo):
    """Found as a manifest or as a blob; else it is missing."""
    c = Content(repo)
    there = c.layer()
    c.index(there, {**there, "digest": "sha256:" + "1" * 64}, tag="x")
    push_blobs(http, repo, c)
    data, kind = next(iter(c.manifests.values()))
    answer = http.put_manifest(repo, "x", data, kind)
    assert (answer.status, answer.code) == (400, "MANIFEST_BLOB_UNKNOWN")
    c = Content(repo)
    c.index({**there, "size": there["size"] + 1}, tag="x")
    data, kind = next(iter(c.manifests.values()))
    answer = http.put_manifest(repo, "x", data, kind)
    assert (answer.status, answer.code) == (400, "MANIFEST_INVALID")
