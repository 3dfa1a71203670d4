"""Blobs, images and an index in every order they can come in."""

import itertools

import pytest

from conftest import Berthd
from content import Content


def family(repo):
    """Two images that share a layer, and an index of both and of a blob."""
    c = Content(repo)
    layer = c.layer()
    c.index(c.image(c.empty(), [layer], artifactType="a/b"),
            c.image(c.empty(), [layer], annotations={"n": "2"}), layer,
            tag="all")
    return c


def parts(c):
    """{digest: what it needs} of everything that is pushed."""
    layer, config = list(c.blobs)
    one, two, index = c.manifests
    return {layer: [], config: [], one: [layer, config],
            two: [layer, config], index: [one, two, layer]}


def push(http, repo, c, digest):
    """Under its digest, or its tag if it has one; the answer."""
    if digest in c.blobs:
        where = http.begin(repo)
        return http("PUT", f"{where}?digest={digest}", c.blobs[digest])
    data, kind = c.manifests[digest]
    tag = next((t for t, d in c.tags.items() if d == digest), digest)
    return http.put_manifest(repo, tag, data, kind)


def path_of(repo, c, digest):
    return f"/v2/{repo}/{'blobs' if digest in c.blobs else 'manifests'}/" \
        + digest


def check(http, repo, c, needs):
    for digest in needs:
        body = c.blobs.get(digest) or c.manifests[digest][0]
        assert http("GET", path_of(repo, c, digest)).body == body
    assert http("GET", f"/v2/{repo}/tags/list").json()["tags"] == ["all"]
    for digest in needs:  # all but the index are needed by something
        answer = http("DELETE", path_of(repo, c, digest))
        is_needed = any(digest in other for other in needs.values())
        assert answer.status == (405 if is_needed else 202), digest
    for digest in reversed(needs):
        path = path_of(repo, c, digest)
        http("DELETE", path)
        assert http("HEAD", path).status == 404


@pytest.fixture(scope="module")
def sparse(tmp_path_factory):
    folder = tmp_path_factory.mktemp("orders")
    (folder / "conf").write_text('sparse-repositories = {"sparse/**"}\n')
    server = Berthd(folder / "data", "--config", str(folder / "conf"))
    yield server
    server.stop()


def orders():
    return enumerate(itertools.permutations(range(5)))


def test_every_order_where_parents_may_come_first(sparse):
    http = sparse.client()
    for number, order in orders():
        repo = f"sparse/{number}"
        c = family(repo)
        needs = parts(c)
        for at in order:
            assert push(http, repo, c, list(needs)[at]).status == 201
        check(http, repo, c, needs)
    http.close()


def test_every_order_where_they_may_not(sparse):
    """Refused exactly as long as something is missing, which is named."""
    http = sparse.client()
    for number, order in orders():
        repo = f"strict/{number}"
        c = family(repo)
        needs = parts(c)
        left, there = [list(needs)[at] for at in order], set()
        while left:
            digest = left.pop(0)
            answer = push(http, repo, c, digest)
            missing = [d for d in needs[digest] if d not in there]
            if not missing:
                assert answer.status == 201
                there.add(digest)
                continue
            assert (answer.status, answer.code) == \
                (400, "MANIFEST_BLOB_UNKNOWN")
            detail = answer.json()["errors"][0]["detail"]
            assert sorted(d["digest"] for d in detail) == sorted(missing)
            # Nothing is there by then: the repository is not known either.
            assert http("HEAD", path_of(repo, c, digest)).status == 404
            left.append(digest)
        check(http, repo, c, needs)
    http.close()
