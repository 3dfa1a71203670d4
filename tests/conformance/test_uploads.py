"""Upload sessions: in one request, in two, in a stream, in chunks."""

import pytest

from rawhttp import sha256, sha512
from shapes import EMPTY


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


def test_refused_single_post_opens_no_session(berthd):
    """Nobody was told of it; as many as there may be would push one out."""
    http = berthd.client()
    waiting = http.begin("a")
    post = (f"POST /v2/a/blobs/uploads/?digest={sha256(b'x')} HTTP/1.1\r\n"
            "Host: x\r\nContent-Length: 1\r\nContent-Encoding: gzip\r\n\r\nx"
            ).encode()
    for _ in range(20):
        http.close()  # a connection takes a thousand requests
        http.send(post * 500)
        for _ in range(500):
            assert http.read("POST").status == 415
    http.close()
    assert http("GET", waiting).status == 204
    http.close()


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
