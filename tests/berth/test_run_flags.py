"""Flags of `berth run`: what each does inside, and what is refused."""

import os
import pathlib
import socket
import stat
import struct
import tarfile

import pytest

from containers import (berth, environment, image, inspect, name,  # noqa: F401
                        refused, rootfs_tar, store)

pytestmark = pytest.mark.usefixtures("image")


def run(*args, **options):
    return berth("run", "--rm", *args, **options)


def sh(*args):
    """run FLAGS... -- SCRIPT in a shell of rt:1."""
    *flags, script = args
    return run(*flags, "rt:1", "sh", "-c", script)


def cgroup(name, file):
    """A cgroup file as the container itself sees it (v1, then v2)."""
    v1, v2 = file
    return sh(*name, f"cat /sys/fs/cgroup/{v1} 2>/dev/null ||"
              f" cat /sys/fs/cgroup/{v2}").strip()


# ---- environment -----------------------------------------------------------

def test_env_file(tmp_path):
    file = tmp_path / "env"
    file.write_bytes(b"\xef\xbb\xbf# comment\n  A=1 2\n\tB=\"q\"\nFROM_HOST\n"
                     b"ABSENT\n\nC=x=y\r\nD=\nE=first\n")
    out = run("--env-file", file, "-e", "E=second", "-e", "FROM_HOST2",
              "rt:1", "env", env={"FROM_HOST": "h", "FROM_HOST2": "h2"})
    values = dict(line.split("=", 1) for line in out.splitlines())
    assert values["A"] == "1 2" and values["B"] == '"q"'
    assert values["C"] == "x=y" and values["D"] == ""
    assert values["E"] == "second"
    assert values["FROM_HOST"] == "h" and values["FROM_HOST2"] == "h2"
    assert "ABSENT" not in values


@pytest.mark.parametrize("line, why", [
    ("A B=1", "contains whitespaces"), ("=x", "no variable name"),
    ("A =1", "contains whitespaces"), ("ok=1\0x", "NUL")])
def test_env_file_refused(tmp_path, line, why):
    file = tmp_path / "env"
    file.write_text(line + "\n")
    assert why in refused("run", "--env-file", file, "rt:1", "true")


def test_env_file_absent_or_no_file(tmp_path):
    assert "--env-file" in refused("run", "--env-file", tmp_path / "no",
                                   "rt:1", "true")
    os.mkfifo(tmp_path / "fifo")
    refused("run", "--env-file", tmp_path / "fifo", "rt:1", "true")


def test_env_refused():
    refused("run", "-e", "=x", "rt:1", "true")
    refused("run", "-e", "", "rt:1", "true")


def test_long_value():
    value = "x" * 100_000
    assert run("-e", f"LONG={value}", "rt:1", "sh", "-c",
               "echo ${#LONG}") == "100000\n"
    assert run("-e", "LONG", "rt:1", "sh", "-c", "echo ${#LONG}",
               env={"LONG": value}) == "100000\n"


# ---- files and names -------------------------------------------------------

def test_cidfile(tmp_path, name):
    file = tmp_path / "cid"
    cid = berth("run", "-d", "--name", name, "--cidfile", file, "rt:1",
                "sleep", "1000").strip()
    assert file.read_text() == cid
    message = refused("run", "--cidfile", file, "rt:1", "true")
    assert "is there already" in message
    assert file.read_text() == cid


def test_cidfile_of_what_could_not_be_made(tmp_path):
    file = tmp_path / "cid"
    refused("run", "--cidfile", file, "--pull", "never", "rt:none", "true")
    assert not file.exists()
    refused("run", "--cidfile", tmp_path / "no" / "cid", "rt:1", "true")


def test_failed_start_leaves_no_record(tmp_path):
    before = berth("ps", "-aq")
    refused("run", "--rm", "rt:1", "no-such-program", code=127)
    refused("run", "--rm", "-w", "/etc/passwd", "rt:1", "true")
    file = tmp_path / "cid"
    file.write_text("")
    refused("run", "--cidfile", file, "rt:1", "true")
    refused("run", "--rm", "--ulimit", "nofile=99999999999", "rt:1", "true")
    assert berth("ps", "-aq") == before
    assert not list((pathlib.Path(environment["BERTH_RUN"])).glob("*/state*"))


@pytest.mark.parametrize("bad", ["a", "-x", ".x", "_x", "a b", "a/b", "ä"])
def test_bad_names(bad):
    assert "invalid container name" in refused("run", f"--name={bad}", "rt:1",
                                               "true")


def test_an_empty_name_is_none():
    """Scripts write --name "$NAME": docker makes one up, and so do we."""
    assert run("--name", "", "rt:1", "echo", "x") == "x\n"


def test_home_and_path():
    def value(key, *flags):
        out = run(*flags, "rt:1", "/bin/env")
        return dict(line.split("=", 1) for line in out.splitlines())[key]
    assert value("HOME", "-e", "HOME=") == "/root"
    assert value("HOME", "-e", "HOME=/x") == "/x"
    assert value("HOME", "-u", "app") == "/home/app"
    assert value("PATH", "-e", "PATH=") == ""
    # An empty part of PATH is not the working directory.
    assert "ls" in refused("run", "--rm", "-e", "PATH=:", "-w", "/bin", "rt:1",
                           "ls", code=127)
    assert run("-e", "PATH=:/bin", "rt:1", "echo", "x") == "x\n"
    refused("run", "--rm", "-e", "PATH=/" + "x" * 5000, "rt:1", "ls", code=127)
    refused("run", "--rm", "rt:1", "", code=127)


def test_name_is_taken(name):
    berth("run", "--name", name, "rt:1", "true")
    assert "in use" in refused("run", "--name", name, "rt:1", "true")


@pytest.mark.parametrize("flag", [
    ["-p", "80:80"], ["--publish=80"], ["-P"], ["--privileged"],
    ["--restart", "always"], ["--device", "/dev/null"], ["--mount", "x"]])
def test_flags_of_later_versions(flag):
    message = refused("run", *flag, "rt:1", "true")
    assert "not in this version" in message


def test_hostname():
    assert run("-h", "bad_host.x", "rt:1", "hostname") == "bad_host.x\n"
    refused("run", "-h", "x" * 65, "rt:1", "true")
    assert run("-h", "x" * 64, "rt:1", "hostname") == "x" * 64 + "\n"


# ---- limits ----------------------------------------------------------------

def test_ulimits():
    out = sh("--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit",
             "nproc=500", "cat /proc/self/limits")
    limits = {line[:25].strip(): line[25:].split()[:2]
              for line in out.splitlines()}
    assert limits["Max open files"] == ["100", "200"]
    assert limits["Max core file size"] == ["0", "0"]
    assert limits["Max processes"] == ["500", "500"]
    assert sh("--ulimit", "core=-1", "ulimit -c") == "unlimited\n"


@pytest.mark.parametrize("bad", ["nofile", "nofile=5:4", "nope=1",
                                 "nofile=1:2:3", "nofile=x"])
def test_ulimit_grammar(bad):
    assert "--ulimit" in refused("run", "--ulimit", bad, "rt:1", "true")


def test_ulimit_above_ours():
    """Raising a hard limit needs a right that may be missing: say which."""
    done = berth("run", "--rm", "--ulimit", "nofile=99999999999", "rt:1",
                 "true", code=None)
    assert done.returncode == 125
    assert "nofile" in done.stderr and "ulimit" in done.stderr


def test_cpus(store):
    quota = cgroup(["--cpus", "1.5"], ("cpu/cpu.cfs_quota_us", "cpu.max"))
    assert quota.split()[0] == "150000"
    assert cgroup(["--cpus", "0"], ("cpu/cpu.cfs_quota_us", "cpu.max")
                  ).split()[0] in ("-1", "max")
    for bad in ("0.001", "-1", "x", "1,5", "9999"):
        assert "--cpus" in refused("run", f"--cpus={bad}", "rt:1", "true")


def test_cpu_shares():
    shares = cgroup(["-c", "512"], ("cpu/cpu.shares", "cpu.weight"))
    assert shares in ("512", "20")
    for bad in ("1", "262145", "-1"):
        refused("run", f"--cpu-shares={bad}", "rt:1", "true")


def test_cpuset():
    assert sh("--cpuset-cpus", "0", "nproc") == "1\n"
    for bad in ("x", "0,", "1-0", "7000", "", "0 1"):
        assert "--cpuset-cpus" in refused("run", f"--cpuset-cpus={bad}",
                                          "rt:1", "true")


def test_memory_swap():
    memsw = ("memory/memory.memsw.limit_in_bytes", "memory.swap.max")
    both = {"memory": 64 << 20, "swap": 32 << 20}
    assert int(cgroup(["-m", "64m"], memsw)) in (128 << 20, 64 << 20)
    assert int(cgroup(["-m", "64m", "--memory-swap", "96m"], memsw)) in (
        96 << 20, both["swap"])
    assert int(cgroup(["-m", "64m", "--memory-swap", "64m"], memsw)) in (
        64 << 20, 0)
    endless = cgroup(["-m", "64m", "--memory-swap", "-1"], memsw)
    assert endless == "max" or int(endless) > 1 << 60
    sh("--memory-swap", "-1", "true")
    sh("-m", "64m", "--memory-swap", "0", "true")
    for bad in (["-m", "64m", "--memory-swap", "32m"],
                ["--memory-swap", "64m"], ["-m", "4m"], ["-m", "x"],
                ["-m", "64m", "--memory-swap", "-2"]):
        refused("run", *bad, "rt:1", "true")


def test_pids_limit():
    pids = ("pids/pids.max", "pids.max")
    assert cgroup(["--pids-limit", "77"], pids) == "77"
    assert cgroup(["--pids-limit", "-1"], pids) == "max"
    assert cgroup(["--pids-limit", "0"], pids) == "max"


def test_group_add():
    out = run("--group-add", "extra", "--group-add", "77", "rt:1", "id", "-G")
    assert set(out.split()) == {"0", "2000", "77"}
    refused("run", "--rm", "--group-add", "nope", "rt:1", "id")


# ---- mounts ----------------------------------------------------------------

def test_tmpfs_options():
    line = sh("--tmpfs", "/t:size=1m,mode=700,uid=1000,exec",
              "grep ' /t ' /proc/mounts; stat -c '%a %u' /t").splitlines()
    assert "size=1024k" in line[0] and "noexec" not in line[0]
    assert "nosuid" in line[0] and "nodev" in line[0]
    assert line[1] == "700 1000"
    assert sh("--tmpfs", "/t", "stat -c %a /t") == "1777\n"
    # As in docker it takes the mode of what it covers.
    assert sh("--tmpfs", "/data", "stat -c %a /data; ls /data") == "755\n"
    assert "ro," in sh("--tmpfs", "/t:ro", "grep ' /t ' /proc/mounts")
    for bad in ("t", "/", "/t:nope", "/t:foo=1", "/a/../b"):
        assert "--tmpfs" in refused("run", "--tmpfs", bad, "rt:1", "true")


def test_read_only_with_mounts(tmp_path):
    """--read-only is the root's: volumes and tmpfs stay writable."""
    sh("--read-only", "--tmpfs", "/t", "-v", f"{tmp_path}:/v", "-v", "/anon",
       "! touch /x 2>/dev/null && touch /t/y /v/y /anon/y /dev/shm/y")
    assert (tmp_path / "y").exists()


def test_volume_modes(tmp_path):
    (tmp_path / "f").write_text("x")
    sh("-v", f"{tmp_path}:/v:ro", "! touch /v/z 2>/dev/null && cat /v/f")
    sh("-v", f"{tmp_path}:/v:rw", "touch /v/z")
    assert (tmp_path / "z").exists()
    # A read-only mount stays so below: recursive.
    sh("-v", f"{tmp_path}/f:/v:ro", "! (echo y >/v) 2>/dev/null")


def test_volume_of_a_relative_folder(tmp_path):
    (tmp_path / "sub").mkdir()
    here = os.getcwd()
    os.chdir(tmp_path)
    try:
        sh("-v", "./sub:/v", "touch /v/here")
        sh("-v", ".:/v", "test -e /v/sub/here")
    finally:
        os.chdir(here)
    assert "named volumes" in refused("run", "-v", "sub:/v", "rt:1", "true")


def test_volume_source_is_made(tmp_path):
    sh("-v", f"{tmp_path}/a/b:/v", "touch /v/x")
    assert (tmp_path / "a/b/x").exists()
    assert stat.S_IMODE((tmp_path / "a/b").stat().st_mode) == 0o755


def test_volume_below_a_volume(tmp_path):
    """Parents are mounted first, whatever the order of the flags."""
    (tmp_path / "outer").mkdir()
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "f").write_text("inner\n")
    assert sh("-v", f"{tmp_path}/inner:/x/y", "-v", f"{tmp_path}/outer:/x",
              "cat /x/y/f; touch /x/o") == "inner\n"
    assert (tmp_path / "outer/o").exists()


@pytest.mark.parametrize("bad", ["/tmp:x", "/tmp:/", "/tmp:/y:foo", "/tmp:",
                                 ":/y", "", "/tmp:/y:ro:rw", "/tmp:/../y"])
def test_volumes_refused(bad):
    assert "-v" in refused("run", f"--volume={bad}", "rt:1", "true")


def test_volume_twice(tmp_path):
    sh("-v", f"{tmp_path}:/v", "-v", f"{tmp_path}:/v", "true")
    assert "duplicate" in refused("run", "-v", f"{tmp_path}:/v", "-v",
                                  "/etc:/v", "rt:1", "true")
    assert "duplicate" in refused("run", "-v", f"{tmp_path}:/v", "--tmpfs",
                                  "/v", "rt:1", "true")


@pytest.fixture(scope="module")
def volume_image(store, image):
    """An image whose VOLUMEs have content, owners and modes."""
    build = [
        "mkdir -p /vol/sub /bare", "echo seed >/vol/f", "chmod 640 /vol/f",
        "chown 1000:2000 /vol/f", "chmod 2750 /vol", "chown 1000:1000 /vol",
        "ln -s f /vol/link", "chmod 4755 /vol/sub"]
    applets = "for a in chmod chown ln tar; do /bin/busybox ln -s busybox " \
        "/bin/$a; done; "
    berth("run", "--name", "volume-build", "rt:1", "sh", "-c",
          applets + " && ".join(build))
    # No commit here: export the root by hand into an image with a config.
    upper = (pathlib.Path(environment["BERTH_ROOT"]) / "containers" /
             inspect("volume-build")["Id"] / "upper")
    import subprocess
    tar = store / "volume.tar"
    with open(tar, "wb") as out:
        out.write(rootfs_tar())
    subprocess.run(["tar", "-C", upper, "--append", "-f", tar, "."],
                   check=True)
    berth("import", "-c", "VOLUME /vol", "-c", "VOLUME /bare", tar, "rt:vol")
    berth("rm", "volume-build")
    return "rt:vol"


def test_image_volumes(volume_image, name):
    berth("run", "--name", name, volume_image, "sh", "-c",
          "stat -c '%n %a %u:%g' /vol /vol/f /vol/sub; cat /vol/f; "
          "readlink /vol/link; touch /vol/new; grep -c ' /vol ' /proc/mounts")
    shown = inspect(name)
    mounts = {m["Destination"]: m for m in shown["Mounts"]}
    assert set(mounts) == {"/vol", "/bare"}
    source = pathlib.Path(mounts["/vol"]["Source"])
    assert (source / "new").exists() and (source / "f").read_text() == "seed\n"
    log = berth("logs", name).splitlines()
    assert log == ["/vol 2750 1000:1000", "/vol/f 640 1000:2000",
                   "/vol/sub 4755 0:0", "seed", "f", "1"]
    # What was written stays over a second start, and nothing is copied anew.
    (source / "f").write_text("changed\n")
    berth("start", "-a", name)
    assert berth("logs", "--tail", "3", name).splitlines()[0] == "changed"
    berth("rm", "-v", name)
    assert not source.exists()


def test_xattrs_of_image_volumes(store):
    """Capabilities of files and users' xattrs come along into the volume."""
    path = store / "xattrs.tar"
    capability = struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0)  # NET_RAW
    path.write_bytes(rootfs_tar())
    with tarfile.open(path, "a", format=tarfile.PAX_FORMAT) as tar:
        for member, kind in (("vol", tarfile.DIRTYPE),
                             ("vol/sub", tarfile.DIRTYPE),
                             ("vol/ping", tarfile.REGTYPE)):
            info = tarfile.TarInfo(member)
            info.type, info.mode = kind, 0o755
            info.pax_headers = {"SCHILY.xattr.user.of": member}
            if kind == tarfile.REGTYPE:
                info.pax_headers["SCHILY.xattr.security.capability"] = (
                    capability.decode("latin-1"))
            tar.addfile(info)
    berth("import", "-c", "VOLUME /vol", path, "rt:xattrs")
    made = berth("run", "-d", "rt:xattrs", "true").strip()
    berth("wait", made)
    mount, = inspect(made)["Mounts"]
    volume = pathlib.Path(mount["Source"])
    assert os.getxattr(volume, "user.of") == b"vol"
    assert os.getxattr(volume / "sub", "user.of") == b"vol/sub"
    assert os.getxattr(volume / "ping", "user.of") == b"vol/ping"
    assert os.getxattr(volume / "ping", "security.capability") == capability
    berth("rm", made)


def test_image_volume_that_the_user_mounts(volume_image, tmp_path):
    out = run("-v", f"{tmp_path}:/vol", volume_image, "ls", "/vol")
    assert out == ""
    assert run("--tmpfs", "/vol", volume_image, "ls", "/vol") == ""


def test_anonymous_volume(name):
    berth("run", "--name", name, "-v", "/anon", "rt:1", "touch", "/anon/x")
    mount, = inspect(name)["Mounts"]
    assert mount["Type"] == "volume" and mount["Destination"] == "/anon"
    assert (pathlib.Path(mount["Source"]) / "x").exists()


def test_volumes_go_with_rm(volume_image):
    containers = pathlib.Path(environment["BERTH_ROOT"]) / "containers"
    before = set(containers.iterdir())
    run(volume_image, "touch", "/vol/x")
    assert set(containers.iterdir()) == before


# ---- network ---------------------------------------------------------------

def test_network_host_and_none():
    assert run("--network", "host", "rt:1", "hostname").strip() == (
        socket.gethostname())
    host = set(os.listdir("/sys/class/net"))
    assert set(run("--network", "host", "rt:1", "ls",
                   "/sys/class/net").split()) == host
    assert run("--network", "none", "rt:1", "ls", "/sys/class/net") == "lo\n"
    assert run("rt:1", "ls", "/sys/class/net") == "lo\n"
    assert run("--net=host", "rt:1", "cat", "/etc/hosts") == pathlib.Path(
        "/etc/hosts").read_text()
    message = refused("run", "--network", "bridge", "rt:1", "true")
    assert "none" in message and "host" in message


def test_quiet_without_a_network():
    """A script sees no word about the missing network."""
    done = berth("run", "--rm", "rt:1", "true", code=None)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
