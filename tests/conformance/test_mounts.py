"""Mounts: a blob of another repository, or a session instead."""

import pytest

from rawhttp import sha256
from shapes import ABSENT, EMPTY


def test_mount(http, repo):
    digest = http.push_blob(repo + "/src", b"mount me")
    base = f"/v2/{repo}/dst/blobs/uploads/?mount={digest}"
    done = http("POST", f"{base}&from={(repo + '/src').replace('/', '%2F')}",
                b"")
    assert done.status == 201
    assert done["location"] == f"/v2/{repo}/dst/blobs/{digest}"
    assert http("GET", done["location"]).body == b"mount me"
    again = http("POST", f"{base}&from={repo}/dst", b"")
    assert again.status == 201
    anonymous = http("POST", f"/v2/{repo}/any/blobs/uploads/?mount={digest}",
                     b"")
    assert anonymous.status == 201


@pytest.mark.parametrize("query", [
    f"?mount={ABSENT}&from=t/none", "?mount=junk&from=t/none",
    f"?mount={EMPTY}&from=Bad/Name", f"?mount={ABSENT}", "?from=t/none"])
def test_mount_falls_back(http, repo, query):
    answer = http("POST", f"/v2/{repo}/blobs/uploads/{query}", b"")
    assert answer.status == 202
    done = http("PUT", f"{answer['location']}?digest={sha256(b'z')}", b"z")
    assert done.status == 201
