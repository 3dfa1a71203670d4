"""Paths, names and methods: what is asked for, before any resource."""

import pytest

from shapes import ABSENT


def test_ping(http):
    for path in ("/v2/", "/v2"):
        answer = http("GET", path)
        assert (answer.status, answer.body) == (200, b"{}")
        assert answer["docker-distribution-api-version"] == "registry/2.0"
    head = http("HEAD", "/v2/")
    assert (head.status, head["content-length"], head.body) == (200, "2", b"")


def test_health(http):
    assert http("GET", "/livez").status == 200
    assert http("GET", "/readyz").status == 200


@pytest.mark.parametrize("method, path, allowed", [
    ("PUT", "/v2/", "GET, HEAD"),
    ("DELETE", "/v2/", "GET, HEAD"),
    ("POST", f"/v2/a/blobs/{ABSENT}", "GET, HEAD, DELETE"),
    ("PATCH", "/v2/a/manifests/x", "GET, HEAD, PUT, DELETE"),
    ("DELETE", "/v2/a/tags/list", "GET, HEAD"),
    ("GET", "/v2/a/blobs/uploads/", "POST"),
])
def test_method_not_allowed(http, method, path, allowed):
    answer = http(method, path, b"" if method != "GET" else None)
    assert (answer.status, answer.code) == (405, "UNSUPPORTED")
    assert answer["allow"] == allowed


def test_options(http):
    answer = http("OPTIONS", "/v2/a/tags/list")
    assert answer.status == 204


@pytest.mark.parametrize("name", [
    "Foo", "a/B", "..", ".", "a//b", "a/../b", "a___b", "-a", "a_", "a._b",
    "a/", "a%00b", "a%0ab", "a%2fb", "%2e%2e/b", "a%80b", "a%2e%2e%2fb",
    "x" * 256, "a\\b"])
def test_bad_names(http, name):
    answer = http("GET", f"/v2/{name}/tags/list")
    assert answer.status == 400, answer
    if "\\" not in name:  # that one is no legal target at all
        assert answer.code == "NAME_INVALID"


@pytest.mark.parametrize("name", ["a--b", "a__b", "a.b", "a/b/c/d", "0",
                                  "a/tags/list", "blobs/manifests/uploads",
                                  "x" * 255])
def test_good_names(http, name):
    answer = http("GET", f"/v2/{name}/tags/list")
    assert (answer.status, answer.code) == (404, "NAME_UNKNOWN")


def test_names_of_routes_are_names(http):
    for repo in ("a/tags/list", "blobs/uploads/x", "manifests", "tags"):
        data, digest = http.push_image(repo, "v1")
        assert http("GET", f"/v2/{repo}/manifests/v1").body == data
        tags = http("GET", f"/v2/{repo}/tags/list").json()
        assert tags == {"name": repo, "tags": ["v1"]}


def test_lists_and_errors_end_with_a_newline(http):
    """A shell's prompt then stands on its own line."""
    http.push_image("newline", "v1")
    for path in ("/v2/_catalog", "/v2/newline/tags/list",
                 f"/v2/newline/referrers/{ABSENT}",
                 "/v2/newline/manifests/none", "/v2/NEWLINE/tags/list"):
        body = http("GET", path).body
        assert body.endswith(b"}\n") and body.count(b"\n") == 1, path


def test_unknown_route(http):
    answer = http("GET", "/v2/a/nothing/here")
    assert (answer.status, answer.code) == (404, "NAME_UNKNOWN")
    assert http("GET", "/nothing").status == 404
