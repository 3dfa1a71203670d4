"""deploy/Containerfile: built by buildah, pushed to berthd, run by berth.

Only `make long` does this: the build downloads a compiler.
"""

import json
import os
import subprocess
import time

import pytest

import debian_image
from conftest import BUILD, CACHE, TOP, VARIANT
from rawhttp import Client

BERTH = str(BUILD / "berth")


def run(*args):
    done = subprocess.run([str(a) for a in args], capture_output=True,
                          text=True)
    assert done.returncode == 0, (args, done.stdout[-2000:],
                                  done.stderr[-2000:])
    return done.stdout.strip()


@pytest.fixture
def image(berthd, tmp_path):
    """The image, on berthd; its base is a Debian tree made here."""
    buildah = ["buildah", "--root", tmp_path / "root", "--runroot",
               tmp_path / "run", "--storage-driver", "vfs"]
    base = run(*buildah, "from", "scratch")
    run(*buildah, "add", base, debian_image.base_tar(CACHE), "/")
    run(*buildah, "commit", "-q", base,
        "docker.io/library/debian:bookworm-slim")
    run(*buildah, "bud", "--pull-never", "--isolation", "chroot", "--network",
        "host", "-t", "berthd", "-f", TOP / "deploy/Containerfile", TOP)
    name = f"{berthd.host}/berthd:1"
    run(*buildah, "push", "-q", "--tls-verify=false", "berthd", name)
    yield name
    run(*buildah, "rm", "-a")
    run(*buildah, "rmi", "-af")


@pytest.mark.skipif(not os.environ.get("BERTH_LONG") or VARIANT != "release",
                    reason="downloads a compiler: make long, release only")
def test_containerfile(image, tmp_path):
    data = tmp_path / "volume"
    data.mkdir(mode=0o700)
    run(BERTH, "pull", "-q", image)
    user = run(BERTH, "run", "--rm", "--entrypoint", "id", image, "-u")
    assert user != "0"
    os.chown(data, int(user), -1)
    box = run(BERTH, "run", "-d", "--network", "host", "-v",
              f"{data}:/var/lib/berthd", image, "--listen", "127.0.0.1:0")
    try:
        deadline = time.monotonic() + 60
        while " ready: listening on 127.0.0.1:" not in (
                log := run(BERTH, "logs", box) + subprocess.run(
                    [BERTH, "logs", box], capture_output=True,
                    text=True).stderr):
            assert time.monotonic() < deadline, log
            time.sleep(0.05)
        port = int(log.split("listening on 127.0.0.1:")[1].split(";")[0])
        http = Client(port)
        assert http("GET", "/v2/").status == 200
        http.close()
        assert (data / "index.db").stat().st_uid == int(user)
        run(BERTH, "stop", box)
        shown = json.loads(run(BERTH, "inspect", box))[0]
        assert shown["State"]["ExitCode"] == 0
    finally:
        run(BERTH, "rm", "-f", box)
        run(BERTH, "rmi", image)
