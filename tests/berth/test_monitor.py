"""The process that stays with a container: what it has and what it may."""

import fcntl
import os
import pathlib
import re
import subprocess

import pytest

from client_host import BERTH, Host, is_alive
from waiting import wait_for


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    host = Host(tmp_path_factory.mktemp("mon"))
    host.import_busybox("mon:1")
    yield host
    host.end()


@pytest.fixture
def host(made):
    yield made
    made.remove_containers()


def status(pid):
    text = pathlib.Path(f"/proc/{pid}/status").read_text()
    return dict(re.findall(r"^(\w+):\s+(.*)$", text, re.M))


def settled(host, container):
    """The monitor's pid, once it gave up what it does not need."""
    monitor = host.state(container)["monitor"]
    wait_for(lambda: status(monitor)["Seccomp"] == "2",
             "the monitor keeps its powers")
    return monitor


@pytest.mark.parametrize("flags, caps", [
    # DAC_OVERRIDE and KILL; FOWNER to remove files that are not root's.
    ((), "0000000000000022"), (("--rm",), "000000000000002a")])
def test_powers(host, flags, caps):
    container = host.berth("run", "-d", *flags, "mon:1", "sleep",
                           "1000").strip()
    monitor = settled(host, container)
    got = status(monitor)
    assert got["CapEff"] == got["CapPrm"] == caps
    for empty in ("CapBnd", "CapInh", "CapAmb"):
        assert int(got[empty], 16) == 0, got
    assert got["NoNewPrivs"] == "1"
    # What it gave up the container has.
    inside = status(host.state(container)["pid"])
    assert inside["NoNewPrivs"] == "0"
    assert inside["CapEff"] == "00000000800405fb"


def test_it_has_nothing_of_the_caller(host, tmp_path):
    secret = os.open(tmp_path / "secret", os.O_RDWR | os.O_CREAT)
    low, high = os.dup2(secret, 33), os.dup2(secret, 700)
    try:
        for fd in (low, high):
            os.set_inheritable(fd, True)
        made = subprocess.run(
            [BERTH, "run", "-d", "mon:1", "sleep", "1000"], env=host.env,
            stdout=subprocess.PIPE, text=True, pass_fds=(low, high),
            cwd=tmp_path, check=True)
    finally:
        for fd in (secret, low, high):
            os.close(fd)
    container = made.stdout.strip()
    monitor = settled(host, container)

    def opened():
        return [os.readlink(p) for p in
                pathlib.Path(f"/proc/{monitor}/fd").iterdir()]

    # Its sockets go when it has seen that the client went.
    wait_for(lambda: not any("socket:" in link for link in opened()),
             "it keeps a socket")
    links = opened()
    ours = [link for link in links if not re.match(
        r"/dev/null$|pipe:|anon_inode:\[pidfd\]$", link)]
    assert sorted(ours) == sorted([
        str(host.root), f"{host.run}/{container}/lock",
        f"{host.root}/containers/{container}",
        f"{host.root}/containers/{container}/log"])
    assert os.readlink(f"/proc/{monitor}/cwd") == "/"
    assert os.getsid(monitor) not in (os.getsid(0), os.getpid())
    stat = pathlib.Path(f"/proc/{monitor}/stat").read_text()
    assert stat.rpartition(")")[2].split()[4] == "0", "a terminal"
    # Nor has the container.
    pid = host.state(container)["pid"]
    assert sorted(p.name for p in pathlib.Path(f"/proc/{pid}/fd").iterdir()
                  ) == ["0", "1", "2"]
    seen = host.berth("exec", container, "ls", "/proc/self/fd").split()
    assert seen == ["0", "1", "2", "3"], "3 is the folder that ls reads"


def test_it_cannot_be_killed_from_inside(host):
    container = host.berth("run", "-d", "--init", "mon:1", "sh", "-c",
                           "sleep 0.1; kill -9 -1; exit 6").strip()
    monitor = settled(host, container)
    alive = is_alive(monitor)
    assert host.berth("wait", container) in ("137\n", "6\n") and alive
    assert "unknown" not in host.berth("ps", "-a")


def test_little_power_is_enough_to_remove_everything(host):
    """Closed and sticky folders of other users, and the overlay's own."""
    host.berth("run", "--rm", "mon:1", "sh", "-c",
               "mkdir -p /a/b /c && touch /a/b/f /c/g && busybox chown -R "
               "1000:1000 /a /c && chmod 0 /a/b && chmod 1770 /a /c && "
               "rm /bin/wc")
    assert host.folders() == []
    wait_for(lambda: not list((host.root / "trash").iterdir()), "files stay")


def test_any_user_can_be_stopped(host):
    container = host.berth("run", "-d", "-u", "1234:5678", "mon:1", "sleep",
                           "1000").strip()
    attached = subprocess.Popen(
        [BERTH, "run", "-u", "1234", "mon:1", "sh", "-c",
         "trap 'exit 7' TERM; echo up; while :; do sleep 0.02; done"],
        env=host.env, stdout=subprocess.PIPE, text=True)
    assert attached.stdout.readline() == "up\n"
    attached.terminate()  # by way of the monitor
    assert attached.wait(60) == 7
    host.berth("stop", "-t", "0", container)
    assert host.berth("wait", container) == "137\n"


@pytest.mark.parametrize("is_copy", [False, True])
def test_its_program_cannot_be_written(host, is_copy):
    """CVE-2019-5736: neither the file nor a way to it."""
    env = dict(host.env, **({"BERTH_SEAL_COPY": "1"} if is_copy else {}))
    container = subprocess.run(
        [BERTH, "run", "-d", "mon:1", "sleep", "1000"], env=env,
        stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    exe = f"/proc/{settled(host, container)}/exe"
    assert (os.readlink(exe).startswith("/memfd:") if is_copy
            else os.statvfs(exe).f_flag & os.ST_RDONLY)
    if is_copy:
        with open(exe, "rb") as program:
            seals = fcntl.fcntl(program, fcntl.F_GET_SEALS)
        wanted = (fcntl.F_SEAL_WRITE | fcntl.F_SEAL_GROW |
                  fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
        assert seals & wanted == wanted
    with pytest.raises(OSError):
        os.close(os.open(exe, os.O_WRONLY))
