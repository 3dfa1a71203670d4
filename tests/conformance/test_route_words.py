"""Repositories whose names are made of the words that paths are made of."""

import itertools

import pytest

from rawhttp import OCI_MANIFEST, sha256
from shapes import ABSENT

WORDS = ("blobs", "manifests", "tags", "uploads", "list", "referrers")
NAMES = ["/".join(words) for count in (1, 2, 3)
         for words in itertools.product(WORDS, repeat=count)]


@pytest.mark.parametrize("first", WORDS)
def test_everything_works_in(shared, first):
    """The whole of a push, a pull, the lists and the deletes."""
    for name in (n for n in NAMES if n.split("/")[0] == first):
        http = shared.client()
        use(http, name)
        http.close()


def use(http, repo):
    base = f"/v2/{repo}"
    before = http("GET", f"{base}/tags/list")
    assert (before.status, before.code) == (404, "NAME_UNKNOWN"), repo
    data, digest = http.push_image(repo, "list")
    layer = sha256(b"layer")
    where = http.begin(repo)
    assert where.startswith(f"{base}/blobs/uploads/")
    patch = http("PATCH", where, b"ab", {"Content-Range": "0-1"})
    assert (patch.status, patch["location"]) == (202, where)
    assert http("PATCH", where, b"x", {"Content-Range": "5-5"}).status == 416
    assert http("GET", where)["range"] == "0-1"
    assert http("DELETE", where, b"").status == 204
    mount = http("POST", f"{base}/other/blobs/uploads/?mount={layer}"
                         f"&from={repo}", b"")
    assert mount["location"] == f"{base}/other/blobs/{layer}"
    assert http("GET", mount["location"]).body == b"layer"
    for tag in WORDS:  # they are tags as well
        put = http.put_manifest(repo, tag, data)
        assert put["location"] == f"{base}/manifests/{digest}"
    for ref in (*WORDS, digest):
        assert http("GET", f"{base}/manifests/{ref}").body == data
    listed = http("GET", f"{base}/tags/list?n=2")
    assert listed.json() == {"name": repo, "tags": sorted(WORDS)[:2]}
    assert listed["link"].startswith(f"<{base}/tags/list?")
    assert http("GET", f"{base}/referrers/{digest}").json()["manifests"] == []
    check_catalog(http, repo)
    for path in (f"manifests/{digest}", f"blobs/{layer}"):
        assert http("DELETE", f"{base}/{path}").status == 202
        assert http("HEAD", f"{base}/{path}").status == 404
    assert http("GET", f"{base}/other/blobs/{layer}").status == 200


def check_catalog(http, repo):
    page = http("GET", f"/v2/_catalog?n=1&last={repo[:-1]}").json()
    assert page["repositories"][0] <= repo
    found = http("GET", "/v2/_catalog?n=1000").json()["repositories"]
    assert repo in found


def test_paths_are_read_from_the_right(http):
    """What looks like a route in the middle is a part of the name."""
    for path, code in (
            ("/v2/a/tags/list/tags/list", "NAME_UNKNOWN"),
            (f"/v2/a/blobs/uploads/blobs/{ABSENT}", "BLOB_UNKNOWN"),
            (f"/v2/a/manifests/x/manifests/{ABSENT}", "NAME_UNKNOWN"),
            ("/v2/a/blobs/uploads/blobs/uploads/x", "BLOB_UPLOAD_UNKNOWN")):
        answer = http("GET", path)
        assert (answer.status, answer.code) == (404, code), path
    answer = http("PUT", "/v2/a/blobs/uploads/manifests/v", b"{}",
                  {"Content-Type": OCI_MANIFEST})
    assert (answer.status, answer.code) == (400, "MANIFEST_INVALID")


def test_words_of_extensions_are_no_names(http):
    """A component that begins with an underscore is kept for extensions."""
    for path in ("/v2/_oci/ext/discover", "/v2/a/_oci/ext/discover",
                 "/v2/a/_x/tags/list", "/v2/_catalog/tags/list"):
        assert http("GET", path).status in (400, 404), path
