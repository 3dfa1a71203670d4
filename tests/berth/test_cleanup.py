"""What a killed client or monitor leaves, and the next command that cleans."""

import fcntl
import json
import os
import pathlib
import re
import secrets
import signal
import subprocess

import pytest

from client_host import BERTH, Host, is_alive
from waiting import wait_for

LOOP = "trap 'exit 3' TERM; echo up; while :; do sleep 0.02; done"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    host = Host(tmp_path_factory.mktemp("clean"))
    host.import_busybox("clean:1")
    yield host
    host.end()


@pytest.fixture
def host(made):
    yield made
    made.remove_containers()


def run(host, *args, command=LOOP):
    made = host.berth("run", "-d", *args, "clean:1", "sh", "-c",
                      command).strip()
    host.note_ids()
    return made


def kill_monitor(host, container):
    monitor = host.state(container)["monitor"]
    os.kill(monitor, signal.SIGKILL)
    wait_for(lambda: not is_alive(monitor), "the monitor stays")


def kill_all(host, container):
    kill_monitor(host, container)
    pid = host.state(container)["pid"]
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(pid), "pid 1 stays")


def kernel_tells_exits():
    """PIDFD_INFO_EXIT came with Linux 6.15."""
    release = tuple(map(int, re.match(r"(\d+)\.(\d+)",
                                      os.uname().release).groups()))
    return release >= (6, 15)


def test_a_container_without_its_monitor_can_be_worked_with(host):
    container = run(host)
    wait_for(lambda: "up\n" in host.berth("logs", container), "no output")
    kill_monitor(host, container)
    assert "(monitor gone)" in host.berth("ps")
    assert host.berth("exec", container, "echo", "inside") == "inside\n"
    assert host.berth("logs", container) == "up\n"
    host.berth("kill", "-s", "USR2", container)  # pid 1 has no handler
    host.berth("stop", container)
    shown = host.berth("ps", "-a")
    wanted = "Exited (3)" if kernel_tells_exits() else "Exited ("
    assert wanted in shown, shown
    assert not host.groups() and not (host.run / container).exists()
    # It can be started anew, and ends as any other.
    host.berth("start", container)
    # Before, TERM would meet no trap.
    wait_for(lambda: "up\nup\n" in host.berth("logs", container), "no output")
    host.berth("stop", container)
    assert host.berth("wait", container) == "3\n"
    host.berth("rm", container)


def test_the_exit_code_after_the_monitor(host):
    """stop and wait hold a pidfd, so that the kernel tells them; who looks
    later cannot know."""
    container = run(host)
    kill_monitor(host, container)
    waiting = subprocess.Popen([BERTH, "wait", container], env=host.env,
                               stdout=subprocess.PIPE, text=True)
    links = pathlib.Path(f"/proc/{waiting.pid}/fd")
    wait_for(lambda: any("pidfd" in os.readlink(p) for p in links.iterdir()),
             "wait does not wait")
    os.kill(host.state(container)["pid"], signal.SIGTERM)
    told = waiting.communicate(timeout=60)[0]
    assert told == "3\n" or (told == "255\n" and not kernel_tells_exits())
    unseen = run(host)
    kill_all(host, unseen)
    shown = host.berth("ps", "-a", "--format", "json").splitlines()
    row = next(r for r in map(json.loads, shown) if unseen.startswith(r["ID"]))
    assert row["Status"] == "Exited (unknown)" and row["State"] == "exited"
    assert host.berth("wait", unseen) == "255\n"


def test_unknown_survives_a_restart_of_the_machine(host):
    """The run folder is gone then; the container must not look unstarted."""
    container = run(host)
    kill_all(host, container)
    for path in (host.run / container).iterdir():
        path.unlink()
    (host.run / container).rmdir()
    assert "Exited (unknown)" in host.berth("ps", "-a")


def test_rm_is_finished_by_the_next_command(host):
    container = run(host, "--rm")
    kill_monitor(host, container)
    host.berth("run", "--rm", "clean:1", "true")
    assert is_alive(host.state(container)["pid"])
    kill_all_pid = host.state(container)["pid"]
    os.kill(kill_all_pid, signal.SIGKILL)
    wait_for(lambda: not is_alive(kill_all_pid), "pid 1 stays")
    # Looking changes nothing, and costs nothing.
    assert container[:12] in host.berth("ps", "-a")
    assert host.groups() and container in host.folders()
    host.berth("run", "--rm", "clean:1", "true")
    assert container not in host.folders()
    assert not host.groups() and not (host.run / container).exists()


@pytest.mark.parametrize("verb", ["stop", "kill", "rm", "rmi"])
def test_each_of_these_cleans(host, verb):
    host.berth("tag", "clean:1", "clean:other")
    other = run(host)
    container = run(host, "--rm")
    kill_all(host, container)
    host.berth(verb, *(["-f"] if verb.startswith("rm") else []),
               "clean:other" if verb == "rmi" else other)
    assert container not in host.folders()
    assert not [g for g in host.groups() if container in g]
    host.berth("rmi", "clean:other", code=None)


def test_rm_container_does_not_keep_its_image(host):
    host.berth("import", host.root.parent / "rootfs.tar", "keep:1")
    container = host.berth("run", "-d", "--rm", "keep:1", "sh", "-c",
                           LOOP).strip()
    kill_all(host, container)
    host.berth("rmi", "keep:1")  # no --force


def test_records_of_rm_after_a_restart_of_the_machine(host):
    container = run(host, "--rm")
    kill_all(host, container)
    for path in (host.run / container).iterdir():
        path.unlink()
    (host.run / container).rmdir()
    host.berth("run", "--rm", "clean:1", "true")
    assert container in host.folders(), "looked through without need"
    (host.root / "boot").write_text("another")
    host.berth("run", "--rm", "clean:1", "true")
    assert container not in host.folders()
    assert not host.groups()


def test_a_record_that_was_never_written(host):
    """That of --rm is not synced: a machine that stops leaves it empty, and
    it must not keep the sweep from its work."""
    container = run(host, "--rm")
    kill_all(host, container)
    (host.root / "containers" / container / "record.json").write_text("")
    (host.root / "boot").write_text("another")
    host.berth("tag", "clean:1", "clean:other")
    host.berth("rmi", "clean:other")
    assert container not in host.folders()


def test_a_run_of_rm_syncs_nothing(host, tmp_path):
    """Neither files of its own nor, at the end of its overlay, the whole file
    system; what is kept is synced."""
    seen = {}
    # LeakSanitizer, in the asan variant, cannot work below strace.
    env = dict(host.env, ASAN_OPTIONS="detect_leaks=0")
    for flags in (["--rm"], []):
        trace = tmp_path / "trace"
        text = subprocess.run(
            ["strace", "-f", "-o", trace, "-e",
             "trace=fsync,fdatasync,sync,syncfs,sync_file_range", BERTH, "run",
             *flags, "clean:1", "grep", " / / ", "/proc/self/mountinfo"],
            env=env, stdout=subprocess.PIPE, text=True, check=True).stdout
        seen[bool(flags)] = "sync(" in trace.read_text(), "volatile" in text
    assert seen == {True: (False, True), False: (True, False)}


def test_a_killed_start_is_cleaned(host):
    """What is there between the first and the last step of a start."""
    living = run(host)
    dead = secrets.token_hex(32)
    (host.run / dead).mkdir()
    (host.run / dead / "lock").write_text(str(host.root))
    tops = {pathlib.Path(g).parent for g in host.groups()}
    assert tops
    for top in tops:
        (top / dead).mkdir()
    host.ids.add(dead)
    host.berth("run", "--rm", "clean:1", "true")
    assert not [g for g in host.groups() if dead in g]
    assert len([g for g in host.groups() if living in g]) == len(tops)
    assert not (host.run / dead).exists()


def test_what_has_a_keeper_is_left_alone(host):
    """Also a container of another store with the same run folder."""
    held, foreign = secrets.token_hex(32), secrets.token_hex(32)
    for name in (held, foreign):
        (host.run / name).mkdir(parents=True)
    (host.run / foreign / "lock").write_text(str(host.root.parent))
    with open(host.run / held / "lock", "w") as lock:
        lock.write(str(host.root))
        lock.flush()
        fcntl.flock(lock, fcntl.LOCK_EX)
        host.berth("run", "--rm", "clean:1", "true")
        assert (host.run / held).exists() and (host.run / foreign).exists()
    (host.run / foreign / "lock").write_text(str(host.root))
    host.berth("run", "--rm", "clean:1", "true")
    assert list(host.run.iterdir()) == []


def test_groups_that_a_container_made_go_with_it(host):
    """It may do so with SYS_ADMIN; a group with groups in it cannot be
    removed."""
    made = run(host, "--cap-add", "SYS_ADMIN", command=(
        "(mount -t cgroup2 none /tmp || mount -t cgroup -o pids none /tmp) && "
        "mkdir -p /tmp/a/b /tmp/a/c && echo made; exec sleep 1000"))
    wait_for(lambda: "made\n" in host.berth("logs", made), "no groups")
    nested = [path for path in host.groups()
              if (pathlib.Path(path) / "a/b").is_dir()]
    assert nested
    host.berth("rm", "-f", made)
    assert host.groups() == {}


def test_one_keeper_at_a_time(host):
    container = run(host)
    host.berth("stop", container)
    (host.run / container).mkdir()
    with open(host.run / container / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        refused = subprocess.run([BERTH, "start", container], env=host.env,
                                 capture_output=True, text=True)
        assert refused.returncode == 1
        assert "in the hands of another process" in refused.stderr
        # rm waits for the other one to be done.
        removing = subprocess.Popen([BERTH, "rm", container], env=host.env,
                                    stdout=subprocess.DEVNULL)
        links = pathlib.Path(f"/proc/{removing.pid}")
        wait_for(links.exists, "rm did not begin")
        assert container in host.folders()
    assert removing.wait(60) == 0
    assert container not in host.folders()


def test_a_cleaner_that_looks_does_not_end_a_run(host, tmp_path):
    """It holds the lock of a container in the making for a moment."""
    env = dict(host.env, ASAN_OPTIONS="detect_leaks=0")

    def traced(*options):
        trace = tmp_path / "trace"
        done = subprocess.run(
            ["strace", "-o", trace, "-e", "trace=flock", *options, BERTH,
             "run", "--rm", "clean:1", "true"], env=env, capture_output=True,
            text=True)
        return done, trace.read_text().splitlines()
    done, calls = traced()
    assert done.returncode == 0, done
    nth = next(i for i, call in enumerate(calls, 1) if "LOCK_NB" in call)
    done, calls = traced("-e", f"inject=flock:error=EAGAIN:when={nth}")
    assert "INJECTED" in calls[nth - 1], calls
    assert done.returncode == 0, done
