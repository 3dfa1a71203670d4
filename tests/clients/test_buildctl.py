"""buildctl and a buildkitd of its own: images, attestations, build caches."""

import re

import pytest

from clients import (ARCHES, DOCKER_LIST, DOCKER_MANIFEST,  # noqa: F401
                     Image, Program, View, here, program_fixture,
                     second_server, there)
from engines import Daemon
from figures import figure
from rawhttp import OCI_INDEX, OCI_MANIFEST
from rootfs import busybox_tar

pytestmark = figure("real clients", "by buildctl")
program = program_fixture("buildctl")
CACHE = "application/vnd.buildkit.cacheconfig.v0"
CONFIG = """
root = "{folder}/root"
[grpc]
address = ["unix://{folder}/sock"]
[otel]
socketPath = "{folder}/otel"
[worker.containerd]
enabled = false
[worker.oci]
enabled = true
snapshotter = "native"
networkMode = "host"
gc = false
"""
# What RUN leaves is never the same twice: only a cache brings it back.
DOCKERFILE = """
FROM {host}/base:v1 AS one
RUN ["/bin/cat", "/proc/sys/kernel/random/uuid"]
RUN ["/bin/cp", "/proc/sys/kernel/random/uuid", "/one"]
FROM {host}/base:v1
COPY --from=one /one /two
COPY file /file
"""


@pytest.fixture(scope="module")
def buildctl(program, shared, tmp_path_factory):
    """buildctl with a daemon; the base image lies in the registry."""
    folder = tmp_path_factory.mktemp("bk")
    (folder / "conf").write_text(CONFIG.format(folder=folder))
    server = Program("buildkitd", folder)
    program.env["BUILDKIT_HOST"] = f"unix://{folder}/sock"
    daemon = Daemon([server.path, "--config", folder / "conf"], folder / "log",
                    lambda: program.run("debug", "workers").returncode == 0,
                    server.env)
    Image("base", tars=[busybox_tar(["cat", "cp"], ("bin", "tmp"))]).put(
        View(shared), "base", "v1")
    yield program
    daemon.stop()
    assert str(folder) not in open("/proc/self/mountinfo").read()


@pytest.fixture
def build(buildctl, here, tmp_path):
    """build(*more flags): what it printed."""
    (tmp_path / "Dockerfile").write_text(DOCKERFILE.format(host=here.host))
    (tmp_path / "file").write_text(str(tmp_path))

    def call(*args):
        done = buildctl.run(
            "build", "--progress", "plain", "--frontend", "dockerfile.v0",
            "--local", f"context={tmp_path}", "--local",
            f"dockerfile={tmp_path}", *args)
        assert done.returncode == 0, done.stderr.decode()
        return done.stderr.decode()
    return call


def push_to(name, **options):
    more = "".join(f",{key.replace('_', '-')}={value}"
                   for key, value in options.items())
    return "--output", f"type=image,name={name},push=true{more}"


def layers(view, repo, ref):
    found = view.manifest(repo, ref)
    if "manifests" in found:
        return layers(view, repo, found["manifests"][0]["digest"])
    return [part["digest"] for part in found["layers"]]


def test_build(build, here, repo):
    """build on a base from the registry and push, OCI and Docker types"""
    build(*push_to(f"{here.host}/{repo}:v1"))
    assert here.manifest(repo, "v1")["mediaType"] == OCI_MANIFEST
    assert layers(here, repo, "v1")[0] == layers(here, "base", "v1")[0]
    assert len(layers(here, repo, "v1")) == 3 and here.has_all(repo, "v1")
    build(*push_to(f"{here.host}/{repo}:docker", oci_mediatypes="false"))
    assert here.manifest(repo, "docker")["mediaType"] == DOCKER_MANIFEST
    assert here.has_all(repo, "docker")
    build(*push_to(f"{here.host}/{repo}:zstd", compression="zstd",
                   force_compression="true"))
    assert all(part["mediaType"].endswith("+zstd")
               for part in here.manifest(repo, "zstd")["layers"])
    assert here.has_all(repo, "zstd")


def test_attestations(build, here, repo):
    """build with provenance: an index with an attestation"""
    build(*push_to(f"{here.host}/{repo}:v1"), "--opt",
          "attest:provenance=mode=max")
    found = here.manifest(repo, "v1")
    assert found["mediaType"] == OCI_INDEX
    image, claim = found["manifests"]
    assert claim["platform"]["os"] == "unknown"
    assert claim["annotations"]["vnd.docker.reference.digest"] == image[
        "digest"]
    [part] = here.manifest(repo, claim["digest"])["layers"]
    assert part["mediaType"] == "application/vnd.in-toto+json"
    assert here.has_all(repo, "v1")


def test_platforms(build, here, repo, tmp_path):
    """build for two platforms; push by digest, without a tag"""
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY file /file\n")
    for types, kind in ("true", OCI_INDEX), ("false", DOCKER_LIST):
        build(*push_to(f"{here.host}/{repo}:{types}", oci_mediatypes=types),
              "--opt", "platform=" + ",".join(f"linux/{a}" for a in ARCHES))
        found = here.manifest(repo, types)
        assert found["mediaType"] == kind
        assert [one["platform"]["architecture"]
                for one in found["manifests"]] == list(ARCHES)
        assert here.has_all(repo, types)
    out = build(*push_to(f"{here.host}/{repo}-bare", push_by_digest="true"))
    [digest] = set(re.findall(r"exporting manifest (sha256:\w+)", out))
    assert here.digest(f"{repo}-bare", digest) == digest
    assert here.tags(f"{repo}-bare") == []


@pytest.mark.parametrize("form", ["index", "image"])
def test_cache(buildctl, build, here, there, repo, form):
    """export a cache of all stages as index and image, import it again"""
    cache = f"{there.host}/{repo}:cache"
    build(*push_to(f"{here.host}/{repo}:v1"), "--export-cache",
          f"type=registry,ref={cache},mode=max,"
          f"image-manifest={str(form == 'image').lower()}")
    found = there.manifest(repo, "cache")
    if form == "image":
        assert found["config"]["mediaType"] == CACHE
        parts = found["layers"]
    else:
        *parts, last = found["manifests"]
        assert last["mediaType"] == CACHE
    assert there.has_all(repo, "cache")
    # The base, what each RUN and each COPY left: more than the image has.
    kept = {part["digest"] for part in parts}
    assert kept > set(layers(here, repo, "v1"))
    buildctl("prune", "--all")
    out = build(*push_to(f"{here.host}/{repo}:v2"), "--import-cache",
                f"type=registry,ref={cache}")
    assert len(re.findall(r"^#\d+ CACHED$", out, re.M)) >= 3, out
    assert layers(here, repo, "v2") == layers(here, repo, "v1")
    assert here.has_all(repo, "v2")


def test_inline_cache(buildctl, build, here, repo):
    """export a cache inside the image, import it again"""
    name = f"{here.host}/{repo}"
    build(*push_to(f"{name}:v1"), "--export-cache", "type=inline")
    buildctl("prune", "--all")
    out = build(*push_to(f"{name}:v2"), "--import-cache",
                f"type=registry,ref={name}:v1")
    assert re.search(r"^#\d+ CACHED$", out, re.M), out
    assert layers(here, repo, "v2") == layers(here, repo, "v1")
