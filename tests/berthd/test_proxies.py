"""nginx and haproxy in front; raw requests, skopeo, podman, docker through."""

import pathlib
import shutil
import socket

import pytest

import debian_image
from conftest import Berthd
from engines import Docker, Podman, Skopeo, run
from figures import figure, note
from http_cases import get
from proxies import PROXIES, Proxy
from rawhttp import sha256
from test_engines import served_digest
from waiting import wait_for

pytestmark = figure("behind proxies", "passed")

@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Key and certificate for 127.0.0.1 in one file."""
    folder = tmp_path_factory.mktemp("tls")
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days",
        "2", "-subj", "/CN=127.0.0.1", "-addext",
        "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key", "-out",
        folder / "crt")
    both = folder / "both.pem"
    both.write_text((folder / "crt").read_text()
                    + (folder / "key").read_text())
    return both


@pytest.fixture(scope="module", params=PROXIES)
def proxy(request, shared, tmp_path_factory, certificate):
    folder = pathlib.Path(tmp_path_factory.mktemp(request.param))
    folder.chmod(0o755)
    one = Proxy(folder, shared, PROXIES[request.param], certificate)
    one.name = request.param
    yield one
    one.stop()


@pytest.fixture(scope="module")
def docker(tmp_path_factory):
    engine = Docker(tmp_path_factory.mktemp("docker"))
    yield engine
    engine.stop()


@pytest.fixture(scope="module")
def layout(tmp_path_factory):
    folder = tmp_path_factory.mktemp("layout") / "image"
    debian_image.write_small(folder, seed="proxies", layers=3)
    return folder


def test_raw_requests(shared, proxy):
    """Locations stay relative; chunks, ranges and conditions get through."""
    http = proxy.client()
    repo = f"raw/{proxy.name}"
    assert http("GET", "/v2/").body == b"{}"
    data = bytes(range(256)) * 8192
    where = http.begin(repo)
    assert where.startswith(f"/v2/{repo}/blobs/uploads/")
    half = len(data) // 2
    patch = http("PATCH", where, chunked=[data[:1000], data[1000:half]])
    assert (patch.status, patch["range"]) == (202, f"0-{half - 1}")
    gap = http("PATCH", where, b"x", {"Content-Range": "0-0"})
    assert (gap.status, gap["range"]) == (416, f"0-{half - 1}")
    patch = http("PATCH", patch["location"], data[half:],
                 {"Content-Range": f"{half}-{len(data) - 1}"})
    assert patch.status == 202
    done = http("PUT", f"{patch['location']}?digest={sha256(data)}", b"")
    assert (done.status, done["location"]) == (
        201, f"/v2/{repo}/blobs/{sha256(data)}")
    path = done["location"]
    assert http("GET", path).body == data
    head = http("HEAD", path)
    assert (head.status, head["content-length"]) == (200, str(len(data)))
    part = http("GET", path, None, {"Range": "bytes=1000-1999"})
    assert (part.status, part.body) == (206, data[1000:2000])
    same = http("GET", path, None, {"If-None-Match": f'"{sha256(data)}"'})
    assert same.status == 304
    assert http("DELETE", path).status == 202
    assert http("GET", path).code == "BLOB_UNKNOWN"
    http.close()


def test_refusals_get_through(proxy):
    repo = f"refused/{proxy.name}"
    for method, path, body, status, code in (
            ("GET", "/v2/Bad/tags/list", None, 400, "NAME_INVALID"),
            ("PUT", f"/v2/{repo}/manifests/x", b" " * (5 << 20), 413,
             "SIZE_INVALID"),
            ("PUT", f"/v2/{repo}/manifests/x", b"{}", 400,
             "MANIFEST_INVALID"),
            ("PUT", "/v2/", b"x", 405, "UNSUPPORTED")):
        http = proxy.client()
        try:
            answer = http(method, path, body)
        except (BrokenPipeError, ConnectionResetError):
            answer = http.read(method)
        assert (answer.status, answer.code) == (status, code), answer
        http.close()


def test_skopeo(shared, proxy, layout, tmp_path):
    repo = f"skopeo/{proxy.name}"
    name = f"{proxy.host}/{repo}:v1"
    skopeo = Skopeo(tmp_path)
    skopeo.load(layout, name)
    skopeo.push(name)
    digest, _ = served_digest(shared, repo, "v1")
    skopeo.pull(name)
    assert skopeo.digest(name) == digest
    assert "v1" in run("skopeo", "list-tags", "--tls-verify=false",
                       f"docker://{proxy.host}/{repo}")


def test_podman(shared, proxy, layout, tmp_path_factory):
    repo = f"podman/{proxy.name}"
    name = f"{proxy.host}/{repo}:v1"
    # A short name: podman refuses a run folder of over 50 characters.
    podman = Podman(tmp_path_factory.mktemp("podman"))
    podman.load(layout, name)
    podman.push(name)
    digest, _ = served_digest(shared, repo, "v1")
    podman.pull(name)
    assert podman.digest(name) == digest


def test_docker(shared, proxy, docker, layout):
    repo = f"docker/{proxy.name}"
    name = f"{proxy.host}/{repo}:v1"
    docker.load(layout, name)
    docker.push(name)
    digest, _ = served_digest(shared, repo, "v1")
    docker.pull(name)
    assert docker.digest(name) == digest


def test_sub_path_is_refused(shared, tmp_path):
    """Clients know no path before /v2/, so neither does the server."""
    proxy = Proxy(tmp_path, shared, PROXIES["nginx"])
    try:
        http = proxy.client()
        answer = http("GET", "/refused/v2/")
        assert (answer.status, answer.code) == (404, "NAME_UNKNOWN")
        http.close()
    finally:
        proxy.stop()


def test_sub_path_is_served(shared, tmp_path):
    """A proxy that cuts the path off puts it back before every Location."""
    proxy = Proxy(tmp_path, shared, PROXIES["nginx"])
    try:
        http = proxy.client()
        answer = http("POST", "/served/v2/sub/blobs/uploads/", b"")
        where = answer["location"]
        assert where.startswith("/served/v2/sub/blobs/uploads/")
        patch = http("PATCH", where, b"abc")
        assert patch["location"] == where
        done = http("PUT", f"{where}?digest={sha256(b'abc')}", b"")
        assert (done.status, done["location"]) == (
            201, f"/served/v2/sub/blobs/{sha256(b'abc')}")
        assert http("GET", done["location"]).body == b"abc"
        http.close()
    finally:
        proxy.stop()


def test_no_redirect(proxy):
    """Nothing that could lead a client to another scheme or host."""
    http = proxy.client()
    for method, path, status in (("GET", "/v2", 200), ("GET", "/v2/", 200),
                                 ("GET", "/v2/_catalog/", 400),
                                 ("GET", "/v2/a/tags/list/", 404),
                                 ("GET", "/v2//a/tags/list", 400),
                                 ("GET", "/v2/../v2/", 400),
                                 ("POST", "/v2/a/blobs/uploads", 202),
                                 ("GET", "/", 404)):
        answer = http(method, path, b"" if method == "POST" else None,
                      {"X-Forwarded-Proto": "gopher",
                       "X-Forwarded-Host": "evil.example"})
        # nginx looks at paths itself, but what it lets through is not changed.
        assert answer.status == status, (path, answer)
        where = answer["location"]
        assert where is None or where.startswith("/v2/a/blobs/uploads/")
        assert "evil" not in repr(answer) and "gopher" not in repr(answer)
    http.close()


@pytest.mark.parametrize("is_trusted", [True, False])
@pytest.mark.parametrize("name", ["nginx", "nginx-http10", "haproxy"])
def test_client_is_named(limited, tmp_path, name, is_trusted):
    """What the proxy says of its client counts, what the client says not."""
    server = limited('trusted-proxies = {"127.0.0.1"}\n' if is_trusted else "")
    proxy = Proxy(tmp_path, server, PROXIES[name])
    try:
        sock = socket.create_connection(("127.0.0.1", proxy.port), 60,
                                        source_address=("127.0.0.7", 0))
        sock.sendall(get("X-Forwarded-For: 192.0.2.66", "Connection: close",
                         "X-Forwarded-For: 192.0.2.67",
                         "Forwarded: for=192.0.2.68",
                         target="/v2/named/tags/list").encode())
        while sock.recv(4096):
            pass
        sock.close()
        line = wait_for(lambda: next((one for one in server.log
                                      if '"GET /v2/named/' in one), None))
        if is_trusted:
            assert ' 127.0.0.7 "GET' in line
            assert " via=127.0.0.1:" in line
        else:
            assert ' 127.0.0.1:' in line.split('"GET')[0]
            assert "via=" not in line
        assert "192.0.2." not in line
    finally:
        proxy.stop()


def test_client_that_leaves_behind_a_proxy(tmp_path):
    """What came through is kept, and the upload goes on."""
    server = Berthd(tmp_path / "data")
    proxy = Proxy(tmp_path, server, PROXIES["nginx-unbuffered"])
    try:
        http = server.client()
        where = http.begin("a")
        data = bytes(range(256)) * 4096
        client = proxy.client()
        client.send(f"PATCH {where} HTTP/1.1\r\nHost: x\r\nContent-Length: "
                    f"{len(data)}\r\n\r\n".encode() + data[:600000])
        client.close()
        while (status := http("GET", where))["range"] == "0-0":
            assert status.status == 204
        first = int(status["range"].split("-")[1]) + 1
        assert 0 < first <= 600000
        while (answer := http("PATCH", where, data[first:], {
                "Content-Range": f"{first}-{len(data) - 1}"})).status == 416:
            first = int(answer["range"].split("-")[1]) + 1
        assert http("PUT", f"{where}?digest={sha256(data)}",
                    b"").status == 201
        http.close()
    finally:
        proxy.stop()
        server.stop()


def test_both_are_here():
    missing = [p for p in ("nginx", "haproxy") if not shutil.which(p)]
    note("behind proxies", f"missing: {', '.join(missing) or 'none'}")
