"""Tags: set, listed in pages; and the list of repositories."""

import json

import pytest

from rawhttp import sha256, sha512
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


def test_none_are_asked_for(http, repo):
    """n=0: an empty list that has no next, wherever it would begin."""
    data, _ = http.push_image(repo, "a")
    assert http.put_manifest(repo, "b", data).status == 201
    for query in ("n=0", "n=0&last=", "n=0&last=a", "last=a&n=0", "n=000"):
        answer = http("GET", f"/v2/{repo}/tags/list?{query}")
        assert (answer.status, answer["link"]) == (200, None)
        assert answer.json() == {"name": repo, "tags": []}
        answer = http("GET", f"/v2/_catalog?{query}")
        assert (answer.status, answer["link"]) == (200, None)
        assert answer.json() == {"repositories": []}
    unknown = http("GET", f"/v2/{repo}/none/tags/list?n=0")
    assert (unknown.status, unknown.code) == (404, "NAME_UNKNOWN")


def test_fewer_than_asked_for_is_the_end(http, repo):
    data, _ = http.push_image(repo, "a")
    assert http.put_manifest(repo, "b", data).status == 201
    for n, link in ((1, True), (2, False), (3, False)):
        answer = http("GET", f"/v2/{repo}/tags/list?n={n}")
        assert len(answer.json()["tags"]) == min(n, 2)
        assert (answer["link"] is not None) == link


def test_many_tags_in_one_put(http, repo):
    """At least ten; what is over the limit changes nothing."""
    data = json.dumps(image(http, repo)).encode()
    for count, status in ((10, 201), (46, 201), (47, 414)):
        tags = [f"of{count}-{i}" for i in range(count)]
        query = "&".join(f"tag={tag}" for tag in tags)
        put = http.put_manifest(repo, f"{sha256(data)}?{query}", data)
        assert put.status == status
        told = put["oci-tag"].split(", ") if put["oci-tag"] else []
        assert told == (tags if status == 201 else [])
        for tag in tags:
            head = http("HEAD", f"/v2/{repo}/manifests/{tag}")
            assert head.status == (200 if status == 201 else 404)


def test_tag_moves(http, repo):
    """To another manifest, or another name of the same; one that it left
    is there by its digest."""
    one = json.dumps(image(http, repo)).encode()
    two = json.dumps(image(http, repo, annotations={"n": "2"})).encode()
    path = f"/v2/{repo}/manifests/"
    for ref, data, digest in (
            ("v", one, sha256(one)), ("v", two, sha256(two)),
            (f"{sha512(two)}?tag=v", two, sha512(two)),
            (f"{sha512(one)}?tag=v&tag=w", one, sha512(one)),
            ("v", one, sha256(one))):
        assert http.put_manifest(repo, ref, data).status == 201
        for method in ("GET", "HEAD"):
            answer = http(method, path + "v")
            assert answer["docker-content-digest"] == digest
            assert answer["etag"] == f'"{digest}"'
            assert answer.body == (data if method == "GET" else b"")
    assert http("HEAD", path + "w")["docker-content-digest"] == sha512(one)
    for data in (one, two):
        for digest in (sha256(data), sha512(data)):
            answer = http("GET", path + digest)
            assert (answer.status, answer.body) == (200, data)
            assert answer["docker-content-digest"] == digest
    # Deleting one name of the bytes leaves the other, and its tags.
    assert http("DELETE", path + sha512(one)).status == 202
    assert http("HEAD", path + "w").status == 404
    assert http("GET", path + "v").body == one
    assert http("GET", f"/v2/{repo}/tags/list").json()["tags"] == ["v"]


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
