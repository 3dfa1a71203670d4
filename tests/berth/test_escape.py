"""Known ways out of a container, one row each, named by what went wrong
elsewhere.  Whatever a row tries, the host stays as it was."""

import fcntl
import hashlib
import os
import pathlib
import pty
import socket
import stat
import subprocess
import termios

import pytest

from client_host import BERTH, Host, rootfs_tar
from waiting import wait_for

PROBE = pathlib.Path(__file__).with_name("escape_probe.c")
PASSWD = b"root:x:0:0::/root:/bin/sh\napp:x:1000:1000::/:/bin/sh\n"
GROUP = b"root:x:0:\napp:x:1000:\nextra:x:2000:app\n"


class Escape(Host):
    """Images that attack, made when they are first wanted."""

    def __init__(self, folder):
        super().__init__(folder)
        self.canary = folder / "canary"
        self.canary.mkdir(0o700)
        (self.canary / "file").write_text("of the host\n")
        binary = folder / "probe"
        subprocess.run(["gcc", "-O1", "-static", "-D_GNU_SOURCE", "-o", binary,
                        PROBE], check=True)
        self.base = [("probe", binary.read_bytes(), 0o755),
                     ("etc/passwd", PASSWD, 0o644),
                     ("etc/group", GROUP, 0o644)]
        self.made = {}

    def image(self, files=(), links=(), changes=()):
        key = repr((files, links, changes))
        if key in self.made:
            return self.made[key]
        replaced = {name for name, *_ in (*files, *links)}
        keep = [f for f in self.base if f[0] not in replaced]
        path = self.root.parent / "image.tar"
        path.write_bytes(rootfs_tar([*keep, *files], links))
        name = self.made[key] = f"escape:{len(self.made)}"
        flags = [arg for change in changes for arg in ("--change", change)]
        self.berth("import", *flags, path, name)
        return name

    def go(self, image, *args, flags=(), **options):
        return subprocess.run(
            [BERTH, "run", "--rm", *flags, image, *args], env=self.env,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, timeout=60, **options)

    def background(self, image, *args, flags=()):
        return self.berth("run", "-d", *flags, image, *args).strip()

    def exec(self, container, *args, **options):
        return subprocess.run(
            [BERTH, "exec", *args[:-1], container, *args[-1]], env=self.env,
            **{"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE,
               "stderr": subprocess.PIPE, "text": True, "timeout": 60,
               **options})


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    host = Escape(tmp_path_factory.mktemp("escape"))
    yield host
    host.end()


def outside(host):
    """What no container may change."""
    devices = [os.stat("/dev/" + name) for name in ("null", "zero", "tty")]
    files = [pathlib.Path(p).read_bytes() for p in (
        "/etc/hosts", "/etc/passwd", "/proc/sys/kernel/core_pattern", BERTH)]
    return ([(d.st_mode, d.st_uid, d.st_gid, d.st_rdev) for d in devices],
            [hashlib.sha256(data).hexdigest() for data in files],
            [(p.name, p.lstat().st_mode, p.lstat().st_mtime_ns)
             for p in sorted(host.canary.rglob("*"))],
            host.canary.stat().st_mode, host.canary.stat().st_mtime_ns,
            (host.canary / "file").read_text())


@pytest.fixture
def host(made):
    before = outside(made)
    yield made
    made.remove_containers()
    assert outside(made) == before
    mounts = pathlib.Path("/proc/self/mountinfo").read_text()
    assert str(made.root.parent) not in mounts


def refused(done):
    assert done.returncode == 125, done
    return done.stderr


# ---- system calls and kernel files ------------------------------------------

CALLS = {
    **dict.fromkeys(
        "mount bind remount cgroup umount fsopen open_tree move_mount "
        "pivot_root unshare-user unshare-mnt unshare-net clone-user setns "
        "keyctl add_key bpf perf userfaultfd io_uring by-handle init_module "
        "kexec reboot swapon settime iopl acct syslog".split(),
        {"EPERM", "ENOSYS"}),
    **dict.fromkeys(("mem", "kmsg", "disk"), {"EPERM", "EACCES"}),
    "clone3": {"ENOSYS"},
    **dict.fromkeys("core_pattern modprobe uevent notify procs release_agent "
                    "sysrq oom_adj".split(),
                    {"EROFS", "EACCES", "ENOENT", "EPERM"})}


def results(text):
    return dict(line.split() for line in text.splitlines())


@pytest.mark.parametrize("flags", [(), ("-u", "1000"),
                                   ("--network", "host")])
def test_system_calls(host, flags):
    """CVE-2022-0492 (release_agent), CVE-2022-0185 (fsopen) and their kind."""
    got = results(host.go(host.image(), "/probe", "calls",
                           flags=flags).stdout)
    assert set(got) == set(CALLS)
    bad = {name: got[name] for name in CALLS if got[name] not in CALLS[name]}
    assert not bad


def test_devices_need_the_list_too(host):
    """With MKNOD a node can be made, and still not be opened."""
    got = results(host.go(host.image(), "/probe", "calls",
                           flags=["--cap-add", "MKNOD"]).stdout)
    assert got["mem"] == got["kmsg"] == "EPERM" and got["disk"] == "ok"


def test_abstract_sockets(host):
    """CVE-2020-15257: the shim's socket reached from a container."""
    with socket.socket(socket.AF_UNIX) as listener:
        name = f"berth-escape-{os.getpid()}"
        listener.bind("\0" + name)
        listener.listen()
        got = host.go(host.image(), "/probe", "abstract", name).stdout
    assert got == "abstract ECONNREFUSED\n"


def test_inheritable_capabilities(host):
    """CVE-2022-24769: those of the caller do not reach a container."""
    env = host.env
    caller = ["setpriv", "--inh-caps", "+chown,+sys_admin", BERTH]
    text = subprocess.run(
        [*caller, "run", "--rm", host.image(), "grep", "Cap",
         "/proc/self/status"], env=env, capture_output=True, text=True).stdout
    container = host.background(host.image(), "sleep", "1000")
    text += subprocess.run(
        [*caller, "exec", container, "grep", "Cap", "/proc/self/status"],
        env=env, capture_output=True, text=True).stdout
    assert text.count("CapInh:\t0000000000000000") == 2
    assert text.count("CapAmb:\t0000000000000000") == 2
    assert text.count("CapEff:\t00000000800405fb") == 2


def test_groups(host):
    """CVE-2022-36109 and -2989: the caller's groups, or none at all."""
    groups = os.getgroups()
    os.setgroups([4242])
    try:
        one = host.go(host.image(), "id", "-G", flags=["-u", "app"]).stdout
        two = host.go(host.image(), "id", "-G", flags=["-u", "77"]).stdout
        three = host.go(host.image(), "grep", "Groups",
                         "/proc/self/status").stdout
    finally:
        os.setgroups(groups)
    assert sorted(one.split()) == ["1000", "2000"]
    assert two.split() == ["0"] and three.split() == ["Groups:", "0"]


# ---- streams, descriptors, working directory --------------------------------

def test_streams_are_not_the_callers(host, tmp_path):
    """A terminal or file that a process can reopen by /proc/self/fd; and the
    host's /dev/null, whose owner and mode root in a container changed."""
    container = host.background(host.image(), "sleep", "1000")
    log = tmp_path / "log"
    master, slave = pty.openpty()
    for verb in (["run", "--rm", "-i", host.image()],
                 ["run", "--rm", host.image()], ["exec", container],
                 ["exec", "-i", container]):
        with open(log, "w") as out:
            subprocess.run([BERTH, *verb, "/probe", "streams"], env=host.env,
                           stdin=slave, stdout=out, stderr=out, timeout=60)
        text = log.read_text()
        assert "tiocsti" in text and "tiocsti ok" not in text, text
        assert "terminal" not in text and "file" not in text, text
        subprocess.run([BERTH, *verb, "/probe", "streams"], env=host.env,
                       stdin=slave, stdout=slave, stderr=slave, timeout=60)
        text = os.read(master, 4096).decode()
        assert "terminal" not in text and "file" not in text, text
    os.close(slave)
    os.close(master)


def test_descriptors(host):
    """CVE-2024-21626: none but 0, 1 and 2, also of a caller who leaks his."""
    leaked = os.open(host.canary, os.O_RDONLY)
    os.set_inheritable(leaked, True)
    try:
        text = host.go(host.image(), "sh", "-c", "ls -l /proc/self/fd",
                        pass_fds=[leaked]).stdout
        container = host.background(host.image(), "sleep", "1000")
        text += host.exec(container, ["sh", "-c", "ls -l /proc/self/fd"],
                          pass_fds=[leaked]).stdout
    finally:
        os.close(leaked)
    assert "canary" not in text and text.count(" 2 -> ") == 2
    # 3 is the folder that ls itself reads.
    assert not [n for n in range(4, 100) if f" {n} -> " in text]


@pytest.mark.parametrize("how", ["run", "exec", "image"])
def test_working_directory(host, how):
    """CVE-2024-21626: a folder of the host by its descriptor."""
    container = host.background(host.image(), "sleep", "1000")
    for n in (*range(3, 11), 255):
        path = f"/proc/self/fd/{n}"
        if how == "run":
            done = host.go(host.image(), "pwd", flags=["-w", path])
        elif how == "exec":
            done = host.exec(container, "-w", path, ["pwd"])
        elif n < 6:
            done = host.go(host.image(changes=(f"WORKDIR {path}",)), "pwd")
        assert done.returncode == 125, done


def test_pid_1_tells_nothing(host):
    """Command line and environment of berth, with --init and SYS_PTRACE."""
    host.env["HOST_SECRET"] = "of-the-host"
    try:
        for flags in ((), ("--init",), ("--init", "--cap-add", "SYS_PTRACE")):
            text = host.go(
                host.image(), "sh", "-c", "cat /proc/1/cmdline "
                "/proc/1/environ; ls -l /proc/1/fd /proc/1/cwd",
                flags=[*flags, "-e", "GIVEN=yes"]).stdout
            assert "of-the-host" not in text and "HOST_SECRET" not in text
            assert str(host.root.parent) not in text
            if "--init" in flags:
                assert "berth-init" in text and "GIVEN" not in text
    finally:
        del host.env["HOST_SECRET"]


# ---- the program itself -----------------------------------------------------

def test_program_of_the_host(host):
    """CVE-2019-5736: /proc/self/exe, as a command and as an interpreter, run
    and entered, while a process inside tries to write to it."""
    image = host.image(files=(("evil", b"#!/proc/self/exe\n", 0o755),
                              ("bin/replaced", b"#!/proc/self/exe\n", 0o755)))
    for command in ("/proc/self/exe", "/evil"):
        host.go(image, command, "version")
    container = host.background(image, "/probe", "programs",
                                flags=["--cap-add", "SYS_PTRACE"])
    wait_for(lambda: "ready" in host.berth("logs", container),
             "the probe does not run")

    def attack():
        for command in ("/proc/self/exe", "/evil", "replaced"):
            host.exec(container, [command, "version"])
        return "writable" in host.berth("logs", container)
    wait_for(attack, "the probe saw no program of ours")
    assert "writable 0\n" in host.berth("logs", container)


def test_exec_into_a_hostile_container(host):
    """CVE-2019-14271: nothing of the container is loaded by the host."""
    image = host.image(
        files=(("etc/nsswitch.conf", b"passwd: evil\ngroup: evil\n", 0o644),
               ("etc/ld.so.preload", b"/evil.so\n", 0o644),
               ("evil.so", b"\x7fELF garbage", 0o755)),
        changes=("ENV LD_PRELOAD=/evil.so", "ENV PATH=/bin"))
    container = host.background(image, "sh", "-c",
                                "rm /bin/cat; ln -s /proc/self/exe /bin/cat; "
                                "rm /etc/passwd; ln -s /proc/1/mem "
                                "/etc/passwd; echo ready; exec sleep 1000")
    wait_for(lambda: "ready" in host.berth("logs", container), "no start")
    assert host.exec(container, ["id", "-u"]).returncode == 125  # no passwd
    host.exec(container, "-u", "0", ["cat", "/etc/shadow"])
    host.exec(container, "-u", "app", ["id"])


@pytest.mark.parametrize("flags", [[], ["-t"], ["-u", "app", "-w", "/tmp"]])
def test_exec_gives_up_before_it_is_seen(host, tmp_path, flags):
    """Whoever has SYS_PTRACE inside could take over a process that enters:
    what is visible there has no right and no descriptor left to give up."""
    container = host.background(host.image(), "sleep", "1000")
    trace = tmp_path / "trace"
    # LeakSanitizer, in the asan variant, cannot work below strace.
    subprocess.run(["strace", "-f", "-o", trace, BERTH, "exec", *flags,
                    container, "/bin/true"], check=True, timeout=60,
                   env=dict(host.env, ASAN_OPTIONS="detect_leaks=0"),
                   stdin=subprocess.DEVNULL)
    calls = {}  # of each process, up to the program
    for line in trace.read_text().splitlines():
        pid, call = line.split(maxsplit=1)
        calls.setdefault(pid, []).append(call)
        if call.startswith('execve("/bin/true"'):
            break
    *before, last = calls[pid]
    assert last.startswith("execve(")
    names = {call.partition("(")[0] for call in before if "(" in call and
             not call.startswith("<...")}
    assert "setsid" in names
    assert names <= {"setsid", "ioctl", "rt_sigaction", "rt_sigprocmask",
                     "sigaltstack"}, names
    host.berth("rm", "-f", container)


def test_exec_while_it_is_being_started(host):
    """Until its root is built, its mount namespace shows the host's files;
    the volume makes that last."""
    seeds = [(f"data/{i}", b"seed", 0o644) for i in range(4000)]
    image = host.image(files=seeds, changes=("VOLUME /data",))
    for i in range(3):
        starting = host.start("run", "-d", "--name", f"early{i}", image,
                              "sleep", "1000")

        def enter():
            return [done for done in [host.exec(
                f"early{i}", ["cat", str(host.canary / "file")])]
                if "no such container" not in done.stderr
                and "is not running" not in done.stderr]
        done = wait_for(enter, "it does not start")[0]
        assert done.returncode == 1, done
        assert "of the host" not in done.stdout, done
        assert "No such file" in done.stderr, done
        starting.communicate()
        assert starting.returncode == 0


# ---- links and mounts -------------------------------------------------------

@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
@pytest.mark.parametrize("kind", ["host", "inside", "file"])
def test_kernel_folders_replaced(host, name, kind):
    """CVE-2019-19921, CVE-2023-28642, CVE-2026-41579 and -47766."""
    if kind in ("host", "inside"):
        target = str(host.canary) if kind == "host" else "/tmp"
        image = host.image(links=((name, target),))
        assert "symbolic link" in refused(host.go(image, "true"))
    else:
        refused(host.go(host.image(files=((name, b"", 0o755),)), "true"))


@pytest.mark.parametrize("target", ["/proc", "/proc/", "/proc/self", "/toproc",
                                    "/toproc/sys", "/", "/..", "/toroot",
                                    "/proc/sys/kernel/core_pattern"])
@pytest.mark.parametrize("how", ["volume", "image", "tmpfs"])
def test_mounts_over_what_is_ours(host, target, how):
    """CVE-2019-16884, CVE-2023-27561: a volume at /proc."""
    links = (("toproc", "/proc"), ("toroot", "/"))
    changes = (f"VOLUME {target}",) if how == "image" else ()
    flags = {"volume": ["-v", f"{host.canary}:{target}:ro"], "image": [],
             "tmpfs": ["--tmpfs", target]}[how]
    refused(host.go(host.image(links=links, changes=changes), "true",
                     flags=flags))


@pytest.mark.parametrize("target", ["/sys", "/sys/kernel", "/dev", "/todev"])
def test_volumes_of_the_image_at_kernel_folders(host, target):
    image = host.image(links=(("todev", "/dev"),),
                       changes=(f"VOLUME {target}",))
    refused(host.go(image, "true"))


def test_links_of_the_image(host):
    """CVE-2019-18837, CVE-2023-0778, CVE-2025-9566: a path of the image that
    is followed on the host.  They lead inside the container instead."""
    there = str(host.canary)
    links = (("etc/hosts", there + "/file"), ("mnt", there),
             ("etc/hostname", "../../../../../../.." + there + "/name"),
             ("etc/resolv.conf", "/evil/resolv.conf"), ("evil", there),
             ("vol", there + "/vol"), ("work", there + "/work"),
             ("chain", "/mnt/deeper"))
    image = host.image(links=links, changes=("VOLUME /vol", "WORKDIR /work"))
    volume = host.root.parent / "volume"
    volume.mkdir(exist_ok=True)
    (volume / "mine").write_text("x")
    done = host.go(
        image, "sh", "-c", f"pwd; ls {there} {there}/deeper; cat /etc/hosts; "
        f"echo x >{there}/vol/new && echo wrote",
        flags=["-v", f"{volume}:/chain", "--tmpfs", "/evil/tmp"])
    assert done.returncode == 0, done
    assert f"{there}/work\n" in done.stdout and "mine" in done.stdout
    assert "localhost" in done.stdout and "wrote" in done.stdout
    assert "of the host" not in done.stdout
    assert os.listdir(volume) == ["mine"]


def test_mount_target_flips(host):
    """CVE-2021-30465: a link and a folder change places in a shared volume
    while another container is being started with a mount below."""
    volume, other = (host.root.parent / n for n in ("shared", "other"))
    for folder in (volume, volume / "d", volume / "d" / "sub", other):
        folder.mkdir(exist_ok=True)
    os.symlink("../" * 12 + str(host.canary).lstrip("/"), volume / "l")
    attacker = host.background(host.image(), "/probe", "flip", "/vol/d",
                               "/vol/l", flags=["-v", f"{volume}:/vol"])
    wait_for(lambda: "ready" in host.berth("logs", attacker), "no flips")
    ends = set()
    for _ in range(25):
        done = host.go(host.image(), "true", flags=[
            "-v", f"{volume}:/vol", "-v", f"{other}:/vol/d/sub",
            "-v", f"{other}:/vol/d/new/deep"])
        ends.add(done.returncode)
    assert ends <= {0, 125}


def test_masks_and_null(host):
    """CVE-2025-31133: masks made of the container's /dev/null; and the host's
    null device as a mask must not be changed through it."""
    there = str(host.canary / "file")
    image = host.image(links=(("dev/null", there), ("dev/console", there),
                              ("dev/pts", str(host.canary)),
                              ("dev/shm", str(host.canary))))
    text = host.go(image, "sh", "-c",
                    "stat -c '%F %t:%T' /dev/null /proc/keys; "
                    "wc -c </proc/keys; chmod 600 /proc/keys; "
                    "busybox chown 1000 /proc/keys; "
                    "echo x >/dev/null && echo fine").stdout
    assert text.splitlines() == ["character special file 1:3"] * 2 + [
        "0", "fine"]


def test_console(host):
    """CVE-2025-52565: /dev/console bound from a path in the image."""
    image = host.image(links=(("dev/console", str(host.canary / "file")),
                              ("dev/pts/0", str(host.canary / "file"))))
    master, slave = pty.openpty()
    run = subprocess.Popen(
        [BERTH, "run", "--rm", "-t", image, "stat", "-c", "%t", "/dev/console",
         "/proc/self/fd/1"], env=host.env, stdin=slave, stdout=slave,
        stderr=slave, start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
    os.close(slave)
    assert run.wait(60) == 0
    assert os.read(master, 4096).decode().split()[0] == "88"  # 136: a pty
    os.close(master)


# ---- users ------------------------------------------------------------------

@pytest.mark.parametrize("name", ["passwd", "group"])
@pytest.mark.parametrize("kind", ["fifo", "zero", "mem", "environ", "huge"])
def test_user_files(host, name, kind):
    """CVE-2024-9676 and CVE-2026-47262: what never ends, or never begins."""
    path = "/etc/" + name
    # Pid 1 is who reads it at the start; to an exec, which is in no process
    # list yet, /proc/self would be a link to nothing.
    links = {"zero": "/dev/zero", "mem": "/proc/1/mem",
             "environ": "/proc/1/environ"}
    if kind in links:
        image = host.image(links=((path[1:], links[kind]),))
        assert "regular file" in refused(host.go(image, "id",
                                                 flags=["-u", "0:0"]))
    # The same by whoever is root in a container that runs.
    container = host.background(host.image(), "sleep", "1000")
    make = {"fifo": f"mknod {path} p", "huge": f"busybox truncate -s 1G {path}"
            }.get(kind, f"ln -s {links.get(kind)} {path}")
    host.exec(container, ["sh", "-c", f"rm {path}; {make}"])
    assert "regular file" in refused(host.exec(container, "-u", "0", ["id"]))


@pytest.mark.parametrize("user, uid", [
    ("4294967296", None), ("2147483648", None), ("4294967295", None),
    ("-1", None), ("0x0", None), ("1 ", None), (" 0", None), ("+1", None),
    ("1.0", None), ("nobody-here", None), ("1:", "1"), ("01", "1"),
    ("1", "1"), ("app", "1000")])
def test_users(host, user, uid):
    """CVE-2026-30892 and CVE-2024-40635: root by accident."""
    container = host.background(host.image(), "sleep", "1000")
    for done in (host.go(host.image(), "id", "-u", flags=["-u", user]),
                 host.exec(container, "-u", user, ["id", "-u"])):
        if uid is None:
            refused(done)
        else:
            assert done.stdout == uid + "\n", done
    if uid is None and user.strip() == user:
        refused(host.go(host.image(changes=(f"USER {user}",)), "id"))


def test_state_is_closed(host):
    """CVE-2021-41091: set-user-id files of images, below folders that
    everybody may enter; looked at by each command."""
    assert host.go(host.image(), "true").returncode == 0
    for folder in (host.root, host.root / "layers", host.root / "containers"):
        assert stat.S_IMODE(folder.stat().st_mode) & 0o077 == 0, folder
    for folder, verb in ((host.root, ["images"]),
                         (host.run, ["run", "--rm", host.image(), "true"])):
        folder.chmod(0o755)
        host.berth(*verb)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        os.chown(folder, 1000, 1000)
        done = subprocess.run([BERTH, *verb], env=host.env, text=True,
                              capture_output=True)
        os.chown(folder, 0, 0)
        assert done.returncode != 0 and "another user" in done.stderr
