"""berth: import an image, run containers of it, and what isolation promises."""

import os
import pathlib
import re
import time

import pytest

import debian_image
from conftest import CACHE
from containers import (BERTH, berth, image, name,  # noqa: F401
                        rootfs_tar, store)

pytestmark = pytest.mark.usefixtures("image")


def test_hello():
    assert berth("run", "--rm", "rt:1", "echo", "hello") == "hello\n"


def test_images_and_tags():
    assert "rt " in berth("images")
    berth("tag", "rt:1", "rt:other")
    assert berth("run", "--rm", "rt:other", "echo", "x") == "x\n"
    berth("rmi", "rt:other")
    assert "other" not in berth("images")


@pytest.mark.parametrize("command, code", [
    (["true"], 0), (["sh", "-c", "exit 7"], 7), (["no-such-program"], 127),
    (["/etc/passwd"], 126)])
def test_exit_codes(command, code):
    berth("run", "--rm", "rt:1", *command, code=code)


def test_killed_by_a_signal(name):
    berth("run", "-d", "--name", name, "rt:1", "sleep", "1000")
    berth("kill", name)
    assert berth("wait", name) == "137\n"


def test_unknown_image_and_flag():
    gone = berth("run", "--rm", "--pull", "never", "rt:none", "true",
                 code=None)
    assert gone.returncode == 125 and "rt:none" in gone.stderr
    flag = berth("run", "--no-such-flag", "rt:1", "true", code=None)
    assert flag.returncode == 125 and "no-such-flag" in flag.stderr


def test_memory_limit(name):
    out = berth("run", "--name", name, "-m", "32m", "rt:1", "sh", "-c",
                "a=$(head -c 67108864 /dev/zero | tr '\\0' x); echo ${#a}",
                code=None)
    assert out.returncode == 137, out
    shown = berth("inspect", name)
    assert '"OOMKilled": true' in shown
    assert '"ExitCode": 137' in shown


def test_pids_limit():
    out = berth("run", "--rm", "--pids-limit", "10", "rt:1", "sh", "-c",
                "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 1 & done; wait",
                code=None)
    assert "can't fork" in out.stderr


def test_cpu_limit():
    group = berth("run", "--rm", "--cpus", "0.5", "rt:1", "sh", "-c",
                  "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us"
                  " /sys/fs/cgroup/cpu/cpu.cfs_period_us 2>/dev/null"
                  " || cat /sys/fs/cgroup/cpu.max").split()
    assert int(group[0]) * 2 == int(group[1])


def test_isolation():
    out = berth("run", "--rm", "--hostname", "inside", "rt:1", "sh", "-c",
                "hostname; id -u; cat /proc/self/status").splitlines()
    assert out[0] == "inside"
    status = "\n".join(out)
    assert re.search(r"CapInh:\s+0+$", status, re.M)
    assert re.search(r"CapAmb:\s+0+$", status, re.M)
    # podman's eleven: chown dac_override fowner fsetid kill net_bind_service
    # setfcap setgid setpcap setuid sys_chroot
    assert re.search(r"CapEff:\s+00000000800405fb$", status, re.M)
    assert re.search(r"CapBnd:\s+00000000800405fb$", status, re.M)
    assert re.search(r"Seccomp:\s+2$", status, re.M)
    links = berth("run", "--rm", "rt:1", "ip", "link")
    assert "lo:" in links and "2:" not in links
    assert berth("run", "--rm", "rt:1", "sh", "-c", "echo $$") == "1\n"


def test_environment():
    out = berth("run", "--rm", "-e", "A=b", "rt:1", "env").splitlines()
    values = dict(line.split("=", 1) for line in out)
    assert values["A"] == "b" and values["HOME"] == "/root"
    assert values["PATH"] == ("/usr/local/sbin:/usr/local/bin:/usr/sbin:"
                              "/usr/bin:/sbin:/bin")
    assert re.fullmatch(r"[0-9a-f]{12}", values["HOSTNAME"])


def test_user_with_groups():
    out = berth("run", "--rm", "-u", "app", "rt:1", "id")
    assert "uid=1000" in out and "2000" in out
    bad = berth("run", "--rm", "-u", "4294967296", "rt:1", "id", code=None)
    assert bad.returncode != 0


def test_masked_and_read_only_paths():
    out = berth("run", "--rm", "rt:1", "sh", "-c",
                "head -c1 /proc/kcore | cat; (echo x >/proc/sysrq-trigger) "
                "2>&1; (echo x >/proc/sys/kernel/core_pattern) 2>&1; "
                "touch /sys/x 2>&1; true")
    assert "core_pattern: Read-only file system" in out
    assert "/sys/x: Read-only file system" in out
    # Some kernels have no such file; it is never written to.
    assert "can't create /proc/sysrq-trigger: " in out


def test_read_only_root_and_tmpfs():
    out = berth("run", "--rm", "--read-only", "--tmpfs", "/tmp", "rt:1", "sh",
                "-c", "touch /x; touch /tmp/y && echo tmp works", code=None)
    assert "Read-only file system" in out.stderr
    assert "tmp works" in out.stdout


def test_bind_mount(tmp_path):
    (tmp_path / "in").write_text("from outside\n")
    out = berth("run", "--rm", "-v", f"{tmp_path}:/mnt", "-w", "/mnt", "rt:1",
                "sh", "-c", "cat in; echo back >out")
    assert out == "from outside\n"
    assert (tmp_path / "out").read_text() == "back\n"
    refused = berth("run", "--rm", "-v", f"{tmp_path}:/mnt:ro", "rt:1", "touch",
                    "/mnt/z", code=None)
    assert refused.returncode == 1 and not (tmp_path / "z").exists()


def test_input_and_large_output():
    text = "line\n" * 100_000
    assert berth("run", "--rm", "-i", "rt:1", "cat", stdin=text) == text


def test_detached(name):
    berth("run", "-d", "--name", name, "rt:1", "sh", "-c",
          "trap 'echo ended; exit 3' TERM; echo started;"
          "while true; do sleep 0.1; done")
    while "started" not in berth("logs", name):
        time.sleep(0.05)
    assert name in berth("ps")
    assert berth("exec", name, "echo", "in exec") == "in exec\n"
    berth("exec", name, "sh", "-c", "exit 9", code=9)
    berth("stop", name)
    assert berth("wait", name) == "3\n"
    assert berth("logs", name) == "started\nended\n"
    assert name not in berth("ps") and name in berth("ps", "-a")
    berth("rm", name)
    assert name not in berth("ps", "-a")


def test_killed_monitor_leaves_nothing(name):
    container = berth("run", "-d", "--name", name, "rt:1", "sleep",
                      "1000").strip()
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            line = (entry / "cmdline").read_bytes().replace(b"\0", b" ")
        except OSError:
            continue
        if container.encode() in line:
            os.kill(int(entry.name), 9)
    assert name in berth("ps", "-a")
    berth("rm", "-f", name)
    assert name not in berth("ps", "-a")


def test_debian_base(tmp_path):
    """A real distribution's root: dynamic programs, usr-merge, users."""
    berth("import", debian_image.base_tar(CACHE), "rt-debian:1")
    try:
        out = berth("run", "--rm", "rt-debian:1", "/bin/sh", "-c",
                    "readlink /bin; dpkg --version | head -1;"
                    "su -s /bin/sh nobody -c id; stat -c %a /usr/bin/su")
        lines = out.splitlines()
        assert lines[0] == "usr/bin" and "dpkg" in lines[1].lower()
        assert "nobody" in lines[2] and lines[3] == "4755"
    finally:
        berth("rmi", "rt-debian:1")
