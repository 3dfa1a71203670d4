"""berthd as a process: start, stop, lock, restart, configuration."""

import os
import re
import signal
import sqlite3
import subprocess
import time

import pytest

from conftest import BUILD, TOP, Berthd, free_port
from rawhttp import sha256
from waiting import wait_for

BERTHD = str(BUILD / "berthd")


def run(*args, timeout=60):
    return subprocess.run([BERTHD, *args], capture_output=True, text=True,
                          timeout=timeout, stdin=subprocess.DEVNULL)


def test_help_and_version():
    assert "Usage: berthd" in run("--help").stdout
    version = run("--version").stdout
    for name in ("berthd ", "libevent ", "OpenSSL ", "SQLite ", "jansson "):
        assert name in version


@pytest.mark.parametrize("args, word", [
    (["--nonsense"], "unknown option --nonsense"),
    (["frobnicate"], "unknown command frobnicate"),
    (["--listen"], "--listen needs a value"),
    (["--log-level", "loud"], "loud"),
    (["--config", "/nonexistent"], "/nonexistent"),
])
def test_bad_arguments(args, word):
    done = run(*args)
    assert done.returncode == 2
    assert word in done.stderr


def test_example_configuration_is_valid():
    done = run("check-config", str(TOP / "registry.conf.example"))
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("text, word", [
    ("colour = blue\n", ":1"),
    ("read-only = true\n\nread-only = false\n", ":3"),
    ("log-level = \n", ":2"),
    ("upload-ttl = -5\n", "upload-ttl"),
    ("upload-ttl = soon\n", "1"),
    ('log-level = "loud"\n', "loud"),
    ('listen = {"127.0.0.1:5000", "localhost:5000"}\n', "localhost:5000"),
    ('listen = {"127.0.0.1:70000"}\n', "70000"),
    ("\nread-only = true read-only = false\n", ":2: read-only was given on line 2"),
    ('/* x\n */ listen={}\nlog-level = "\\"\n" listen\n+=\n{}\n',
     ":4: listen was given on line 2"),
])
def test_bad_configuration(tmp_path, text, word):
    path = tmp_path / "r.conf"
    path.write_text(text)
    done = run("check-config", str(path))
    assert done.returncode == 2
    assert str(path) in done.stderr and word in done.stderr, done.stderr


@pytest.mark.parametrize("text", [
    "read-only = true # read-only = true\n// read-only = true\n",
    "/* read-only = true\n*/ read-only = true",
    'log-file = "read-only = true"\nread-only = true\nroot = \'read-only=\'\n',
    "allow-delete = true read-only = true\n",
])
def test_good_configuration(tmp_path, text):
    """A key in a comment or a string is none, so it is not given twice."""
    path = tmp_path / "r.conf"
    path.write_text(text)
    done = run("check-config", str(path))
    assert done.returncode == 0, done.stderr


def test_open_address_needs_a_word(tmp_path):
    done = run("--listen", "0.0.0.0:0", "--root", str(tmp_path / "d"))
    assert done.returncode == 1
    assert "--allow-anonymous" in done.stderr
    server = Berthd(tmp_path / "d", "--allow-anonymous", listen="0.0.0.0:0")
    server.stop()


def test_port_in_use_is_named(tmp_path, berthd):
    done = run("--listen", berthd.host, "--root", str(tmp_path / "other"))
    assert done.returncode == 1
    assert berthd.host in done.stderr


def test_second_owner_is_refused(berthd):
    done = run("--listen", "127.0.0.1:0", "--root", str(berthd.root))
    assert done.returncode == 1
    assert f"pid {berthd.proc.pid}" in done.stderr
    assert berthd.client()("GET", "/v2/").status == 200


def test_too_few_descriptors_are_told_at_the_start(tmp_path):
    """Ready means that every worker can read the index."""
    done = subprocess.run(
        ["prlimit", "--nofile=24:24", BERTHD, "serve", "--listen",
         "127.0.0.1:0", "--root", str(tmp_path / "d")], timeout=60,
        capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 1 and " ready: " not in done.stderr
    assert "start worker thread: index: " in done.stderr


def test_unsafe_folder_is_refused(tmp_path):
    root = tmp_path / "d"
    root.mkdir()
    root.chmod(0o777)
    done = run("--listen", "127.0.0.1:0", "--root", str(root))
    assert done.returncode == 1 and "writable" in done.stderr


def test_configuration_file_is_used(tmp_path):
    port = free_port()
    path = tmp_path / "r.conf"
    path.write_text(f'listen = {{"127.0.0.1:{port}"}}\n'
                    f'root = "{tmp_path}/data"\n'
                    f'log-file = "{tmp_path}/log"\nread-only = true\n')
    server = Berthd(tmp_path / "data", "--config", str(path), listen=None)
    assert server.port == port
    http = server.client()
    refused = http("POST", "/v2/a/blobs/uploads/", b"")
    assert (refused.status, refused.code) == (405, "UNSUPPORTED")
    assert http("GET", "/v2/_catalog").status == 200
    http.close()
    os.rename(tmp_path / "log", tmp_path / "log.1")
    server.proc.send_signal(signal.SIGHUP)
    wait_for((tmp_path / "log").exists)
    server.stop()
    line = (tmp_path / "log.1").read_text()
    assert re.search(r'"POST /v2/a/blobs/uploads/" 405 sent=\d+', line), line


def test_access_log_escapes(berthd):
    http = berthd.client()
    http("GET", "/v2/%0a%1b[31m/tags/list", None,
         {"User-Agent": 'x"\xff\x80'})
    http.close()
    berthd.proc.send_signal(signal.SIGHUP)
    http("GET", "/v2/")
    wait_for(lambda: any('"GET /v2/"' in line for line in berthd.log))
    text = berthd.text()
    assert "\x1b" not in text and 'x\\x22\\xff\\x80' in text


def test_restart_keeps_everything(tmp_path):
    server = Berthd(tmp_path / "data")
    http = server.client()
    data, digest = http.push_image("a/b", "v1", [b"one", b"two"])
    where = http.begin("a/b")
    part = bytes(700000)
    assert http("PATCH", where, part).status == 202
    http.close()
    server.stop()
    server = Berthd(tmp_path / "data")
    http = server.client()
    assert http("GET", "/v2/a/b/manifests/v1").body == data
    assert http("GET", f"/v2/a/b/blobs/{sha256(b'one')}").body == b"one"
    status = http("GET", where)
    assert (status.status, status["range"]) == (204, f"0-{len(part) - 1}")
    rest = b"rest"
    assert http("PATCH", where, rest).status == 202
    done = http("PUT", f"{where}?digest={sha256(part + rest)}", b"")
    assert done.status == 201
    assert http("GET", done["location"]).body == part + rest
    http.close()
    server.stop()


def test_stop_finishes_what_runs(tmp_path):
    server = Berthd(tmp_path / "data")
    http = server.client()
    where = http.begin("a")
    http.send(f"PUT {where}?digest={sha256(b'1234567890')} HTTP/1.1\r\n"
              "Host: x\r\nExpect: 100-continue\r\n"
              "Content-Length: 10\r\n\r\n".encode())
    assert http._line() == "HTTP/1.1 100 Continue"
    assert http._line() == ""
    server.proc.send_signal(signal.SIGTERM)
    wait_for(lambda: any("stopping" in line for line in server.log))
    http.send(b"1234567890")
    answer = http.read("PUT")
    assert (answer.status, answer["connection"]) == (201, "close")
    http.close()
    server.stop()


def test_uploads_expire(tmp_path):
    conf = tmp_path / "r.conf"
    conf.write_text("upload-ttl = 1\nupload-idle = 1\n")
    server = Berthd(tmp_path / "data", "--config", str(conf))
    http = server.client()
    where = http.begin("a")
    assert http("PATCH", where, b"bytes").status == 202
    http.close()
    server.kill()
    left = list((tmp_path / "data" / "uploads").iterdir())
    assert len(left) == 1
    wait_for(lambda: time.time() >= left[0].stat().st_mtime + 2)
    server = Berthd(tmp_path / "data", "--config", str(conf))
    http = server.client()
    wait_for(lambda: http("GET", where).status == 404)
    wait_for(lambda: not list((tmp_path / "data" / "uploads").iterdir()))
    http.close()
    server.stop()


def test_deleted_blob_frees_its_file(tmp_path):
    conf = tmp_path / "r.conf"
    conf.write_text("delete-delay = 0\n")
    berthd = Berthd(tmp_path / "data", "--config", str(conf))
    http = berthd.client()
    digest = http.push_blob("a", b"bytes on disk")
    name = digest.split(":")[1]
    path = berthd.root / "blobs" / "sha256" / name[:2] / name
    assert path.read_bytes() == b"bytes on disk"
    assert http("DELETE", f"/v2/a/blobs/{digest}").status == 202
    wait_for(lambda: not path.exists())
    http.close()
    berthd.stop()


def test_locked_index(berthd):
    """An administrator's transaction: a write comes back later, that is all;
    a delete does not say that the blob is in use."""
    http = berthd.client()
    digest = http.push_blob("a", b"blob")
    db = sqlite3.connect(berthd.root / "index.db", isolation_level=None)
    db.execute("BEGIN IMMEDIATE")
    answer = http("DELETE", f"/v2/a/blobs/{digest}")
    assert (answer.status, answer["retry-after"]) == (503, "5")
    assert http("HEAD", f"/v2/a/blobs/{digest}").status == 200
    db.execute("ROLLBACK")
    db.close()
    assert http("DELETE", f"/v2/a/blobs/{digest}").status == 202
    http.close()
