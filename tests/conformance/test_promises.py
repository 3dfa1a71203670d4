"""The promises that rawhttp.Client holds every answer to are held."""

import json

import pytest

import promises
from rawhttp import Answer

OURS = [("docker-distribution-api-version", "registry/2.0"),
        ("date", "Sat, 28 Nov 2026 12:00:00 GMT")]


def answer(status=200, body=b"", drop=(), **headers):
    fields = dict(OURS)
    if status not in (204, 304):
        fields["content-length"] = str(len(body))
    fields.update({k.replace("_", "-"): v for k, v in headers.items()})
    return Answer(status, [(k, v) for k, v in fields.items()
                           if k not in drop], body)


def error(code, status=400, **more):
    return answer(status, json.dumps({"errors": [
        {"code": code, "message": "m", **more}]}).encode(),
        content_type="application/json")


GOOD = {
    "plain": answer(), "no content": answer(204),
    "error": error("DENIED", 403), "detail": error("SIZE_INVALID", detail=[]),
    "server error": error("UNAVAILABLE", 500),
    "text": answer(400, b"why\n", content_type="text/plain; charset=utf-8"),
    "405": answer(405, allow="GET, HEAD"), "nothing allowed":
    answer(405, allow=""), "503": answer(503, retry_after="5"),
    "warning": answer(warning='299 - "a \\"b\\""'),
    "location": answer(201, location="/v2/a/blobs/x"),
    "another server": Answer(405, [], b"<html>"),
}
BAD = {
    "no date": answer(drop=["date"]),
    "no length": answer(drop=["content-length"]),
    "length on 204": answer(204, content_length="0"),
    "compressed": answer(content_encoding="gzip"),
    "another code": error("RANGE_INVALID"),
    "a code of 5xx": error("UNKNOWN"), "an odd member": error("DENIED", x=1),
    "no errors": answer(400, b'{"errors":[]}',
                        content_type="application/json"),
    "another format": answer(400, b'{"error":"x"}',
                             content_type="application/json"),
    "another type": answer(400, b"<p>", content_type="text/html"),
    "405 alone": answer(405), "405 for a word": answer(405, allow="ALL"),
    "503 alone": answer(503), "429 alone": answer(429),
    "401 alone": answer(401), "415 alone": answer(415),
    "warning with a date": answer(
        warning='299 - "a" "Sat, 28 Nov 2026 12:00:00 GMT"'),
    "warning by name": answer(warning='299 berthd "a"'),
    "warning 199": answer(warning='199 - "a"'),
    "long warning": answer(warning=f'299 - "{"a" * 4096}"'),
    "absolute location": answer(201, location="http://r/v2/a/blobs/x"),
    "absolute link": answer(link='<http://r/v2/a>; rel="next"'),
    "twice": Answer(200, OURS + [("content-length", "0")] * 2, b""),
}


@pytest.mark.parametrize("name", GOOD)
def test_kept(name):
    promises.check(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_broken(name):
    with pytest.raises(AssertionError):
        promises.check(BAD[name])
