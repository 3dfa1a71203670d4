"""`berth inspect` of a container beside docker's of the same run."""

import json
import os
import re
import subprocess

import pytest

import engines
from containers import (berth, image, inspect, name,  # noqa: F401
                        rootfs_tar, store, wait_for)

pytestmark = pytest.mark.usefixtures("image")

FLAGS = [
    "-m", "64m", "--memory-swap", "96m", "--cpus", "0.5", "--cpuset-cpus", "0",
    "--cpu-shares", "512", "--pids-limit", "99", "--read-only", "--init",
    "--network", "none", "-e", "A=b", "-u", "app", "-w", "/tmp/x",
    "--hostname", "inside", "--stop-signal", "INT", "--stop-timeout", "3",
    "--label", "k=v", "--label", "empty", "--group-add", "7",
    "--cap-add", "net_admin", "--cap-drop", "CAP_CHOWN",
    "--security-opt", "no-new-privileges", "--ulimit", "nofile=100:200",
    "--ulimit", "core=0", "--tmpfs", "/t1:size=1m",
]

# Where the answers may differ, as paths of keys, each with its reason.
ALLOWED = {
    "": "keys of docker's Windows, build and graph parts are left out",
    "Id": "ids are random", "Created": "clocks", "State.Pid": "a pid",
    "State.StartedAt": "clocks", "State.FinishedAt": "clocks",
    "Name": "compared apart",
    "ResolvConfPath": "the store's folder", "HostnamePath": "as above",
    "HostsPath": "as above", "LogPath": "as above",
    "Image": "the config of an imported tar has its time in it",
    "GraphDriver.Data": "the store's folders",
    "HostConfig.CgroupnsMode": "berth always makes a cgroup namespace; "
                               "docker does not on cgroup v1",
    "HostConfig.Runtime": "another runtime",
    "NetworkSettings": "docker has endpoint ids",
    "Mounts.Propagation": "berth's mounts are private, docker's get the "
                          "host's later mounts when they lie below its root",
    "Mounts.Source": "the store's folder, for volumes",
    "Mounts.Name": "random", "Mounts.Driver": "same, absent for binds",
    "Mounts.Mode": "docker's client asks for z on anonymous volumes",
    "Config.Hostname": "the id, where none is given",
}
# Docker keeps these in maps, or puts the image's part last.
UNORDERED = ("Config.Env", "HostConfig.Binds", "HostConfig.CapAdd")
# Docker's keys that berth does not show at all.
ABSENT = {
    "": {"MountLabel", "ProcessLabel", "AppArmorProfile", "SizeRw"},
    "HostConfig": {
        "VolumeDriver", "Dns", "DnsOptions", "DnsSearch", "ExtraHosts",
        "Cgroup", "Links", "OomScoreAdj", "UTSMode", "UsernsMode",
        "ConsoleSize", "Isolation", "CgroupParent", "BlkioWeight",
        "BlkioWeightDevice", "BlkioDeviceReadBps", "BlkioDeviceWriteBps",
        "BlkioDeviceReadIOps", "BlkioDeviceWriteIOps", "CpuRealtimePeriod",
        "CpuRealtimeRuntime", "Devices", "DeviceCgroupRules",
        "DeviceRequests", "KernelMemory", "KernelMemoryTCP", "CpuCount",
        "CpuPercent", "IOMaximumIOps", "IOMaximumBandwidth", "MaskedPaths",
        "ReadonlyPaths"},
}


@pytest.fixture(scope="module")
def docker(tmp_path_factory):
    folder = tmp_path_factory.mktemp("docker")
    engine = engines.Docker(folder)
    try:
        tar = folder / "rootfs.tar"
        tar.write_bytes(rootfs_tar())
        # berth's own import writes PATH into the config.
        path = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:" \
            "/sbin:/bin"
        engine.run("import", "-c", path, "-c", "VOLUME /vol", "-c", "ENV I=image", "-c",
                   "CMD [\"sleep\", \"1000\"]", tar,
                   "rt:cfg")
        engine.run("import", "-c", path, tar, "rt:1")
        yield engine
    finally:
        engine.stop()


@pytest.fixture(scope="module")
def configured(store, image):
    tar = store / "cfg.tar"
    tar.write_bytes(rootfs_tar())
    berth("import", "-c", "VOLUME /vol", "-c", "ENV I=image", "-c",
          "CMD [\"sleep\", \"1000\"]", tar, "rt:cfg")
    return "rt:cfg"


def full_names(capabilities):
    """None, or "net_admin" and "CAP_NET_ADMIN" as the latter."""
    return capabilities and [
        name if name == "ALL" else "CAP_" + name.upper().removeprefix("CAP_")
        for name in capabilities]


def differences(ours, theirs, path=""):
    """Paths at which the two documents disagree, without what is allowed."""
    if path in ALLOWED and path:
        return []
    if isinstance(theirs, dict) and isinstance(ours, dict):
        found = []
        for key in sorted(set(ours) | set(theirs)):
            below = f"{path}.{key}" if path else key
            if key not in ours:
                if key not in ABSENT.get(path, ()):
                    found.append(f"{below}: only docker has {theirs[key]!r}")
            elif key not in theirs:
                found.append(f"{below}: only berth has {ours[key]!r}")
            else:
                found += differences(ours[key], theirs[key], below)
        return found
    if path == "Mounts" and len(ours) == len(theirs):
        key = (lambda mount: mount["Destination"])
        return [text for a, b in zip(sorted(ours, key=key),
                                     sorted(theirs, key=key))
                for text in differences({"Driver": None, "Name": None, **a},
                                        {"Driver": None, "Name": None, **b},
                                        path)]
    if path in ("HostConfig.CapAdd", "HostConfig.CapDrop"):
        # docker's client sends them as typed before 28, then by full names.
        ours, theirs = map(full_names, (ours, theirs))
    if path in UNORDERED and ours and theirs:
        ours, theirs = sorted(ours), sorted(theirs)
    if path == "HostConfig.Ulimits":  # a map's order in docker
        ours, theirs = ([sorted(one.items()) for one in sorted(
            which or [], key=lambda one: one["Name"])]
            for which in (ours, theirs))  # null and [] differ by client
    return [] if ours == theirs else [f"{path}: {ours!r} != {theirs!r}"]


def compare(docker, name, *args):
    """The same arguments of run for both; returns both documents."""
    flags = ["--name", name, *map(str, args)]
    try:
        berth("run", *flags, code=None)
        subprocess.run(["docker", "run", *flags], capture_output=True,
                       env={**os.environ, **docker.env}, timeout=120)
        ours = inspect(name)
        theirs = json.loads(docker.run("inspect", name))[0]
        found = differences(ours, theirs)
        assert not found, "\n".join(found)
        assert ours["Name"] == theirs["Name"] == "/" + name
        return ours, theirs
    finally:
        docker.run("rm", "-fv", name)


def test_running_with_many_flags(docker, name, tmp_path):
    ours, _ = compare(
        docker, name, "-d", *FLAGS, "-v", f"{tmp_path}:/mnt:ro", "-v",
        f"{tmp_path}:/mnt2", "rt:1", "sleep", "1000")
    assert ours["State"]["Status"] == "running" and ours["State"]["Pid"] > 0
    assert ours["HostConfig"]["Memory"] == 64 << 20
    assert ours["HostConfig"]["NanoCpus"] == 500_000_000
    assert ours["Path"] == "sleep" and ours["Args"] == ["1000"]


def test_ended_without_flags(docker, name):
    ours, _ = compare(docker, name, "--network", "none", "rt:1", "sh", "-c",
                      "exit 7")
    assert ours["State"]["ExitCode"] == 7
    assert ours["State"]["Status"] == "exited"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z",
                        ours["State"]["FinishedAt"])


def test_config_of_the_image(docker, name, configured):
    ours, _ = compare(docker, name, "-d", "--network", "none", "--entrypoint",
                      "/bin/sleep", configured, "1000")
    assert ours["Config"]["Entrypoint"] == ["/bin/sleep"]
    assert ours["Config"]["Volumes"] == {"/vol": {}}


def test_what_comes_from_the_image(docker, name, configured):
    ours, _ = compare(docker, name, "-d", "--network", "none", "-e", "J=flag",
                      "-v", "/anon", configured)
    assert {"J=flag", "I=image"} < set(ours["Config"]["Env"])
    assert ours["Config"]["Cmd"] == ["sleep", "1000"]


def test_host_network(docker, name):
    ours, theirs = compare(docker, name, "-d", "--network", "host", "rt:1",
                           "sleep", "1000")
    assert ours["Config"]["Hostname"] == theirs["Config"]["Hostname"]


def test_foreground_with_input(docker, name):
    ours, _ = compare(docker, name, "-i", "--network", "none", "rt:1", "cat")
    assert ours["Config"]["OpenStdin"] and ours["Config"]["StdinOnce"]


def test_killed(docker, name):
    berth("run", "-d", "--name", name, "rt:1", "sleep", "1000")
    berth("kill", name)
    wait_for(lambda: inspect(name)["State"]["Status"] == "exited", "the end")
    state = inspect(name)["State"]
    assert state["ExitCode"] == 137 and not state["Running"]
    assert state["Pid"] == 0 and not state["OOMKilled"]


def test_several_and_unknown(name):
    berth("run", "--name", name, "rt:1", "true")
    shown = inspect(name, name)
    assert [one["Name"] for one in shown] == ["/" + name] * 2
    gone = berth("inspect", "no-such-thing", code=None)
    assert gone.returncode != 0


def test_templates(docker, name):
    """The templates that scripts use print what docker prints."""
    args = ["-d", "--name", name, "--network", "none", "--label", "a.b=c",
            "-e", "A=b", "rt:1", "sleep", "1000"]
    berth("run", *args)
    docker.run("run", *args)
    try:
        for text in ("{{.State.Status}} {{.State.Running}}", "{{.Name}}",
                     "{{json .Config.Cmd}}", "{{.Config.Cmd}}",
                     "{{ .HostConfig.Memory }}", "{{.Path}}: {{.Args}}",
                     "{{index .Config.Labels \"a.b\"}}",
                     "{{json .State.ExitCode}}", "{{.HostConfig.NetworkMode}}",
                     "{{index .Config.Cmd 1}}", "{{.State.Error}}"):
            assert berth("inspect", "-f", text, name) == docker.run(
                "inspect", "-f", text, name), text
        for text in ("{{.Nope}}", "{{.State.Nope}}", "{{", "{{Name}}"):
            assert berth("inspect", "-f", text, name,
                         code=None).returncode == 1
    finally:
        docker.run("rm", "-f", name)
