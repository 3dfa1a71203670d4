"""Blobs: pulled, referred to, deleted."""

import hashlib

import pytest

from rawhttp import sha256
from shapes import ABSENT, EMPTY


def test_blob_round_trip(http, repo):
    data = bytes(range(256)) * 8
    digest = http.push_blob(repo, data)
    answer = http("GET", f"/v2/{repo}/blobs/{digest}")
    assert (answer.status, answer.body) == (200, data)
    assert answer["docker-content-digest"] == digest
    assert answer["etag"] == f'"{digest}"'
    assert answer["accept-ranges"] == "bytes"
    assert answer["content-type"] == "application/octet-stream"
    head = http("HEAD", f"/v2/{repo}/blobs/{digest}")
    assert (head.status, head["content-length"]) == (200, str(len(data)))
    assert head["docker-content-digest"] == digest
    same = http("GET", f"/v2/{repo}/blobs/{digest}", None,
                {"If-None-Match": f'"{digest}"'})
    assert same.status == 304
    other = http("HEAD", f"/v2/{repo}-other/blobs/{digest}")
    assert other.status == 404  # a digest is no key to other repositories


def test_empty_blob(http, repo):
    assert http.push_blob(repo, b"") == EMPTY
    answer = http("GET", f"/v2/{repo}/blobs/{EMPTY}")
    assert (answer.status, answer.body) == (200, b"")
    ranged = http("GET", f"/v2/{repo}/blobs/{EMPTY}", None,
                  {"Range": "bytes=0-1"})
    assert ranged.status == 416


@pytest.mark.parametrize("ref, status, code", [
    ("latest", 400, "DIGEST_INVALID"),
    ("sha256:abc", 400, "DIGEST_INVALID"),
    ("sha256:" + "A" * 64, 400, "DIGEST_INVALID"),
    ("SHA256:" + "a" * 64, 400, "DIGEST_INVALID"),
    ("sha256:../../" + "a" * 58, 400, None),
    ("md5:" + "a" * 32, 404, "BLOB_UNKNOWN"),
    (ABSENT, 404, "BLOB_UNKNOWN"),
    ("sha512:" + "0" * 128, 404, "BLOB_UNKNOWN"),
])
def test_blob_references(http, ref, status, code):
    answer = http("GET", f"/v2/t/refs/blobs/{ref}")
    assert answer.status == status
    assert code is None or answer.code == code


def test_blob_delete(http, repo):
    digest = http.push_blob(repo, b"to be deleted")
    path = f"/v2/{repo}/blobs/{digest}"
    assert http("DELETE", path).status == 202
    assert http("HEAD", path).status == 404
    again = http("DELETE", path)
    assert (again.status, again.code) == (404, "BLOB_UNKNOWN")
    assert http.push_blob(repo, b"to be deleted") == digest
    assert http("GET", path).body == b"to be deleted"


def test_used_blob_stays(http, repo):
    manifest, digest = http.push_image(repo, "v1", [b"used"])
    path = f"/v2/{repo}/blobs/{sha256(b'used')}"
    answer = http("DELETE", path)
    assert (answer.status, answer.code) == (405, "UNSUPPORTED")
    assert digest in answer.json()["errors"][0]["message"]
    assert http("DELETE", f"/v2/{repo}/manifests/{digest}").status == 202
    assert http("DELETE", path).status == 202


def test_large_blob_is_streamed(http, repo):
    data = hashlib.sha512(b"seed").digest() * (1 << 18)  # 16 MiB
    digest = http.push_blob(repo, data)
    assert http("GET", f"/v2/{repo}/blobs/{digest}").body == data
