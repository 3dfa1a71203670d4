"""`run --pull` and `--platform`: which image runs, and what is refused."""

import json
import platform

import pytest

from containers import berth, image, refused, rootfs_tar, store  # noqa: F401

OURS, OTHER = (("amd64", "arm64") if platform.machine() == "x86_64"
               else ("arm64", "amd64"))


@pytest.fixture(scope="module")
def remote(shared, store):
    """A name in a registry, and a way to put another image under it."""
    repo = f"{shared.host}/policy/app:1"
    tar = store / "policy.tar"

    def publish(text):
        tar.write_bytes(rootfs_tar({"data/version": text}))
        berth("import", tar, repo)
        berth("push", repo)
        berth("rmi", repo)
    return repo, publish


def version(*flags):
    return berth("run", "--rm", *flags, "cat", "/data/version")


def test_policies(remote):
    repo, publish = remote
    publish("one")
    message = refused("run", "--rm", "--pull", "never", repo, "true")
    assert "policy/app" in message
    assert version(repo) == "one"  # missing is the default: pulled
    # The registry moves on; what is here stays until somebody asks.
    berth("tag", repo, "kept:1")
    publish("two")
    berth("tag", "kept:1", repo)
    assert version(repo) == "one"
    assert version("--pull", "missing", repo) == "one"
    assert version("--pull", "never", repo) == "one"
    assert version("--pull", "always", repo) == "two"
    assert version("--pull=never", repo) == "two"


def test_always_needs_the_registry(image, shared):
    gone = refused("run", "--rm", "--pull", "always",
                   f"{shared.host}/policy/nothing:1", "true")
    assert "policy/nothing" in gone
    assert "--pull" in refused("run", "--pull", "sometimes", image, "true")


def test_output_of_a_pull_is_not_the_containers(remote):
    """stdout is the container's alone, whatever the pull has to say."""
    repo, publish = remote
    publish("three")
    berth("rmi", repo, code=None)
    assert version("--pull", "always", repo) == "three"


def test_platform_of_a_local_image(image):
    assert berth("run", "--rm", "--pull", "never", "--platform",
                 f"linux/{OURS}", image, "echo", "x") == "x\n"
    message = refused("run", "--rm", "--pull", "never", "--platform",
                      f"linux/{OTHER}", image, "true")
    assert f"linux/{OURS}" in message and f"linux/{OTHER}" in message


@pytest.mark.parametrize("bad", ["linux", "linux/", "/amd64", "a/b/c/d",
                                 "linux/amd64/../../x", ""])
def test_platform_grammar(image, bad):
    assert "platform" in refused("run", f"--platform={bad}", image, "true")


def test_program_of_another_machine(image, tmp_path):
    """A program for another machine: 126, and why."""
    elf = bytearray(64)
    elf[:6] = b"\x7fELF\x02\x01"
    elf[16:20] = b"\x02\x00\xf3\x00"
    (tmp_path / "other").write_bytes(elf)
    (tmp_path / "other").chmod(0o755)
    assert "Exec format" in refused("run", "--rm", "-v", f"{tmp_path}:/mnt",
                                    image, "/mnt/other", code=126)


def test_platform_is_shown(image):
    shown = json.loads(berth("image", "inspect", image))[0]
    assert shown["Architecture"] == OURS and shown["Os"] == "linux"
