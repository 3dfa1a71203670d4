"""kill -9 of the client at random moments: nothing half, nothing left.

Each round starts one command, kills it, its monitor, the container's first
process or all of them after a random part of the time that the command takes,
and then looks at everything that a kill may leave: names in the store, mounts,
cgroups, processes, run folders.  The seed is printed; BERTH_SEED repeats one.
"""

import hashlib
import json
import os
import pathlib
import random
import re
import signal
import subprocess
import time

import pytest

import debian_image
from client_host import BERTH, Host, is_alive, rootfs_tar
from waiting import wait_for
from conftest import VARIANT, Berthd

LONG = bool(os.environ.get("BERTH_LONG"))
ROUNDS = 250 if LONG else 15 if VARIANT == "asan" else 40
BUDGET_S = 1800 if LONG else 35
LOOP = "trap 'exit 3' TERM; echo up; while :; do sleep 0.02; done"


def tree_hash(folder):
    """Names, kinds, modes and contents below a folder."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        st = path.lstat()
        digest.update(f"{path.relative_to(folder)} {st.st_mode:o} "
                      f"{st.st_uid}\n".encode())
        if path.is_symlink():
            digest.update(os.readlink(path).encode())
        elif path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()


def check_names(host):
    """Every name in the store names something whole."""
    for ref in (host.root / "refs").glob("*.json"):
        image = json.loads(ref.read_text())
        named = [image["manifest"], image["config"], *image["blobs"]]
        for digest in (name.removeprefix("sha256:") for name in named):
            data = (host.root / "blobs/sha256" / digest[:2] /
                    digest).read_bytes()
            assert hashlib.sha256(data).hexdigest() == digest, ref
        for chain in image["layers"]:
            layer = host.root / "layers" / chain.removeprefix("sha256:")
            json.loads((layer / "meta.json").read_text())
            now = tree_hash(layer / "fs")
            assert host.trees.setdefault(layer.name, now) == now, layer
    for folder in host.folders():
        record = host.root / "containers" / folder / "record.json"
        if len(folder) == 64 and record.exists():  # not one being made
            json.loads(record.read_text())
            for name in ("upper", "work", "root", "hosts", "hostname",
                         "resolv.conf"):
                assert (record.parent / name).exists(), (folder, name)


def ps_agrees(host):
    """Does ps say what the kernel says?  Not while things change."""
    for short, state in host.containers().items():
        full = [f for f in host.folders() if f.startswith(short)]
        if not full:
            return False
        known = host.state(full[0])
        members = "".join(host.groups().values()).split()
        if state == "running":
            if str(known.get("pid")) not in members:
                return False
            if not is_alive(known["monitor"]) and \
                    "(monitor gone)" not in host.berth("ps"):
                return False
        elif is_alive(known.get("pid", 0)):
            return False
    return True


def check_clean(host):
    """After the next command: only what lives is there."""
    wait_for(lambda: not host.processes(), "processes stay")
    host.note_ids()
    # One more command that takes the lock: it finds whatever is left.
    assert host.berth("run", "--rm", "kill/rt:1", "echo", "ok") == "ok\n"
    wait_for(lambda: not host.processes(), "a monitor stays")
    mounts = pathlib.Path("/proc/self/mountinfo").read_text()
    assert str(host.root) not in mounts and str(host.run) not in mounts
    assert not host.groups()
    assert not host.processes(host.token)
    assert [p.name for p in host.run.iterdir()] == []
    assert host.folders() == []


def remove_containers(host):
    """All of them, by rm -f where they run; some end or begin meanwhile."""
    def none_left():
        for short, state in host.containers().items():
            if state == "running":
                host.berth("logs", short, code=None)
                host.berth("exec", short, "true", code=None)
            host.berth("rm", *(["-f"] if state == "running" else []), short,
                       code=None)
        return not host.containers()
    wait_for(none_left, "a container cannot be removed")


# ---- what is killed ---------------------------------------------------------

def target_pids(host, proc, target):
    """The processes to kill; none yet is fine, the command is then early."""
    if target == "client":
        return [proc.pid]
    everything = host.processes()
    if target == "monitor":
        return [p for p, name in everything.items() if name == "berth-monitor"]
    first = [host.state(f).get("pid") for f in host.folders()]
    if target == "pid1":
        return [p for p in first if p]
    return [*everything, *(p for p in first if p)]


def prepare(host, verb):
    """What must be there before; returns the command."""
    mark = ("-e", host.token)
    if verb == "pull":
        host.berth("rmi", "-f", host.registry + "/kill/three:1", code=None)
        return ["pull", host.registry + "/kill/three:1"]
    if verb == "import":
        return ["import", host.tar, "kill/imported:1"]
    if verb == "load":
        host.berth("rmi", "-f", "kill/loaded:1", code=None)
        return ["load", "-q", "-i", host.archive]
    if verb == "save":
        host.saved.unlink(missing_ok=True)
        return ["save", "-o", host.saved, "kill/rt:1"]
    if verb == "push":
        return ["push", host.registry + "/kill/pushed:1"]
    if verb == "rmi":
        host.berth("tag", "kill/imported:1", "kill/extra:1", code=None)
        return ["rmi", "kill/imported:1"]
    if verb == "run":
        return ["run", *mark, "kill/rt:1", "sh", "-c", "echo x; sleep 0.05"]
    if verb == "run --rm":
        return ["run", "--rm", *mark, "kill/rt:1", "sh", "-c",
                "echo x >/f; sleep 0.05"]
    if verb == "run -d":
        return ["run", "-d", *mark, "kill/rt:1", "sh", "-c", LOOP]
    if verb == "run -d --rm":
        return ["run", "-d", "--rm", *mark, "kill/rt:1", "sh", "-c", LOOP]
    made = host.berth("run", "-d", *mark, "kill/rt:1", "sh", "-c",
                      "exit 4" if verb == "rm" else LOOP).strip()
    if verb == "rm":
        host.berth("wait", made)
    return {"exec": ["exec", made, "sh", "-c", "sleep 0.02; echo x"],
            "stop": ["stop", "-t", "2", made], "rm": ["rm", made],
            "rm -f": ["rm", "-f", made], "start": ["start", made]}[verb]


RUNS = [(verb, target)
        for verb in ("run", "run --rm", "run -d", "run -d --rm")
        for target in ("client", "monitor", "pid1", "all")]
OTHERS = [("pull", "client"), ("pull", "all"), ("import", "client"),
          ("import", "all"), ("load", "client"), ("load", "all"),
          ("save", "client"), ("push", "client"), ("rmi", "client"),
          ("exec", "client"), ("exec", "monitor"), ("exec", "pid1"),
          ("stop", "client"), ("stop", "monitor"), ("rm", "client"),
          ("rm -f", "client"), ("rm -f", "all")]


def duration(host, verb, known):
    if verb not in known:
        command = prepare(host, verb)
        begin = time.monotonic()
        done = host.start(*command)
        text = done.communicate(timeout=120)[0]
        assert done.returncode == 0, (command, text)
        known[verb] = time.monotonic() - begin
        remove_containers(host)
    return known[verb]


def settle(host):
    """After kills: all is well, and nothing stays."""
    # Detached and attached containers go on without their client.
    wait_for(lambda: all(name == "berth-monitor"
                         for name in host.processes().values()),
             "clients stay")
    host.note_ids()
    check_names(host)
    wait_for(lambda: ps_agrees(host), "ps is wrong")
    remove_containers(host)
    check_clean(host)


def one_round(host, rng, verb, target, known):
    limit = duration(host, verb, known)
    command = prepare(host, verb)
    delay = rng.uniform(0, 1.1 * limit)
    proc = host.start(*command)
    time.sleep(delay)  # the moment of the kill is what is tested
    host.note_ids()
    pids = target_pids(host, proc, target)
    rng.shuffle(pids)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    proc.communicate(timeout=120)
    settle(host)
    if verb == "pull":
        host.berth("pull", host.registry + "/kill/three:1")
        check_names(host)
    if verb == "import":
        host.berth("import", host.tar, "kill/imported:1")
    if verb == "load":
        host.berth("load", "-q", "-i", host.archive)
        check_names(host)
    if verb == "save":
        if host.saved.exists():  # then it is whole
            host.berth("load", "-q", "-i", host.saved)
        host.berth("save", "-o", host.saved, "kill/rt:1")
        # At most one part per kill, where there is no O_TMPFILE.
        left = [p.name for p in host.saved.parent.iterdir()]
        assert len(left) <= 1 + host.saves, left
        host.saves += 1
    if verb == "push":
        host.berth("push", host.registry + "/kill/pushed:1")


@pytest.fixture(scope="module")
def host(tmp_path_factory):
    folder = tmp_path_factory.mktemp("kill")
    server = Berthd(folder / "data")
    host = Host(folder)
    host.registry, host.trees = server.host, {}
    host.tar = folder / "rootfs.tar"
    host.tar.write_bytes(rootfs_tar())
    host.berth("import", host.tar, "kill/rt:1")
    host.berth("import", host.tar, "kill/imported:1")
    host.berth("tag", "kill/rt:1", server.host + "/kill/pushed:1")
    host.berth("tag", "kill/rt:1", "kill/loaded:1")
    host.archive = folder / "loaded.tar"
    host.berth("save", "-o", host.archive, "kill/loaded:1")
    (folder / "saved").mkdir()
    host.saved, host.saves = folder / "saved" / "image.tar", 1
    debian_image.write_small(folder / "oci", "three", 3)
    subprocess.run(["skopeo", "copy", "-q", "--dest-tls-verify=false",
                    f"oci:{folder}/oci:image",
                    f"docker://{server.host}/kill/three:1"], check=True)
    yield host
    host.end()
    server.stop()


def test_kills(host):
    seed = os.environ.get("BERTH_SEED") or str(random.randrange(2 ** 32))
    print(f"BERTH_SEED={seed}")
    rng = random.Random(seed)
    known, done = {}, 0
    plan = RUNS + OTHERS
    end = time.monotonic() + BUDGET_S
    while done < ROUNDS and time.monotonic() < end:
        if done % len(plan) == 0:
            rng.shuffle(plan)
        verb, target = plan[done % len(plan)]
        print(f"round {done}: {verb}, kill {target}")
        one_round(host, rng, verb, target, known)
        done += 1
    print(f"{done} rounds")
    assert done >= 8


def strace(host, *options):
    # LeakSanitizer, in the asan variant, cannot work below strace.
    return subprocess.run(
        ["strace", "-f", *map(str, options)], timeout=120,
        env=dict(host.env, ASAN_OPTIONS="detect_leaks=0"),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL)


def calls_of(host, trace, *command):
    """Where the processes of a command can be killed: (system call, how often
    it was made by then), each once."""
    strace(host, "-o", trace, BERTH, *command)
    count, places = {}, set()
    for line in trace.read_text().splitlines():
        found = re.match(r"(\d+) +(\w+)\(", line)
        if found:
            count[found.groups()] = count.get(found.groups(), 0) + 1
            places.add((found[2], count[found.groups()]))
    assert len(places) > 50, places
    return sorted(places)


def test_kills_at_each_call(host, tmp_path):
    """Client, monitor and the container that is being made: every process
    that comes to the N-th call of a kind dies there."""
    seed = os.environ.get("BERTH_SEED") or str(random.randrange(2 ** 32))
    print(f"BERTH_SEED={seed}")
    rng = random.Random(seed)
    program = ["-e", host.token, "kill/rt:1", "sh", "-c"]
    verbs = {"run --rm": ["run", "--rm", *program, "echo x >/f"],
             "run": ["run", *program, "echo x >/f"], "rm -f": ["rm", "-f"]}
    for verb, command in verbs.items():
        def target():
            return [host.berth("run", "-d", *program, LOOP).strip()
                    ] if verb == "rm -f" else []
        places = calls_of(host, tmp_path / "trace", *command, *target())
        settle(host)
        few = 3 if VARIANT == "asan" else 8
        killed = 0
        for name, count in places if LONG else rng.sample(places, few):
            print(f"{verb}: call {count} of {name}")
            done = strace(host, "-o", tmp_path / "trace", "-e",
                          f"inject={name}:signal=KILL:when={count}", BERTH,
                          *command, *target())
            killed += "killed by SIGKILL" in (tmp_path / "trace").read_text()
            settle(host)
        assert killed > 0, done


def test_the_last_sweep_leaves_nothing(host):
    for line in host.berth("images").splitlines()[1:]:
        name, tag = line.split()[:2]
        host.berth("rmi", "-f", f"{name}:{tag}")
    left = {str(p.relative_to(host.root))
            for part in ("refs", "layers", "containers", "scratch", "trash")
            for p in (host.root / part).iterdir()}
    left |= {str(p) for p in (host.root / "blobs").rglob("*") if p.is_file()}
    assert left == set()
