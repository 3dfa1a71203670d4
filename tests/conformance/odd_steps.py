"""How the tables of odd inputs are written: see odd_rows.py.

A row is a number, a title and steps.  A step is a request and what must come
back; the steps after the odd one look at the state it left behind.  Paths and
header values name what the row's own repository has:

    {repo}     a repository of this row's own; {blob} and {image} are in it
    {blob}     the digest of DATA
    {image}    the digest of an image that is tagged v1
    {session}  an upload session that the first use opens
    {host}     of the server
"""

import json

from rawhttp import (OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, sha256,
                     sha512)
from shapes import ABSENT, EMPTY

DATA = bytes(range(256)) * 8
UUID = "00000000-0000-4000-8000-000000000000"


class Step:
    """One request and its answer."""

    def __init__(self, method, path, status, code=None, *, body=None,
                 headers=None, chunked=None, has=None, raw=None, closes=None,
                 check=None, is_text=False, content=None):
        self.method, self.path = method, path
        self.status = status if isinstance(status, tuple) else (status,)
        self.code = code
        self.body, self.chunked, self.raw = body, chunked, raw
        self.headers, self.has = headers or {}, has or {}
        self.closes, self.check, self.content = closes, check, content
        self.is_text = is_text

    def run(self, http, names):
        def fill(text):
            return text.format_map(names) if isinstance(text, str) else text

        def bytes_of(value):
            return value(names) if callable(value) else value

        if self.raw is not None:
            http.send(bytes_of(self.raw))
            answer = http.read(self.method)
        else:
            answer = self.send(http, fill, bytes_of)
        where = f"{self.method} {fill(self.path)}: {answer}"
        assert answer.status in self.status, where
        if self.code:
            assert answer["content-type"] == "application/json", where
            assert answer.code == self.code, where
        elif answer.status >= 400 and self.method != "HEAD" and \
                not self.is_text:
            assert answer.json()["errors"][0]["message"], where
        for name, value in self.has.items():
            assert answer[name] == fill(value), (name, where)
        if self.closes is not None:
            assert (http.sock is None) == self.closes, where
        if self.content is not None:
            assert answer.body == bytes_of(self.content), where
        if self.check:
            self.check(answer, names)
        return answer

    def send(self, http, fill, bytes_of):
        body = bytes_of(self.body)
        if body is None and self.chunked is None and \
                self.method in ("POST", "PUT", "PATCH"):
            body = b""
        try:
            return http(self.method, fill(self.path), body,
                        {k: fill(v) for k, v in self.headers.items()},
                        chunked=bytes_of(self.chunked))
        except (BrokenPipeError, ConnectionResetError):
            return http.read(self.method)  # an early answer


class Names(dict):
    """What a row's paths may name, made at the first use."""

    def __init__(self, http, repo):
        super().__init__(repo=repo, host=f"127.0.0.1:{http.port}")
        self.http = http

    def __missing__(self, name):
        make = {"blob": lambda: self.http.push_blob(self["repo"], DATA),
                "image": lambda: self.http.push_image(self["repo"], "v1")[1],
                "session": lambda: self.http.begin(self["repo"])}
        self[name] = make[name]()
        return self[name]

    def layer(self, **change):
        return {"mediaType": OCI_LAYER, "digest": self["blob"],
                "size": len(DATA), **change}

    def manifest(self, **change):
        """The bytes of a valid image manifest, changed."""
        data = {"schemaVersion": 2, "mediaType": OCI_MANIFEST,
                "config": self.layer(mediaType=OCI_CONFIG),
                "layers": [self.layer()]}
        data.update(change)
        return json.dumps({k: v for k, v in data.items()
                           if v is not None}).encode()

    def index(self, *children, **change):
        return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX,
                           "manifests": list(children), **change}).encode()

    def child(self, digest, size):
        return {"mediaType": OCI_MANIFEST, "digest": digest, "size": size}

    def count_blobs(self, berthd):
        return sum(1 for p in (berthd.root / "blobs").rglob("*")
                   if p.is_file())


def get(path, status=200, code=None, **more):
    return Step("GET", path, status, code, **more)


def head(path, status=200, **more):
    return Step("HEAD", path, status, **more)


def post(path, status, code=None, **more):
    return Step("POST", path, status, code, **more)


def put(path, status, code=None, **more):
    return Step("PUT", path, status, code, **more)


def patch(path, status, code=None, **more):
    return Step("PATCH", path, status, code, **more)


def delete(path, status, code=None, **more):
    return Step("DELETE", path, status, code, **more)


def put_manifest(ref, status, code=None, *, body=None, kind=OCI_MANIFEST,
                 change=None, **more):
    """PUT of a manifest; change: of the valid one."""
    if body is None:
        def body(names, change=change):
            return names.manifest(**(change(names) if callable(change)
                                     else change or {}))
    headers = {"Content-Type": kind} if kind else {}
    headers.update(more.pop("headers", {}))
    return put(f"/v2/{{repo}}/manifests/{ref}", status, code, body=body,
               headers=headers, **more)


def absent(ref):
    """Nothing is stored under this tag or digest."""
    return head(f"/v2/{{repo}}/manifests/{ref}", 404)


def empty_session():
    """The session is there and has taken nothing."""
    return get("{session}", 204, has={"range": "0-0"})


def usable_session():
    """The empty session takes a blob."""
    return put("{session}?digest=" + sha256(b"ok"), 201, body=b"ok")


def raw(text):
    """Bytes on the wire; {repo} and others are filled in."""
    return lambda names: text.format_map(names).encode("latin-1")


__all__ = ["ABSENT", "DATA", "EMPTY", "Names", "OCI_CONFIG", "OCI_INDEX",
           "OCI_LAYER", "OCI_MANIFEST", "Step", "UUID", "absent",
           "delete", "empty_session", "get", "head", "patch", "post", "put",
           "put_manifest", "raw", "sha256", "sha512", "usable_session"]
