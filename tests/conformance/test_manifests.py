"""Manifests: pushed, pulled, checked, deleted."""

import json

import pytest

from rawhttp import OCI_INDEX, OCI_LAYER, OCI_MANIFEST, sha256
from shapes import ABSENT, image


def test_manifest_round_trip(http, repo):
    data, digest = http.push_image(repo, "v1")
    for ref in ("v1", digest):
        answer = http("GET", f"/v2/{repo}/manifests/{ref}")
        assert (answer.status, answer.body) == (200, data)
        assert answer["content-type"] == OCI_MANIFEST
        assert answer["docker-content-digest"] == digest
        head = http("HEAD", f"/v2/{repo}/manifests/{ref}")
        assert (head.status, head["content-length"]) == (200, str(len(data)))
        assert head["docker-content-digest"] == digest
    again = http.put_manifest(repo, digest, data)
    assert again.status == 201
    assert again["location"] == f"/v2/{repo}/manifests/{digest}"
    assert again["docker-content-digest"] == digest
    cached = http("GET", f"/v2/{repo}/manifests/v1", None,
                  {"If-None-Match": f'"{digest}"'})
    assert cached.status == 304


def layer_with(**change):
    return [{"mediaType": OCI_LAYER, "digest": sha256(b"layer"), "size": 5,
             **change}]


@pytest.mark.parametrize("change, code", [
    ({"schemaVersion": 1}, "MANIFEST_INVALID"),
    ({"schemaVersion": None}, "MANIFEST_INVALID"),
    ({"schemaVersion": "2"}, "MANIFEST_INVALID"),
    ({"mediaType": OCI_INDEX}, "MANIFEST_INVALID"),
    ({"manifests": []}, "MANIFEST_INVALID"),
    ({"config": None}, "MANIFEST_INVALID"),
    ({"layers": None}, "MANIFEST_INVALID"),
    ({"layers": {}}, "MANIFEST_INVALID"),
    ({"layers": layer_with(size=6)}, "MANIFEST_INVALID"),
    ({"layers": layer_with(size=-1)}, "MANIFEST_INVALID"),
    ({"layers": layer_with(size=5.0)}, "MANIFEST_INVALID"),
    ({"layers": layer_with(size=1e30)}, "MANIFEST_INVALID"),
    ({"layers": layer_with(digest="sha256:abc")}, "MANIFEST_INVALID"),
    ({"layers": layer_with(mediaType="")}, "MANIFEST_INVALID"),
    ({"layers": layer_with(digest=ABSENT)}, "MANIFEST_BLOB_UNKNOWN"),
    ({"subject": {"mediaType": OCI_MANIFEST, "size": 1,
                  "digest": "sha256:abc"}}, "MANIFEST_INVALID"),
    ({"subject": {"size": 1, "digest": ABSENT}}, "MANIFEST_INVALID"),
    ({"subject": {"mediaType": OCI_MANIFEST, "size": -1,
                  "digest": ABSENT}}, "MANIFEST_INVALID"),
    ({"annotations": {"a": 1}}, "MANIFEST_INVALID"),
])
def test_bad_manifests(http, repo, change, code):
    data = json.dumps(image(http, repo, **change)).encode()
    answer = http.put_manifest(repo, "bad", data)
    assert (answer.status, answer.code) == (400, code)
    assert http("HEAD", f"/v2/{repo}/manifests/bad").status == 404
    if code == "MANIFEST_BLOB_UNKNOWN":
        detail = answer.json()["errors"][0]["detail"]
        assert detail == [{"digest": ABSENT}]


@pytest.mark.parametrize("data", [
    b"", b"not json", b"[]", b"{}", b'"x"', b"\xef\xbb\xbf{}",
    b'{"schemaVersion":2,"schemaVersion":2}', b'{"a":"\xff"}',
    b"[" * 100 + b"]" * 100, b'{"a":' * 50 + b"1" + b"}" * 50])
def test_not_a_manifest(http, repo, data):
    answer = http.put_manifest(repo, "bad", data)
    assert (answer.status, answer.code) == (400, "MANIFEST_INVALID")


def test_trailing_garbage(http, repo):
    data = json.dumps(image(http, repo)).encode() + b" x"
    assert http.put_manifest(repo, "bad", data).code == "MANIFEST_INVALID"


def test_manifest_types(http, repo):
    plain = json.dumps(image(http, repo)).encode()
    typed = http.put_manifest(repo, "a", plain, OCI_MANIFEST + "; charset=x")
    assert typed.status == 201
    answer = http("GET", f"/v2/{repo}/manifests/a")
    assert answer["content-type"] == OCI_MANIFEST
    assert http.put_manifest(repo, "b", plain, None).status == 201
    shape = json.dumps(image(http, repo, mediaType=None)).encode()
    assert http.put_manifest(repo, "c", shape, None).status == 201
    assert http("GET", f"/v2/{repo}/manifests/c")["content-type"] == \
        OCI_MANIFEST
    odd = http.put_manifest(repo, "d", shape, "text/plain")
    assert (odd.status, odd.code) == (400, "MANIFEST_INVALID")
    docker = image(
        http, repo,
        mediaType="application/vnd.docker.distribution.manifest.v2+json")
    assert http.put_manifest(repo, "e", json.dumps(docker).encode(),
                             docker["mediaType"]).status == 201


def test_manifest_digest_must_match(http, repo):
    data = json.dumps(image(http, repo)).encode()
    answer = http.put_manifest(repo, sha256(data), data + b"  ")
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    bad = http.put_manifest(repo, "sha256:baddigeststring", data)
    assert (bad.status, bad.code) == (400, "DIGEST_INVALID")
    assert http("GET", f"/v2/{repo}/manifests/sha256:abc").status == 400
    odd = http("GET", f"/v2/{repo}/manifests/md5:{'a' * 32}")
    assert (odd.status, odd.code) == (404, "MANIFEST_UNKNOWN")


def test_manifest_size_limit(http, repo):
    manifest = image(http, repo)
    manifest["annotations"] = {f"k{i}": "x" * 10000 for i in range(390)}
    data = json.dumps(manifest).encode()
    assert 3_900_000 < len(data) < 4 << 20
    where = f"/v2/{repo}/manifests/large"
    kind = {"Content-Type": OCI_MANIFEST}
    assert http("PUT", where, data, kind).status == 201
    assert http("GET", where).body == data
    most = data + b" " * ((4 << 20) - len(data))
    assert http("PUT", where, most, kind).status == 201
    assert http("GET", where).body == most
    huge = most + b" "
    for way in ({"body": huge}, {"chunked": [huge[:1 << 20],
                                             huge[1 << 20:]]}):
        try:
            answer = http("PUT", where + "2", headers=kind, **way)
        except (BrokenPipeError, ConnectionResetError):
            answer = http.read()
        assert (answer.status, answer.code) == (413, "SIZE_INVALID")


def test_unknown_manifest(http, repo):
    http.push_blob(repo, b"so that the repository exists")
    for ref in ("none", ABSENT):
        known = http("GET", f"/v2/{repo}/manifests/{ref}")
        assert (known.status, known.code) == (404, "MANIFEST_UNKNOWN")
        other = http("GET", f"/v2/{repo}-x/manifests/{ref}")
        assert (other.status, other.code) == (404, "NAME_UNKNOWN")


def test_index_and_nested_index(http, repo):
    _, child = http.push_image(repo, "child")
    size = int(http("HEAD", f"/v2/{repo}/manifests/{child}")["content-length"])
    blob = http.push_blob(repo, b"a blob as a child")
    index = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        {"mediaType": OCI_MANIFEST, "digest": child, "size": size},
        {"mediaType": OCI_LAYER, "digest": blob, "size": 17}]}
    data = json.dumps(index).encode()
    assert http.put_manifest(repo, "index", data, OCI_INDEX).status == 201
    outer = {"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
        {"mediaType": OCI_INDEX, "digest": sha256(data), "size": len(data)}]}
    assert http.put_manifest(repo, "outer", json.dumps(outer).encode(),
                             OCI_INDEX).status == 201
    used = http("DELETE", f"/v2/{repo}/manifests/{child}")
    assert (used.status, used.code) == (405, "UNSUPPORTED")
    index["manifests"][0]["digest"] = ABSENT
    missing = http.put_manifest(repo, "bad", json.dumps(index).encode(),
                                OCI_INDEX)
    assert (missing.status, missing.code) == (400, "MANIFEST_BLOB_UNKNOWN")


def test_foreign_layers_may_be_absent(http, repo):
    kind = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    data = image(http, repo, layers=[{
        "mediaType": kind, "digest": ABSENT, "size": 7,
        "urls": ["https://example.invalid/layer"]}])
    assert http.put_manifest(repo, "f", json.dumps(data).encode()).status == 201


def test_manifest_delete(http, repo):
    data, digest = http.push_image(repo, "a")
    http.put_manifest(repo, "b", data)
    assert http("DELETE", f"/v2/{repo}/manifests/a").status == 202
    assert http("HEAD", f"/v2/{repo}/manifests/a").status == 404
    assert http("HEAD", f"/v2/{repo}/manifests/b").status == 200
    assert http("DELETE", f"/v2/{repo}/manifests/{digest}").status == 202
    assert http("HEAD", f"/v2/{repo}/manifests/b").status == 404
    assert http("HEAD", f"/v2/{repo}/manifests/{digest}").status == 404
    for where in (repo, repo + "/never"):
        for ref in (digest, "a"):
            gone = http("DELETE", f"/v2/{where}/manifests/{ref}")
            assert (gone.status, gone.code) == (404, "MANIFEST_UNKNOWN")
    assert http("GET", f"/v2/{repo}/tags/list").json()["tags"] == []
