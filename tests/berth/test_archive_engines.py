"""Archives between berth and real engines, in both directions.

What stays the same: the id (digest of the config) always; the manifest's
digest wherever the archive is an OCI layout, which docker's own is not.
"""

import gzip
import json
import shutil
import subprocess

import pytest

import debian_image
from conftest import CACHE
from engines import ENGINES, run
from rawhttp import sha256
from containers import BERTH, berth, rootfs_tar

pytestmark = pytest.mark.usefixtures("fresh_store")

NAME = "archive.example:5000/x/image:v1"
# Without CAP_SYS_RESOURCE podman's own default limits cannot be set, and
# crun refuses a hybrid cgroup tree: hence runc and explicit limits.
PODMAN_RUN = ["--runtime", "runc", "--cgroup-manager", "cgroupfs", "run",
              "--rm", "--network", "none", "--ulimit", "nofile=1000:1000",
              "--ulimit", "nproc=1000:1000"]


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """Started on first use, stopped at the end."""
    started = {}

    def get(name):
        if name not in started:
            started[name] = ENGINES[name](tmp_path_factory.mktemp(name))
        return started[name]

    yield get
    for engine in started.values():
        engine.stop()


@pytest.fixture(scope="module")
def debian(tmp_path_factory):
    """A Debian image with all that layers do to one another: its layout."""
    folder = tmp_path_factory.mktemp("debian") / "layout"
    digest = debian_image.write_layout(folder, CACHE, tag="image")
    return folder, digest


@pytest.fixture
def small(tmp_path):
    """A layout whose first layer comes twice."""
    folder = tmp_path / "small"
    tars = debian_image.upper_layers()
    digest = debian_image._write(folder, [tars[0], tars[2], tars[0]], "image",
                                 {"Cmd": ["/check"], "Labels": {"a": "b"}})
    return folder, digest


@pytest.fixture(autouse=True)
def empty(engines):
    """berth and the engine at work have no image before and after."""
    yield
    for line in berth("images", "--format", "json").splitlines():
        row = json.loads(line)
        berth("rmi", "-f", row["Repository"] + (
            f"@{row['Digest']}" if row["Tag"] == "<none>"
            else ":" + row["Tag"]))


def inspect(name):
    return json.loads(berth("inspect", "--type", "image", name))[0]


def config_digest(layout, manifest):
    path = layout / "blobs" / "sha256" / manifest[7:]
    return json.loads(path.read_text())["config"]["digest"]


@pytest.fixture
def saved(tmp_path):
    """An archive that berth saved, of an image that runs; what it shows."""
    (tmp_path / "root.tar").write_bytes(rootfs_tar())
    berth("import", "-c", "CMD [\"cat\", \"/data/seed\"]", "-c", "LABEL a=b",
          tmp_path / "root.tar", NAME)
    berth("save", "-o", tmp_path / "saved.tar", NAME)
    image = inspect(NAME)
    berth("rmi", NAME)
    return tmp_path / "saved.tar", image


# ---- docker ---------------------------------------------------------------


def test_docker_loads(engines, saved, tmp_path):
    path, image = saved
    docker = engines("docker")
    assert docker.run("load", "-i", path) == f"Loaded image: {NAME}\n"
    assert docker.run("image", "inspect", "-f", "{{.Id}}",
                      NAME).strip() == image["Id"]
    assert docker.run("run", "--rm", "--network", "none", NAME) == \
        "from the image\n"
    # And back: what docker makes of it has the same id and runs.
    docker.run("save", "-o", tmp_path / "docker.tar", NAME)
    docker.run("rmi", NAME)
    assert berth("load", "-i", tmp_path / "docker.tar") == \
        f"Loaded image: {NAME}\n"
    again = inspect(NAME)
    for key in ("Id", "RootFS", "Config", "Created"):
        assert again[key] == image[key]
    assert berth("run", "--rm", NAME) == "from the image\n"


def test_docker_saves_debian(engines, debian, tmp_path):
    """Real layers, several names and a shared base, through a pipe too."""
    layout, digest = debian
    docker = engines("docker")
    docker.load(layout, NAME)
    docker.run("tag", NAME, "second:name")
    path = tmp_path / "docker.tar"
    docker.run("save", "-o", path, NAME, "second:name")
    before = docker.run("run", "--rm", "--network", "none", NAME)
    docker.run("rmi", NAME, "second:name")
    said = berth("load", "-q", "-i", path).splitlines()
    assert sorted(said) == sorted([f"Loaded image: {NAME}",
                                   "Loaded image: second:name"])
    image = inspect(NAME)
    assert image["Id"] == config_digest(layout, digest)
    assert berth("run", "--rm", NAME) == before
    assert "merged-tool runs" in before and "WRONG" not in before
    # What berth saves of it is loaded and runs the same.
    berth("save", "-o", path, NAME)
    docker.run("load", "-q", "-i", path)
    assert docker.run("run", "--rm", "--network", "none", NAME) == before
    docker.run("rmi", NAME)


def test_docker_saves_a_layer_twice(engines, small, tmp_path):
    """docker links the second one to the first."""
    layout, digest = small
    docker = engines("docker")
    docker.load(layout, NAME)
    path = tmp_path / "docker.tar"
    docker.run("save", "-o", path, NAME)
    docker.run("rmi", NAME)
    listing = subprocess.run(["tar", "tvf", path], capture_output=True,
                             text=True).stdout
    assert "-> ../" in listing, listing
    packed = gzip.compress(path.read_bytes(), 1)
    done = subprocess.run([BERTH, "load"], input=packed, capture_output=True)
    assert done.stdout.decode() == f"Loaded image: {NAME}\n", done
    image = inspect(NAME)
    assert image["Id"] == config_digest(layout, digest)
    assert len(image["RootFS"]["Layers"]) == 3
    assert image["Config"]["Labels"] == {"a": "b"}


def test_docker_loads_plain_layers(engines, debian, tmp_path):
    """Docker 20.10 knows no zstd: --format docker-archive is for it."""
    layout, digest = debian
    run("skopeo", "copy", "-q", "--dest-compress-format", "zstd",
        f"oci:{layout}:image", f"oci:{tmp_path}/zstd:{NAME}")
    berth("load", "-i", tmp_path / "zstd")
    berth("save", "--format", "docker-archive", "-o", tmp_path / "x.tar", NAME)
    docker = engines("docker")
    assert docker.run("load", "-i", tmp_path / "x.tar") == \
        f"Loaded image: {NAME}\n"
    assert docker.run("image", "inspect", "-f", "{{.Id}}",
                      NAME).strip() == config_digest(layout, digest)
    assert docker.run("run", "--rm", "--network", "none", NAME) == \
        berth("run", "--rm", NAME)
    docker.run("rmi", NAME)
    podman = engines("podman")
    run(*podman.base, "load", "-q", "-i", tmp_path / "x.tar")
    run(*podman.base, "rmi", "-af")


# ---- podman and buildah ---------------------------------------------------


def test_podman_loads(engines, saved, tmp_path):
    path, image = saved
    podman = engines("podman")
    assert run(*podman.base, "load", "-q", "-i", path).strip() == \
        f"Loaded image: {NAME}"
    assert podman.digest(NAME) == image["Descriptor"]["digest"]
    assert run(*podman.base, *PODMAN_RUN, NAME) == "from the image\n"
    berth("load", "-i", path)
    berth("tag", NAME, "second:name")
    berth("save", "-o", tmp_path / "two.tar", NAME, "second:name")
    run(*podman.base, "rmi", "-af")
    said = run(*podman.base, "load", "-q", "-i", tmp_path / "two.tar")
    assert sorted(said.split("\n")) == ["", f"Loaded image: {NAME}",
                                        "Loaded image: docker.io/library/"
                                        "second:name"]
    run(*podman.base, "rmi", "-af")


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive", "oci-dir"])
def test_podman_saves(engines, small, tmp_path, kind):
    layout, digest = small
    podman = engines("podman")
    podman.load(layout, NAME)
    run(*podman.base, "save", "-q", "--format", kind, "-o", tmp_path / "out",
        NAME)
    if kind == "oci-dir":
        digest = json.loads((tmp_path / "out" / "index.json").read_text()
                            )["manifests"][0]["digest"]
    # A folder that podman saves has no names in it.
    said = berth("load", "-i", tmp_path / "out")
    image = inspect(NAME if NAME in said else said.split("ID: ")[1].strip())
    assert NAME in said or kind == "oci-dir"
    assert image["Id"] == config_digest(layout, small[1])
    if kind == "oci-dir":
        assert image["Descriptor"]["digest"] == digest
    run(*podman.base, "rmi", "-af")


def test_podman_saves_several(engines, small, tmp_path):
    podman = engines("podman")
    podman.load(small[0], NAME)
    run(*podman.base, "tag", NAME, "localhost/second:name")
    run(*podman.base, "save", "-q", "-m", "-o", tmp_path / "out", NAME,
        "localhost/second:name")
    said = berth("load", "-i", tmp_path / "out").splitlines()
    assert sorted(said) == sorted([f"Loaded image: {NAME}",
                                   "Loaded image: localhost/second:name"])
    run(*podman.base, "rmi", "-af")


def test_buildah(engines, saved, tmp_path):
    path, image = saved
    buildah = engines("buildah")
    made = run(*buildah.base, "pull", "-q", f"oci-archive:{path}").strip()
    assert "sha256:" + made == image["Id"]
    run(*buildah.base, "push", "-q", made,
        f"oci-archive:{tmp_path}/out.tar:{NAME}")
    assert berth("load", "-i", tmp_path / "out.tar") == \
        f"Loaded image: {NAME}\n"
    assert inspect(NAME)["Id"] == image["Id"]
    assert berth("run", "--rm", NAME) == "from the image\n"
    run(*buildah.base, "rmi", "-af")


# ---- skopeo ---------------------------------------------------------------


def test_skopeo_reads(saved, tmp_path):
    path, image = saved
    for number, source in enumerate([f"oci-archive:{path}",
                                     f"oci-archive:{path}:v1",
                                     f"docker-archive:{path}:{NAME}"]):
        target = tmp_path / str(number)
        run("skopeo", "copy", "-q", source, f"dir:{target}")
        manifest = json.loads((target / "manifest.json").read_text())
        assert manifest["config"]["digest"] == image["Id"]
    berth("load", "-i", path)
    berth("save", "--format", "oci-dir", "-o", tmp_path / "folder", NAME)
    shown = run("skopeo", "inspect", "--format", "{{.Digest}}",
                f"oci:{tmp_path}/folder:v1").strip()
    assert shown == image["Descriptor"]["digest"]
    shown = run("skopeo", "inspect", "--format", "{{.Digest}}",
                f"oci-archive:{path}:v1").strip()
    assert shown == image["Descriptor"]["digest"]


@pytest.mark.parametrize("transport", ["oci-archive", "docker-archive", "oci"])
def test_skopeo_writes(debian, tmp_path, transport):
    layout, digest = debian
    run("skopeo", "copy", "-q", f"oci:{layout}:image",
        f"{transport}:{tmp_path}/out:{NAME}")
    assert berth("load", "-i", tmp_path / "out") == f"Loaded image: {NAME}\n"
    image = inspect(NAME)
    assert image["Id"] == config_digest(layout, digest)
    if transport != "docker-archive":
        assert image["Descriptor"]["digest"] == digest
    shown = berth("run", "--rm", NAME)
    assert "merged-tool runs" in shown and "WRONG" not in shown


def test_zstd_layers(small, tmp_path):
    layout, _ = small
    run("skopeo", "copy", "-q", "--dest-compress-format", "zstd",
        f"oci:{layout}:image", f"oci:{tmp_path}/zstd:{NAME}")
    berth("load", "-i", tmp_path / "zstd")
    digest = inspect(NAME)["Descriptor"]["digest"]
    index = json.loads((tmp_path / "zstd" / "index.json").read_text())
    assert index["manifests"][0]["digest"] == digest
    berth("save", "-o", tmp_path / "saved.tar", NAME)
    shutil.rmtree(tmp_path / "zstd")
    run("skopeo", "copy", "-q", f"oci-archive:{tmp_path}/saved.tar",
        f"oci:{tmp_path}/zstd:again")
    again = json.loads((tmp_path / "zstd" / "index.json").read_text())
    assert again["manifests"][0]["digest"] == digest


def test_an_index_through_skopeo(shared, tmp_path):
    """A multi-platform image from a registry, as an archive of all of it."""
    client = shared.client()
    children = []
    for arch in ("amd64", "arm64"):
        layer = debian_image._tar([debian_image._entry("arch",
                                                       arch.encode())])
        config = json.dumps({
            "architecture": arch, "os": "linux", "config": {},
            "rootfs": {"type": "layers",
                       "diff_ids": [sha256(layer)]}}).encode()
        layer = gzip.compress(layer)  # skopeo would compress a plain one
        data, digest = _put(client, {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json",
                       "digest": client.push_blob("m/x", config),
                       "size": len(config)},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar"
                        "+gzip", "digest": client.push_blob("m/x", layer),
                        "size": len(layer)}]})
        children.append({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest, "size": len(data),
            "platform": {"os": "linux", "architecture": arch}})
    _put(client, {"mediaType": "application/vnd.oci.image.index.v1+json",
                  "manifests": children}, "v1")
    client.close()
    run("skopeo", "copy", "-q", "--all", "--src-tls-verify=false",
        f"docker://{shared.host}/m/x:v1",
        f"oci-archive:{tmp_path}/all.tar:{NAME}")
    for arch, child in zip(("amd64", "arm64"), children):
        berth("load", "--platform", f"linux/{arch}", "-i",
              tmp_path / "all.tar")
        image = inspect(NAME)
        assert image["Architecture"] == arch
        assert image["Descriptor"]["digest"] == child["digest"]
    done = berth("load", "--platform", "linux/s390x", "-i",
                 tmp_path / "all.tar", code=None)
    assert done.returncode == 1
    assert "there is linux/amd64, linux/arm64" in done.stderr


def _put(client, manifest, tag=None):
    data = json.dumps({"schemaVersion": 2, **manifest}).encode()
    answer = client.put_manifest("m/x", tag or sha256(data), data,
                                 manifest["mediaType"])
    assert answer.status == 201
    return data, sha256(data)


# ---- containerd -----------------------------------------------------------


def test_containerd(engines, saved, tmp_path):
    path, image = saved
    containerd = engines("containerd")
    run(*containerd.base, "images", "import", "--no-unpack", path)
    assert containerd.digest(NAME) == image["Descriptor"]["digest"]
    run(*containerd.base, "images", "export", tmp_path / "out.tar", NAME)
    run(*containerd.base, "images", "rm", "--sync", NAME)
    assert berth("load", "-i", tmp_path / "out.tar") == \
        f"Loaded image: {NAME}\n"
    assert inspect(NAME)["Descriptor"] == image["Descriptor"]
    assert berth("run", "--rm", NAME) == "from the image\n"
