"""What the tests of real clients share: the clients, images, the server's view.

A test believes no exit status alone: what it did through a client it looks up
on the server with plain requests, by View.
"""

import gzip
import json
import os
import pathlib
import re
import subprocess

import pytest

from archives import OCI_NAME, Oci, config_of, layer
from conftest import Berthd
from goprogram import go_program
from rawhttp import (OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, sha256,
                     sha512)

VERSIONS = pathlib.Path(__file__).parent / "versions"
BUILD_TIMEOUT_S = 3600
RUN_TIMEOUT_S = 300
# Go's clients ask loopback addresses without the proxy, all others through it:
# none gets further than this machine.
NOWHERE = "http://127.0.0.1:9"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
MANIFESTS = OCI_MANIFEST, OCI_INDEX, DOCKER_MANIFEST, DOCKER_LIST
REQUEST = re.compile(r'"([A-Z]+) (\S+)" (\d{3}) ')
ARCHES = ("amd64", "arm64")


def read_versions():
    """name -> (Go package, version), in the file's order."""
    lines = [line.split() for line in VERSIONS.read_text().splitlines()
             if not line.startswith("#")]
    return {name: (package, version) for name, package, version in lines}


class Program:
    """A client with a home folder of its own; called with its arguments."""

    def __init__(self, name, folder, **env):
        package, self.version = read_versions()[name]
        self.name = name
        self.path = go_program(package, self.version, BUILD_TIMEOUT_S)
        self.folder = folder
        self.env = {"PATH": os.environ["PATH"], "HOME": str(folder),
                    "HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE, **env}

    def run(self, *args, stdin=b"", cwd=None):
        """The finished process; its output is bytes."""
        return subprocess.run(
            [str(self.path), *map(str, args)], input=stdin,
            capture_output=True, env=self.env, cwd=cwd or self.folder,
            timeout=RUN_TIMEOUT_S)

    def bytes(self, *args, **options):
        done = self.run(*args, **options)
        assert done.returncode == 0, (args, done.stdout, done.stderr)
        return done.stdout

    def __call__(self, *args, **options):
        return self.bytes(*args, **options).decode()

    def lines(self, *args, **options):
        return self(*args, **options).splitlines()

    def refused(self, *args, **options):
        """It must fail; what it said."""
        done = self.run(*args, **options)
        assert done.returncode != 0, (args, done.stdout, done.stderr)
        return (done.stdout + done.stderr).decode()


class View:
    """What a server holds, asked over a connection for each question."""

    def __init__(self, server):
        self.server = server
        self.host = server.host

    def ask(self, method, path, *args, **options):
        client = self.server.client()
        answer = client(method, path, *args, **options)
        client.close()
        return answer

    def use(self, method, *args, **options):
        """Call a method of rawhttp.Client: put something there by hand."""
        client = self.server.client()
        value = getattr(client, method)(*args, **options)
        client.close()
        return value

    def manifest(self, repo, ref, bare=False):
        """The manifest, checked against its digest header; bare: its bytes."""
        answer = self.ask("GET", f"/v2/{repo}/manifests/{ref}")
        assert answer.status == 200, (repo, ref, answer)
        digest = answer["docker-content-digest"]
        make = sha512 if digest.startswith("sha512:") else sha256
        assert digest == make(answer.body)
        return answer.body if bare else answer.json()

    def digest(self, repo, ref):
        """The digest of a manifest; None if it is not there."""
        answer = self.ask("HEAD", f"/v2/{repo}/manifests/{ref}")
        assert answer.status in (200, 404), answer
        return answer["docker-content-digest"]

    def blob(self, repo, digest):
        """The bytes of a blob; None if it is not there."""
        answer = self.ask("GET", f"/v2/{repo}/blobs/{digest}")
        assert answer.status in (200, 404), answer
        return answer.body if answer.status == 200 else None

    def has_all(self, repo, ref):
        """Every blob and child below the manifest is in its repository."""
        found = self.manifest(repo, ref)
        parts = found.get("layers", []) + found.get("manifests", []) + (
            [found["config"]] if "config" in found else [])
        for part in parts:
            if part["mediaType"] in MANIFESTS:
                self.has_all(repo, part["digest"])
                continue
            data = self.blob(repo, part["digest"])
            assert data is not None and len(data) == part["size"], part
        return True

    def tags(self, repo):
        answer = self.ask("GET", f"/v2/{repo}/tags/list")
        assert answer.status == 200, answer
        return answer.json()["tags"]

    def repositories(self):
        return self.ask("GET", "/v2/_catalog?n=1000").json()["repositories"]

    def referrers(self, repo, digest):
        """digest of the referrer -> its artifact type."""
        answer = self.ask("GET", f"/v2/{repo}/referrers/{digest}")
        assert answer.status == 200, answer
        return {one["digest"]: one.get("artifactType")
                for one in answer.json()["manifests"]}

    def requests(self, method, repo):
        """(path, status) of the answered requests of this method, in order."""
        found = (REQUEST.search(line) for line in list(self.server.log))
        return [(one[2], int(one[3])) for one in found
                if one and one[1] == method
                and one[2].startswith(f"/v2/{repo}/")]


# -- fixtures ----------------------------------------------------------------

def program_fixture(name, **env):
    """A fixture for the client of a module; the report tells its version."""
    @pytest.fixture(scope="module")
    def program(tmp_path_factory, record_testsuite_property):
        made = Program(name, tmp_path_factory.mktemp(name), **env)
        record_testsuite_property(name, made.version)
        return made
    return program


@pytest.fixture
def here(shared):
    return View(shared)


@pytest.fixture(scope="module")
def second_server(tmp_path_factory):
    server = Berthd(tmp_path_factory.mktemp("second") / "data")
    yield server
    server.stop()


@pytest.fixture
def there(second_server):
    """Another registry."""
    return View(second_server)


# -- images ------------------------------------------------------------------

def tars_of(seed):
    """Two layers of a file each."""
    return [layer(**{f"file-{number}": f"{seed} {number}\n" * 99})
            for number in range(2)]


class Image:
    """An image, or an index of one per architecture, as a layout in memory."""

    def __init__(self, seed, arches=("amd64",), tars=None):
        self.layout = Oci()
        parts = [self._one(arch, tars or tars_of(f"{seed} {arch}"))
                 for arch in arches]
        self.children = [part["digest"] for part in parts]
        self.root = self.layout.index(*parts) if len(parts) > 1 else parts[0]
        self.digest = self.root["digest"]

    def _one(self, arch, tars):
        blob = self.layout.blob
        manifest = {
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": blob(config_of(tars, arch), OCI_CONFIG),
            "layers": [blob(gzip.compress(tar, mtime=0), f"{OCI_LAYER}+gzip")
                       for tar in tars]}
        return {**blob(json.dumps(manifest).encode(), OCI_MANIFEST),
                "platform": {"os": "linux", "architecture": arch}}

    def write(self, folder, tag="image"):
        """As an OCI layout on disk."""
        layout = Oci()
        layout.blobs = self.layout.blobs
        layout.add(self.root, tag, note=OCI_NAME)
        for name, data in layout.files().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
        return folder

    def put(self, view, repo, tag):
        """Onto a server, without any client."""
        for data in self.layout.blobs.values():  # what others need is first
            kind = data.startswith(b"{") and json.loads(data).get("mediaType")
            if kind:
                answer = view.use("put_manifest", repo, sha256(data), data,
                                  kind)
                assert answer.status == 201, answer
            else:
                view.use("push_blob", repo, data)
        root = view.manifest(repo, self.digest, bare=True)
        answer = view.use("put_manifest", repo, tag, root,
                          self.root["mediaType"])
        assert answer.status == 201, answer
        return self
