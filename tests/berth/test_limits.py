"""Limits under load: CPU share, memory, processes."""

import pathlib

import pytest

from containers import (berth, image, inspect, name,  # noqa: F401
                        store, wait_for)

pytestmark = pytest.mark.usefixtures("image")

# CPU seconds and wall seconds of a window of 3 s, in nanoseconds and
# hundredths; read inside, from the container's own group (v1, then v2).
SHARE = r"""
usage() {
    cat /sys/fs/cgroup/cpuacct/cpuacct.usage 2>/dev/null ||
    echo $(($(grep ^usage_usec /sys/fs/cgroup/cpu.stat | cut -d' ' -f2) * 1000))
}
now() { cut -d' ' -f1 /proc/uptime | tr -d .; }
(while :; do :; done) & (while :; do :; done) & (while :; do :; done) &
sleep 0.5
a=$(usage); t=$(now); sleep 3; b=$(usage); u=$(now)
echo $((b - a)) $((u - t))
"""
# Doubles a text until there is no memory for it.
EAT = "a=xxxxxxxx; while :; do a=$a$a; done"


def cpu_share(*flags):
    used, wall = berth("run", "--rm", *flags, "rt:1", "sh", "-c",
                       SHARE).split()
    return int(used) / 1e9 / (int(wall) / 100)


@pytest.mark.parametrize("cpus, bound", [("0.5", 0.65), ("0.25", 0.4)])
def test_cpu_share(cpus, bound):
    """Three busy loops get no more than this share of a CPU."""
    share = cpu_share("--cpus", cpus)
    if share > bound:  # once more: a window may fall badly
        share = cpu_share("--cpus", cpus)
    assert share <= bound


def test_memory_killer_takes_one_of_many(name):
    """The greedy process dies, the others and the container go on."""
    out = berth("run", "--name", name, "-m", "32m", "rt:1", "sh", "-c",
                f"sleep 1000 & bystander=$!; sh -c '{EAT}'; "
                "echo child $?; kill -0 $bystander && echo bystander lives")
    assert out == "child 137\nbystander lives\n"
    shown = inspect(name)["State"]
    assert shown["OOMKilled"] and shown["ExitCode"] == 0


def test_memory_killer_takes_pid_1(name):
    done = berth("run", "--name", name, "-m", "32m", "rt:1", "sh", "-c", EAT,
                 code=None)
    assert done.returncode == 137
    shown = inspect(name)["State"]
    assert shown["OOMKilled"] and shown["ExitCode"] == 137
    # A later run is its own: the mark does not stick.
    assert not inspect_after("true")["OOMKilled"]


def inspect_after(*command):
    cid = berth("run", "-d", "-m", "32m", "rt:1", *command).strip()
    berth("wait", cid)
    shown = inspect(cid)["State"]
    berth("rm", cid)
    return shown


def test_no_swap_beside_memory(name):
    """With --memory-swap equal to -m, swap is no way out."""
    done = berth("run", "--name", name, "-m", "16m", "--memory-swap", "16m",
                 "rt:1", "sh", "-c", EAT, code=None)
    assert done.returncode == 137 and inspect(name)["State"]["OOMKilled"]


def test_shared_memory_counts(name):
    """Files in /dev/shm are memory of the container."""
    done = berth("run", "--name", name, "-m", "16m", "--memory-swap", "16m",
                 "rt:1", "dd", "if=/dev/zero", "of=/dev/shm/x", "bs=1M",
                 "count=40", code=None)
    assert done.returncode == 137 and inspect(name)["State"]["OOMKilled"]


def groups_of(cid):
    return [path for path in pathlib.Path("/sys/fs/cgroup").glob(
        f"**/berth/{cid}") if path.is_dir()]


def test_fork_bomb(name):
    """It stays below its limit, the host stays usable, rm -f ends it."""
    cid = berth("run", "-d", "--name", name, "--pids-limit", "30", "-m", "64m",
                "--cpus", "0.5", "--init", "rt:1", "sleep", "1000").strip()
    group, = [path for path in groups_of(cid)
              if (path / "pids.events").exists()]

    def refused():
        """Light one more; has the kernel refused a fork by now?"""
        berth("exec", "-d", name, "sh", "-c", "f() { f | f & f; }; f",
              code=None)
        assert int((group / "pids.current").read_text()) <= 30
        return int((group / "pids.events").read_text().split()[1]) > 0
    wait_for(refused, "a fork beyond the limit")
    for _ in range(50):
        assert int((group / "pids.current").read_text()) <= 30
    assert berth("run", "--rm", "rt:1", "echo", "others go on") == (
        "others go on\n")
    berth("rm", "-f", name)
    assert not groups_of(cid)
    assert name not in berth("ps", "-a")


def test_rm_of_a_container_that_is_busy_forking(name):
    cid = berth("run", "-d", "--name", name, "rt:1", "sh", "-c",
                "while :; do (true); (true) & done").strip()
    wait_for(lambda: groups_of(cid), "the group")
    berth("rm", "-f", name)
    assert not groups_of(cid)


def test_limits_are_seen_inside(name):
    """What was asked for is in the group's files, as root inside reads it."""
    berth("run", "-d", "--name", name, "-m", "48m", "--pids-limit", "40",
          "rt:1", "sleep", "1000")
    memory = berth("exec", name, "sh", "-c",
                   "cat /sys/fs/cgroup/memory/memory.limit_in_bytes "
                   "2>/dev/null || cat /sys/fs/cgroup/memory.max")
    assert int(memory) == 48 << 20
    # And it cannot be raised from inside.
    berth("exec", name, "sh", "-c",
          "! (echo 99999999999 >/sys/fs/cgroup/memory/memory.limit_in_bytes) "
          "2>/dev/null && "
          "! (echo max >/sys/fs/cgroup/memory.max) 2>/dev/null")
