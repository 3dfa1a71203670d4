"""deploy/Containerfile: built without a network, run with a volume."""

import os
import pathlib
import re
import shutil
import subprocess
import time

import pytest

from conftest import CACHE, TOP, VARIANT, free_port
from engines import run
from rawhttp import Client, sha256

READY_S = 60
# As in test_engines.py: what podman may not set here.
LIMITS = ["--ulimit", "nofile=1000:1000", "--ulimit", "nproc=1000:1000"]

pytestmark = pytest.mark.skipif(
    VARIANT != "release" or os.geteuid() != 0,
    reason="the image holds the release build, and building it needs root")


def build_packages():
    """What `make deps BUILD_ONLY=1` asks for."""
    text = (TOP / "tests" / "tests.mk").read_text().replace("\\\n", " ")
    return re.search(r"^DEPS_BUILD := (.*)$", text, re.M)[1].split()


@pytest.fixture(scope="module")
def base():
    """A Debian with everything that the build needs, as a tar in the cache."""
    path = CACHE / "debian-build.tar"
    if not path.exists():
        CACHE.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".part{os.getpid()}.tar")
        subprocess.run(
            ["mmdebstrap", "--quiet", "--variant=minbase",
             "--dpkgopt=path-exclude=/usr/share/doc/*",
             "--dpkgopt=path-exclude=/usr/share/man/*",
             f"--include=make,passwd,{','.join(build_packages())}",
             "bookworm", part], check=True, stdin=subprocess.DEVNULL)
        part.rename(path)
    return path


@pytest.fixture(scope="module")
def podman(tmp_path_factory):
    folder = tmp_path_factory.mktemp("podman")
    yield ["--root", f"{folder}/root", "--runroot", f"{folder}/run",
           "--storage-driver", "overlay"]
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def image(base, podman, tmp_path_factory):
    """Built from what git knows of the tree, as somebody who cloned it."""
    source = tmp_path_factory.mktemp("source")
    files = run("git", "-C", TOP, "ls-files").split("\n")
    for name in filter(None, files):
        if (TOP / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(TOP / name, source / name)
    run("podman", *podman, "import", "-q", base, "localhost/berth-base")
    # buildah's own isolation would need more of the kernel than is here.
    run("unshare", "--net", "buildah", *podman, "bud", "-q", "--isolation",
        "chroot", "--build-arg", "BASE=localhost/berth-base", "-t",
        "localhost/berthd", "-f", source / "deploy" / "Containerfile", source)
    return "localhost/berthd"


class Container:
    """One container of the image on a port of the host's loopback."""

    def __init__(self, podman, image):
        self.podman = podman
        self.port = free_port()
        self.id = run(
            "podman", *podman, "--runtime", "runc", "--cgroup-manager",
            "cgroupfs", "run", "-d", "--network", "host", *LIMITS, "-v",
            "registry:/var/lib/berthd", image, "--listen",
            f"127.0.0.1:{self.port}").strip()
        end = time.monotonic() + READY_S
        while " ready: " not in self.log():
            assert time.monotonic() < end, self.log()
            time.sleep(0.05)
        self.http = Client(self.port)

    def log(self):
        done = subprocess.run(
            ["podman", *self.podman, "logs", self.id], capture_output=True,
            text=True, stdin=subprocess.DEVNULL)
        return done.stdout + done.stderr

    def stop(self):
        """SIGTERM must be enough; returns the exit status."""
        self.http.close()
        base = ["podman", *self.podman, "--runtime", "runc",
                "--cgroup-manager", "cgroupfs"]
        run(*base, "stop", "-t", "45", self.id)
        status = run("podman", *self.podman, "inspect", "-f",
                     "{{.State.ExitCode}}", self.id).strip()
        run(*base, "rm", self.id)
        return status


def test_image_with_a_volume(podman, image):
    first = Container(podman, image)
    assert first.http("GET", "/v2/").status == 200
    data, digest = first.http.push_image("team/app", "v1", [b"one", b"two"])
    pid = run("podman", *podman, "inspect", "-f", "{{.State.Pid}}",
              first.id).strip()
    status = pathlib.Path(f"/proc/{pid}/status").read_text()
    assert re.search(r"^Uid:\t(\d+)", status, re.M)[1] != "0"
    assert first.stop() == "0"
    # Another container of the image finds it all in the volume.
    second = Container(podman, image)
    assert second.http("GET", "/v2/team/app/manifests/v1").body == data
    assert second.http("GET", f"/v2/team/app/blobs/{sha256(b'one')}"
                       ).body == b"one"
    assert second.http("HEAD", f"/v2/team/app/manifests/{digest}"
                       ).status == 200
    assert second.stop() == "0"


def test_image_has_no_sources(podman, image):
    """Nor anything else of the build stage."""
    mount = run("buildah", *podman, "from", image).strip()
    try:
        root = pathlib.Path(run("buildah", *podman, "mount", mount).strip())
        assert not (root / "src").exists()
        program = root / "usr/local/bin/berthd"
        assert program.stat().st_mode & 0o777 == 0o755
        assert (root / "var/lib/berthd").stat().st_mode & 0o777 == 0o700
    finally:
        run("buildah", *podman, "rm", mount)
