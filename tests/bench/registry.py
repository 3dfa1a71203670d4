#!/usr/bin/python3
"""Compare registries on this machine: CPU time per operation, wall, memory.

    tests/bench/registry.py [--rounds N] [--size MIB] NAME=COMMAND...

COMMAND is a shell command that serves on port {port} with its data in {dir},
for example

    tests/bench/registry.py \\
        berthd='build/berthd serve --listen 127.0.0.1:{port} --root {dir}' \\
        distribution='tests/bench/distribution {port} {dir}'

Rounds alternate between the servers, so that a noisy neighbour hits all of
them.  The figures are medians over rounds: the server's own CPU time (user +
system, all its processes' threads, from /proc) per operation, and the wall
time seen by one client.  The last columns are ratios to the first server.
"""

import argparse
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

TICK = os.sysconf("SC_CLK_TCK")
MANIFEST = "application/vnd.oci.image.manifest.v1+json"


class Server:
    """One running registry and a keep-alive connection to it."""

    def __init__(self, name, command):
        self.name = name
        self.dir = tempfile.mkdtemp(prefix=f"berth-bench-{name}-")
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            self.port = sock.getsockname()[1]
        line = command.format(port=self.port, dir=self.dir)
        self.log = open(pathlib.Path(self.dir).with_suffix(".log"), "wb")
        self.proc = subprocess.Popen(["sh", "-c", "exec " + line],
                                     stdout=self.log, stderr=self.log)
        self.conn = None
        self.wait()

    def wait(self):
        end = time.monotonic() + 20
        while True:
            try:
                if self.call("GET", "/v2/")[0] == 200:
                    return
            except OSError:
                self.conn = None
            if time.monotonic() > end or self.proc.poll() is not None:
                raise SystemExit(f"{self.name} did not start; see "
                                 f"{self.log.name}")
            time.sleep(0.05)

    def call(self, method, path, body=None, headers=None):
        if self.conn is None:
            self.conn = http.client.HTTPConnection("127.0.0.1", self.port)
        self.conn.request(method, path, body, headers or {})
        answer = self.conn.getresponse()
        size = 0
        while chunk := answer.read(1 << 20):
            size += len(chunk)
        return answer.status, answer.headers, size

    def cpu(self):
        text = pathlib.Path(f"/proc/{self.proc.pid}/stat").read_text()
        fields = text.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICK

    def rss_mib(self, key):
        for line in open(f"/proc/{self.proc.pid}/status"):
            if line.startswith(key + ":"):
                return int(line.split()[1]) / 1024
        return 0

    def stop(self):
        self.proc.send_signal(signal.SIGTERM)
        try:
            self.proc.wait(20)
        except subprocess.TimeoutExpired:
            self.proc.kill()
            self.proc.wait()
        self.log.close()
        os.unlink(self.log.name)
        shutil.rmtree(self.dir)


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def put_blob(server, repo, data, digest):
    """POST, PATCH, PUT as docker does."""
    status, headers, _ = server.call("POST", f"/v2/{repo}/blobs/uploads/", b"")
    assert status == 202, status
    where = headers["Location"]
    where = where[where.index("/v2/"):]
    status, headers, _ = server.call(
        "PATCH", where, data, {"Content-Type": "application/octet-stream"})
    assert status == 202, status
    where = headers["Location"]
    where = where[where.index("/v2/"):]
    glue = "&" if "?" in where else "?"
    status, _, _ = server.call("PUT", f"{where}{glue}digest={digest}", b"")
    assert status == 201, status


def small_push(server, repo, number):
    """A config blob and a manifest under a tag of its own."""
    config = json.dumps({"os": "linux", "n": number, "s": server.dir}).encode()
    put_blob(server, repo, config, digest_of(config))
    manifest = json.dumps({
        "schemaVersion": 2, "mediaType": MANIFEST, "layers": [],
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                   "digest": digest_of(config), "size": len(config)}}).encode()
    status, _, _ = server.call("PUT", f"/v2/{repo}/manifests/t{number}",
                               manifest, {"Content-Type": MANIFEST})
    assert status == 201, status


def measure(server, count, action):
    cpu, wall = server.cpu(), time.monotonic()
    for number in range(count):
        action(number)
    return ((server.cpu() - cpu) / count * 1e3,
            (time.monotonic() - wall) / count * 1e3)


def one_round(server, turn, size):
    """Every measurement once; returns {operation: (cpu ms, wall ms)}."""
    big = os.urandom(1 << 20) * size
    name = digest_of(big)
    base = turn * 100000
    out = {}
    out[f"push blob {size} MiB"] = measure(
        server, 1, lambda n: put_blob(server, "bench/big", big, name))
    out[f"pull blob {size} MiB"] = measure(
        server, 4, lambda n: server.call("GET", f"/v2/bench/big/blobs/{name}"))
    out["push small image"] = measure(
        server, 100, lambda n: small_push(server, "bench/small", base + n))
    out["get manifest by tag"] = measure(
        server, 2000, lambda n: server.call(
            "GET", f"/v2/bench/small/manifests/t{base + n % 100}", None,
            {"Accept": MANIFEST}))
    out["list tags n=100"] = measure(
        server, 200, lambda n: server.call(
            "GET", "/v2/bench/small/tags/list?n=100"))
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("servers", nargs="+", metavar="NAME=COMMAND")
    args = parser.parse_args()
    servers = [Server(*s.split("=", 1)) for s in args.servers]
    idle = [s.rss_mib("VmRSS") for s in servers]
    rounds = {s.name: [] for s in servers}
    try:
        for turn in range(args.rounds):
            for server in servers:
                rounds[server.name].append(one_round(server, turn, args.size))
        peak = [s.rss_mib("VmHWM") for s in servers]
    finally:
        for server in servers:
            server.stop()
    print(f"{'':24}" + "".join(f"{s.name + ' cpu/wall ms':>28}"
                                for s in servers))
    for row in rounds[servers[0].name][0]:
        cells, first = [], None
        for server in servers:
            cpu = statistics.median(r[row][0] for r in rounds[server.name])
            wall = statistics.median(r[row][1] for r in rounds[server.name])
            first = first or (cpu, wall)
            ratio = f" x{cpu / first[0]:.1f}" if first[0] else ""
            cells.append(f"{cpu:.3f} / {wall:.3f}{ratio}")
        print(f"{row:24}" + "".join(f"{c:>28}" for c in cells))
    print(f"{'idle / peak RSS MiB':24}" + "".join(
        f"{f'{i:.1f} / {p:.1f}':>28}" for i, p in zip(idle, peak)))


if __name__ == "__main__":
    main()
