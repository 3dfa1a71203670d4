"""Every way to push a blob, by every algorithm: all end in the same blob."""

import re

import pytest

from rawhttp import sha256, sha512
from shapes import ABSENT

HASHES = {"sha256": sha256, "sha512": sha512}
CUTS = (0, 700, 1400, 2043)  # where the chunks of a blob begin and end


def pieces(data):
    return [data[i:i + 99] for i in range(0, len(data), 99)]


def content(request):
    """Bytes of this test's own."""
    return (request.node.name.encode() * 100)[:CUTS[-1]].ljust(CUTS[-1])


def in_one_post(http, repo, data, digest):
    return http("POST", f"/v2/{repo}/blobs/uploads/?digest={digest}", data)


def in_one_post_of_unknown_length(http, repo, data, digest):
    return http("POST", f"/v2/{repo}/blobs/uploads/?digest={digest}",
                chunked=pieces(data))


def in_one_put(http, repo, data, digest):
    return http("PUT", f"{http.begin(repo)}?digest={digest}", data)


def in_one_chunk(http, repo, data, digest):
    where = send(http, http.begin(repo), data, 0, len(data))
    return http("PUT", f"{where}?digest={digest}", b"")


def in_chunks(http, repo, data, digest):
    where = http.begin(repo)
    for first, end in zip(CUTS, CUTS[1:]):
        where = send(http, where, data, first, end)
    return http("PUT", f"{where}?digest={digest}", b"")


def in_chunks_the_last_by_put(http, repo, data, digest):
    where = send(http, http.begin(repo), data, *CUTS[:2])
    where = send(http, where, data, *CUTS[1:3])
    return last(http, where, data, digest, CUTS[2])


def in_announced_chunks(http, repo, data, digest):
    """The algorithm is told with the POST."""
    algorithm = digest.split(":")[0]
    where = http.begin(repo, f"?digest-algorithm={algorithm}")
    where = send(http, where, data, *CUTS[:2])
    return last(http, where, data, digest, CUTS[1])


def announced_as_another(http, repo, data, digest):
    """The hint was wrong: what the PUT says counts."""
    other = "sha256" if digest.startswith("sha512") else "sha512"
    where = http.begin(repo, f"?digest-algorithm={other}")
    where = send(http, where, data, *CUTS[:2])
    return last(http, where, data, digest, CUTS[1])


def out_of_order(http, repo, data, digest):
    where = send(http, http.begin(repo), data, *CUTS[:2])
    for first in (0, CUTS[1] - 1, CUTS[1] + 1, CUTS[2]):
        answer = chunk(http, where, data, first, len(data))
        where = goes_on(http, answer, where, CUTS[1])
    return http("PUT", f"{send(http, where, data, CUTS[1], len(data))}"
                       f"?digest={digest}", b"")


def out_of_order_by_put(http, repo, data, digest):
    where = send(http, http.begin(repo), data, *CUTS[:2])
    for first in (0, CUTS[1] - 1, CUTS[1] + 1, CUTS[2]):
        answer = last(http, where, data, digest, first)
        where = goes_on(http, answer, where, CUTS[1])
    return last(http, where, data, digest, CUTS[1])


def in_a_stream(http, repo, data, digest):
    patch = http("PATCH", http.begin(repo), chunked=pieces(data))
    assert patch.status == 202
    assert patch["range"] == f"0-{max(len(data) - 1, 0)}"
    return http("PUT", f"{patch['location']}?digest={digest}", b"")


def after_a_refused_mount(http, repo, data, digest):
    begin = http("POST", f"/v2/{repo}/blobs/uploads/?mount={digest}"
                         f"&from={repo}/none", b"")
    assert begin.status == 202
    return http("PUT", f"{begin['location']}?digest={digest}", data)


WAYS = [in_one_post, in_one_post_of_unknown_length, in_one_put, in_one_chunk,
        in_chunks, in_chunks_the_last_by_put, in_announced_chunks,
        announced_as_another, out_of_order, out_of_order_by_put, in_a_stream,
        after_a_refused_mount]


def chunk(http, where, data, first, end):
    return http("PATCH", where, data[first:end],
                {"Content-Range": f"{first}-{end - 1}"})


def send(http, where, data, first, end):
    """A chunk that fits; where the next one goes."""
    answer = chunk(http, where, data, first, end)
    assert (answer.status, answer["range"]) == (202, f"0-{end - 1}")
    assert answer["location"].startswith("/v2/")
    return answer["location"]


def last(http, where, data, digest, first):
    return http("PUT", f"{where}?digest={digest}", data[first:],
                {"Content-Range": f"{first}-{len(data) - 1}"})


def goes_on(http, refused, where, end):
    """416 with the truth; the session says the same and is kept."""
    assert (refused.status, refused.code) == (416, "BLOB_UPLOAD_INVALID")
    status = http("GET", where)
    assert status.status == 204
    for answer in (refused, status):
        assert answer["range"] == f"0-{end - 1}"
        assert answer["location"].startswith("/v2/")
    return status["location"]


@pytest.fixture(params=HASHES)
def hashed(request):
    return HASHES[request.param]


@pytest.mark.parametrize("way", WAYS)
def test_pushed(http, repo, request, way, hashed):
    data = content(request)
    digest = hashed(data)
    path = f"/v2/{repo}/blobs/{digest}"
    assert http("GET", path).status == http("HEAD", path).status == 404
    done = way(http, repo, data, digest)
    assert done.status == 201, done
    assert done["docker-content-digest"] == digest
    assert http("GET", done["location"]).body == data
    for method in ("GET", "HEAD"):
        answer = http(method, path)
        assert (answer.status, answer["content-length"]) == (200, "2043")
        assert answer["docker-content-digest"] == digest
    ranged = http("GET", path, None, {"Range": "bytes=500-1499"})
    assert (ranged.status, ranged.body) == (206, data[500:1500])
    assert ranged["docker-content-digest"] == digest
    assert http("DELETE", path).status == 202
    assert http("HEAD", path).status == http("DELETE", path).status == 404


@pytest.mark.parametrize("way", WAYS)
def test_refused_for_its_digest(http, repo, request, way, hashed):
    """What arrives is not what its digest says, and is not kept."""
    data = content(request)
    told = hashed(b"oh no" + data)
    answer = way(http, repo, data, told)
    assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    for digest in (told, sha256(data), sha512(data)):
        assert http("HEAD", f"/v2/{repo}/blobs/{digest}").status == 404


@pytest.mark.parametrize("data", [b"", b"{}"])
@pytest.mark.parametrize("way", [in_one_post, in_one_put, in_a_stream,
                                 in_one_post_of_unknown_length])
def test_smallest_blobs(http, repo, way, data, hashed):
    digest = hashed(data)
    done = way(http, repo, data, digest)
    assert (done.status, done["docker-content-digest"]) == (201, digest)
    answer = http("GET", f"/v2/{repo}/blobs/{digest}")
    assert (answer.status, answer.body) == (200, data)


@pytest.mark.parametrize("source", ["named", "escaped", "any"])
def test_mounted(http, repo, request, source, hashed):
    data = content(request)
    digest = hashed(data)
    there = f"{repo}/there"
    assert in_one_put(http, there, data, digest).status == 201
    query = {"named": f"&from={there}", "any": "",
             "escaped": f"&from={there.replace('/', '%2F')}"}[source]
    told = digest.replace(":", "%3A") if source == "escaped" else digest
    done = http("POST", f"/v2/{repo}/blobs/uploads/?mount={told}{query}", b"")
    assert (done.status, done["docker-content-digest"]) == (201, digest)
    assert done["location"] == f"/v2/{repo}/blobs/{digest}"
    assert http("GET", done["location"]).body == data
    # Each repository has its own: what goes from one stays in the other.
    assert http("DELETE", f"/v2/{there}/blobs/{digest}").status == 202
    assert http("GET", done["location"]).body == data


def test_cancelled(http, repo, request, hashed):
    data = content(request)
    digest = hashed(data)
    algorithm = digest.split(":")[0]
    for sent in (0, 700):
        where = http.begin(repo, f"?digest-algorithm={algorithm}")
        if sent:
            where = send(http, where, data, 0, sent)
        assert http("DELETE", where, b"").status == 204
        for answer in (http("GET", where), http("DELETE", where, b""),
                       chunk(http, where, data, sent, len(data)),
                       last(http, where, data, digest, 0)):
            assert (answer.status, answer.code) == \
                (404, "BLOB_UPLOAD_UNKNOWN")
    assert http("HEAD", f"/v2/{repo}/blobs/{digest}").status == 404


def test_one_content_has_two_names(http, repo, request):
    """Pushed by one algorithm it is not there by the other, until pushed."""
    data = content(request)
    for one, other in ((sha256, sha512), (sha512, sha256)):
        place = f"{repo}/{one.__name__}"
        assert in_one_put(http, place, data, one(data)).status == 201
        assert http("GET", f"/v2/{place}/blobs/{other(data)}").status == 404
        assert in_one_put(http, place, data, other(data)).status == 201
        for digest in (one(data), other(data)):
            answer = http("GET", f"/v2/{place}/blobs/{digest}")
            assert answer.body == data
            assert answer["docker-content-digest"] == digest
        assert http("DELETE", f"/v2/{place}/blobs/{one(data)}").status == 202
        assert http("GET", f"/v2/{place}/blobs/{other(data)}").body == data


def test_session_has_a_unique_name(http, repo):
    form = re.compile(rf"/v2/{repo}/blobs/uploads/[0-9a-f]{{8}}"
                      r"(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
    places = {http.begin(repo) for _ in range(50)}
    assert len(places) == 50
    assert all(form.fullmatch(place) for place in places)
    for place in places:
        assert http("HEAD", place).status == 204
        assert http("DELETE", place, b"").status == 204


def test_two_digests_in_one_post(http, repo):
    """Neither is taken, whichever comes first."""
    for one, other in ((sha256(b"x"), ABSENT), (ABSENT, sha256(b"x"))):
        answer = http("POST", f"/v2/{repo}/blobs/uploads/?digest={one}"
                              f"&digest={other}", b"x")
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID")
    assert http("HEAD", f"/v2/{repo}/blobs/{sha256(b'x')}").status == 404


def test_two_mounts_in_one_post(http, repo):
    """A session instead, as for every mount that cannot be."""
    blob = http.push_blob(f"{repo}/there", b"there")
    for query in (f"?mount={blob}&mount={blob}&from={repo}/there",
                  f"?mount={blob}&from={repo}/there&from={repo}/x"):
        answer = http("POST", f"/v2/{repo}/blobs/uploads/{query}", b"")
        assert answer.status == 202
        assert http("DELETE", answer["location"], b"").status == 204
    assert http("HEAD", f"/v2/{repo}/blobs/{blob}").status == 404


def test_unknown_algorithm(http, repo):
    for query in ("?digest-algorithm=md5", "?digest-algorithm=",
                  "?digest-algorithm=SHA256",
                  "?digest-algorithm=sha512&digest-algorithm=sha256"):
        answer = http("POST", f"/v2/{repo}/blobs/uploads/{query}", b"")
        assert (answer.status, answer.code) == (400, "DIGEST_INVALID"), query
    assert http("GET", f"/v2/{repo}/blobs/{ABSENT}").status == 404
