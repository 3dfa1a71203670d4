"""The registry API, endpoint by endpoint and odd input by odd input."""

import hashlib
import json

import pytest

from rawhttp import (OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, sha256,
                     sha512)

EMPTY = sha256(b"")
UNKNOWN = "sha256:" + "0" * 64


def header_of_every_answer(answer):
    assert answer["docker-distribution-api-version"] == "registry/2.0"


# -- ping, paths, methods ---------------------------------------------------

def test_ping(http):
    for path in ("/v2/", "/v2"):
        answer = http("GET", path)
        assert (answer.status, answer.body) == (200, b"{}")
        header_of_every_answer(answer)
    head = http("HEAD", "/v2/")
    assert (head.status, head["content-length"], head.body) == (200, "2", b"")


def test_health(http):
    assert http("GET", "/livez").status == 200
    assert http("GET", "/readyz").status == 200


@pytest.mark.parametrize("method, path, allowed", [
    ("PUT", "/v2/", "GET, HEAD"),
    ("DELETE", "/v2/", "GET, HEAD"),
    ("POST", f"/v2/a/blobs/{UNKNOWN}", "GET, HEAD, DELETE"),
    ("PATCH", "/v2/a/manifests/x", "GET, HEAD, PUT, DELETE"),
    ("DELETE", "/v2/a/tags/list", "GET, HEAD"),
    ("GET", "/v2/a/blobs/uploads/", "POST"),
])
def test_method_not_allowed(http, method, path, allowed):
    answer = http(method, path, b"" if method != "GET" else None)
    assert (answer.status, answer.code) == (405, "UNSUPPORTED")
    assert answer["allow"] == allowed


def test_options(http):
    answer = http("OPTIONS", "/v2/a/tags/list")
    assert answer.status == 204


@pytest.mark.parametrize("name", [
    "Foo", "a/B", "..", ".", "a//b", "a/../b", "a___b", "-a", "a_", "a._b",
    "a/", "a%00b", "a%0ab", "a%2fb", "%2e%2e/b", "a%80b", "a%2e%2e%2fb",
    "x" * 256, "a\\b"])
def test_bad_names(http, name):
    answer = http("GET", f"/v2/{name}/tags/list")
    assert answer.status == 400, answer
    if "\\" not in name:  # that one is no legal target at all
        assert answer.code == "NAME_INVALID"


@pytest.mark.parametrize("name", ["a--b", "a__b", "a.b", "a/b/c/d", "0",
                                  "a/tags/list", "blobs/manifests/uploads",
                                  "x" * 255])
def test_good_names(http, name):
    answer = http("GET", f"/v2/{name}/tags/list")
    assert (answer.status, answer.code) == (404, "NAME_UNKNOWN")


def test_names_of_routes_are_names(http):
    for repo in ("a/tags/list", "blobs/uploads/x", "manifests", "tags"):
        data, digest = http.push_image(repo, "v1")
        assert http("GET", f"/v2/{repo}/manifests/v1").body == data
        tags = http("GET", f"/v2/{repo}/tags/list").json()
        assert tags == {"name": repo, "tags": ["v1"]}


def test_unknown_route(http):
    answer = http("GET", "/v2/a/nothing/here")
    assert (answer.status, answer.code) == (404, "NAME_UNKNOWN")
    assert http("GET", "/nothing").status == 404


# -- blobs --------------------------------------------------------------------

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


@pytest.mark.parametrize("value, status, content_range", [
    ("bytes=500-1499", 206, "bytes 500-1499/2048"),
    ("bytes=500-", 206, "bytes 500-2047/2048"),
    ("bytes=-500", 206, "bytes 1548-2047/2048"),
    ("bytes=2000-5000", 206, "bytes 2000-2047/2048"),
    ("bytes=0-0", 206, "bytes 0-0/2048"),
    ("bytes=-99999", 206, "bytes 0-2047/2048"),
    ("bytes=0-99999999999999999999999", 206, "bytes 0-2047/2048"),
    ("bytes=500-0", 416, "bytes */2048"),
    ("bytes=5000-10000", 416, "bytes */2048"),
    ("bytes=2048-", 416, "bytes */2048"),
    ("bytes=-0", 416, "bytes */2048"),
    ("bytes=abc", 416, "bytes */2048"),
    ("bytes=", 416, "bytes */2048"),
    ("lines=1-2", 200, None),
])
def test_ranges(http, value, status, content_range):
    data = bytes(range(256)) * 8
    digest = http.push_blob("t/ranges", data)
    path = f"/v2/t/ranges/blobs/{digest}"
    answer = http("GET", path, None, {"Range": value})
    assert (answer.status, answer["content-range"]) == (status, content_range)
    if status == 206:
        first, last = content_range[6:].split("/")[0].split("-")
        assert answer.body == data[int(first):int(last) + 1]
    head = http("HEAD", path, None, {"Range": value})
    assert (head.status, head["content-length"]) == (200, "2048")


def test_if_range(http, repo):
    digest = http.push_blob(repo, b"0123456789")
    path = f"/v2/{repo}/blobs/{digest}"
    stale = http("GET", path, None, {"Range": "bytes=1-2", "If-Range": '"x"'})
    assert (stale.status, stale.body) == (200, b"0123456789")
    fresh = http("GET", path, None, {"Range": "bytes=1-2",
                                     "If-Range": f'"{digest}"'})
    assert (fresh.status, fresh.body) == (206, b"12")


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
    (UNKNOWN, 404, "BLOB_UNKNOWN"),
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


# -- uploads --------------------------------------------------------------------

def test_post_put(http, repo):
    data = b"monolithic"
    begin = http("POST", f"/v2/{repo}/blobs/uploads/", b"")
    assert begin.status == 202
    assert begin["location"].startswith(f"/v2/{repo}/blobs/uploads/")
    assert begin["range"] == "0-0"
    assert begin["docker-upload-uuid"] in begin["location"]
    done = http("PUT", f"{begin['location']}?digest={sha256(data)}", data)
    assert done.status == 201
    assert done["location"] == f"/v2/{repo}/blobs/{sha256(data)}"
    assert done["docker-content-digest"] == sha256(data)
    assert http("GET", done["location"]).body == data
    assert http("GET", begin["location"]).status == 404


def test_post_without_slash(http, repo):
    assert http("POST", f"/v2/{repo}/blobs/uploads", b"").status == 202


def test_single_post(http, repo):
    data = b"single post"
    path = f"/v2/{repo}/blobs/uploads/?digest="
    assert http("POST", path + sha256(data), data).status == 201
    assert http("POST", path + sha256(data), chunked=[data]).status == 201
    wrong = http("POST", path + sha256(b"x"), data)
    assert (wrong.status, wrong.code) == (400, "DIGEST_INVALID")
    for bad in ("sha256:abc", "md5:" + "a" * 32):
        answer = http("POST", path + bad, data)
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    assert http("POST", path + EMPTY, chunked=[]).status == 201


def test_streamed(http, repo):
    chunks = [bytes([i]) * 50000 for i in range(20)]
    data = b"".join(chunks)
    where = http.begin(repo)
    patch = http("PATCH", where, chunked=chunks)
    assert (patch.status, patch["range"]) == (202, f"0-{len(data) - 1}")
    status = http("GET", patch["location"])
    assert (status.status, status["range"]) == (204, f"0-{len(data) - 1}")
    quoted = sha256(data).replace(":", "%3A")
    assert http("PUT", f"{patch['location']}?digest={quoted}",
                b"").status == 201
    assert http("GET", f"/v2/{repo}/blobs/{sha256(data)}").body == data


def test_chunks_in_order(http, repo):
    data = bytes(1000)
    where = http.begin(repo)
    one = http("PATCH", where, data[:300], {"Content-Range": "0-299"})
    assert (one.status, one["range"]) == (202, "0-299")
    for bad in ("0-299", "301-400", "400-500"):
        first, last = map(int, bad.split("-"))
        gap = http("PATCH", where, data[first:last + 1],
                   {"Content-Range": bad})
        assert (gap.status, gap.code) == (416, "BLOB_UPLOAD_INVALID")
        assert gap["range"] == "0-299" and gap["location"]
    late = http("PUT", f"{where}?digest={sha256(data)}", data[400:],
                {"Content-Range": "400-999"})
    assert late.status == 416
    status = http("GET", f"{where}?digest={sha256(data)}")
    assert (status.status, status["range"]) == (204, "0-299")
    two = http("PATCH", where, data[300:600], {"Content-Range": "300-599"})
    assert two.status == 202
    done = http("PUT", f"{where}?digest={sha256(data)}", data[600:],
                {"Content-Range": "600-999"})
    assert done.status == 201
    assert http("GET", done["location"]).body == data


@pytest.mark.parametrize("value, code", [
    ("bytes 0-4/5", "BLOB_UPLOAD_INVALID"), ("5-", "BLOB_UPLOAD_INVALID"),
    ("9-3", "BLOB_UPLOAD_INVALID"), ("0-9", "SIZE_INVALID"),
    ("-1-3", "BLOB_UPLOAD_INVALID"),
    ("0-99999999999999999999", "BLOB_UPLOAD_INVALID")])
def test_bad_content_range(http, value, code):
    where = http.begin("t/ranges")
    answer = http("PATCH", where, b"12345", {"Content-Range": value})
    assert (answer.status, answer.code) == (400, code)
    assert http("GET", where)["range"] == "0-0"
    done = http("PUT", f"{where}?digest={sha256(b'ok')}", b"ok")
    assert done.status == 201  # the session was kept, and kept empty


def test_put_needs_one_digest(http, repo):
    where = http.begin(repo)
    for query in ("", "?digest=", "?digest=sha256:abc",
                  f"?digest={EMPTY}&digest={EMPTY}",
                  "?digest=md5:" + "a" * 32):
        answer = http("PUT", where + query, b"")
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID"), query
    assert http("GET", where).status == 204


def test_wrong_digest_ends_the_session(http, repo):
    where = http.begin(repo)
    assert http("PATCH", where, b"some bytes").status == 202
    wrong = http("PUT", f"{where}?digest={sha256(b'other')}", b"")
    assert (wrong.status, wrong.code) == (400, "DIGEST_INVALID")
    assert http("GET", where).status == 404
    assert http("HEAD", f"/v2/{repo}/blobs/{sha256(b'other')}").status == 404
    missing = http("HEAD", f"/v2/{repo}/blobs/{sha256(b'some bytes')}")
    assert missing.status == 404


def test_cancel(http, repo):
    where = http.begin(repo)
    assert http("PATCH", where, b"bytes").status == 202
    assert http("DELETE", where, b"").status == 204
    gone = http("DELETE", where, b"")
    assert (gone.status, gone.code) == (404, "BLOB_UPLOAD_UNKNOWN")


@pytest.mark.parametrize("session", [
    "00000000-0000-4000-8000-000000000000", "x", "..%2fx",
    "%2e%2e", "a" * 500])
@pytest.mark.parametrize("method", ["GET", "PATCH", "PUT", "DELETE"])
def test_unknown_session(http, method, session):
    answer = http(method, f"/v2/t/x/blobs/uploads/{session}?digest={EMPTY}",
                  None if method == "GET" else b"")
    if "%2" in session:  # an illegal path, whatever it names
        assert answer.status == 400
    else:
        assert (answer.status, answer.code) == (404, "BLOB_UPLOAD_UNKNOWN")


def test_session_belongs_to_its_repository(http, repo):
    where = http.begin(repo)
    foreign = where.replace(repo, "t/other")
    assert http("PATCH", foreign, b"x").status == 404
    assert http("GET", where).status == 204


def test_content_encoding_is_refused(http, repo):
    where = http.begin(repo)
    gzip = {"Content-Encoding": "gzip"}
    assert http("PATCH", where, b"x", gzip).status == 415
    assert http("GET", where)["range"] == "0-0"
    assert http("PUT", f"/v2/{repo}/manifests/x", b"{}", gzip).status == 415


def test_interrupted_patch_keeps_what_came(shared, http, repo):
    data = bytes(range(256)) * 4096  # 1 MiB: four blocks
    where = http.begin(repo)
    half = len(data) * 5 // 8
    broken = shared.client()
    broken.send(f"PATCH {where} HTTP/1.1\r\nHost: x\r\n"
                f"Content-Length: {len(data)}\r\n\r\n".encode() + data[:half])
    broken.close()
    for _ in range(20000):  # until the server saw the close
        status = http("GET", where)
        if status["range"] == f"0-{half - 1}":
            break
    assert status["range"] == f"0-{half - 1}"
    for _ in range(20000):  # until the broken request let the session go
        rest = http("PATCH", where, data[half:],
                    {"Content-Range": f"{half}-{len(data) - 1}"})
        if rest.status != 416:
            break
        assert rest["range"] == f"0-{half - 1}"
    assert rest.status == 202
    assert http("PUT", f"{where}?digest={sha256(data)}", b"").status == 201


def test_second_writer_is_refused(shared, http, repo):
    where = http.begin(repo)
    slow = shared.client()
    slow.send(f"PATCH {where} HTTP/1.1\r\nHost: x\r\n"
              "Expect: 100-continue\r\nContent-Length: 10\r\n\r\n".encode())
    # The server asks for the body once it holds the session.
    assert slow._line() == "HTTP/1.1 100 Continue"
    assert slow._line() == ""
    slow.send(b"12345")
    answer = http("PATCH", where, b"other")
    assert (answer.status, answer.code) == (416, "BLOB_UPLOAD_INVALID")
    assert answer["range"] == "0-0"
    assert http("DELETE", where, b"").status == 416
    assert http("GET", where).status == 204  # a question gets in nobody's way
    slow.send(b"67890")
    assert slow.read("PATCH").status == 202
    slow.close()


def test_sha512(http, repo):
    data = b"sha512 content"
    where = http.begin(repo, "?digest-algorithm=sha512")
    assert http("PATCH", where, data).status == 202
    done = http("PUT", f"{where}?digest={sha512(data)}", b"")
    assert done.status == 201
    assert done["docker-content-digest"] == sha512(data)
    answer = http("GET", f"/v2/{repo}/blobs/{sha512(data)}")
    assert (answer.body, answer["docker-content-digest"]) == (data,
                                                              sha512(data))
    unannounced = b"x" * 600000
    assert http.push_blob(repo, unannounced, sha512(unannounced))
    bad = http("POST", f"/v2/{repo}/blobs/uploads/?digest-algorithm=md5", b"")
    assert (bad.status, bad.code) == (400, "DIGEST_INVALID")


# -- mount ------------------------------------------------------------------------

def test_mount(http, repo):
    digest = http.push_blob(repo + "/src", b"mount me")
    base = f"/v2/{repo}/dst/blobs/uploads/?mount={digest}"
    done = http("POST", f"{base}&from={(repo + '/src').replace('/', '%2F')}",
                b"")
    assert done.status == 201
    assert done["location"] == f"/v2/{repo}/dst/blobs/{digest}"
    assert http("GET", done["location"]).body == b"mount me"
    again = http("POST", f"{base}&from={repo}/dst", b"")
    assert again.status == 201
    anonymous = http("POST", f"/v2/{repo}/any/blobs/uploads/?mount={digest}",
                     b"")
    assert anonymous.status == 201


@pytest.mark.parametrize("query", [
    f"?mount={UNKNOWN}&from=t/none", "?mount=junk&from=t/none",
    f"?mount={EMPTY}&from=Bad/Name", f"?mount={UNKNOWN}", "?from=t/none"])
def test_mount_falls_back(http, repo, query):
    answer = http("POST", f"/v2/{repo}/blobs/uploads/{query}", b"")
    assert answer.status == 202
    done = http("PUT", f"{answer['location']}?digest={sha256(b'z')}", b"z")
    assert done.status == 201


# -- manifests ----------------------------------------------------------------------

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


def image(http, repo, **change):
    """A valid manifest as a dict, with its blobs pushed, then changed."""
    config = http.push_blob(repo, b"{}")
    layer = http.push_blob(repo, b"layer")
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST,
                "config": {"mediaType": OCI_CONFIG, "digest": config,
                           "size": 2},
                "layers": [{"mediaType": OCI_LAYER, "digest": layer,
                            "size": 5}]}
    manifest.update(change)
    return {k: v for k, v in manifest.items() if v is not None}


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
    ({"layers": layer_with(digest=UNKNOWN)}, "MANIFEST_BLOB_UNKNOWN"),
    ({"subject": {"mediaType": OCI_MANIFEST, "size": 1,
                  "digest": "sha256:abc"}}, "MANIFEST_INVALID"),
    ({"subject": {"size": 1, "digest": UNKNOWN}}, "MANIFEST_INVALID"),
    ({"subject": {"mediaType": OCI_MANIFEST, "size": -1,
                  "digest": UNKNOWN}}, "MANIFEST_INVALID"),
    ({"annotations": {"a": 1}}, "MANIFEST_INVALID"),
])
def test_bad_manifests(http, repo, change, code):
    data = json.dumps(image(http, repo, **change)).encode()
    answer = http.put_manifest(repo, "bad", data)
    assert (answer.status, answer.code) == (400, code)
    assert http("HEAD", f"/v2/{repo}/manifests/bad").status == 404
    if code == "MANIFEST_BLOB_UNKNOWN":
        detail = answer.json()["errors"][0]["detail"]
        assert detail == [{"digest": UNKNOWN}]


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
    huge = data + b" " * ((4 << 20) - len(data) + 1)
    for way in ({"body": huge}, {"chunked": [huge[:1 << 20],
                                             huge[1 << 20:]]}):
        try:
            answer = http("PUT", where + "2", headers=kind, **way)
        except (BrokenPipeError, ConnectionResetError):
            answer = http.read()
        assert (answer.status, answer.code) == (413, "SIZE_INVALID")


@pytest.mark.parametrize("tag", ["-a", ".a", "a" * 129, "a%20b", "a+b"])
def test_bad_tags(http, repo, tag):
    data = json.dumps(image(http, repo)).encode()
    put = http.put_manifest(repo, tag, data)
    assert (put.status, put.code) == (400, "MANIFEST_INVALID")
    get = http("GET", f"/v2/{repo}/manifests/{tag}")
    assert (get.status, get.code) == (404, "MANIFEST_UNKNOWN")


def test_unknown_manifest(http, repo):
    http.push_blob(repo, b"so that the repository exists")
    for ref in ("none", UNKNOWN):
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
    index["manifests"][0]["digest"] = UNKNOWN
    missing = http.put_manifest(repo, "bad", json.dumps(index).encode(),
                                OCI_INDEX)
    assert (missing.status, missing.code) == (400, "MANIFEST_BLOB_UNKNOWN")


def test_foreign_layers_may_be_absent(http, repo):
    kind = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
    data = image(http, repo, layers=[{
        "mediaType": kind, "digest": UNKNOWN, "size": 7,
        "urls": ["https://example.invalid/layer"]}])
    assert http.put_manifest(repo, "f", json.dumps(data).encode()).status == 201


def test_tag_parameters(http, repo):
    data = json.dumps(image(http, repo)).encode()
    digest = sha512(data)
    query = "?tag=one&tag=two&tag=one"
    put = http.put_manifest(repo, digest + query, data)
    assert (put.status, put["oci-tag"]) == (201, "one, two")
    for tag in ("one", "two"):
        head = http("HEAD", f"/v2/{repo}/manifests/{tag}")
        assert head["docker-content-digest"] == digest
    many = "?" + "&".join(f"tag=t{i}" for i in range(50))
    assert http.put_manifest(repo, digest + many, data).status == 414
    bad = http.put_manifest(repo, digest + "?tag=good&tag=-bad", data)
    assert (bad.status, bad.code) == (400, "MANIFEST_INVALID")
    assert http("HEAD", f"/v2/{repo}/manifests/good").status == 404
    ignored = http.put_manifest(repo, "three?tag=four", data)
    assert (ignored.status, ignored["oci-tag"]) == (201, None)
    assert http("HEAD", f"/v2/{repo}/manifests/four").status == 404


def test_manifest_delete(http, repo):
    data, digest = http.push_image(repo, "a")
    http.put_manifest(repo, "b", data)
    assert http("DELETE", f"/v2/{repo}/manifests/a").status == 202
    assert http("HEAD", f"/v2/{repo}/manifests/a").status == 404
    assert http("HEAD", f"/v2/{repo}/manifests/b").status == 200
    assert http("DELETE", f"/v2/{repo}/manifests/{digest}").status == 202
    assert http("HEAD", f"/v2/{repo}/manifests/b").status == 404
    assert http("HEAD", f"/v2/{repo}/manifests/{digest}").status == 404
    gone = http("DELETE", f"/v2/{repo}/manifests/{digest}")
    assert (gone.status, gone.code) == (404, "MANIFEST_UNKNOWN")
    assert http("GET", f"/v2/{repo}/tags/list").json()["tags"] == []


# -- listings --------------------------------------------------------------------------

def pages(http, path):
    """Follow Link from path; yields the JSON of each page."""
    while path:
        answer = http("GET", path)
        assert answer.status == 200
        yield answer.json()
        link = answer["link"]
        path = link[1:link.index(">")] if link else None
        assert not link or link.endswith('>; rel="next"')


def test_tags_in_pages(http, repo):
    data = json.dumps(image(http, repo)).encode()
    names = [f"{c}{i}" for c in "aBz_" for i in range(7)]
    for name in names:
        assert http.put_manifest(repo, name, data).status == 201
    base = f"/v2/{repo}/tags/list"
    assert http("GET", base).json()["tags"] == sorted(names)
    for n in (1, 5, 28, 100):
        got = [t for page in pages(http, f"{base}?n={n}")
               for t in page["tags"]]
        assert got == sorted(names), n
    after = http("GET", f"{base}?last=a3").json()["tags"]
    assert after == [t for t in sorted(names) if t > "a3"]
    odd = http("GET", f"{base}?last=a3~no-tag").json()["tags"]
    assert odd == [t for t in sorted(names) if t > "a3~no-tag"]
    zero = http("GET", f"{base}?n=0")
    assert (zero.json()["tags"], zero["link"]) == ([], None)
    big = http("GET", f"{base}?n=999999999999999999999999")
    assert big.json()["tags"] == sorted(names)
    for n in ("-1", "abc", "1.5", ""):
        bad = http("GET", f"{base}?n={n}")
        assert (bad.status, bad.code) == (400, "PAGINATION_NUMBER_INVALID")


def test_catalog(berthd):
    http = berthd.client()
    assert http("GET", "/v2/_catalog").json() == {"repositories": []}
    names = sorted(f"c/{c}{i}" for c in "xya" for i in range(5))
    for name in names:
        http.push_blob(name, b"x")
    got = [n for page in pages(http, "/v2/_catalog?n=4")
           for n in page["repositories"]]
    assert got == names
    assert http("GET", "/v2/_catalog?n=abc").status == 400
    http.close()


def test_referrers(http, repo):
    data, digest = http.push_image(repo, "subject")
    base = f"/v2/{repo}/referrers/{digest}"
    empty = http("GET", base)
    assert (empty.status, empty["content-type"]) == (200, OCI_INDEX)
    assert empty.json() == {"schemaVersion": 2, "mediaType": OCI_INDEX,
                            "manifests": []}
    subject = {"mediaType": OCI_MANIFEST, "digest": digest, "size": len(data)}
    sent = []
    for number in range(4):
        one = image(http, repo, subject=subject,
                    annotations={"n": str(number)},
                    artifactType=f"application/x.{number % 2}")
        raw = json.dumps(one).encode()
        put = http.put_manifest(repo, sha256(raw), raw)
        assert (put.status, put["oci-subject"]) == (201, digest)
        sent.append({"mediaType": OCI_MANIFEST, "digest": sha256(raw),
                     "size": len(raw), "annotations": {"n": str(number)},
                     "artifactType": f"application/x.{number % 2}"})
    found = http("GET", base)
    assert found.json()["manifests"] == sent
    assert found["oci-filters-applied"] is None
    some = http("GET", f"{base}?artifactType=application/x.1")
    assert some["oci-filters-applied"] == "artifactType"
    assert some.json()["manifests"] == sent[1::2]
    none = http("GET", f"{base}?artifactType=")
    assert none["oci-filters-applied"] is None
    assert len(none.json()["manifests"]) == 4
    typeless = json.dumps(image(http, repo, subject=subject)).encode()
    http.put_manifest(repo, "x", typeless)
    last = http("GET", base).json()["manifests"][-1]
    assert last["artifactType"] == OCI_CONFIG


def test_referrers_never_404(http):
    for path in (f"/v2/never/pushed/referrers/{UNKNOWN}",
                 f"/v2/never/pushed/referrers/md5:{'a' * 32}"):
        answer = http("GET", path)
        assert (answer.status, answer.json()["manifests"]) == (200, [])
    bad = http("GET", "/v2/never/pushed/referrers/sha256:abc")
    assert (bad.status, bad.code) == (400, "DIGEST_INVALID")


def test_referrers_before_the_subject(http, repo):
    subject = b"not there yet"
    one = image(http, repo, subject={
        "mediaType": OCI_MANIFEST, "size": 13, "digest": sha256(subject)})
    answer = http.put_manifest(repo, "x", json.dumps(one).encode())
    assert (answer.status, answer["oci-subject"]) == (201, sha256(subject))


def test_referrers_in_pages(http, repo):
    subject = {"mediaType": OCI_MANIFEST, "digest": UNKNOWN, "size": 1}
    http.push_blob(repo, b"{}")
    http.push_blob(repo, b"layer")
    for number in range(250):
        raw = json.dumps({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
            "artifactType": "a/b", "subject": subject,
            "annotations": {"n": str(number)},
            "config": {"mediaType": OCI_CONFIG, "size": 2,
                       "digest": sha256(b"{}")}}).encode()
        assert http.put_manifest(repo, sha256(raw), raw).status == 201
    got = [m["annotations"]["n"]
           for page in pages(
               http, f"/v2/{repo}/referrers/{UNKNOWN}?artifactType=a/b")
           for m in page["manifests"]]
    assert got == [str(n) for n in range(250)]


def test_referrers_of_several_types_in_pages(http, repo):
    """Other types lie between; each page is in the order of the whole."""
    subject = {"mediaType": OCI_MANIFEST, "digest": UNKNOWN, "size": 1}
    http.push_blob(repo, b"{}")
    wanted = []
    for number in range(700):
        kind = f"a/{number % 7}"
        raw = json.dumps({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
            "artifactType": kind, "subject": subject,
            "annotations": {"n": str(number)},
            "config": {"mediaType": OCI_CONFIG, "size": 2,
                       "digest": sha256(b"{}")}}).encode()
        assert http.put_manifest(repo, sha256(raw), raw).status == 201
        if kind in ("a/1", "a/3", "a/6"):
            wanted.append(str(number))
    base = f"/v2/{repo}/referrers/{UNKNOWN}?"
    types = "artifactType=a/3&artifactType=a/1&artifactType=a/3"
    got = [m["annotations"]["n"]
           for page in pages(http, base + types + "&artifactType=a/6")
           for m in page["manifests"]]
    assert got == wanted
    many = "&".join(f"artifactType=b/{i}" for i in range(17))
    refused = http("GET", base + many)
    assert (refused.status, refused.code) == (414, "SIZE_INVALID")


# -- the connection -----------------------------------------------------------------------

def test_pipelining_and_keep_alive(http, repo):
    digest = http.push_blob(repo, b"pipelined")
    one = (f"GET /v2/{repo}/blobs/{digest} HTTP/1.1\r\nHost: x\r\n\r\n"
           ).encode()
    http.send(one * 5 + b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
    for _ in range(5):
        assert http.read().body == b"pipelined"
    assert http.read().body == b"{}"


def test_any_request_one_byte_at_a_time(http, repo):
    digest = http.push_blob(repo, b"slowly")
    for byte in (f"GET /v2/{repo}/blobs/{digest} HTTP/1.1\r\n"
                 "Host: x\r\n\r\n").encode():
        http.send(bytes([byte]))
    assert http.read().body == b"slowly"


@pytest.mark.parametrize("head, status", [
    (b"GET /v2/ HTTP/1.1\r\n\r\n", 400),
    (b"GET /v2/ HTTP/1.1\nHost: x\n\n", 400),
    (b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n"
     b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"GET /v2/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n"
     b"Content-Length: 1\r\n\r\nx", 400),
    (b"GET /v2/ HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    (b"BREW /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 501),
    (b"TRACE /v2/ HTTP/1.1\r\nHost: x\r\n\r\n", 405),
    (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
    (b"GET /v2/ HTTP/1.1\r\nHost: x\r\nA: " + b"a" * 40000 + b"\r\n\r\n",
     431),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(32), 400),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
])
def test_malformed_heads_close(http, head, status):
    http.send(head)
    answer = http.read()
    assert answer.status == status
    assert answer["connection"] == "close"


def test_expect_continue(http, repo):
    where = http.begin(repo)
    data = b"expected"
    http.send(f"PUT {where}?digest={sha256(data)} HTTP/1.1\r\nHost: x\r\n"
              f"Expect: 100-continue\r\nContent-Length: {len(data)}\r\n\r\n"
              .encode())
    assert http._line() == "HTTP/1.1 100 Continue"
    assert http._line() == ""
    http.send(data)
    assert http.read("PUT").status == 201
    http.send(b"PUT /v2/t/x/blobs/uploads/none HTTP/1.1\r\nHost: x\r\n"
              b"Expect: 100-continue\r\nContent-Length: 8\r\n\r\n")
    assert http._line().startswith("HTTP/1.1 404")


def test_large_blob_is_streamed(http, repo):
    data = hashlib.sha512(b"seed").digest() * (1 << 18)  # 16 MiB
    digest = http.push_blob(repo, data)
    assert http("GET", f"/v2/{repo}/blobs/{digest}").body == data
