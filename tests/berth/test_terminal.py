"""Terminals, signals and closed streams of `run` and `exec`."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from containers import (BERTH, WAIT_S, berth, end, environment,  # noqa: F401
                        image, in_log, inspect, name, popen, refused, state,
                        store, wait_for)

pytestmark = pytest.mark.usefixtures("image")


class Terminal:
    """berth at a terminal of its own, of a known size."""

    def __init__(self, *args, rows=24, cols=80):
        self.master, self.slave = pty.openpty()
        self.resize(rows, cols, None)
        self.before = termios.tcgetattr(self.slave)
        self.text = b""

        def begin():
            os.setsid()
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)

        self.proc = popen(*args, stdin=self.slave, stdout=self.slave,
                          stderr=self.slave, preexec_fn=begin)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        end(self.proc)
        os.close(self.master)
        os.close(self.slave)

    def resize(self, rows, cols, tell=True):
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ,
                    struct.pack("HHHH", rows, cols, 0, 0))

    def write(self, text):
        os.write(self.master, text)

    def expect(self, text):
        """Read until text was shown; what came up to it."""
        limit = time.monotonic() + WAIT_S
        while text not in self.text:
            ready, _, _ = select.select([self.master], [], [], 0.1)
            if ready:
                self.text += os.read(self.master, 65536)
            assert time.monotonic() < limit, (text, self.text)
        shown, self.text = self.text.split(text, 1)
        return shown

    def status(self):
        """Read to the end; the exit status."""
        limit = time.monotonic() + WAIT_S
        while True:
            # In this order: what was written before the end is there after.
            is_over = self.proc.poll() is not None
            ready, _, _ = select.select([self.master], [], [],
                                        0 if is_over else 0.02)
            if ready:
                self.text += os.read(self.master, 65536)
            elif is_over:
                return self.proc.returncode
            assert time.monotonic() < limit, self.text

    def is_restored(self):
        return termios.tcgetattr(self.slave) == self.before

    def is_raw(self):
        return not termios.tcgetattr(self.slave)[3] & termios.ICANON


def run_tty(*args, **size):
    return Terminal("run", "--rm", "-it", *args, **size)


def test_size_at_the_start():
    for _ in range(10):  # a race would show
        with run_tty("rt:1", "stty", "size", rows=31, cols=97) as term:
            assert term.status() == 0
            assert term.text == b"31 97\r\n"


def test_size_at_the_start_of_exec(name):
    berth("run", "-d", "--name", name, "rt:1", "sleep", "1000")
    for _ in range(5):
        with Terminal("exec", "-it", name, "stty", "size", rows=33,
                      cols=99) as term:
            assert term.status() == 0
            assert term.text == b"33 99\r\n"


RESIZED = ("trap 'stty size; exit 5' WINCH; echo ready; "
           "while true; do sleep 0.05; done")


def test_resize():
    with run_tty("rt:1", "sh", "-c", RESIZED) as term:
        term.expect(b"ready")
        wait_for(term.is_raw, "raw mode")
        term.resize(40, 120)
        assert term.status() == 5
        assert b"40 120" in term.text


def test_resize_of_exec(name):
    berth("run", "-d", "--name", name, "rt:1", "sleep", "1000")
    with Terminal("exec", "-it", name, "sh", "-c", RESIZED) as term:
        term.expect(b"ready")
        wait_for(term.is_raw, "raw mode")
        term.resize(41, 121)
        assert term.status() == 5
        assert b"41 121" in term.text


@pytest.mark.parametrize("key, sig, code", [(b"\x03", "INT", 41),
                                            (b"\x1c", "QUIT", 42)])
@pytest.mark.parametrize("how", ["run", "init", "exec"])
def test_keys(how, key, sig, code, name):
    """Ctrl-C and Ctrl-\\ reach the program inside, once, not the client."""
    script = (f"n=0; trap 'n=$((n+1)); echo got $n; sleep 0.3; "
              f"exit {code}' {sig}; echo ready; "
              "while true; do sleep 0.05; done")
    if how == "exec":
        berth("run", "-d", "--name", name, "rt:1", "sleep", "1000")
        args = ["exec", "-it", name]
    else:
        args = ["run", "--rm", "-it", *(["--init"] if how == "init" else []),
                "rt:1"]
    with Terminal(*args, "sh", "-c", script) as term:
        term.expect(b"ready")
        wait_for(term.is_raw, "raw mode")
        term.write(key)
        assert term.status() == code
        assert b"got 1" in term.text and b"got 2" not in term.text
        assert term.is_restored()


def test_input_and_echo():
    with run_tty("rt:1", "sh", "-c", "read a; echo \"<$a>\"; tty") as term:
        wait_for(term.is_raw, "raw mode")
        term.write(b"hello\r")
        assert term.status() == 0
        assert b"<hello>" in term.text and b"/dev/" in term.text
        # Echoed once, by the container's terminal.
        assert term.text.count(b"hello") == 2
        assert term.is_restored()


def test_ctrl_d_ends_a_shell():
    with run_tty("rt:1", "cat") as term:
        wait_for(term.is_raw, "raw mode")
        term.write(b"line\r")
        term.expect(b"line\r\nline\r\n")
        term.write(b"\x04")
        assert term.status() == 0


@pytest.mark.parametrize("command, code", [
    (["no-such-program"], 127), (["/etc/passwd"], 126), (["false"], 1),
    (["sh", "-c", "kill -9 $$; exec sleep 1"], None)])
def test_restored_after_errors(command, code):
    with run_tty("rt:1", *command) as term:
        status = term.status()
        assert code is None or status == code
        assert term.is_restored()


def test_restored_after_a_kill(name):
    with Terminal("run", "-it", "--name", name, "rt:1", "sleep",
                  "1000") as term:
        wait_for(term.is_raw, "raw mode")
        berth("kill", name)
        assert term.status() == 137
        assert term.is_restored()


def test_exec_ends_with_its_container(name):
    berth("run", "-d", "--name", name, "rt:1", "sleep", "1000")
    with Terminal("exec", "-it", name, "sleep", "1000") as term:
        wait_for(term.is_raw, "raw mode")
        berth("rm", "-f", name)
        assert term.status() == 137
        assert term.is_restored()


def test_large_paste_into_exec(name):
    """More input than a terminal holds, while nobody reads: no deadlock."""
    berth("run", "-d", "--name", name, "rt:1", "sleep", "1000")
    script = "stty -echo -icanon; echo ready; sleep 0.5; head -c 200000 | wc -c"
    with Terminal("exec", "-it", name, "sh", "-c", script) as term:
        term.expect(b"ready")
        left = b"x" * 200_000
        os.set_blocking(term.master, False)
        limit = time.monotonic() + WAIT_S
        while left and time.monotonic() < limit:
            _, ready, _ = select.select([], [term.master], [], 0.1)
            if ready:
                left = left[os.write(term.master, left[:4096]):]
        os.set_blocking(term.master, True)
        assert not left
        assert term.status() == 0
        assert b"200000" in term.text


def test_terminal_without_input():
    """-t alone: a terminal inside, ours stays as it is."""
    with Terminal("run", "--rm", "-t", "rt:1", "sh", "-c",
                  "test -t 1 && echo $TERM; sleep 0.2") as term:
        term.expect(b"xterm")
        assert not term.is_raw()
        assert term.status() == 0
    assert "xterm" in berth("run", "--rm", "-t", "rt:1", "sh", "-c",
                            "test -t 0 && echo $TERM")


def test_terminal_needs_one():
    assert "not a terminal" in refused("run", "--rm", "-it", "rt:1", "true")


# ---- without a terminal ----------------------------------------------------

def trap(sig, code):
    return (f"trap 'exit {code}' {sig}; echo ready; "
            "while true; do sleep 0.05; done")


@pytest.mark.parametrize("sig", ["TERM", "INT", "HUP", "USR1", "USR2",
                                 "QUIT", "ALRM"])
@pytest.mark.parametrize("how", ["run", "init", "exec"])
def test_signals_are_forwarded(how, sig, name):
    if how == "exec":
        berth("run", "-d", "--name", name, "rt:1", "sleep", "1000")
        args = ["exec", name]
    else:
        args = ["run", "--rm", *(["--init"] if how == "init" else []), "rt:1"]
    proc = popen(*args, "sh", "-c", trap(sig, 33), stdout=subprocess.PIPE)
    try:
        assert proc.stdout.readline() == b"ready\n"
        proc.send_signal(getattr(signal, "SIG" + sig))
        assert proc.wait(WAIT_S) == 33
    finally:
        end(proc)


def test_signal_before_the_start(name):
    """A signal that comes while the container begins is not lost."""
    proc = popen("run", "--rm", "--name", name, "rt:1", "sh", "-c",
                 trap("TERM", 34), stdout=subprocess.PIPE)
    try:
        wait_for(lambda: berth("ps", "-aq", "--filter", f"name={name}",
                               code=None).stdout, "the record")
        while proc.poll() is None:  # pid 1 ignores it until the trap is set
            proc.send_signal(signal.SIGTERM)
            time.sleep(0.05)
        assert proc.returncode == 34
    finally:
        end(proc)


def test_killed_client_leaves_the_container(name):
    proc = popen("run", "--name", name, "rt:1", "sh", "-c",
                 "i=0; while true; do i=$((i+1)); echo $i; sleep 0.05; done",
                 stdout=subprocess.PIPE)
    assert proc.stdout.readline() == b"1\n"
    end(proc)
    seen = len(berth("logs", name).splitlines())
    wait_for(lambda: len(berth("logs", name).splitlines()) > seen + 3,
             "further output")
    assert state(name) == "running"


def test_input_of_a_killed_client_ends(name):
    proc = popen("run", "-i", "--name", name, "rt:1", "sh", "-c",
                 "cat; echo no more input", stdin=subprocess.PIPE)
    wait_for(lambda: berth("ps", "-q", "--filter", f"name={name}"), "a start")
    end(proc)
    in_log(name, "no more input")


@pytest.mark.parametrize("how", ["run", "exec"])
def test_closed_pipe(how, name):
    """`berth run IMAGE yes | head -1` ends, as `yes | head -1` does."""
    if how == "exec":
        berth("run", "-d", "--name", name, "rt:1", "sleep", "1000")
        args = ["exec", name]
    else:
        args = ["run", "--rm", "rt:1"]
    proc = popen(*args, "yes", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert proc.stdout.readline() == b"y\n"
        proc.stdout.close()
        assert proc.wait(WAIT_S) != 0
    finally:
        end(proc)


def test_full_disk_of_the_reader():
    with open("/dev/full", "wb") as full:
        proc = popen("run", "--rm", "rt:1", "yes", stdout=full,
                     stderr=subprocess.PIPE)
        try:
            _, err = proc.communicate(timeout=WAIT_S)
        finally:
            end(proc)
    assert b"No space left" in err and proc.returncode != 0


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(closed, tmp_path, name):
    """A closed stream is no place for the next file that berth opens."""
    done = subprocess.run(
        ["sh", "-c", f"{BERTH} run -i --name {name} rt:1 sh -c "
         f"'cat; echo out; echo err >&2; exit 6' {closed}"],
        stdin=subprocess.DEVNULL, capture_output=True, timeout=WAIT_S,
        env={**os.environ, **environment})
    assert done.returncode == 6, done
    shown = berth("logs", name, code=None)
    assert shown.stdout == "out\n" and shown.stderr == "err\n"
    assert inspect(name)["State"]["ExitCode"] == 6


def test_exec_streams(name):
    berth("run", "-d", "--name", name, "rt:1", "sleep", "1000")
    done = berth("exec", name, "sh", "-c", "echo out; echo err >&2; exit 3",
                 code=None)
    assert (done.stdout, done.stderr, done.returncode) == ("out\n", "err\n", 3)
    text = "line\n" * 100_000
    assert berth("exec", "-i", name, "cat", stdin=text) == text
    # Without -i there is no input.
    assert berth("exec", name, "cat", stdin="ignored") == ""
    # Large in both directions at once, which would block two pipes.
    assert berth("exec", "-i", name, "sh", "-c", "cat; cat /bin/busybox | wc "
                 "-c >&2", stdin=text, code=None).stdout == text


def test_exec_never_holds_our_files(name, tmp_path):
    """What is redirected to a file of ours stays out of the container."""
    berth("run", "-d", "--name", name, "rt:1", "sleep", "1000")
    target = tmp_path / "out"
    with open(target, "wb") as out:
        subprocess.run([BERTH, "exec", name, "sh", "-c",
                        "for i in 0 1 2; do readlink /proc/self/fd/$i; done"],
                       stdout=out, stderr=out, check=True,
                       stdin=subprocess.DEVNULL,
                       env={**os.environ, **environment})
    links = target.read_text().split()
    assert links[0] == "/dev/null"
    assert all(link.startswith("pipe:") for link in links[1:])


def test_background_process_of_exec(name):
    """exec ends with its own process, not with what that leaves behind."""
    berth("run", "-d", "--name", name, "rt:1", "sleep", "1000")
    begin = time.monotonic()
    assert berth("exec", name, "sh", "-c", "sleep 500 & echo done") == "done\n"
    assert time.monotonic() - begin < 400


def test_stopped_client_holds_nothing_up(name):
    """Ctrl-Z on a run that writes a lot: stop, logs, rm and wait still work."""
    proc = popen("run", "--name", name, "rt:1", "sh", "-c",
                 "trap 'exit 8' TERM; while :; do echo "
                 "0123456789012345678901234567890123456789; done",
                 stdout=subprocess.PIPE)
    try:
        assert proc.stdout.readline()
        proc.send_signal(signal.SIGSTOP)
        # Until nothing moves: pipe, socket and queue are full.
        seen = -1
        while seen != (seen := len(berth("logs", name))):
            time.sleep(0.2)
        berth("kill", name)
        assert berth("wait", name) == "137\n"
        assert inspect(name)["State"]["ExitCode"] == 137
        assert len(berth("logs", name)) >= seen
        berth("rm", name)
        # Awake again, the client gets all that was written, and the end.
        proc.send_signal(signal.SIGCONT)
        proc.stdout.read()
        assert proc.wait(WAIT_S) == 137
    finally:
        proc.send_signal(signal.SIGCONT)
        end(proc)
