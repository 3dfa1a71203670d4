#!/usr/bin/python3
"""Compare container programs on this machine: time of a run, of an exec, and
the memory of what stays with a container.

    tests/bench/run.py [--rounds N] [--build build] [--only NAME,NAME...]

Every round runs each contender once, so that a noisy neighbour hits all of
them: `run --rm IMAGE true` without a network, and `exec ... true` in a
container that runs.  Contenders that are not installed, or cannot work here,
are named and left out.  Times are wall milliseconds: least, median and the
ninth tenth.  Memory is that of the monitor process (conmon for podman):
private pages that were written to, and its share of all (PSS).
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

TOP = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOP / "tests"))
# Debian 12's crun takes no hybrid cgroup tree; the others get the same view.
V1_ONLY = ["unshare", "-m", "sh", "-c",
           'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"', "sh"]


def call(*command, env=None):
    done = subprocess.run([str(c) for c in command], env=env, text=True,
                          stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))}: {done.stderr}")
    return done.stdout.strip()


class Contender:
    env = None
    wrapper = []

    def timed(self, *command):
        begin = time.perf_counter()
        call(*command, env=self.env)
        return (time.perf_counter() - begin) * 1000

    def monitor(self):
        return None


class Berth(Contender):
    def __init__(self, name, folder, tar, build):
        self.program = str(build / "berth")
        self.env = dict(os.environ, BERTH_ROOT=f"{folder}/{name}",
                        BERTH_RUN=f"/dev/shm/berth-bench-{os.getpid()}")
        call(self.program, "import", tar, "bench:1", env=self.env)
        self.id = call(self.program, "run", "-d", "bench:1", "sleep", "100000",
                       env=self.env)

    def run(self):
        return self.timed(self.program, "run", "--rm", "bench:1", "true")

    def exec(self):
        return self.timed(self.program, "exec", self.id, "true")

    def monitor(self):
        path = pathlib.Path(self.env["BERTH_RUN"]) / self.id / "state.json"
        return json.loads(path.read_text())["monitor"]

    def stop(self):
        call(self.program, "rm", "-f", self.id, env=self.env)
        shutil.rmtree(self.env["BERTH_RUN"], ignore_errors=True)


class Runtime(Contender):
    """crun or runc on a bundle: no image, no storage, no log, no monitor."""

    def __init__(self, name, folder, tar, _build):
        self.wrapper = V1_ONLY
        self.base = [*V1_ONLY, name, "--root", f"{folder}/{name}-state"]
        self.bundles = [f"{folder}/{name}-{n}" for n in (1, 2)]
        for bundle, args in zip(self.bundles, (["true"], ["sleep", "100000"])):
            os.makedirs(f"{bundle}/rootfs")
            call("tar", "-C", f"{bundle}/rootfs", "-xf", tar)
            call("sh", "-c", f"cd {bundle} && {name} spec")
            spec = json.loads(pathlib.Path(bundle, "config.json").read_text())
            spec["process"].update(args=args, terminal=False, rlimits=[])
            pathlib.Path(bundle, "config.json").write_text(json.dumps(spec))
        self.id = f"berth-bench-{os.getpid()}"
        self.count = 0
        call("sh", "-c", 'exec "$@" >/dev/null 2>&1', "sh", *self.base, "run",
             "-d", "-b", self.bundles[1], self.id)

    def run(self):
        self.count += 1
        return self.timed(*self.base, "run", "-b", self.bundles[0],
                          f"{self.id}-{self.count}")

    def exec(self):
        return self.timed(*self.base, "exec", self.id, "true")

    def stop(self):
        call(*self.base, "delete", "-f", self.id)


class Podman(Contender):
    def __init__(self, name, folder, tar, _build):
        runtime = name.partition("+")[2]
        self.base = [*V1_ONLY, "podman", "--root", f"{folder}/{name}/root",
                     "--runroot", f"{folder}/{name}/run", "--runtime", runtime,
                     "--cgroup-manager", "cgroupfs", "--storage-driver",
                     "overlay"]
        self.flags = ["--network", "none", "--ulimit", "nofile=1000:1000",
                      "--ulimit", "nproc=1000:1000"]
        call(*self.base, "import", tar, "bench:1")
        self.id = call(*self.base, "run", "-d", *self.flags, "bench:1",
                       "sleep", "100000")

    def run(self):
        return self.timed(*self.base, "run", "--rm", *self.flags, "bench:1",
                          "true")

    def exec(self):
        return self.timed(*self.base, "exec", self.id, "true")

    def monitor(self):
        return int(call(*self.base, "inspect", "-f", "{{.State.ConmonPid}}",
                        self.id))

    def stop(self):
        call(*self.base, "rm", "-f", "-t", "0", self.id)


KINDS = {"berth": Berth, "crun": Runtime, "runc": Runtime,
         "podman+crun": Podman, "podman+runc": Podman}


def memory_kib(pid):
    if pid is None:
        return "-", "-"
    rows = dict(line.split(":", 1) for line in pathlib.Path(
        f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return tuple(rows[key].split()[0] for key in ("Private_Dirty", "Pss"))


def summary(times):
    times = sorted(times)
    return "%7.1f %7.1f %7.1f" % (times[0], times[len(times) // 2],
                                  times[len(times) * 9 // 10])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--build", default="build")
    parser.add_argument("--only", default=",".join(KINDS))
    args = parser.parse_args()
    build = (TOP / args.build).resolve()
    os.environ["BERTH_BUILD"] = str(build)
    from client_host import rootfs_tar
    folder = tempfile.mkdtemp(prefix="berth-bench-run-")
    tar = pathlib.Path(folder, "rootfs.tar")
    tar.write_bytes(rootfs_tar())
    there, runs, execs = {}, {}, {}
    try:
        for name in args.only.split(","):
            try:
                there[name] = KINDS[name](name, folder, tar, build)
                runs[name], execs[name] = [], []
                there[name].run()
            except (OSError, RuntimeError) as why:
                there.pop(name, None)
                print(f"{name}: left out: {str(why).strip()[:300]}")
        for _ in range(args.rounds):
            for name, contender in there.items():
                runs[name].append(contender.run())
                execs[name].append(contender.exec())
        print(f"{'ms: least, median, 9/10':23}{'run --rm':>23}{'exec':>24}"
              f"{'private KiB':>14}{'PSS':>7}")
        for name, contender in there.items():
            private, pss = memory_kib(contender.monitor())
            print(f"{name:23}{summary(runs[name])} {summary(execs[name])}"
                  f"{private:>14}{pss:>7}")
    finally:
        for contender in there.values():
            contender.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
