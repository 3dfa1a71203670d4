"""An HTTP client that sends exactly the bytes it is told to."""

import hashlib
import json
import socket

import promises

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def sha512(data):
    return "sha512:" + hashlib.sha512(data).hexdigest()


class Answer:
    """Status, headers (lower-case names, list of pairs) and body."""

    def __init__(self, status, headers, body):
        self.status = status
        self.pairs = headers
        self.body = body

    def __getitem__(self, name):
        for key, value in self.pairs:
            if key == name.lower():
                return value
        return None

    def json(self):
        return json.loads(self.body)

    @property
    def code(self):
        return self.json()["errors"][0]["code"]

    def __repr__(self):
        return f"<{self.status} {self.pairs} {self.body[:200]!r}>"


class Client:
    """One keep-alive connection; opened anew when the server closed it."""

    def __init__(self, port, timeout=60):
        self.port = port
        self.timeout = timeout
        self.sock = None
        self.buffer = b""

    def connect(self):
        if self.sock is None:
            self.sock = socket.create_connection(("127.0.0.1", self.port),
                                                 self.timeout)
            self.buffer = b""
        return self.sock

    def close(self):
        if self.sock:
            self.sock.close()
        self.sock = None

    def send(self, data):
        self.connect().sendall(data)

    def _more(self):
        data = self.sock.recv(1 << 18)
        if not data:
            raise EOFError("connection closed after %r" % self.buffer[:200])
        self.buffer += data

    def _line(self):
        while b"\r\n" not in self.buffer:
            self._more()
        line, self.buffer = self.buffer.split(b"\r\n", 1)
        return line.decode("latin-1")

    def _exactly(self, size):
        while len(self.buffer) < size:
            self._more()
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def read(self, method="GET"):
        """Read one answer; skips 100 Continue."""
        while True:
            status = int(self._line().split(" ", 2)[1])
            headers = []
            while line := self._line():
                name, value = line.split(":", 1)
                headers.append((name.lower(), value.strip()))
            if status != 100:
                break
        answer = Answer(status, headers, b"")
        if method != "HEAD" and status not in (204, 304):
            answer.body = self._exactly(int(answer["content-length"]))
        if (answer["connection"] or "").lower() == "close":
            self.close()
        promises.check(answer)
        return answer

    def __call__(self, method, path, body=None, headers=None, chunked=None):
        """One request and its answer. chunked: a list of chunks to send."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
        lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
        if chunked is not None:
            lines.append("Transfer-Encoding: chunked")
            # An empty one would be the end.
            body = b"".join(b"%x\r\n%s\r\n" % (len(c), c)
                            for c in chunked if c)
            body += b"0\r\n\r\n"
        elif body is not None:
            lines.append(f"Content-Length: {len(body)}")
        head = ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
        self.send(head + (body or b""))
        return self.read(method)

    # -- what every test needs --------------------------------------------

    def begin(self, repo, query=""):
        answer = self("POST", f"/v2/{repo}/blobs/uploads/{query}", b"")
        assert answer.status == 202, answer
        return answer["location"]

    def push_blob(self, repo, data, digest=None):
        where = self.begin(repo)
        digest = digest or sha256(data)
        answer = self("PUT", f"{where}?digest={digest}", data)
        assert answer.status == 201, answer
        return digest

    def push_image(self, repo, tag, layers=(b"layer",), **extra):
        """Returns (manifest bytes, digest)."""
        config = json.dumps({"repo": repo, "tag": tag}).encode()
        self.push_blob(repo, config)
        manifest = {
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": {"mediaType": OCI_CONFIG, "digest": sha256(config),
                       "size": len(config)},
            "layers": [{"mediaType": OCI_LAYER, "size": len(data),
                        "digest": self.push_blob(repo, data)}
                       for data in layers], **extra}
        data = json.dumps(manifest).encode()
        answer = self.put_manifest(repo, tag, data)
        assert answer.status == 201, answer
        return data, sha256(data)

    def put_manifest(self, repo, ref, data, kind=OCI_MANIFEST):
        headers = {"Content-Type": kind} if kind else {}
        return self("PUT", f"/v2/{repo}/manifests/{ref}", data, headers)
