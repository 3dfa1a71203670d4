"""Ranges of a blob: RFC 9110, section 14."""

import email

import pytest

from rawhttp import sha256

DATA = bytes(range(256)) * 8


@pytest.fixture
def blob(http, repo):
    return f"/v2/{repo}/blobs/{http.push_blob(repo, DATA)}"


def parts(answer):
    """The parts of a multipart/byteranges answer: (Content-Range, bytes)."""
    kind = answer["content-type"]
    assert kind.startswith("multipart/byteranges; boundary=")
    boundary = b"--" + kind.split("=", 1)[1].encode()
    first, *rest = answer.body.split(boundary)
    assert first == b"" and rest[-1] == b"--\r\n"
    found = []
    for text in rest[:-1]:
        head, _, data = text.partition(b"\r\n\r\n")
        fields = email.message_from_bytes(head.lstrip(b"\r\n"))
        assert fields["Content-Type"] == "application/octet-stream"
        assert data.endswith(b"\r\n")
        found.append((fields["Content-Range"], data[:-2]))
    return found


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
def test_one_range(http, blob, value, status, content_range):
    answer = http("GET", blob, None, {"Range": value})
    assert (answer.status, answer["content-range"]) == (status, content_range)
    if status == 206:
        first, last = content_range[6:].split("/")[0].split("-")
        assert answer.body == DATA[int(first):int(last) + 1]
    head = http("HEAD", blob, None, {"Range": value})
    assert (head.status, head["content-length"]) == (200, "2048")


@pytest.mark.parametrize("value, wanted", [
    ("bytes=0-9,20-29", [(0, 9), (20, 29)]),
    ("bytes=2000-,0-0", [(2000, 2047), (0, 0)]),
    ("bytes=0-9,10-19", [(0, 9), (10, 19)]),
    ("bytes=0-9,-1,9999-", [(0, 9), (2047, 2047)]),
    ("bytes=100-199,0-9,150-299", [(100, 299), (0, 9)]),
])
def test_several_ranges(http, blob, value, wanted):
    answer = http("GET", blob, None, {"Range": value})
    assert answer.status == 206 and answer["content-range"] is None
    assert answer["docker-content-digest"] == sha256(DATA)
    assert answer["etag"] == f'"{sha256(DATA)}"'
    assert parts(answer) == [
        (f"bytes {a}-{b}/{len(DATA)}", DATA[a:b + 1]) for a, b in wanted]
    head = http("HEAD", blob, None, {"Range": value})
    assert (head.status, head["content-length"]) == (200, str(len(DATA)))


@pytest.mark.parametrize("value, content_range", [
    ("bytes=0-9,9999-", "bytes 0-9/2048"),
    ("bytes=0-9,5-19,2-3", "bytes 0-19/2048"),
])
def test_one_range_that_is_left(http, blob, value, content_range):
    answer = http("GET", blob, None, {"Range": value})
    assert (answer.status, answer["content-range"]) == (206, content_range)
    assert answer["content-type"] == "application/octet-stream"


def test_many_ranges(http, blob):
    many = "bytes=" + ",".join(f"{2 * i}-{2 * i}" for i in range(1000))
    answer = http("GET", blob, None, {"Range": many})
    assert answer.status == 206
    found = parts(answer)
    assert len(found) == 1000
    assert b"".join(data for _, data in found) == DATA[:2000:2]
    over = "bytes=" + "1-," * 5000
    answer = http("GET", blob, None, {"Range": over})
    assert (answer.status, answer.body) == (200, DATA)


def test_large_parts_are_streamed(http, repo):
    data = bytes(1 << 20) + b"x" * (3 << 20)
    path = f"/v2/{repo}/blobs/{http.push_blob(repo, data)}"
    answer = http("GET", path, None,
                  {"Range": "bytes=0-2097151,2097152-4194302"})
    assert [d for _, d in parts(answer)] == [data[:2 << 20], data[2 << 20:-1]]
    assert http("GET", "/v2/").status == 200  # the connection goes on


@pytest.mark.parametrize("value, status", [
    ('"{d}"', 206), ('W/"{d}"', 200), ("*", 200), ("{d}", 200),
    ('"x"', 200), ("Sat, 01 Jan 2000 00:00:00 GMT", 200),
    ('"{d}", "x"', 200)])
def test_if_range(http, blob, value, status):
    value = value.format(d=sha256(DATA))
    for ranges in ("bytes=0-9", "bytes=0-9,20-29"):
        answer = http("GET", blob, None,
                      {"Range": ranges, "If-Range": value})
        assert answer.status == status
        assert answer.body == DATA or status == 206
        if status == 206 and "," not in ranges:
            assert answer.body == DATA[:10]
