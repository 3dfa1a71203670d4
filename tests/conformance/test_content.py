"""Every kind of content, from its push to its end, in any order."""

from urllib.parse import quote

import pytest

from conftest import Berthd
from content import NEED_SPARSE, SETS, TAG_PARAMETERS, make
from rawhttp import OCI_INDEX


@pytest.fixture(scope="module")
def lenient(tmp_path_factory):
    """A server whose manifests may name what is not there yet."""
    folder = tmp_path_factory.mktemp("sparse")
    (folder / "conf").write_text('sparse-repositories = {"**"}\n')
    server = Berthd(folder / "data", "--config", str(folder / "conf"))
    yield server
    server.stop()


def push_blobs(http, repo, content):
    for digest, data in content.blobs.items():
        assert http.push_blob(repo, data, digest) == digest


def push_manifests(http, repo, content, order, with_parameters):
    for digest in order:
        tags = [t for t, d in content.tags.items() if d == digest]
        if with_parameters:
            query = "?" + "&".join(f"tag={tag}" for tag in tags)
            put_manifest(http, repo, content, digest + query, digest, tags)
            continue
        put_manifest(http, repo, content, digest, digest)
        for tag in tags:
            put_manifest(http, repo, content, tag, digest)


def put_manifest(http, repo, content, ref, digest, tags=()):
    data, kind = content.manifests[digest]
    # In pieces of unknown length, as some clients send it.
    answer = http("PUT", f"/v2/{repo}/manifests/{ref}", None,
                  {"Content-Type": kind}, [data[:100], data[100:]])
    assert answer.status == 201, answer
    assert answer["docker-content-digest"] == digest
    assert http("GET", answer["location"]).body == data
    told = [t.strip() for name, value in answer.pairs if name == "oci-tag"
            for t in value.split(",")]
    assert told == list(tags)
    subjects = [s for s, entries in content.referrers.items()
                if digest in [e["digest"] for e in entries]]
    assert answer["oci-subject"] == (subjects[0] if subjects else None)


def check_all_is_there(http, repo, content):
    for digest, (data, kind) in content.manifests.items():
        refs = [digest] + [t for t, d in content.tags.items() if d == digest]
        for ref in refs:
            check_both(http, f"/v2/{repo}/manifests/{ref}", data, kind, digest)
    for digest, data in content.blobs.items():
        check_both(http, f"/v2/{repo}/blobs/{digest}", data,
                   "application/octet-stream", digest)


def check_both(http, path, data, kind, digest):
    get, head = http("GET", path), http("HEAD", path)
    assert (get.status, get.body) == (200, data)
    assert (head.status, head.body) == (200, b"")
    for answer in (get, head):
        assert answer["content-type"] == kind
        assert answer["content-length"] == str(len(data))
        assert answer["docker-content-digest"] == digest


def check_tags(http, repo, content):
    tags = sorted(content.tags)
    answer = http("GET", f"/v2/{repo}/tags/list")
    assert answer.json() == {"name": repo, "tags": tags}
    for at, tag in enumerate(tags):
        after = http("GET", f"/v2/{repo}/tags/list?last={tag}").json()
        assert after["tags"] == tags[at + 1:]


def by_digest(entries):
    return sorted(entries, key=lambda entry: entry["digest"])


def check_referrers(http, repo, content):
    for digest in [*content.manifests, *content.referrers]:
        wanted = content.referrers.get(digest, [])
        path = f"/v2/{repo}/referrers/{digest}"
        answer = http("GET", path)
        assert (answer.status, answer["content-type"]) == (200, OCI_INDEX)
        found = answer.json()
        assert by_digest(found.pop("manifests")) == by_digest(wanted)
        assert found == {"schemaVersion": 2, "mediaType": OCI_INDEX}
        kinds = {e["artifactType"] for e in wanted if "artifactType" in e}
        for kind in kinds | {"application/none"}:
            some = http("GET", f"{path}?artifactType={quote(kind)}")
            assert some["oci-filters-applied"] == "artifactType"
            assert by_digest(some.json()["manifests"]) == by_digest(
                e for e in wanted if e.get("artifactType") == kind)


def delete_all(http, repo, content):
    """Tags, then manifests, parents first, then blobs: each at once."""
    paths = [f"manifests/{tag}" for tag in content.tags]
    paths += [f"manifests/{d}" for d in reversed(content.manifests)]
    paths += [f"blobs/{d}" for d in content.blobs]
    for path in paths:
        path = f"/v2/{repo}/{path}"
        assert http("DELETE", path).status == 202, path
        assert http("GET", path).status == http("HEAD", path).status == 404
        assert http("DELETE", path).status == 404
    assert http("GET", f"/v2/{repo}/tags/list").json()["tags"] == []
    for subject in content.referrers:
        left = http("GET", f"/v2/{repo}/referrers/{subject}").json()
        assert left["manifests"] == []


@pytest.mark.parametrize("name", SETS)
def test_children_first(shared, lenient, repo, name):
    http = (lenient if name in NEED_SPARSE else shared).client()
    content = make(name, repo)
    push_blobs(http, repo, content)
    push_manifests(http, repo, content, content.manifests,
                   name in TAG_PARAMETERS)
    check_all_is_there(http, repo, content)
    check_tags(http, repo, content)
    check_referrers(http, repo, content)
    delete_all(http, repo, content)
    http.close()


@pytest.mark.parametrize("name", SETS)
def test_parents_first(lenient, repo, name):
    """Where a manifest may come before what it names, subjects included."""
    http = lenient.client()
    content = make(name, repo)
    push_manifests(http, repo, content, reversed(content.manifests),
                   name in TAG_PARAMETERS)
    check_referrers(http, repo, content)
    push_blobs(http, repo, content)
    check_all_is_there(http, repo, content)
    check_tags(http, repo, content)
    check_referrers(http, repo, content)
    delete_all(http, repo, content)
    http.close()


@pytest.mark.parametrize("name", SETS)
def test_altered_on_the_way(shared, lenient, repo, name):
    """Two blanks behind a manifest are another manifest."""
    http = (lenient if name in NEED_SPARSE else shared).client()
    content = make(name, repo)
    push_blobs(http, repo, content)
    digest = list(content.manifests)[-1]
    for child in list(content.manifests)[:-1]:
        data, kind = content.manifests[child]
        assert http.put_manifest(repo, child, data, kind).status == 201
    data, kind = content.manifests[digest]
    for query in ("", "?tag=altered"):
        answer = http.put_manifest(repo, digest + query, data + b"  ", kind)
        assert answer.status in (400, 413)
        assert answer.code == ("DIGEST_INVALID" if answer.status == 400
                               else "SIZE_INVALID")
    for ref in (digest, "altered"):
        assert http("HEAD", f"/v2/{repo}/manifests/{ref}").status == 404
    http.close()
