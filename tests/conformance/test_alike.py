"""What must not matter: HEAD for GET, a mirror's parameter, unknown ones.

And what every resource says of its methods.
"""

import pytest

from rawhttp import OCI_MANIFEST, sha256
from shapes import ABSENT

UUID = "00000000-0000-4000-8000-000000000000"
# {repo} holds an image that is tagged v1 and w, and something refers to it.
READS = [
    "/v2/", "/v2", "/livez", "/readyz", "/v2/_catalog", "/v2/_catalog?n=0",
    "/v2/_catalog?n=1", "/v2/_catalog?n=x",
    "/v2/{repo}/blobs/{blob}", f"/v2/{{repo}}/blobs/{ABSENT}",
    "/v2/{repo}/blobs/sha256:abc", "/v2/{repo}/manifests/v1",
    "/v2/{repo}/manifests/{image}", "/v2/{repo}/manifests/none",
    f"/v2/{{repo}}/manifests/{ABSENT}", "/v2/{repo}/manifests/sha256:abc",
    "/v2/{repo}/tags/list", "/v2/{repo}/tags/list?n=1",
    "/v2/{repo}/tags/list?n=0", "/v2/{repo}/tags/list?n=-1",
    "/v2/{repo}/tags/list?last=v1", "/v2/{repo}/none/tags/list",
    "/v2/{repo}/referrers/{image}", f"/v2/{{repo}}/referrers/{ABSENT}",
    "/v2/{repo}/referrers/{image}?artifactType=a/b",
    "/v2/{repo}/referrers/sha256:abc", "{session}",
    f"/v2/{{repo}}/blobs/uploads/{UUID}", "/v2/{repo}/nothing", "/nothing",
    "/v2/Bad/tags/list", "/v2/{repo}/blobs/uploads/",
]
CONDITIONS = [{}, {"If-None-Match": "*"}, {"If-Match": '"other"'},
              {"Accept": "text/plain"}, {"Range": "lines=1-2"}]


@pytest.fixture(scope="module")
def names(shared):
    http = shared.client()
    repo = "t/alike"
    data, image = http.push_image(repo, "v1")
    assert http.put_manifest(repo, "w", data).status == 201
    blob = sha256(b"layer")
    http.push_image(repo, "x", artifactType="a/b", subject={
        "mediaType": OCI_MANIFEST, "digest": image, "size": len(data)})
    session = http.begin(repo)
    assert http("PATCH", session, b"some").status == 202
    http.close()
    return {"repo": repo, "blob": blob, "image": image, "session": session}


def told(answer):
    """All of an answer but its body and the time of day."""
    return answer.status, [p for p in answer.pairs if p[0] != "date"]


@pytest.mark.parametrize("path", READS)
def test_head_is_get_without_its_body(http, names, path):
    path = path.format_map(names)
    for headers in CONDITIONS:
        get = http("GET", path, None, headers)
        head = http("HEAD", path, None, headers)
        assert told(head) == told(get), headers
        assert head.body == b""
        if get.status not in (204, 304):
            assert head["content-length"] == str(len(get.body))


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("path", READS)
def test_parameters_that_are_for_others(http, names, path, method):
    """A mirror's ns, and whatever a later specification may add."""
    path = path.format_map(names)
    plain = http(method, path)
    for more in ("ns=docker.io", "ns=", "ns=a&ns=b", "origin=x", "digest=x"):
        answer = http(method, path + ("&" if "?" in path else "?") + more)
        assert answer.status == plain.status
        assert answer.body == plain.body
        assert answer["oci-namespace"] is None  # it was not used
        assert [n for n, _ in answer.pairs] == [n for n, _ in plain.pairs]
    answer = http(method, path, None, {"OCI-Namespace": "docker.io"})
    assert told(answer) == told(plain)


def test_parameters_that_are_for_others_on_writes(http, repo):
    ns = "ns=docker.io&x=y"
    where = http.begin(repo, f"?{ns}")
    assert http("PATCH", f"{where}?{ns}", b"da").status == 202
    done = http("PUT", f"{where}?{ns}&digest={sha256(b'data')}", b"ta")
    assert (done.status, done["location"]) == (
        201, f"/v2/{repo}/blobs/{sha256(b'data')}")
    mount = http("POST", f"/v2/{repo}/b/blobs/uploads/?{ns}"
                         f"&mount={sha256(b'data')}&from={repo}", b"")
    assert mount.status == 201
    data, digest = http.push_image(repo, "v1")
    put = http.put_manifest(repo, f"v2?{ns}", data)
    assert (put.status, put["docker-content-digest"]) == (201, digest)
    assert http("DELETE", http.begin(repo) + f"?{ns}", b"").status == 204
    for path in (f"manifests/v2?{ns}", f"manifests/{digest}?{ns}",
                 f"blobs/{sha256(b'data')}?{ns}"):
        assert http("DELETE", f"/v2/{repo}/{path}").status == 202


@pytest.mark.parametrize("path, allowed", [
    ("/v2/", "GET, HEAD"), ("/v2/_catalog", "GET, HEAD"),
    ("/livez", "GET, HEAD"), ("/readyz", "GET, HEAD"),
    (f"/v2/a/blobs/{ABSENT}", "GET, HEAD, DELETE"),
    ("/v2/a/blobs/uploads/", "POST"), ("/v2/a/blobs/uploads", "POST"),
    (f"/v2/a/blobs/uploads/{UUID}", "GET, HEAD, PUT, PATCH, DELETE"),
    ("/v2/a/manifests/v", "GET, HEAD, PUT, DELETE"),
    ("/v2/a/tags/list", "GET, HEAD"),
    (f"/v2/a/referrers/{ABSENT}", "GET, HEAD"),
])
def test_methods_of(http, path, allowed):
    """OPTIONS tells them, and every other one is refused with the same."""
    options = http("OPTIONS", path)
    assert (options.status, options["allow"], options.body) == \
        (204, allowed, b"")
    for method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"):
        if method in allowed.split(", "):
            continue
        body = None if method in ("GET", "HEAD") else b""
        answer = http(method, path, body)
        assert (answer.status, answer["allow"]) == (405, allowed), method
        if method != "HEAD":
            assert answer.code == "UNSUPPORTED"


def test_methods_of_nothing(http):
    for path, code in (("/v2/a/none", "NAME_UNKNOWN"),
                       ("/v2/A/tags/list", "NAME_INVALID")):
        answer = http("OPTIONS", path)
        assert answer.code == code
        assert answer.status in (400, 404)
