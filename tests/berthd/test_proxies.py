"""nginx and haproxy in front; raw requests, skopeo, podman, docker through."""

import os
import pathlib
import shutil
import socket
import ssl

import pytest

import debian_image
from conftest import Berthd, free_port
from engines import Daemon, Docker, Podman, Skopeo, run
from figures import figure, note
from rawhttp import Client, sha256
from test_engines import served_digest

pytestmark = figure("behind proxies", "passed")

NGINX = """
daemon off;
{user}
worker_processes 1;
error_log {folder}/error.log;
pid {folder}/pid;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_max_body_size 0;
    server {{
        listen 127.0.0.1:{port}{ssl};
        {certificate}
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For 192.0.2.9;
            proxy_set_header X-Forwarded-Proto https;
            proxy_http_version {version};
            {connection}
            proxy_buffering {buffering};
            proxy_request_buffering {buffering};
        }}
        location /registry/ {{
            proxy_pass http://127.0.0.1:{upstream};
        }}
    }}
}}
"""

HAPROXY = """
global
    maxconn 256
defaults
    mode http
    timeout connect 10s
    timeout client 60s
    timeout server 60s
    option forwardfor
frontend in
    bind 127.0.0.1:{port}{ssl}
    http-request set-header X-Forwarded-Proto https
    default_backend registry
backend registry
    server one 127.0.0.1:{upstream}
"""


def nginx(folder, port, upstream, tls, buffering="on", version="1.1"):
    text = NGINX.format(
        folder=folder, port=port, upstream=upstream, version=version,
        user="user root;" if os.geteuid() == 0 else "",
        buffering=buffering, ssl=" ssl" if tls else "",
        connection='proxy_set_header Connection "";' if version == "1.1"
        else "",
        certificate=f"ssl_certificate {tls};\n ssl_certificate_key {tls};"
        if tls else "")
    (folder / "nginx.conf").write_text(text)
    return ["nginx", "-e", f"{folder}/start.log", "-p", folder, "-c",
            folder / "nginx.conf"]


def haproxy(folder, port, upstream, tls):
    text = HAPROXY.format(port=port, upstream=upstream,
                          ssl=f" ssl crt {tls}" if tls else "")
    (folder / "haproxy.cfg").write_text(text)
    return ["haproxy", "-db", "-f", folder / "haproxy.cfg"]


# name: (how it is started, is TLS ended there, options)
PROXIES = {
    "nginx": (nginx, False, {}),
    "nginx-unbuffered": (nginx, False, {"buffering": "off"}),
    "nginx-http10": (nginx, False, {"version": "1.0"}),
    "nginx-http10-unbuffered": (nginx, False, {"version": "1.0",
                                               "buffering": "off"}),
    "nginx-tls": (nginx, True, {"buffering": "off"}),
    "haproxy": (haproxy, False, {}),
    "haproxy-tls": (haproxy, True, {}),
}


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


class Proxy:
    """One proxy in front of `server`."""

    def __init__(self, folder, server, name, certificate):
        how, self.is_tls, options = PROXIES[name]
        if not shutil.which(how.__name__):
            pytest.skip(f"{how.__name__} is not installed")
        self.port = free_port()
        command = how(folder, self.port, server.port,
                      certificate if self.is_tls else None, **options)
        self.daemon = Daemon(command, folder / "log", self.is_listening)

    @property
    def host(self):
        return f"127.0.0.1:{self.port}"

    def is_listening(self):
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", self.port)) == 0

    def client(self):
        return TlsClient(self.port) if self.is_tls else Client(self.port)

    def stop(self):
        self.daemon.stop()


class TlsClient(Client):
    def connect(self):
        if self.sock is None:
            context = ssl.create_default_context()
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
            self.sock = context.wrap_socket(super().connect())
        return self.sock


@pytest.fixture(scope="module", params=PROXIES)
def proxy(request, shared, tmp_path_factory, certificate):
    folder = pathlib.Path(tmp_path_factory.mktemp(request.param))
    folder.chmod(0o755)
    one = Proxy(folder, shared, request.param, certificate)
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
    # Nobody told us to trust what a proxy says of its clients.
    assert "192.0.2.9" not in shared.text()


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
    proxy = Proxy(tmp_path, shared, "nginx", None)
    try:
        http = proxy.client()
        answer = http("GET", "/registry/v2/")
        assert (answer.status, answer.code) == (404, "NAME_UNKNOWN")
        http.close()
    finally:
        proxy.stop()


def test_client_that_leaves_behind_a_proxy(tmp_path):
    """What came through is kept, and the upload goes on."""
    server = Berthd(tmp_path / "data")
    proxy = Proxy(tmp_path, server, "nginx-unbuffered", None)
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
