"""What a program sees inside: berth beside docker, fact by fact.

Both run the same script in the same image.  Every difference must have an
entry in ALLOWED, with its reason.
"""

import os
import re
import subprocess

import pytest

import debian_image
import engines
from conftest import CACHE
from containers import (BERTH, berth, environment, image,  # noqa: F401
                        name, rootfs_tar, store)

pytestmark = pytest.mark.usefixtures("image")

# Prints "key<TAB>value" lines; a value goes over several lines as "key\t+".
FACTS = r"""
say() { printf '%s\t%s\n' "$1" "$2"; }
each() { while read -r line; do say "$1" "$line"; done; }
say id "$(id)"
say whoami.home "$HOME"
say pwd "$(pwd)"
say umask "$(umask)"
say hostname.length "$(hostname | wc -c)"
say hostname.file "$( [ "$(cat /etc/hostname)" = "$(hostname)" ] && echo same)"
env | grep -v '^HOSTNAME=' | sort | each env
say env.hostname "$( [ "$HOSTNAME" = "$(hostname)" ] && echo same)"
say pid1 "$(cat /proc/1/comm)"
say processes "$( [ "$(ls -d /proc/[0-9]* | wc -l)" -lt 12 ] && echo few)"
say ps "$(ps -o pid,comm | head -n 2 | tr -s ' \n' ' ')"
say pid "$$"
ls /sys/class/net | each net
cat /proc/self/uid_map | each uid_map
for f in CapInh CapPrm CapEff CapBnd CapAmb NoNewPrivs Seccomp Groups \
    SigIgn SigBlk Umask Cpus_allowed_list; do
    say "status.$f" "$(grep "^$f:" /proc/1/status | cut -f2)"
done
say seccomp.filters "$(grep ^Seccomp_filters: /proc/1/status | cut -f2)"
tail -n +2 /proc/1/limits | while read -r line; do
    say "limit.$(echo "$line" | cut -c1-25 | tr -s ' ' | tr ' ' _)" \
        "$(echo "$line" | cut -c27-)"
done
say oom_score_adj "$(cat /proc/1/oom_score_adj)"
say stdin "$(readlink /proc/1/fd/0)"
say cgroups "$(cut -d: -f2 /proc/1/cgroup | sort | tr '\n' ' ')"
cut -d: -f3 /proc/1/cgroup | sed -E 's/[0-9a-f]{64}/ID/' | sort -u |
    each cgroup.path
while read -r dev at type options rest; do
    say "mount.$at" "$type $options"
done </proc/mounts
ls -l /dev | tail -n +2 | while read -r mode n user group a b c d e g; do
    say "dev.$(echo "$b $c $d $e $g" | sed -E 's/.*[0-9]:[0-9]+ //')" \
        "$mode $user $group"
done
for f in null zero full random urandom tty ptmx pts/ptmx shm mqueue pts; do
    say "dev.stat.$f" "$(stat -c '%F %a %u:%g %t:%T' "/dev/$f")"
done
say dev.shm.size "$(df -k /dev/shm | tail -1 | tr -s ' ' | cut -d' ' -f2)"
cat /etc/hosts | grep -v '127.0.1.1' | each hosts
for f in /proc/acpi /proc/asound /proc/interrupts /proc/kcore /proc/keys \
    /proc/latency_stats /proc/timer_list /proc/timer_stats /proc/sched_debug \
    /proc/scsi /sys/firmware /sys/devices/virtual/powercap; do
    if [ -d $f ]; then say "masked.$f" "folder of $(ls -A $f | wc -l)"
    elif [ -e $f ]; then say "masked.$f" "$(head -c 9 $f 2>/dev/null | wc -c) bytes"
    else say "masked.$f" absent; fi
done
for f in /proc/bus /proc/fs /proc/irq /proc/sys /proc/sysrq-trigger /sys; do
    say "read_only.$f" "$( (echo x >$f/x || echo x >$f) 2>&1 |
        sed -E 's/.*: //' | sort -u | tr '\n' ' ')"
done
for f in net/ipv4/ping_group_range net/ipv4/ip_unprivileged_port_start \
    net/ipv4/ip_forward kernel/hostname; do
    [ $f = kernel/hostname ] && continue
    say "sysctl.$f" "$(cat /proc/sys/$f 2>&1 | tr '\t' ' ')"
done
(mount -t tmpfs t /mnt) 2>/dev/null && say may.mount yes || say may.mount no
(hostname x) 2>/dev/null && say may.sethostname yes || say may.sethostname no
(mknod /tmp/n c 1 3) 2>/dev/null && say may.mknod yes || say may.mknod no
(chroot / true) 2>/dev/null && say may.chroot yes || say may.chroot no
(unshare -m true) 2>/dev/null && say may.unshare yes || say may.unshare no
(ping -c1 -W1 127.0.0.1) >/dev/null 2>&1 && say may.ping yes || say may.ping no
(chown 5:5 /data/seed) 2>/dev/null && say may.chown yes || say may.chown no
(dmesg) >/dev/null 2>&1 && say may.dmesg yes || say may.dmesg no
(echo x >/new) 2>/dev/null && say may.write yes || say may.write no
say root.mode "$(stat -c '%a %u:%g' /)"
say etc.hosts.mode "$(stat -c '%a %u:%g' /etc/hosts)"
say etc.resolv.mode "$(stat -c '%a %u:%g' /etc/resolv.conf)"
"""

# Keys (as patterns) that may differ, and why.
ALLOWED = {
    r"status\.Cap(Prm|Eff|Bnd)":
        "podman's eleven: without MKNOD, NET_RAW and AUDIT_WRITE",
    r"may\.mknod": "as above; devices come from the runtime",
    r"may\.ping": "busybox's ping wants a raw socket; ping sockets, which "
                 "others try first, are open to all (ping_group_range)",
    r"cgroup\.path": "berth's cgroup namespace hides the path; docker on "
                     "cgroup v1 has none",
    r"mount\./$": "layers lie in another folder",
    r"mount\./(etc/(hosts|hostname|resolv.conf))$": "of another folder",
    r"mount\./dev$": "another size of the same",
    r"mount\./dev/shm$": "the source is called differently",
    r"mount\./(proc|sys)/.*": "masks: both cover the same, by other means",
    r"mount\./sys/fs/cgroup/(systemd|unified|name=.*)":
        "berth shows only the controllers",
    r"mount\./sys/fs/cgroup$": "berth's is read-only",
    r"cgroups$": "berth joins controllers, not systemd's tree",
    r"masked\./(proc/interrupts|sys/devices/virtual/powercap)":
        "masked by moby since 2024 (GHSA-6fw5, GHSA-jq35), not in 20.10",
    r"masked\./proc/(acpi|scsi|asound)": "absent or an empty folder",
    r"limit\..*": "inherited from the shell here, from dockerd there",
    r"seccomp\.filters": "an own filter",
    r"status\.SigIgn": "what dockerd ignores",
    r"stdin": "both are the container's /dev/null",
    r"sysctl\.net/ipv4/ip_unprivileged_port_start":
        "docker lets everybody bind below 1024; berth leaves the kernel's "
        "value, root inside has NET_BIND_SERVICE",
    r"oom_score_adj": "inherited from the shell here, from dockerd there",
}


@pytest.fixture(scope="module")
def docker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docker")
    engine = engines.Docker(folder)
    try:
        tar = folder / "rootfs.tar"
        tar.write_bytes(rootfs_tar())
        engine.run("import", tar, "rt:1")
        yield engine
    finally:
        engine.stop()


def both(docker, *args):
    """The same run by both; two finished processes."""
    flags = ["run", "--rm", "--network", "none", *map(str, args)]
    ours = subprocess.run([BERTH, *flags], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=120,
                          env={**os.environ, **environment})
    theirs = subprocess.run(["docker", *flags], capture_output=True, text=True,
                            stdin=subprocess.DEVNULL, timeout=120,
                            env={**os.environ, **docker.env})
    return ours, theirs


def facts(text):
    """{key: sorted values} of what FACTS printed."""
    out = {}
    for line in text.splitlines():
        key, _, value = line.partition("\t")
        out.setdefault(key, []).append(value)
    return {key: sorted(values) for key, values in out.items()}


def unexplained(ours, theirs):
    found = []
    for key in sorted(set(ours) | set(theirs)):
        if ours.get(key) != theirs.get(key) and not any(
                re.fullmatch(pattern, key) for pattern in ALLOWED):
            found.append(f"{key}: {ours.get(key)} != docker's "
                         f"{theirs.get(key)}")
    return found


@pytest.mark.parametrize("flags", [
    [], ["-u", "app"], ["-u", "12345"], ["-u", "app:extra"], ["-w", "/a/b"],
    ["--read-only"], ["--security-opt", "no-new-privileges"],
    ["--cap-drop", "ALL"], ["--group-add", "77", "-u", "app"],
    ["--cap-drop", "ALL", "--cap-add", "CHOWN"],
    ["--tmpfs", "/data:mode=711", "-e", "A=b", "-e", "PATH=/bin"]],
    ids=" ".join)
def test_inside(docker, flags):
    ours, theirs = both(docker, *flags, "rt:1", "sh", "-c", FACTS)
    assert ours.returncode == theirs.returncode == 0, (ours, theirs)
    a, b = facts(ours.stdout), facts(theirs.stdout)
    assert len(a) > 90 and len(b) > 90
    found = unexplained(a, b)
    assert not found, "\n".join(found)


def test_nothing_is_masked_less(docker):
    """What docker hides, berth hides; it may hide more."""
    ours, theirs = both(docker, "rt:1", "sh", "-c", FACTS)
    a, b = facts(ours.stdout), facts(theirs.stdout)
    hidden = ("absent", "folder of 0", "0 bytes")
    for key in b:
        if key.startswith("masked.") and b[key][0] in hidden:
            assert a[key][0] in hidden, (key, a[key], b[key])


def test_descriptors():
    """Nothing of berth's stays open inside."""
    assert berth("run", "--rm", "rt:1", "sh", "-c",
                 "ls /proc/1/fd; true").split() == ["0", "1", "2"]


def test_capabilities_are_fewer(docker):
    ours, theirs = both(docker, "rt:1", "grep", "CapBnd", "/proc/self/status")
    a = int(ours.stdout.split()[1], 16)
    b = int(theirs.stdout.split()[1], 16)
    assert a & ~b == 0 and bin(b & ~a).count("1") == 3


# Below a file: docker takes the kernel's "not a directory" for a mount that
# failed, and says 125; a shell would say 127.
EXIT_CODES_ALLOWED = {"/etc/passwd/x": (127, 125)}


@pytest.mark.parametrize("command", [
    ["true"], ["false"], ["sh", "-c", "exit 77"], ["no-such-program"],
    ["/no/such/program"], ["/etc/passwd"], ["/etc"], ["/etc/passwd/x"],
    ["sh", "-c", "kill -9 $$; exit 3"], ["sh", "-c", "kill -TERM $$; exit 4"],
    ["sh", "-c", "sh -c 'kill -9 $$'"], ["sh", "-c", "sh -c 'kill -11 $$'"]],
    ids=" ".join)
def test_exit_codes(docker, command):
    ours, theirs = both(docker, "rt:1", *command)
    codes = ours.returncode, theirs.returncode
    assert codes == EXIT_CODES_ALLOWED.get(command[0], codes[:1] * 2)
    assert ours.stdout == theirs.stdout


@pytest.mark.parametrize("flags", [
    ["-u", "nobody-here"], ["-u", "app:nobody-here"], ["-u", "4294967296"],
    ["-u", "-1"], ["-w", "relative"], ["-w", "/etc/passwd"],
    ["--group-add", "nobody-here"], ["-e", "=x"], ["-m", "1k"],
    ["--cpus", "0.001"], ["--stop-signal", "NOPE"], ["--cap-add", "NOPE"],
    ["-v", "/tmp:relative"], ["--name", "-bad"], ["--tmpfs", "relative"],
    ["--security-opt", "nope"], ["--ulimit", "nope=1"], ["--no-such-flag"]],
    ids=" ".join)
def test_refusals(docker, flags):
    """Both refuse, with the same status and without running anything."""
    ours, theirs = both(docker, *flags, "rt:1", "echo", "it ran")
    assert theirs.returncode != 0, theirs
    assert ours.returncode == theirs.returncode, (ours, theirs)
    assert ours.stdout == "" and ours.stderr.startswith("berth: ")


def test_terminal(docker):
    script = ("echo $TERM; tty | sed s/[0-9]//; stty -a | head -1; "
              "ls -l /dev/console")
    ours, theirs = both(docker, "-t", "rt:1", "sh", "-c", script)
    a, b = ours.stdout.splitlines(), theirs.stdout.splitlines()
    assert a[0] == b[0] == "xterm"
    assert a[1] == b[1]
    assert a[3].split()[0] == b[3].split()[0]


def test_inside_debian(docker, store, tmp_path):
    """The same in a real distribution: glibc, usr-merge, its own users."""
    tar = debian_image.base_tar(CACHE)
    berth("import", tar, "debian:parity")
    docker.run("import", tar, "debian:parity")
    try:
        for flags in ([], ["-u", "nobody"], ["-u", "games:www-data"]):
            ours, theirs = both(docker, *flags, "debian:parity", "sh", "-c",
                                FACTS)
            assert ours.returncode == theirs.returncode == 0, (ours, theirs)
            a, b = facts(ours.stdout), facts(theirs.stdout)
            assert len(a) > 90 and len(b) > 90
            found = unexplained(a, b)
            assert not found, "\n".join(found)
        for command in (["su", "-s", "/bin/sh", "nobody", "-c", "id"],
                        ["dpkg", "--audit"], ["sh", "-c", "exec 3</dev/tcp"],
                        ["apt-get", "--version"], ["no-such"], ["/usr"],
                        ["find", "/", "-xdev", "-perm", "-4000"]):
            ours, theirs = both(docker, "debian:parity", *command)
            # Of one folder's entries the file system chooses the order.
            ours, theirs = ((one.returncode, sorted(one.stdout.split("\n")))
                            for one in (ours, theirs))
            assert ours == theirs, command
    finally:
        berth("rmi", "debian:parity")
