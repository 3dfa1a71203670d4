"""Every kind of content, from its push to its end, in any order."""

import pytest

from conftest import Berthd
from content import NEED_SPARSE, SETS, TAG_PARAMETERS, make
from lifecycle import (check_all_is_there, check_referrers, check_tags,
                       delete_all, push_blobs, push_manifests)


@pytest.fixture(scope="module")
def lenient(tmp_path_factory):
    """A server whose manifests may name what is not there yet."""
    folder = tmp_path_factory.mktemp("sparse")
    (folder / "conf").write_text('sparse-repositories = {"**"}\n')
    server = Berthd(folder / "data", "--config", str(folder / "conf"))
    yield server
    server.stop()


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
