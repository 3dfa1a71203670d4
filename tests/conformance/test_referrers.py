"""Referrers: what names a manifest as its subject."""

import json

import pytest

from rawhttp import OCI_CONFIG, OCI_INDEX, OCI_MANIFEST, sha256, sha512
from shapes import ABSENT, image, pages


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
    for path in (f"/v2/never/pushed/referrers/{ABSENT}",
                 f"/v2/never/pushed/referrers/md5:{'a' * 32}"):
        answer = http("GET", path)
        assert (answer.status, answer.json()["manifests"]) == (200, [])
    bad = http("GET", "/v2/never/pushed/referrers/sha256:abc")
    assert (bad.status, bad.code) == (400, "DIGEST_INVALID")


@pytest.mark.parametrize("hashed", [sha256, sha512])
@pytest.mark.parametrize("first", ["referrer", "subject"])
def test_either_may_come_first(http, repo, hashed, first):
    """The list is the same, and outlives whoever comes later."""
    subject = json.dumps(image(http, repo)).encode()
    digest = hashed(subject)
    referrer = json.dumps(image(http, repo, artifactType="a/b", subject={
        "mediaType": OCI_MANIFEST, "size": len(subject),
        "digest": digest})).encode()
    pushes = [("subject", digest, subject), ("referrer", "r", referrer)]
    if first == "referrer":
        pushes.reverse()
    for what, ref, data in pushes:
        answer = http.put_manifest(repo, ref, data)
        assert answer.status == 201
        assert answer["oci-subject"] == \
            (digest if what == "referrer" else None)
        if what == "referrer":
            check_only_entry(http, repo, digest, sha256(referrer))
    check_only_entry(http, repo, digest, sha256(referrer))
    # A list is of its repository.
    other = http("GET", f"/v2/{repo}/other/referrers/{digest}")
    assert (other.status, other.json()["manifests"]) == (200, [])
    assert http("DELETE", f"/v2/{repo}/manifests/{sha256(referrer)}"
                ).status == 202
    left = http("GET", f"/v2/{repo}/referrers/{digest}").json()["manifests"]
    assert left == []


def check_only_entry(http, repo, subject, digest):
    found = http("GET", f"/v2/{repo}/referrers/{subject}").json()
    assert [(m["digest"], m["artifactType"]) for m in found["manifests"]] == \
        [(digest, "a/b")]


@pytest.mark.parametrize("hashed", [sha256, sha512])
def test_what_older_clients_keep_in_a_tag(http, repo, hashed):
    """The tag of the fallback is a tag as any other; of what it lists, what
    has the subject is in the list as well, and nothing else is."""
    subject = json.dumps(image(http, repo)).encode()
    digest = hashed(subject)
    assert http.put_manifest(repo, digest, subject).status == 201
    has = json.dumps(image(http, repo, artifactType="a/b", subject={
        "mediaType": OCI_MANIFEST, "size": len(subject),
        "digest": digest})).encode()
    has_none = json.dumps(image(http, repo, artifactType="a/b")).encode()
    entries = []
    for data in (has, has_none):
        assert http.put_manifest(repo, sha256(data), data).status == 201
        entries.append({"mediaType": OCI_MANIFEST, "digest": sha256(data),
                        "size": len(data), "artifactType": "a/b"})
    algorithm, _, encoded = digest.partition(":")
    tag = f"{algorithm[:32]}-{encoded[:64]}"
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX,
                        "manifests": entries}).encode()
    assert http.put_manifest(repo, tag, index, OCI_INDEX).status == 201
    answer = http("GET", f"/v2/{repo}/manifests/{tag}")
    assert (answer.body, answer["content-type"]) == (index, OCI_INDEX)
    check_only_entry(http, repo, digest, sha256(has))
    # Two that write the tag at once: one of them is told.
    held = {"Content-Type": OCI_INDEX, "If-Match": f'"{sha256(index)}"'}
    path = f"/v2/{repo}/manifests/{tag}"
    assert http("PUT", path, index + b" ", held).status == 201
    assert http("PUT", path, index + b"  ", held).status == 412


def test_referrers_in_pages(http, repo):
    subject = {"mediaType": OCI_MANIFEST, "digest": ABSENT, "size": 1}
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
               http, f"/v2/{repo}/referrers/{ABSENT}?artifactType=a/b")
           for m in page["manifests"]]
    assert got == [str(n) for n in range(250)]


def test_referrers_of_several_types_in_pages(http, repo):
    """Other types lie between; each page is in the order of the whole."""
    subject = {"mediaType": OCI_MANIFEST, "digest": ABSENT, "size": 1}
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
    base = f"/v2/{repo}/referrers/{ABSENT}?"
    types = "artifactType=a/3&artifactType=a/1&artifactType=a/3"
    got, path = [], base + types + "&artifactType=a/6"
    while path:
        answer = http("GET", path)
        assert answer["oci-filters-applied"] == "artifactType"
        got += [m["annotations"]["n"] for m in answer.json()["manifests"]]
        path = answer["link"] and answer["link"][1:].partition(">")[0]
    assert got == wanted
    many = "&".join(f"artifactType=b/{i}" for i in range(17))
    refused = http("GET", base + many)
    assert (refused.status, refused.code) == (414, "SIZE_INVALID")


def push_referrers(http, repo, count, **change):
    """count of them, which differ by their annotation n, in order."""
    http.push_blob(repo, b"{}")
    config = {"mediaType": OCI_CONFIG, "size": 2, "digest": sha256(b"{}")}
    for number in range(count):
        notes = {"n": str(number), **change.get("annotations", {})}
        kind = change.get("types", ["a/b"])[number % 2 - 1]
        raw = json.dumps({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
            "config": config, "artifactType": kind, "annotations": notes,
            "subject": {"mediaType": OCI_MANIFEST, "digest": ABSENT,
                        "size": 1}}).encode()
        assert http.put_manifest(repo, sha256(raw), raw).status == 201


def read_referrers(http, repo, query, limit):
    """The annotations n of all pages, of which none is over limit."""
    path, got = f"/v2/{repo}/referrers/{ABSENT}{query}", []
    while path:
        answer = http("GET", path)
        assert answer.status == 200 and len(answer.body) < limit
        got += [m["annotations"]["n"] for m in answer.json()["manifests"]]
        link = answer["link"]
        path = link[1:link.index(">")] if link else None
    return got


def test_large_referrers_in_pages(http, repo):
    """Megabytes of annotations: a page is bounded in bytes, too."""
    push_referrers(http, repo, 12, annotations={"x": "x" * (3 << 19)},
                   types=["a/0", "a/1"])
    wanted = [str(n) for n in range(12)]
    limit = 8 << 20
    assert read_referrers(http, repo, "", limit) == wanted
    both = "?artifactType=a/1&artifactType=a/0"
    assert read_referrers(http, repo, both, limit) == wanted
    some = read_referrers(http, repo, "?artifactType=a/0", limit)
    assert some and len(some) == 6


def test_long_filters_in_pages(http, repo):
    """The next page has the whole filter, however long its text."""
    long = "a/" + ":" * 3000
    push_referrers(http, repo, 250, types=[long])
    query = f"?artifactType=b/{'y' * 1000}&artifactType={long}"
    wanted = [str(n) for n in range(250)]
    assert read_referrers(http, repo, query, 1 << 20) == wanted
