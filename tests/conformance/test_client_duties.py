"""What real clients rely on although no specification says so.

Each duty has a number that it keeps; OPEN names those whose feature is not
there yet.  The clients themselves are in tests/berthd and tests/clients.
"""

import json
import time

import pytest

from conftest import TOP, Berthd
from figures import figure, note
from rawhttp import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, sha256
from shapes import ABSENT

DOCKER = "application/vnd.docker.distribution.manifest"
HELLO = (b"\x16\x03\x01\x00\xc8\x01\x00\x00\xc4\x03\x03" + bytes(range(32))
         + bytes(160))
OPEN = {2: "TLS", 3: "TLS", 12: "quotas", 13: "throttling"}
tested = set()


def duty(number):
    tested.add(number)
    return figure("client duties", "kept", number)


def manifest(http, repo, **change):
    config = http.push_blob(repo, b"{}")
    data = {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": [],
            "config": {"mediaType": OCI_CONFIG, "digest": config, "size": 2}}
    data.update(change)
    return json.dumps(data).encode()


@duty(1)
def test_tls_hello_on_the_clear_port(shared):
    """Answered at once in plain text: clients then try clear HTTP."""
    client = shared.client()
    begin = time.monotonic()
    client.send(HELLO)
    answer = client.read()
    assert answer.status == 400 and client.sock is None
    assert answer["content-type"].startswith("text/plain")
    assert time.monotonic() - begin < 5  # clients would wait for ten


@duty(4)
@duty(22)
def test_head_is_get_without_its_body(http, repo):
    _, digest = http.push_image(repo, "v1")
    for path in (f"manifests/{digest}", "manifests/v1", "manifests/none",
                 f"manifests/{ABSENT}", f"blobs/{sha256(b'layer')}",
                 f"blobs/{ABSENT}", "tags/list", f"referrers/{digest}",
                 "manifests/sha256:abc"):
        get = http("GET", f"/v2/{repo}/{path}")
        head = http("HEAD", f"/v2/{repo}/{path}")
        assert head.status == get.status and head.body == b""
        assert [p for p in head.pairs if p[0] != "date"] == \
            [p for p in get.pairs if p[0] != "date"]
        assert head["content-length"] == str(len(get.body))


@duty(5)
def test_types_have_no_parameters(http, repo):
    data, digest = http.push_image(repo, "v1")
    assert http.put_manifest(repo, "v2", data,
                             OCI_MANIFEST + ";charset=utf-8").status == 201
    for ref in ("v1", "v2", digest):
        answer = http("GET", f"/v2/{repo}/manifests/{ref}")
        assert answer["content-type"] == OCI_MANIFEST
    answer = http("GET", f"/v2/{repo}/referrers/{digest}")
    assert answer["content-type"] == OCI_INDEX


@duty(6)
def test_what_docker_reads_of_a_push(http, repo):
    where = http.begin(repo)
    patch = http("PATCH", where, chunked=[b"x"])
    first, last = map(int, patch["range"].split("-"))
    assert patch.status == 202 and last >= first
    empty = http("PATCH", http.begin(repo), b"")
    first, last = map(int, empty["range"].split("-"))
    assert empty.status == 202 and last >= first
    data = manifest(http, repo)
    put = http.put_manifest(repo, "v", data)
    assert put["docker-content-digest"] == sha256(data)


@duty(7)
def test_locations_are_relative(http, repo):
    blob = http.push_blob(repo, b"blob")
    data = manifest(http, repo)
    for answer in (
            http("POST", f"/v2/{repo}/blobs/uploads/", b""),
            http("PATCH", http.begin(repo), b"x"),
            http("PUT", f"{http.begin(repo)}?digest={sha256(b'y')}", b"y"),
            http("POST", f"/v2/{repo}/blobs/uploads/?mount={blob}", b""),
            http.put_manifest(repo, "v", data),
            http("GET", http.begin(repo))):
        assert answer["location"].startswith(f"/v2/{repo}/")


@duty(8)
@duty(31)
def test_how_clients_write_queries(http, repo):
    """An old Location goes on working; ':' and '/' come escaped."""
    where = http.begin(repo)
    assert http("PATCH", where, b"one").status == 202
    assert http("PATCH", where + "?x=y", b"two").status == 202
    digest = sha256(b"onetwo").replace(":", "%3A")
    assert http("PUT", f"{where}?x=y&digest={digest}", b"").status == 201
    source = repo.replace("/", "%2F")
    answer = http("POST", f"/v2/{repo}/b/blobs/uploads/?from={source}"
                          f"&mount={digest}", b"")
    assert answer.status == 201
    data = manifest(http, repo, artifactType="a/b+c", subject={
        "mediaType": OCI_MANIFEST, "digest": ABSENT, "size": 1})
    assert http.put_manifest(repo, "v", data).status == 201
    found = http("GET", f"/v2/{repo}/referrers/{ABSENT}?artifactType=a/b%2Bc")
    assert len(found.json()["manifests"]) == 1
    blank = http("GET", f"/v2/{repo}/referrers/{ABSENT}?artifactType=a/b+c")
    assert blank.json()["manifests"] == []


@duty(9)
def test_refused_mount_gives_a_session(http, repo):
    query = f"/v2/{repo}/blobs/uploads/?mount={ABSENT}&from=other"
    for end in ("upload", "put", "cancel"):
        answer = http("POST", query, b"")
        assert answer.status == 202
        where = answer["location"]
        if end == "cancel":
            assert http("DELETE", where, b"").status == 204
            continue
        if end == "upload":
            assert http("PATCH", where, chunked=[b"data"]).status == 202
        done = http("PUT", f"{where}?digest={sha256(b'data')}",
                    b"" if end == "upload" else b"data")
        assert done.status == 201


@duty(10)
def test_blob_is_there_at_once(shared, repo):
    """For another connection too, and however often one looks."""
    http, other = shared.client(), shared.client()
    for i in range(100):
        data = str(i).encode()
        digest = http.push_blob(repo, data)
        head = other("HEAD", f"/v2/{repo}/blobs/{digest}")
        assert (head.status, head["content-length"]) == (200, str(len(data)))
    http.close()
    other.close()


@duty(11)
def test_sessions_that_nobody_comes_back_to(tmp_path):
    conf = tmp_path / "r.conf"
    conf.write_text("upload-idle = 1\nupload-ttl = 1\n")
    server = Berthd(tmp_path / "data", "--config", str(conf))
    http = server.client()
    left = http.begin("a")
    http.send(f"PATCH {left} HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n"
              "abc".encode())
    http.close()
    assert http.push_blob("a", b"abc") == sha256(b"abc")
    server.stop()
    end = time.monotonic() + 60
    server = Berthd(tmp_path / "data", "--config", str(conf))
    while http_status(server, left) != 404:
        assert time.monotonic() < end
        server.stop()  # a start looks for expired ones; so does each hour
        server = Berthd(tmp_path / "data", "--config", str(conf))
    assert not list((tmp_path / "data" / "uploads").iterdir())
    server.stop()


def http_status(server, path):
    http = server.client()
    status = http("GET", path).status
    http.close()
    return status


@duty(14)
def test_answer_follows_the_last_byte(http, repo):
    """Hashed while it streams, so that no client times out on 201."""
    data = bytes(1 << 20) * 64
    where = http.begin(repo)
    for i in range(0, len(data), 16 << 20):
        part = data[i:i + (16 << 20)]
        assert http("PATCH", where, part).status == 202
    begin = time.monotonic()
    assert http("PUT", f"{where}?digest={sha256(data)}", b"").status == 201
    assert time.monotonic() - begin < 10


@duty(15)
def test_never_compressed(http, repo):
    digest = http.push_blob(repo, bytes(100000))
    answer = http("GET", f"/v2/{repo}/blobs/{digest}", None, {
        "Accept-Encoding": "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5",
        "Range": "bytes=1000-"})
    assert (answer.status, answer["content-encoding"]) == (206, None)
    assert answer.body == bytes(99000)


@duty(16)
def test_several_ranges(http, repo):
    digest = http.push_blob(repo, bytes(range(100)))
    answer = http("GET", f"/v2/{repo}/blobs/{digest}", None,
                  {"Range": "bytes=0-9,20-29"})
    assert answer.status == 206
    assert answer["content-type"].startswith("multipart/byteranges; boundary=")
    assert bytes(range(10)) in answer.body
    assert bytes(range(20, 30)) in answer.body


@duty(17)
def test_open_range_ends_at_the_last_byte(http, repo):
    digest = http.push_blob(repo, bytes(100))
    answer = http("GET", f"/v2/{repo}/blobs/{digest}", None,
                  {"Range": "bytes=0-"})
    assert (answer.status, answer["content-range"]) == (206, "bytes 0-99/100")


@duty(18)
def test_accept_hides_nothing(http, repo):
    data, _ = http.push_image(repo, "v1")
    path = f"/v2/{repo}/manifests/v1"
    types = [f"{DOCKER}.v1+prettyjws", "application/json", OCI_MANIFEST,
             f"{DOCKER}.v2+json", f"{DOCKER}.list.v2+json", OCI_INDEX]
    many = "".join(f"Accept: {t}\r\n" for t in types)
    http.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n{many}\r\n".encode())
    assert http.read().body == data
    for accept in (", ".join(types), f"{DOCKER}.v2+json, */*", "*/*",
                   f"{DOCKER}.v2+json"):
        assert http("GET", path, None, {"Accept": accept}).body == data


@duty(19)
def test_index_of_blobs(http, repo):
    """As old build caches are exported."""
    layer = http.push_blob(repo, b"layer")
    data = json.dumps({
        "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
            {"mediaType": OCI_LAYER, "digest": layer, "size": 5},
            {"mediaType": "application/vnd.buildkit.cacheconfig.v0",
             "digest": http.push_blob(repo, b"{}"), "size": 2}]}).encode()
    assert http.put_manifest(repo, "cache", data, OCI_INDEX).status == 201
    assert http("GET", f"/v2/{repo}/manifests/cache").body == data
    assert http("DELETE", f"/v2/{repo}/blobs/{layer}").status == 405


@duty(20)
def test_children_by_digest_then_the_index(http, repo):
    children = [manifest(http, repo, annotations={"n": str(i)})
                for i in range(3)]
    for child in children:
        put = http.put_manifest(repo, sha256(child), child)
        assert put["docker-content-digest"] == sha256(child)
    data = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX,
                       "manifests": [
                           {"mediaType": OCI_MANIFEST, "size": len(c),
                            "digest": sha256(c)} for c in children]}).encode()
    assert http.put_manifest(repo, "all", data, OCI_INDEX).status == 201
    head = http("HEAD", f"/v2/{repo}/manifests/all")
    assert head["docker-content-digest"] == sha256(data)
    assert http("GET", f"/v2/{repo}/tags/list").json()["tags"] == ["all"]


@duty(21)
def test_odd_but_legal_framing(http, repo):
    data = manifest(http, repo)
    put = http("PUT", f"/v2/{repo}/manifests/v", None,
               {"Content-Type": OCI_MANIFEST}, [data[:50], data[50:]])
    assert put.status == 201
    begin = http("POST", f"/v2/{repo}/blobs/uploads/", b"",
                 {"Content-Type": "application/json"})
    assert begin.status == 202
    assert http("PATCH", begin["location"], b"x").status == 202


@duty(23)
@duty(24)
def test_early_answers_arrive(shared, repo):
    """The client goes on sending, and still reads why."""
    http = shared.client()
    body = bytes(1 << 20) * 3
    for method, path, status in (
            ("PUT", f"/v2/{repo}/manifests/v", 413),
            ("PUT", f"/v2/{repo}/manifests/-", 400),
            ("PATCH", f"/v2/{repo}/blobs/uploads/none", 404),
            ("PUT", "/v2/", 405)):
        size = len(body) * 2
        http.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n"
                  f"Content-Length: {size}\r\n\r\n".encode())
        try:
            http.send(body)
        except (BrokenPipeError, ConnectionResetError):
            pass
        answer = http.read()
        assert (answer.status, http.sock) == (status, None)
        http.send(f"{method} {path} HTTP/1.1\r\nHost: x\r\n"
                  "Expect: 100-continue\r\n"
                  f"Content-Length: {size}\r\n\r\n".encode())
        assert http._line().split()[1] == str(status)
        http.close()


@duty(25)
def test_idle_connections_outlive_the_clients(tmp_path):
    text = (TOP / "registry.conf.example").read_text()
    found = [line for line in text.splitlines()
             if line.startswith("idle-timeout = ")]
    assert int(found[0].split("=")[1]) > 90_000


@duty(26)
def test_referrers_and_their_tags(http, repo):
    """Never 404; and clients without the API keep a tag of their own."""
    empty = http("GET", f"/v2/{repo}-none/referrers/{ABSENT}")
    assert (empty.status, empty["content-type"]) == (200, OCI_INDEX)
    data, digest = http.push_image(repo, "v1")
    child = manifest(http, repo, artifactType="a/b", subject={
        "mediaType": OCI_MANIFEST, "digest": digest, "size": len(data)})
    put = http.put_manifest(repo, sha256(child), child)
    assert put["oci-subject"] == digest
    fallback = json.dumps({
        "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [
            {"mediaType": OCI_MANIFEST, "digest": sha256(child),
             "size": len(child), "artifactType": "a/b"}]}).encode()
    tag = digest.replace(":", "-")
    assert http.put_manifest(repo, tag, fallback, OCI_INDEX).status == 201
    assert http("GET", f"/v2/{repo}/manifests/{tag}").body == fallback
    found = http("GET", f"/v2/{repo}/referrers/{digest}").json()["manifests"]
    assert [m["digest"] for m in found] == [sha256(child)]


@duty(27)
@pytest.mark.parametrize("tag, config, layer", [
    ("sha256-" + "a" * 64 + ".sig", OCI_CONFIG,
     "application/vnd.dev.cosign.simplesigning.v1+json"),
    ("sha256-" + "a" * 64 + ".att", OCI_CONFIG,
     "application/vnd.dsse.envelope.v1+json"),
    ("1.2.3_build", "application/vnd.cncf.helm.config.v1+json",
     "application/vnd.cncf.helm.chart.content.v1.tar+gzip"),
    ("wasm", "application/vnd.oci.empty.v1+json", "application/wasm"),
])
def test_artifacts_of_every_kind(http, repo, tag, config, layer):
    digest = http.push_blob(repo, b"content")
    data = manifest(http, repo, layers=[
        {"mediaType": layer, "digest": digest, "size": 7}], config={
            "mediaType": config, "digest": http.push_blob(repo, b"{}"),
            "size": 2}, **({"artifactType": "a/b"} if "empty" in config
                           else {}))
    assert http.put_manifest(repo, tag, data).status == 201
    assert http("GET", f"/v2/{repo}/manifests/{tag}").body == data


@duty(28)
def test_delete_by_digest_takes_every_tag(http, repo):
    data, digest = http.push_image(repo, "a")
    for tag in ("b", "c"):
        assert http.put_manifest(repo, tag, data).status == 201
    other = manifest(http, repo)
    assert http.put_manifest(repo, "d", other).status == 201
    assert http("DELETE", f"/v2/{repo}/manifests/{digest}").status == 202
    assert http("GET", f"/v2/{repo}/tags/list").json()["tags"] == ["d"]


@duty(29)
def test_no_redirects(http, repo):
    digest = http.push_blob(repo, b"direct")
    for method in ("GET", "HEAD"):
        answer = http(method, f"/v2/{repo}/blobs/{digest}")
        assert (answer.status, answer["location"]) == (200, None)


@duty(30)
def test_mirror_parameter_is_ignored(http, repo):
    where = http.begin(repo, "?ns=docker.io")
    done = http("PUT", f"{where}?ns=docker.io&digest={sha256(b'x')}", b"x")
    assert done.status == 201
    data, digest = http.push_image(repo, "v1")
    for path in ("manifests/v1", f"manifests/{digest}",
                 f"blobs/{sha256(b'x')}", "tags/list"):
        for method in ("GET", "HEAD"):
            assert http(method, f"/v2/{repo}/{path}?ns=docker.io"
                        ).status == 200
    assert http("PUT", f"/v2/{repo}/manifests/v2?ns=docker.io", data,
                {"Content-Type": OCI_MANIFEST}).status == 201


def test_every_duty_is_there():
    assert tested | set(OPEN) == set(range(1, 32)) and not tested & set(OPEN)
    note("client duties",
         f"{len(OPEN)} open ({', '.join(map(str, sorted(OPEN)))})")
