"""A registry in the test's own process that does what a test tells it to.

It serves pulls and pushes as the specification says.  A test scripts what
deviates: `registry.on("GET", "/blobs/", action, ...)` gives the next requests
that match to the actions, one each.  An action takes the request's handler
and answers, or returns False to let the usual answer happen.  `registry.log`
keeps every request.

Addresses: `registry.host` is 127.0.0.1:PORT.  Names below .localhost reach the
same server, and are other hosts for a client.
"""

import base64
import collections
import gzip
import hashlib
import http.server
import io
import itertools
import json
import re
import socket
import socketserver
import ssl
import struct
import tarfile
import threading
import urllib.parse

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar_of(files):
    """A layer of regular files: name -> bytes."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), 0o644
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


Request = collections.namedtuple("Request", "method path headers body")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    # ---- answers -----------------------------------------------------------
    def answer(self, status, headers=(), body=b""):
        """A well-formed answer; a HEAD gets no body."""
        headers = dict(headers)
        self.send_response(status)
        if "Content-Length" not in headers and status != 204:
            headers["Content-Length"] = str(len(body))
        for key, value in headers.items():
            for one in value if isinstance(value, list) else [value]:
                self.send_header(key, one)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def error(self, status, code, message="no", headers=()):
        body = json.dumps({"errors": [{"code": code, "message": message}]})
        self.answer(status, {"Content-Type": "application/json",
                             **dict(headers)}, body.encode())

    def raw(self, data):
        """These bytes and nothing else; then the connection is closed."""
        self.close_connection = True
        try:
            self.connection.sendall(data)
        except OSError:
            pass

    def reset(self):
        """An RST instead of an end."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                   struct.pack("ii", 1, 0))
        self.connection.close()

    # ---- requests ----------------------------------------------------------
    def read_body(self):
        if self.headers.get("Transfer-Encoding", "") == "chunked":
            body = b""
            while True:
                size = int(self.rfile.readline().split(b";")[0], 16)
                body += self.rfile.read(size)
                self.rfile.readline()
                if size == 0:
                    return body
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def handle_one(self):
        registry = self.server.registry
        early = registry.take(self.command, self.path, early=True)
        if early:
            registry.note(self, None)
            early(self)
            return
        self.body = self.read_body()
        registry.note(self, self.body)
        action = registry.take(self.command, self.path)
        if not action or action(self) is False:
            registry.serve(self)

    def do_GET(self):
        try:
            self.handle_one()
        except (BrokenPipeError, ConnectionResetError, ValueError, OSError):
            self.close_connection = True

    do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = do_GET


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request, client_address):
        pass


class FakeRegistry:
    def __init__(self, tls=None, address="127.0.0.1"):
        self.blobs, self.manifests, self.sessions = {}, {}, {}
        self.rules, self.log = [], []
        self.lock = threading.Lock()
        self.numbers = itertools.count()
        self.guard = None  # what decides who may ask
        self.mounts = True
        self.location = "/v2/{repo}/blobs/uploads/{id}"
        self.server = Server((address, 0), Handler)
        self.server.registry = self
        if tls:
            self.server.socket = tls.wrap_socket(
                self.server.socket, server_side=True,
                do_handshake_on_connect=False)
        self.port = self.server.server_address[1]
        self.host = f"{address}:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever,
                                       kwargs={"poll_interval": 0.02},
                                       daemon=True)
        self.thread.start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def name(self, host):
        """This server under another name."""
        return f"{host}:{self.port}"

    # ---- scripts -----------------------------------------------------------
    def on(self, method, part, *actions, early=False):
        """The next len(actions) requests that match; early: the body is not
        read before."""
        self.rules.append([method, part, list(actions), early])

    def always(self, method, part, action, early=False):
        self.rules.append([method, part, action, early])

    def take(self, method, path, early=False):
        with self.lock:
            for rule in self.rules:
                if (rule[0] == method and re.search(rule[1], path)
                        and rule[3] == early and rule[2]):
                    if callable(rule[2]):
                        return rule[2]
                    return rule[2].pop(0)
        return None

    def note(self, handler, body):
        with self.lock:
            self.log.append(Request(handler.command, handler.path,
                                    handler.headers, body))

    def requests(self, method=None, part=""):
        with self.lock:
            return [r for r in self.log if method in (None, r.method)
                    and re.search(part, r.path)]

    # ---- content -----------------------------------------------------------
    def put_blob(self, repo, data):
        self.blobs[repo, digest_of(data)] = data
        return digest_of(data)

    def put_image(self, repo, tag, layers, compress=gzip.compress, kind="+gzip",
                  config=None, **extra):
        """An image of these uncompressed layers; returns its manifest."""
        config = json.dumps({
            "architecture": "amd64", "os": "linux", **(config or {}),
            "rootfs": {"type": "layers",
                       "diff_ids": [digest_of(x) for x in layers]}}).encode()
        packed = [compress(layer) for layer in layers]
        manifest = {
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "size": len(config),
                       "digest": self.put_blob(repo, config)},
            "layers": [{"mediaType": LAYER + kind, "size": len(data),
                        "digest": self.put_blob(repo, data)}
                       for data in packed], **extra}
        self.put_manifest(repo, tag, manifest)
        return manifest

    def put_manifest(self, repo, tag, manifest):
        data = manifest if isinstance(manifest, bytes) \
            else json.dumps(manifest).encode()
        for name in (tag, digest_of(data)):
            self.manifests[repo, name] = (MANIFEST, data)
        return digest_of(data)

    # ---- the usual answers -------------------------------------------------
    def serve(self, h):
        url = urllib.parse.urlsplit(h.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        if self.guard and self.guard(h):
            return None
        if url.path == "/v2/":
            return h.answer(200, body=b"{}")
        m = re.fullmatch(r"/v2/(.+)/(blobs/uploads|blobs|manifests)/([^/]*)",
                         url.path)
        if not m:
            return h.error(404, "NAME_UNKNOWN")
        repo, kind, last = m.groups()
        if kind == "blobs/uploads":
            return self.upload(h, repo, last, query)
        if kind == "manifests":
            return self.manifest(h, repo, last)
        return self.blob(h, repo, last)

    def blob(self, h, repo, digest):
        data = self.blobs.get((repo, digest))
        if data is None:
            return h.error(404, "BLOB_UNKNOWN", "blob unknown to registry")
        headers = {"Docker-Content-Digest": digest, "ETag": f'"{digest}"',
                   "Content-Type": "application/octet-stream"}
        asked = re.fullmatch(r"bytes=(\d+)-", h.headers.get("Range", ""))
        if not asked:
            return h.answer(200, {**headers, "Content-Length": len(data)}, data)
        start = int(asked[1])
        if start >= len(data):
            return h.error(416, "RANGE_INVALID")
        headers["Content-Range"] = \
            f"bytes {start}-{len(data) - 1}/{len(data)}"
        return h.answer(206, headers, data[start:])

    def manifest(self, h, repo, name):
        if h.command == "PUT":
            digest = self.put_manifest(repo, name, h.body)
            return h.answer(201, {"Docker-Content-Digest": digest,
                                  "Location": h.path})
        kind, data = self.manifests.get((repo, name), (None, None))
        if data is None:
            return h.error(404, "MANIFEST_UNKNOWN", "manifest unknown")
        return h.answer(200, {"Content-Type": kind,
                              "Docker-Content-Digest": digest_of(data)}, data)

    def upload(self, h, repo, session, query):
        if h.command == "POST":
            digest, source = query.get("mount"), query.get("from")
            if digest and self.mounts and (source, digest) in self.blobs:
                self.blobs[repo, digest] = self.blobs[source, digest]
                return h.answer(201, {"Location": f"/v2/{repo}/blobs/{digest}"})
            session = f"s{next(self.numbers)}"
            self.sessions[session] = bytearray()
            return self.told(h, 202, repo, session)
        if session not in self.sessions:
            return h.error(404, "BLOB_UPLOAD_UNKNOWN", "no such upload")
        data = self.sessions[session]
        if h.command == "GET":
            return self.told(h, 204, repo, session)
        if h.command == "DELETE":
            del self.sessions[session]
            return h.answer(204)
        part = h.headers.get("Content-Range")
        if part and int(part.split("-")[0]) != len(data):
            return h.error(416, "BLOB_UPLOAD_INVALID", "out of order")
        data += h.body
        if h.command == "PATCH":
            return self.told(h, 202, repo, session)
        if digest_of(bytes(data)) != query.get("digest"):
            return h.error(400, "DIGEST_INVALID", "another digest")
        self.blobs[repo, query["digest"]] = bytes(data)
        del self.sessions[session]
        return h.answer(201, {"Location": f"/v2/{repo}/blobs/"
                                          f"{query['digest']}"})

    def told(self, h, status, repo, session):
        last = max(len(self.sessions[session]) - 1, 0)
        return h.answer(status, {
            "Location": self.location.format(repo=repo, id=session),
            "Range": f"0-{last}", "Docker-Upload-UUID": session})


# ---- who may ask -------------------------------------------------------------
def basic(user, password):
    """A guard: HTTP Basic for one user."""
    want = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def guard(h):
        if h.headers.get("Authorization") == want:
            return False
        h.error(401, "UNAUTHORIZED", "authentication required",
                {"WWW-Authenticate": 'Basic realm="fake"'})
        return True
    guard.header = want
    return guard


class Tokens:
    """A guard that wants Bearer tokens, and the server that issues them.

    realm() makes the address that the challenge tells.  A token is good for
    `uses` requests.
    """

    def __init__(self, registry, user=None, realm=None, uses=10**9,
                 expires=300, challenge=None):
        self.user, self.uses, self.expires = user, uses, expires
        self.good, self.count = {}, 0
        self.realm = realm or f"http://{registry.host}/token"
        self.challenge = challenge or (
            lambda scope: f'Bearer realm="{self.realm}",'
                          f'service="fake service",scope="{scope}"')
        registry.guard = self.check
        registry.always("GET", r"^/token", self.issue)
        registry.always("POST", r"^/token", self.issue)

    def check(self, h):
        token = h.headers.get("Authorization", "")
        if token.startswith("Bearer ") and self.good.get(token[7:], 0) > 0:
            self.good[token[7:]] -= 1
            return False
        h.error(401, "UNAUTHORIZED", "authentication required",
                {"WWW-Authenticate": self.challenge("repository:x:pull")})
        return True

    def issue(self, h):
        if self.user:
            want = "Basic " + base64.b64encode(self.user.encode()).decode()
            form = urllib.parse.parse_qs((h.body or b"").decode())
            if h.headers.get("Authorization") != want and \
                    form.get("refresh_token") != [self.user]:
                h.answer(401, {"Content-Type": "application/json"},
                         b'{"details":"incorrect username or password"}')
                return True
        self.count += 1
        token = f"token-{self.count}"
        self.good[token] = self.uses
        h.answer(200, {"Content-Type": "application/json"}, json.dumps(
            {"token": token, "expires_in": self.expires}).encode())
        return True


# ---- certificates ------------------------------------------------------------
class Authority:
    """A made-up CA, with openssl's command line."""

    def __init__(self, folder, run):
        self.folder, self.run = folder, run
        self.crt, self.key = folder / "ca.crt", folder / "ca.key"
        run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
            "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
            "/CN=made-up authority", "-keyout", self.key, "-out", self.crt)

    def issue(self, name, san, days=2):
        """A certificate and key for a subject alternative name."""
        base = self.folder / name
        ext = base.with_suffix(".ext")
        ext.write_text(f"subjectAltName={san}\n")
        self.run("openssl", "req", "-newkey", "ec", "-pkeyopt",
                 "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                 "-keyout", base.with_suffix(".key"), "-out",
                 base.with_suffix(".csr"))
        self.run("openssl", "x509", "-req", "-in", base.with_suffix(".csr"),
                 "-CA", self.crt, "-CAkey", self.key, "-CAcreateserial",
                 "-days", str(days), "-extfile", ext, "-out",
                 base.with_suffix(".crt"))
        return base.with_suffix(".crt"), base.with_suffix(".key")

    def server(self, name, san, days=2, client_ca=None):
        """A server's TLS context."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        crt, key = self.issue(name, san, days)
        context.load_cert_chain(crt, key)
        if client_ca:
            context.load_verify_locations(client_ca)
            context.verify_mode = ssl.CERT_REQUIRED
            # In 1.3 the refusal comes after the handshake, and races with
            # the request.
            context.maximum_version = ssl.TLSVersion.TLSv1_2
        return context
