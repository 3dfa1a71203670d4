"""The life of content in a repository: pushed, found in all ways, deleted."""

from urllib.parse import quote

from rawhttp import OCI_INDEX


def push_blobs(http, repo, content):
    for digest, data in content.blobs.items():
        assert http.push_blob(repo, data, digest) == digest


def push_manifests(http, repo, content, order=None, with_parameters=False):
    for digest in order or content.manifests:
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
