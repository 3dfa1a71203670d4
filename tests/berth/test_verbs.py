"""The verbs on containers: ps, kill, stop, wait, start, rm, exec."""

import json
import re
import resource
import signal
import subprocess
import threading
import time

import pytest

from containers import (WAIT_S, berth, end, image, in_log,  # noqa: F401
                        inspect, name, popen, refused, rootfs_tar, state,
                        store, wait_for)

pytestmark = pytest.mark.usefixtures("image")


def sleeper(name, *flags, script="sleep 1000"):
    return berth("run", "-d", "--name", name, *flags, "rt:1", "sh", "-c",
                 script).strip()


def trapping(*signals, code=7):
    """A script that says which signal it got, and ends with code on TERM."""
    traps = "".join(f"trap 'echo got {s}' {s}; " for s in signals)
    return (f"{traps}trap 'echo got TERM; exit {code}' TERM; echo ready; "
            "while true; do sleep 0.05; done")


# ---- ps --------------------------------------------------------------------

@pytest.fixture(scope="module")
def three(store, image):
    """One that ended, one that could not start, one that runs."""
    names = ["psended", "psfailed", "psruns"]
    berth("run", "--name", names[0], "--label", "k=v", "--label", "solo",
          "rt:1", "sh", "-c", "exit 3", code=3)
    berth("run", "--name", names[1], "rt:1", "no-such-program", code=127)
    sleeper(names[2], "--label", "k=w", "-v", "/anon", "-v", "/tmp:/mnt")
    yield names
    berth("rm", "-f", *names)


def ids(*args):
    return berth("ps", "-q", "--no-trunc", *args).split()


def named(*args):
    return berth("ps", "--format", "{{.Names}}", *args).split()


def test_ps_order_and_scope(three):
    assert named() == ["psruns"]
    assert named("-a") == ["psruns", "psfailed", "psended"]
    assert named("-n", "2") == ["psruns", "psfailed"]
    assert named("--latest") == ["psruns"]
    assert named("-n", "0") == []


@pytest.mark.parametrize("filters, want", [
    (["name=psr"], ["psruns"]),
    (["name=^/psruns$"], ["psruns"]),
    (["name=nothing"], []),
    (["status=exited"], ["psended"]),
    (["status=running", "status=exited"], ["psruns", "psended"]),
    (["status=created"], ["psfailed"]),
    (["status=paused"], []),
    (["exited=3"], ["psended"]),
    (["exited=0"], []),
    (["label=k"], ["psruns"]),
    (["label=k=w"], ["psruns"]),
    (["label=k=x"], []),
    (["label=k=v", "label=solo", "status=exited"], ["psended"]),
    (["label=k=w", "label=solo", "status=exited"], []),
    (["ancestor=rt:1", "status=exited"], ["psended"]),
    (["ancestor=other"], [])])
def test_ps_filters(three, filters, want):
    args = [arg for text in filters for arg in ("--filter", text)]
    assert named(*args) == want


def test_ps_filter_by_id(three):
    whole = ids("-f", "name=psruns")[0]
    assert len(whole) == 64
    assert ids("-f", f"id={whole[:10]}") == [whole]
    assert berth("ps", "-q", "-f", "name=psruns") == whole[:12] + "\n"


def test_ps_filters_refused(three):
    for bad in ("foo=x", "status=nope", "name", "", "=x"):
        assert "filter" in refused("ps", "--filter", bad, code=1)
    for bad in ("{{.Nope}}", "{{.Names", "{{json .Names}}", "{{Names}}"):
        assert "--format" in refused("ps", "--format", bad, code=1)


def test_ps_json(three):
    lines = berth("ps", "-a", "--format", "json").splitlines()
    rows = {row["Names"]: row for row in map(json.loads, lines)}
    row = rows["psruns"]
    assert row["State"] == "running" and row["Status"].startswith("Up ")
    assert row["Image"] == "rt:1" and row["Labels"] == "k=w"
    assert row["LocalVolumes"] == "1" and "/tmp" in row["Mounts"]
    assert row["Networks"] == "none" and len(row["ID"]) == 12
    assert row["Command"] == '"sh -c \'sleep 1000\'"'
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d \+0000 UTC",
                        row["CreatedAt"])
    ended = rows["psended"]
    assert ended["State"] == "exited"
    assert re.fullmatch(r"Exited \(3\) .* ago", ended["Status"])
    failed = rows["psfailed"]
    assert failed["State"] == "created" and failed["Status"] == "Created"
    # docker's keys, all of them but what only its own storage knows.
    assert set(row) == {
        "Command", "CreatedAt", "ID", "Image", "Labels", "LocalVolumes",
        "Mounts", "Names", "Networks", "Ports", "RunningFor", "Size", "State",
        "Status"}


def test_ps_table(three):
    head, *rows = berth("ps", "-a").splitlines()
    assert head.split() == ["CONTAINER", "ID", "IMAGE", "COMMAND", "CREATED",
                            "STATUS", "NAMES"]
    assert [row.split()[-1] for row in rows] == ["psruns", "psfailed",
                                                 "psended"]
    titled = berth("ps", "--format", "table {{.ID}}\\t{{.Names}}")
    assert titled.splitlines()[0] == "CONTAINER ID\tNAMES"


def test_ps_long_command(name):
    sleeper(name, script="sleep 1000 # \"quoted\" and rather long")
    short = berth("ps", "-f", f"name={name}", "--format", "{{.Command}}")
    assert short == '"sh -c \'sleep 1000 #…"\n'
    head, row = berth("ps", "-f", f"name={name}").splitlines()
    assert row[head.index("CREATED") - 4:].startswith('"   ')
    whole = berth("ps", "-f", f"name={name}", "--no-trunc", "--format",
                  "{{.Command}}")
    assert whole == ('"sh -c \'sleep 1000 # \\"quoted\\" and rather long\'"'
                     "\n")


@pytest.mark.parametrize("group, word, verb", [
    ("image", "ls", "images"), ("container", "rm", "rm")])
def test_a_group_tells_its_words(group, word, verb):
    for ask in ([], ["--help"]):
        lines = berth(group, *ask).splitlines()
        assert lines[0] == f"Usage:  berth {group} COMMAND [OPTIONS]"
        assert [word, "the", "same", "as:", "berth", verb] in [
            line.split() for line in lines]


def test_failed_start_is_created_with_its_error(three):
    shown = inspect("psfailed")["State"]
    assert shown["Status"] == "created" and shown["ExitCode"] == 127
    assert "no-such-program" in shown["Error"]


# ---- kill ------------------------------------------------------------------

@pytest.mark.parametrize("flags", [["-s", "USR1"], ["-s", "SIGUSR1"],
                                   ["--signal=usr1"], ["-s10"],
                                   ["--signal", "10"]])
def test_kill_with_a_signal(name, flags):
    sleeper(name, script=trapping("USR1"))
    in_log(name, "ready")
    assert berth("kill", *flags, name) == name + "\n"
    in_log(name, "got USR1")
    assert state(name) == "running"


def test_kill_with_a_realtime_signal(name):
    sleeper(name, script=trapping(str(signal.SIGRTMIN + 3)))
    in_log(name, "ready")
    berth("kill", "-s", "RTMIN+3", name)
    in_log(name, f"got {signal.SIGRTMIN + 3}")


@pytest.mark.parametrize("bad", ["NOPE", "99", "0", "-1", "SIGUSR9", "",
                                 "RTMIN+99", "RTMIN-1", "SIG"])
def test_kill_with_an_unknown_signal(name, bad):
    sleeper(name)
    assert "unknown signal" in refused("kill", f"--signal={bad}", name, code=1)
    assert state(name) == "running"


def test_kill_what_does_not_run(name):
    berth("run", "--name", name, "rt:1", "true")
    assert "not running" in refused("kill", name, code=1)
    assert "no such container" in refused("kill", "nothing", code=1)


def test_kill_several(name):
    sleeper(name)
    done = berth("kill", name, "nothing", code=None)
    assert done.returncode == 1 and done.stdout == name + "\n"
    assert "nothing" in done.stderr
    assert berth("wait", name) == "137\n"


# ---- stop ------------------------------------------------------------------

def test_stop_with_the_default_signal(name):
    sleeper(name, script=trapping())
    in_log(name, "ready")
    assert berth("stop", name) == name + "\n"
    assert inspect(name)["State"]["ExitCode"] == 7
    assert berth("stop", name) == name + "\n"  # once more is fine


def test_stop_kills_after_the_timeout(name):
    sleeper(name, script="trap '' TERM; echo ready; sleep 1000")
    in_log(name, "ready")
    begin = time.monotonic()
    berth("stop", "-t", "1", name)
    assert time.monotonic() - begin >= 1
    assert inspect(name)["State"]["ExitCode"] == 137


@pytest.mark.parametrize("flag", [["-t", "0"], ["--time", "0"],
                                  ["--timeout=0"]])
def test_stop_at_once(name, flag):
    sleeper(name, script="trap '' TERM; echo ready; sleep 1000")
    in_log(name, "ready")
    berth("stop", *flag, name)
    assert inspect(name)["State"]["ExitCode"] == 137


def test_stop_without_an_end(name):
    sleeper(name, script="trap '' TERM; echo ready; sleep 1000")
    in_log(name, "ready")
    proc = popen("stop", "-t", "-1", name)
    try:
        with pytest.raises(subprocess.TimeoutExpired):
            proc.wait(1.5)
        berth("kill", name)
        assert proc.wait(WAIT_S) == 0
    finally:
        end(proc)


def test_stop_of_several_at_once(name):
    """Each has its seconds at the same time as the others."""
    names = [f"{name}-{i}" for i in range(4)]
    try:
        for one in names:
            sleeper(one, script="trap '' TERM; echo ready; sleep 1000")
            in_log(one, "ready")
        begin = time.monotonic()
        done = berth("stop", "-t", "4", *names, "nothing", code=None)
        assert time.monotonic() - begin < 12  # one after the other: 16
        assert done.stdout.split() == names and done.returncode == 1
        assert done.stderr.count("no such container") == 1
        assert {state(one) for one in names} == {"exited"}
    finally:
        berth("rm", "-f", *names, code=None)


def test_stop_signal_of_the_flag(name):
    sleeper(name, "--stop-signal", "INT", script=trapping("INT"))
    in_log(name, "ready")
    berth("stop", "-t", "1", name)
    assert "got INT" in berth("logs", name)
    assert "got TERM" not in berth("logs", name)


def test_stop_signal_of_stop(name):
    sleeper(name, script=trapping("HUP"))
    in_log(name, "ready")
    berth("stop", "-s", "HUP", "-t", "1", name)
    assert "got HUP" in berth("logs", name)
    assert "unknown signal" in refused("stop", "-s", "NOPE", name, code=1)


def test_stop_signal_of_the_image(name, store):
    tar = store / "stopsignal.tar"
    tar.write_bytes(rootfs_tar())
    berth("import", "-c", "STOPSIGNAL USR2", tar, "rt:stopsignal")
    berth("run", "-d", "--name", name, "rt:stopsignal", "sh", "-c",
          trapping("USR2"))
    in_log(name, "ready")
    berth("stop", "-t", "1", name)
    assert "got USR2" in berth("logs", name)


def test_stop_timeout_of_the_container(name):
    sleeper(name, "--stop-timeout", "1",
            script="trap '' TERM; echo ready; sleep 1000")
    in_log(name, "ready")
    begin = time.monotonic()
    berth("stop", name)
    assert time.monotonic() - begin >= 1
    assert inspect(name)["State"]["ExitCode"] == 137
    refused("run", "--stop-timeout", "x", "rt:1", "true")
    assert "unknown signal" in refused("run", "--stop-signal", "NOPE", "rt:1",
                                       "true")


# ---- wait, start, rm -------------------------------------------------------

def test_wait_for_several(name):
    second = name + "-b"
    sleeper(name, script="while [ ! -e /tmp/go ]; do sleep 0.02; done; exit 4")
    try:
        berth("run", "--name", second, "rt:1", "sh", "-c", "exit 5", code=5)
        waiter = popen("wait", name, second, stdout=subprocess.PIPE, text=True)
        try:
            assert waiter.poll() is None
            berth("exec", name, "touch", "/tmp/go")
            out, _ = waiter.communicate(timeout=WAIT_S)
            assert out == "4\n5\n" and waiter.returncode == 0
        finally:
            end(waiter)
    finally:
        berth("rm", "-f", second, code=None)
    assert "no such container" in refused("wait", "nothing", code=1)


def test_wait_for_one_that_removes_itself(name):
    sleeper(name, "--rm",
            script="while [ ! -e /tmp/go ]; do sleep 0.02; done; exit 6")
    waiter = popen("wait", name, stdout=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: berth("exec", name, "true", code=None).returncode == 0)
        berth("exec", name, "touch", "/tmp/go")
        out, _ = waiter.communicate(timeout=WAIT_S)
        assert out in ("6\n", "255\n")  # 255: a kernel before 6.15
    finally:
        end(waiter)


def test_start_again(name):
    berth("run", "--name", name, "rt:1", "sh", "-c",
          "echo $(($(cat /n 2>/dev/null) + 1)) >/n; cat /n")
    assert berth("start", name) == name + "\n"
    berth("wait", name)
    assert berth("start", "-a", name) == "3\n"
    assert berth("logs", name) == "1\n2\n3\n"


def test_start_right_after_the_end(name):
    """Its monitor may still be writing the end down: that is waited for."""
    berth("run", "-d", "--name", name, "rt:1", "true")
    for _ in range(40):
        assert berth("start", name) == name + "\n"


def test_an_end_is_never_shown_as_unknown(name):
    """Pid 1 is gone before its monitor has written the exit code."""
    for _ in range(20):
        berth("run", "-d", "--name", name, "rt:1", "sh", "-c", "exit 3")
        shown = wait_for(
            lambda: [s for s in [berth("ps", "-a", "--filter", f"name={name}",
                                       "--format", "{{.Status}}")]
                     if s.startswith("Exited")], "it does not end")
        assert shown[0].startswith("Exited (3)"), shown
        berth("start", name)
        ended = wait_for(
            lambda: [s for s in [inspect(name)["State"]]
                     if s["Status"] == "exited"], "it does not end again")
        assert ended[0]["ExitCode"] == 3, ended
        berth("rm", name)


def test_times_tell_parts_of_a_second(name):
    """As docker's: what follows within a second is in order."""
    def moment(text):
        second, dot, part = text.removesuffix("Z").partition(".")
        assert dot and part and not part.endswith("0"), text
        return second, float("0." + part)
    berth("run", "--name", name, "rt:1", "true")
    shown = inspect(name)
    first, start, end = map(moment, (shown["Created"],
                                     shown["State"]["StartedAt"],
                                     shown["State"]["FinishedAt"]))
    assert first < start < end
    berth("start", "-a", name)
    assert moment(inspect(name)["State"]["StartedAt"]) > end


def test_start_with_input(name):
    berth("run", "-i", "--name", name, "rt:1", "cat", stdin="one\n")
    assert berth("start", "-ai", name, stdin="two\n") == "two\n"
    assert berth("start", "-i", name, stdin="three\n") == "three\n"


def test_start_status(name):
    berth("run", "--name", name, "rt:1", "sh", "-c", "exit 9", code=9)
    berth("start", "-a", name, code=9)
    assert berth("start", name, code=0) == name + "\n"
    assert "no such container" in refused("start", "nothing", code=1)


def test_start_several(name):
    second = name + "-b"
    try:
        for one in (name, second):
            berth("run", "--name", one, "rt:1", "true")
        assert berth("start", name, second) == f"{name}\n{second}\n"
        assert "several" in refused("start", "-a", name, second, code=1)
        done = berth("start", "nothing", name, code=None)
        assert done.returncode == 1 and done.stdout == name + "\n"
    finally:
        berth("rm", "-f", second, code=None)


def test_start_of_one_that_runs(name):
    sleeper(name)
    pid = inspect(name)["State"]["Pid"]
    assert berth("start", name) == name + "\n"
    assert inspect(name)["State"]["Pid"] == pid
    assert "logs -f" in refused("start", "-a", name, code=1)


def test_rm(name):
    sleeper(name)
    assert "rm -f" in refused("rm", name, code=1)
    assert berth("rm", "-f", name) == name + "\n"
    assert "no such container" in refused("rm", name, code=1)
    done = berth("rm", "-f", name, code=None)  # as docker: it is gone
    assert done.returncode == 0 and "no such container" in done.stderr


def test_rm_of_many_at_once(name):
    """Several commands remove one container: one does, nobody hangs."""
    for _ in range(3):
        sleeper(name)
        threads = [threading.Thread(target=berth, args=("rm", "-f", name),
                                    kwargs={"code": None}) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(WAIT_S)
            assert not thread.is_alive()
        assert name not in berth("ps", "-a")


def test_one_name_for_many(name):
    """Of runs at once with one name, one gets it."""
    procs = [popen("run", "-d", "--name", name, "rt:1", "sleep", "1000",
                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
             for _ in range(6)]
    done = [proc.communicate(timeout=WAIT_S) for proc in procs]
    codes = sorted(proc.returncode for proc in procs)
    try:
        assert codes == [0] + [125] * 5, done
    finally:
        for container in ids("-a", "-f", f"name={name}"):
            berth("rm", "-f", container, code=None)


# ---- exec ------------------------------------------------------------------

def test_exec_user_folder_environment(name):
    sleeper(name, "-e", "A=run", "-w", "/data", "-u", "app")
    def inside(*args, code=0, env=None):
        *flags, script = args
        return berth("exec", *flags, name, "sh", "-c", script, code=code,
                     env=env)
    assert inside("pwd; id -u; id -G; echo $A $HOME").split() == [
        "/data", "1000", "1000", "2000", "run", "/home/app"]
    assert inside("-w", "/tmp", "pwd") == "/tmp\n"
    assert inside("-u", "0", "id -u; echo $HOME").split() == ["0", "/root"]
    assert inside("-u", "0:2000", "id -G").split() == ["2000"]
    assert inside("-u", "12345", "id -u; echo $HOME").split() == ["12345", "/"]
    assert inside("-e", "A=exec", "-e", "B=b", "echo $A $B") == "exec b\n"
    assert inside("-e", "FROM_HOST", "echo $FROM_HOST",
                  env={"FROM_HOST": "yes"}) == "yes\n"
    assert inside("-e", "A", "echo \"<$A>\"") == "<>\n"


def test_exec_env_file(name, tmp_path):
    (tmp_path / "env").write_text("# c\nA=from file\n")
    sleeper(name)
    assert berth("exec", "--env-file", tmp_path / "env", name, "sh", "-c",
                 "echo $A") == "from file\n"
    assert "invalid" in refused("exec", "-e", "=x", name, "true", code=1)


def test_exec_terminal_without_input(name):
    sleeper(name)
    assert berth("exec", "-t", name, "sh", "-c",
                 "test -t 0 && test -t 1 && echo $TERM").strip() == "xterm"
    assert berth("exec", name, "sh", "-c",
                 "test -t 1 || echo \"<$TERM>\"") == "<>\n"
    assert "not a terminal" in refused("exec", "-it", name, "true", code=1)


def test_exec_detached(name):
    sleeper(name)
    assert berth("exec", "-d", name, "sh", "-c",
                 "sleep 0.1; touch /tmp/done; sleep 1000") == ""
    wait_for(lambda: berth("exec", name, "test", "-e", "/tmp/done",
                           code=None).returncode == 0, "the file")
    assert berth("exec", "-d", name, "no-such", code=None).returncode == 127


@pytest.mark.parametrize("command, code", [
    (["no-such"], 127), (["/etc/passwd"], 126), (["sh", "-c", "exit 3"], 3),
    (["sh", "-c", "kill -9 $$"], 137)])
def test_exec_codes(name, command, code):
    sleeper(name)
    berth("exec", name, *command, code=code)


def test_exec_refused(name):
    sleeper(name)
    # exec makes no working directory, unlike run.
    assert "/new/dir" in refused("exec", "-w", "/new/dir", name, "true")
    berth("exec", name, "test", "-e", "/new", code=1)
    assert "absolute" in refused("exec", "-w", "rel", name, "true", code=1)
    assert "eve" in refused("exec", "-u", "eve", name, "true")
    berth("kill", name)
    berth("wait", name)
    assert "not running" in refused("exec", name, "true", code=1)
    assert "no such container" in refused("exec", "nothing", "true", code=1)


def test_exec_into_one_that_ends(name):
    """At whatever step that happens it is told as docker tells it."""
    for _ in range(15):
        sleeper(name)
        running = [popen("exec", name, "true", stderr=subprocess.PIPE,
                         text=True) for _ in range(6)]
        berth("kill", name)
        for proc in running:
            _, message = proc.communicate(timeout=WAIT_S)
            assert proc.returncode in (0, 1, 137), message
            if proc.returncode == 1:
                assert "is not running" in message, message
        berth("rm", name)


def test_exec_above_the_limit_of_processes(name):
    sleeper(name, "--pids-limit", "2", script="sleep 1000 & wait")
    assert "Resource temporarily unavailable" in refused("exec", name, "true")


def test_exec_has_the_limits_of_its_container(name):
    sleeper(name, "--ulimit", "nofile=64:128", "--cap-drop", "ALL",
            "--pids-limit", "20")
    out = berth("exec", name, "sh", "-c",
                "ulimit -n; ulimit -Hn; grep CapBnd /proc/self/status; "
                "cat /proc/self/cgroup /proc/1/cgroup").splitlines()
    assert out[:2] == ["64", "128"] and out[2].split()[1] == "0" * 16
    groups = out[3:]
    assert groups[:len(groups) // 2] == groups[len(groups) // 2:]


def test_exec_from_a_shell_with_lower_limits(name):
    """What the shell of exec may not raise is lowered, not an error."""
    sleeper(name, "--ulimit", "nofile=100:200")

    def lower():
        resource.setrlimit(resource.RLIMIT_NOFILE, (150, 150))
    out = popen("exec", name, "sh", "-c", "ulimit -n; ulimit -Hn",
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                preexec_fn=lower).communicate(timeout=WAIT_S)
    soft, hard = out[0].split()
    # With CAP_SYS_RESOURCE the container's own limits are back.
    assert soft == "100" and hard in ("150", "200"), out


# ---- init ------------------------------------------------------------------

def test_init_reaps_orphans(name):
    """Orphans that end are reaped: no zombie stays."""
    berth("run", "-d", "--init", "--name", name, "rt:1", "sh", "-c",
          "(sh -c 'sleep 0.05 & sleep 0.05 & exec true' &) ; echo ready; "
          "exec sleep 1000")
    in_log(name, "ready")
    wait_for(lambda: berth("exec", name, "sh", "-c",
                           "cat /proc/[0-9]*/stat | grep -c ' sleep) '",
                           code=None).stdout.strip() in ("0", "1", "")
             and " Z " not in berth("exec", name, "sh", "-c",
                                    "cat /proc/[0-9]*/stat",
                                    code=None).stdout,
             "the end of zombies")


def test_init_is_pid_1_and_tells_nothing(name):
    berth("run", "-d", "--init", "--name", name, "-e", "SECRET=x", "-v",
          "/tmp:/mnt", "rt:1", "sleep", "1000")
    line = berth("exec", name, "sh", "-c", "tr '\\0' ' ' </proc/1/cmdline")
    assert line.strip() == "berth-init"
    assert berth("exec", name, "cat", "/proc/1/comm") == "berth-init\n"
    # Its environment is nobody's business either.
    assert "SECRET" not in berth("exec", name, "cat", "/proc/1/environ",
                                 code=None).stdout


@pytest.mark.parametrize("command, code", [
    (["sh", "-c", "exit 5"], 5), (["sh", "-c", "kill -9 $$"], 137),
    (["no-such"], 127), (["/etc/passwd"], 126)])
def test_init_status(command, code):
    berth("run", "--rm", "--init", "rt:1", *command, code=code)


def test_init_takes_everybody_down(name):
    """When the program ends, what it left behind ends too."""
    berth("run", "--rm", "--init", "--name", name, "rt:1", "sh", "-c",
          "sleep 1000 & sleep 1000 & exit 3", code=3)
    assert name not in berth("ps", "-a")


def test_rmi_of_a_name_that_is_not_the_last(name, store):
    """As docker's: only the last name of an image in use needs --force."""
    path = store / "own.tar"
    path.write_bytes(rootfs_tar())
    berth("import", "-m", name, path, "own:1")
    berth("run", "--name", name, "own:1", "true")
    berth("tag", "own:1", "own:2")
    berth("rmi", "own:1")
    assert "is used by" in refused("rmi", "own:2", code=1)
    berth("rm", name)
    berth("rmi", "own:2")


def test_rmi_by_id_takes_all_names(name, store):
    """Docker's rule: of one repository at once, of several only by force."""
    path = store / "own.tar"
    path.write_bytes(rootfs_tar())
    image = berth("import", "-m", name, path, "own:1").strip()
    berth("tag", "own:1", "own:2")
    assert sorted(berth("rmi", image).splitlines()) == [
        "Untagged: own:1", "Untagged: own:2"]
    assert "no such container or image" in refused("inspect", image, code=1)
    berth("import", "-m", name, path, "own:1")
    berth("tag", "own:1", "other/own:1")
    short = image.removeprefix("sha256:")[:12]
    assert "several repositories" in refused("rmi", short, code=1)
    berth("run", "--name", name, "own:1", "true")
    assert "is used by" in refused("rmi", short, code=1)
    untagged = sorted(berth("rmi", "-f", short).splitlines())
    assert untagged == ["Untagged: other/own:1", "Untagged: own:1"]
    berth("rm", name)
