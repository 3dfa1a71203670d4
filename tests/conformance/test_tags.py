"""Tags: set, listed in pages; and the list of repositories."""

import json

import pytest

from rawhttp import sha512
from shapes import image, pages


@pytest.mark.parametrize("tag", ["-a", ".a", "a" * 129, "a%20b", "a+b"])
def test_bad_tags(http, repo, tag):
    data = json.dumps(image(http, repo)).encode()
    put = http.put_manifest(repo, tag, data)
    assert (put.status, put.code) == (400, "MANIFEST_INVALID")
    get = http("GET", f"/v2/{repo}/manifests/{tag}")
    assert (get.status, get.code) == (404, "MANIFEST_UNKNOWN")


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
        assert (bad.status, bad.code) == (400, "UNSUPPORTED")


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
