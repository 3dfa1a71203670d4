"""Conditional requests: RFC 9110, section 13."""

import json
import threading

import pytest

from rawhttp import OCI_CONFIG, OCI_MANIFEST, sha256

DATA = bytes(range(256)) * 8
OTHER = '"sha256:' + "0" * 64 + '"'


@pytest.fixture
def blob(http, repo):
    return f"/v2/{repo}/blobs/{http.push_blob(repo, DATA)}"


@pytest.mark.parametrize("name, value, status", [
    ("If-None-Match", '"{d}"', 304), ("If-None-Match", "*", 304),
    ("If-None-Match", 'W/"{d}"', 304), ("If-None-Match", '"x", "{d}"', 304),
    ("If-None-Match", '"x"', 200), ("If-None-Match", "{d}", 200),
    ("If-Match", '"{d}"', 200), ("If-Match", "*", 200),
    ("If-Match", '"x" , "{d}"', 200), ("If-Match", '"x"', 412),
    ("If-Match", 'W/"{d}"', 412), ("If-Match", "{d}", 412),
])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_conditional_reads(http, repo, blob, method, name, value, status):
    data, digest = http.push_image(repo, "v1")
    for path, d, body in ((blob, sha256(DATA), DATA),
                          (f"/v2/{repo}/manifests/v1", digest, data),
                          (f"/v2/{repo}/manifests/{digest}", digest, data)):
        answer = http(method, path, None, {name: value.format(d=d)})
        assert answer.status == status, (path, answer)
        if status == 304:
            assert answer["etag"] == f'"{d}"'
            assert answer["docker-content-digest"] == d
            assert answer["content-length"] is None
        if status == 412 and method == "GET":
            assert answer.code == "DENIED"
        if status == 200 and method == "GET":
            assert answer.body == body


def test_both_conditions_count(http, blob):
    ours = f'"{sha256(DATA)}"'
    answer = http("GET", blob, None, {"If-Match": ours, "If-None-Match": ours})
    assert answer.status == 304
    answer = http("GET", blob, None, {"If-Match": ours, "If-None-Match": OTHER})
    assert answer.status == 200


def test_if_match_comes_first(http, blob):
    answer = http("GET", blob, None, {
        "If-Match": OTHER, "If-None-Match": "*", "Range": "bytes=0-9"})
    assert answer.status == 412
    answer = http("GET", blob, None, {
        "If-None-Match": f'"{sha256(DATA)}"', "Range": "bytes=9999-"})
    assert answer.status == 304


def version(http, repo, number):
    """A manifest of its own, with its config pushed; (bytes, digest)."""
    config = json.dumps({"number": number}).encode()
    http.push_blob(repo, config)
    data = json.dumps({
        "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
        "config": {"mediaType": OCI_CONFIG, "digest": sha256(config),
                   "size": len(config)}}).encode()
    return data, sha256(data)


def put(http, path, data, **headers):
    fields = {"Content-Type": OCI_MANIFEST}
    fields.update({k.replace("_", "-"): v for k, v in headers.items()})
    return http("PUT", path, data, fields)


def test_put_by_tag(http, repo):
    path = f"/v2/{repo}/manifests/v"
    (one, d1), (two, d2) = version(http, repo, 1), version(http, repo, 2)
    refused = put(http, path, one, If_Match="*")
    assert (refused.status, refused.code) == (412, "DENIED")
    assert http("HEAD", path).status == 404
    assert http("HEAD", f"/v2/{repo}/manifests/{d1}").status == 404
    assert put(http, path, one, If_None_Match="*").status == 201
    assert put(http, path, two, If_None_Match="*").status == 412
    assert put(http, path, two, If_None_Match=f'"{d1}"').status == 412
    assert put(http, path, two, If_Match=OTHER).status == 412
    assert put(http, path, two, If_Match=f'W/"{d1}"').status == 412
    assert http("GET", path).body == one
    assert http("HEAD", f"/v2/{repo}/manifests/{d2}").status == 404
    assert put(http, path, two, If_Match=f'{OTHER}, "{d1}"').status == 201
    assert http("GET", path).body == two
    assert put(http, path, one, If_None_Match=OTHER).status == 201


def test_put_by_digest(http, repo):
    data, digest = version(http, repo, 1)
    path = f"/v2/{repo}/manifests/{digest}"
    assert put(http, path, data, If_Match="*").status == 412
    assert put(http, path + "?tag=a", data, If_None_Match="*").status == 201
    assert put(http, path + "?tag=b", data, If_None_Match="*").status == 412
    assert http("HEAD", f"/v2/{repo}/manifests/b").status == 404
    assert put(http, path, data, If_Match=f'"{digest}"').status == 201


@pytest.mark.parametrize("value", [
    "sha256:abc", '"x', '"x" "y"', ",".join([f'"sha256:{i:064x}"'
                                             for i in range(17)])])
def test_malformed_condition(http, repo, value):
    data, _ = version(http, repo, 1)
    for name in ("If_Match", "If_None_Match"):
        answer = put(http, f"/v2/{repo}/manifests/v", data, **{name: value})
        assert (answer.status, answer.code) == (400, "MANIFEST_INVALID")
    assert http("HEAD", f"/v2/{repo}/manifests/v").status == 404


def test_delete(http, repo):
    data, digest = http.push_image(repo, "v")
    layer = f"/v2/{repo}/blobs/{sha256(b'layer')}"
    tag = f"/v2/{repo}/manifests/v"
    for path in (tag, f"/v2/{repo}/manifests/{digest}", layer):
        assert http("DELETE", path, None, {"If-Match": OTHER}).status == 412
        assert http("HEAD", path).status == 200
    ours = {"If-Match": f'"{digest}"'}
    assert http("DELETE", tag, None, ours).status == 202
    assert http("DELETE", f"/v2/{repo}/manifests/{digest}", None,
                ours).status == 202
    assert http("DELETE", layer, None,
                {"If-Match": f'"{sha256(b"layer")}"'}).status == 202


def test_only_one_of_many_wins(shared, http, repo):
    """Each round, every client puts its own version over the same one."""
    path = f"/v2/{repo}/manifests/v"
    clients = [shared.client() for _ in range(8)]
    versions = [[version(http, repo, 100 * i + k) for i in range(8)]
                for k in range(10)]
    before = None
    for round_ in versions:
        condition = ({"If_Match": f'"{before}"'} if before
                     else {"If_None_Match": "*"})
        barrier = threading.Barrier(8)
        status = [None] * 8

        def race(i):
            barrier.wait()
            status[i] = put(clients[i], path, round_[i][0],
                            **condition).status

        threads = [threading.Thread(target=race, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(status) == [201] + [412] * 7
        winner = status.index(201)
        before = round_[winner][1]
        assert http("HEAD", path)["docker-content-digest"] == before
    for client in clients:
        client.close()
