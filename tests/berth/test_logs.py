"""`berth logs`: what comes back, since when, while it is written, and bounds."""

import datetime
import os
import pathlib
import re
import subprocess

import pytest

from containers import (BERTH, berth, end, environment, image,  # noqa: F401
                        in_log, inspect, name, popen, refused, store, wait_for)

pytestmark = pytest.mark.usefixtures("image")

STAMP = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z) (.*)")
# About 1 KiB per line; three files of 10 MiB hold more than 25 MiB of them.
LINES = ("i=0; while [ $i -lt {n} ]; do i=$((i+1)); "
         "echo $i {pad}; done".replace("{pad}", "x" * 1000))


def log_files(name):
    folder = pathlib.Path(inspect(name)["LogPath"]).parent
    return sorted(folder.glob("log*"))


def test_streams(name):
    berth("run", "--name", name, "rt:1", "sh", "-c",
          "echo two >&2")
    done = berth("logs", name, code=None)
    assert done.stdout == "" and done.stderr == "two\n"


def test_tail(name):
    berth("run", "--name", name, "rt:1", "sh", "-c",
          "echo one; echo three; printf rest")
    assert berth("logs", name) == "one\nthree\nrest"
    assert berth("logs", "--tail", "2", name) == "three\nrest"
    assert berth("logs", "-n1", name) == "rest"
    assert berth("logs", "--tail", "0", name) == ""
    assert berth("logs", "--tail", "99", name) == "one\nthree\nrest"
    assert berth("logs", "--tail=-1", name) == "one\nthree\nrest"
    assert berth("logs", "--tail", "all", name) == "one\nthree\nrest"
    assert "--tail" in refused("logs", "--tail", "x", name, code=1)


def test_timestamps_and_since(name):
    berth("run", "--name", name, "rt:1", "sh", "-c",
          "for i in 1 2 3 4; do echo $i; sleep 0.05; done")
    lines = [STAMP.fullmatch(line).groups()
             for line in berth("logs", "-t", name).splitlines()]
    assert [text for _, text in lines] == ["1", "2", "3", "4"]
    stamps = [stamp for stamp, _ in lines]
    assert stamps == sorted(stamps)
    assert berth("logs", "--since", stamps[2], name) == "3\n4\n"
    assert berth("logs", "--until", stamps[1], name) == "1\n2\n"
    assert berth("logs", "--since", stamps[1], "--until", stamps[2],
                 name) == "2\n3\n"
    # The same moment in another zone, and as seconds since 1970.
    third = datetime.datetime.fromisoformat(stamps[2][:26] + "+00:00")
    east = third.astimezone(datetime.timezone(datetime.timedelta(hours=5)))
    assert berth("logs", "--since", east.isoformat(), name) == "3\n4\n"
    assert berth("logs", "--since", f"{third.timestamp():.6f}",
                 name) == "3\n4\n"
    assert berth("logs", "--since", "1h", name) == "1\n2\n3\n4\n"
    assert berth("logs", "--since", "0s", name) == ""
    assert berth("logs", "--since", "1h30m", "--tail", "1", name) == "4\n"
    for bad in ("x", "10x", "2026-99-01", ""):
        assert "--since" in refused("logs", f"--since={bad}", name, code=1)


def test_odd_bytes(name):
    berth("run", "-d", "--name", name, "rt:1", "printf", "a\\000b\\377c\\001\\n")
    berth("wait", name)
    out = subprocess.run([BERTH, "logs", name], capture_output=True,
                         env={**os.environ, **environment})
    assert out.stdout == b"a\0b\xef\xbf\xbdc\x01\n"


def test_follow_until_the_end(name):
    berth("run", "-d", "--name", name, "rt:1", "sh", "-c",
          "echo first; while [ ! -e /tmp/go ]; do sleep 0.02; done; "
          "echo second; exit 4")
    in_log(name, "first")
    follower = popen("logs", "-f", "-t", name, stdout=subprocess.PIPE,
                     text=True)
    try:
        assert follower.stdout.readline().endswith("Z first\n")
        assert follower.poll() is None
        berth("exec", name, "touch", "/tmp/go")
        assert follower.stdout.readline().endswith("Z second\n")
        assert follower.stdout.read() == ""
        assert follower.wait(60) == 0
    finally:
        end(follower)
    assert berth("logs", "-f", name) == "first\nsecond\n"


def test_follow_over_rotations(name):
    """25 MiB while somebody follows: two rotations, and no line is lost."""
    n = 25 << 10
    berth("run", "-d", "--name", name, "rt:1", "sh", "-c",
          LINES.replace("{n}", str(n)))
    follower = popen("logs", "-f", name, stdout=subprocess.PIPE, text=True)
    try:
        got = [int(line.split()[0]) for line in follower.stdout]
        assert follower.wait(60) == 0
    finally:
        end(follower)
    assert got == list(range(1, n + 1))
    assert len(log_files(name)) == 3


def test_size_is_bounded(name):
    """45 MiB: at most three files of 10 MiB stay, and they are the end."""
    n = 45 << 10
    berth("run", "--name", name, "rt:1", "sh", "-c",
          LINES.replace("{n}", str(n)) + " >&2", timeout=300)
    files = log_files(name)
    assert [file.name for file in files] == ["log", "log.1", "log.2"]
    assert all(file.stat().st_size <= 10 << 20 for file in files)
    done = berth("logs", name, code=None)
    got = [int(line.split()[0]) for line in done.stderr.splitlines()]
    assert got == list(range(got[0], n + 1)) and len(got) > 20 << 10
    assert berth("logs", "--tail", "1", name, code=None).stderr.startswith(
        f"{n} ")


def test_reader_that_goes_away(name):
    berth("run", "--name", name, "rt:1", "sh", "-c",
          "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo $i; done")
    reader = popen("logs", name, stdout=subprocess.PIPE, text=True)
    try:
        assert reader.stdout.readline() == "1\n"
        reader.stdout.close()
        wait_for(lambda: reader.poll() is not None, "the end of logs")
    finally:
        end(reader)


def test_unknown_container():
    assert "no such container" in refused("logs", "nothing-here", code=1)


def test_log_goes_on_over_a_second_start(name):
    berth("run", "--name", name, "rt:1", "echo", "again")
    berth("start", "-a", name)
    assert berth("logs", name) == "again\nagain\n"
