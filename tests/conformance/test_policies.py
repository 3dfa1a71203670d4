"""Rules per repository and per server that the configuration sets."""

import json

import pytest

from conftest import Berthd
from rawhttp import (OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST,
                     sha256)
from shapes import ABSENT

LATER = b"later"


@pytest.fixture
def configured(tmp_path):
    """configured(text): a berthd of its own with this configuration."""
    servers = []

    def start(text):
        conf = tmp_path / "registry.conf"
        conf.write_text(text)
        server = Berthd(tmp_path / "data", "--config", str(conf))
        servers.append(server)
        return server.client()

    yield start
    for server in servers:
        server.stop()


def manifest(config=ABSENT, size=2):
    return json.dumps({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
        "config": {"mediaType": OCI_CONFIG, "digest": config,
                   "size": size}}).encode()


def index(*children):
    return json.dumps({
        "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
            {"mediaType": OCI_MANIFEST, "digest": sha256(c), "size": len(c)}
            for c in children]}).encode()


def test_sparse_by_pattern(configured):
    http = configured('sparse-repositories = {"mirror/**", "ci/*/cache"}\n')
    for repo in ("mirror/a", "mirror/a/b", "ci/x/cache"):
        assert http.put_manifest(repo, "v", manifest()).status == 201
        assert http("GET", f"/v2/{repo}/manifests/v").body == manifest()
    for repo in ("mirror", "mirrors/a", "ci/x/y/cache", "team/app"):
        answer = http.put_manifest(repo, "v", manifest())
        assert (answer.status, answer.code) == (400, "MANIFEST_BLOB_UNKNOWN")
        assert http("GET", f"/v2/{repo}/manifests/v").status == 404


@pytest.mark.parametrize("absent, text", [
    (0, None), (1, "{digest} is not in r yet"),
    (2, "2 of what it names are not in r yet"),
    (40, "16 or more of what it names are not in r yet")])
def test_sparse_warns_of_what_is_missing(configured, absent, text):
    http = configured('sparse-repositories = {"**"}\n')
    config = http.push_blob("r", b"{}")
    there = http.push_blob("r", LATER)
    layers = [sha256(str(i).encode()) for i in range(absent)]
    data = json.dumps({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": config, "size": 2},
        "layers": [{"mediaType": OCI_LAYER, "digest": digest, "size": size}
                   for digest, size in [(there, len(LATER)),
                                        *((layer, 1) for layer in layers)]]})
    answer = http.put_manifest("r", "v", data.encode())
    assert answer.status == 201
    assert answer["warning"] == (
        text and f'299 - "{text.format(digest=(layers or [None])[0])}"')


def test_every_repository_can_be_sparse(configured):
    http = configured('sparse-repositories = {"**"}\n')
    assert http.put_manifest("a/b/c", "v", manifest()).status == 201
    assert http.put_manifest("a", "v", manifest()).status == 201


def test_sparse_does_not_accept_a_wrong_size(configured):
    http = configured('sparse-repositories = {"**"}\n')
    http.push_blob("r", LATER)
    answer = http.put_manifest("r", "v", manifest(sha256(LATER), 4))
    assert (answer.status, answer.code) == (400, "MANIFEST_INVALID")


def test_blob_pushed_after_its_manifest_is_in_use(configured):
    http = configured('sparse-repositories = {"**"}\n')
    data = manifest(sha256(LATER), len(LATER))
    assert http.put_manifest("r", "v", data).status == 201
    http.push_blob("r", LATER)
    answer = http("DELETE", f"/v2/r/blobs/{sha256(LATER)}")
    assert (answer.status, answer.code) == (405, "UNSUPPORTED")
    assert sha256(data) in answer.json()["errors"][0]["message"]


def test_delete_of_what_is_used(configured):
    http = configured("delete-used = true\n")
    data, digest = http.push_image("r", "v", [b"layer"])
    assert http.put_manifest("r", "all", index(data), OCI_INDEX).status == 201
    layer = f"/v2/r/blobs/{sha256(b'layer')}"
    assert http("DELETE", layer).status == 202
    assert http("HEAD", layer).status == 404
    assert http("GET", f"/v2/r/manifests/{digest}").body == data
    assert http("DELETE", f"/v2/r/manifests/{digest}").status == 202
    assert http("HEAD", f"/v2/r/manifests/{digest}").status == 404
    assert http("GET", "/v2/r/manifests/all").body == index(data)
    # It can be pushed again, and is there again.
    http.push_blob("r", b"layer")
    assert http.put_manifest("r", "v", data).status == 201
    assert http("GET", layer).body == b"layer"


def test_delete_switched_off(configured):
    http = configured("allow-delete = false\n")
    _, digest = http.push_image("r", "v")
    for path in ("manifests/v", f"manifests/{digest}",
                 f"blobs/{sha256(b'layer')}"):
        answer = http("DELETE", f"/v2/r/{path}")
        assert (answer.status, answer.code) == (405, "UNSUPPORTED")
        assert http("HEAD", f"/v2/r/{path}").status == 200
    where = http.begin("r")
    assert http("DELETE", where, b"").status == 204  # an upload is no content
