"""Real engines, each with folders and daemons of its own.

Every engine can load(layout) an OCI layout under a name, push(name), pull(name)
and tell the digest() that it recorded for a pulled name.
"""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import time

START_TIMEOUT_S = 60


def run(*command, env=None, **options):
    done = subprocess.run(
        [str(part) for part in command], text=True, capture_output=True,
        stdin=subprocess.DEVNULL, env={**os.environ, **(env or {})},
        timeout=300, **options)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


class Daemon:
    """A daemon in the background that is ready when `probe` succeeds."""

    def __init__(self, command, log, probe, env=None):
        self.log = open(log, "wb")
        self.proc = subprocess.Popen(
            [str(part) for part in command], stdin=subprocess.DEVNULL,
            stdout=self.log, stderr=self.log,
            env={**os.environ, **(env or {})})
        end = time.monotonic() + START_TIMEOUT_S
        while not probe():
            if self.proc.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError(pathlib.Path(log).read_text()[-3000:])
            time.sleep(0.05)

    def stop(self):
        if self.proc.poll() is None:
            self.proc.terminate()
            try:
                self.proc.wait(60)
            except subprocess.TimeoutExpired:
                self.proc.kill()
                self.proc.wait()
        self.log.close()


class Skopeo:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.layouts = {}

    def load(self, layout, name):
        self.layouts[name] = layout

    def push(self, name):
        run("skopeo", "copy", "--dest-tls-verify=false",
            f"oci:{self.layouts[name]}:image", f"docker://{name}")

    def pull(self, name):
        shutil.rmtree(self.folder / "dir", ignore_errors=True)
        run("skopeo", "copy", "--src-tls-verify=false", f"docker://{name}",
            f"dir:{self.folder}/dir")

    def digest(self, name):
        data = (self.folder / "dir" / "manifest.json").read_bytes()
        return "sha256:" + hashlib.sha256(data).hexdigest()

    def stop(self):
        pass


class Podman:
    program = "podman"

    def __init__(self, folder):
        self.base = [self.program, "--root", f"{folder}/root", "--runroot",
                     f"{folder}/run", "--storage-driver", "vfs"]

    def load(self, layout, name):
        image = run(*self.base, "pull", "-q", f"oci:{layout}:image").strip()
        run(*self.base, "tag", image.splitlines()[-1], name)

    def push(self, name):
        run(*self.base, "push", "-q", "--tls-verify=false", name)

    def pull(self, name):
        # The image that was pushed from here has the same id, but still its
        # own manifest: it would be shown instead of the pulled one.
        run(*self.base, "rmi", "-af")
        run(*self.base, "pull", "-q", "--tls-verify=false", name)

    def digest(self, name):
        listing = json.loads(run(*self.base, "images", "--format=json"))
        for image in listing:
            if name in image.get("Names", image.get("names", [])):
                return image.get("Digest", image.get("digest"))
        raise KeyError(name)

    def stop(self):
        pass


class Buildah(Podman):
    program = "buildah"

    def digest(self, name):
        listing = json.loads(run(*self.base, "images", "--json"))
        for image in listing:
            if name in image["names"]:
                return image["digest"]
        raise KeyError(name)


class Docker:
    def __init__(self, folder):
        self.folder = folder
        sock = f"unix://{folder}/sock"
        self.env = {"DOCKER_HOST": sock, "DOCKER_CONFIG": f"{folder}/config"}
        os.makedirs(f"{folder}/config")
        # It unpacks each layer with syncs that show nothing here: in memory
        # that takes half the time.
        os.makedirs(f"{folder}/data")
        run("mount", "-t", "tmpfs", "-o", "mode=711", "tmpfs",
            f"{folder}/data")
        self.daemon = Daemon(
            ["dockerd", "--data-root", f"{folder}/data", "--exec-root",
             f"{folder}/exec", "--pidfile", f"{folder}/pid", "-H", sock,
             "--bridge=none", "--iptables=false", "--ip-forward=false",
             "--ip-masq=false"],
            f"{folder}/log",
            lambda: subprocess.run(
                ["docker", "version"], env={**os.environ, **self.env},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL).returncode == 0)

    def run(self, *args):
        return run("docker", *args, env=self.env)

    def load(self, layout, name):
        archive = f"{self.folder}/archive.tar"
        pathlib.Path(archive).unlink(missing_ok=True)
        run("skopeo", "copy", "-q", f"oci:{layout}:image",
            f"docker-archive:{archive}:{name}")
        self.run("load", "-q", "-i", archive)

    def push(self, name):
        self.run("push", "-q", name)

    def pull(self, name):
        # An image that is there already would be no pull.
        self.run("image", "prune", "-af")
        self.run("pull", "-q", name)

    def digest(self, name):
        digests = self.run("image", "inspect", "-f",
                           "{{join .RepoDigests \" \"}}", name).split()
        repo = name.rsplit(":", 1)[0]
        return next(d for d in digests if d.startswith(repo)).split("@")[1]

    def stop(self):
        self.daemon.stop()
        # `run --network host` leaves the host's network namespace bound.
        for line in reversed(pathlib.Path("/proc/self/mountinfo").read_text()
                             .split("\n")):
            point = line.split()[4] if line else ""
            if point.startswith(f"{self.folder}/"):
                subprocess.run(["umount", "-l", point], check=True)


class Containerd:
    def __init__(self, folder):
        self.folder = folder
        sock = f"{folder}/sock"
        config = pathlib.Path(folder) / "config.toml"
        config.write_text(
            f'version = 2\nroot = "{folder}/root"\nstate = "{folder}/state"\n'
            'disabled_plugins = ["io.containerd.grpc.v1.cri"]\n'
            f'[grpc]\n  address = "{sock}"\n')
        self.base = ["ctr", "-a", sock]
        self.daemon = Daemon(
            ["containerd", "-c", config], f"{folder}/log",
            lambda: subprocess.run(
                [*self.base, "version"], stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL).returncode == 0)

    def load(self, layout, name):
        archive = f"{self.folder}/archive.tar"
        pathlib.Path(archive).unlink(missing_ok=True)
        run("skopeo", "copy", "-q", f"oci:{layout}:image",
            f"oci-archive:{archive}:{name}")
        run(*self.base, "images", "import", "--no-unpack", archive)

    def push(self, name):
        run(*self.base, "images", "push", "--plain-http", name)

    def pull(self, name):
        run(*self.base, "images", "rm", "--sync", name)  # absent is fine
        run(*self.base, "images", "pull", "--plain-http", name)

    def digest(self, name):
        for line in run(*self.base, "images", "ls").splitlines():
            fields = line.split()
            if fields and fields[0] == name:
                return fields[2]
        raise KeyError(name)

    def stop(self):
        self.daemon.stop()


ENGINES = {"skopeo": Skopeo, "podman": Podman, "buildah": Buildah,
           "docker": Docker, "containerd": Containerd}
