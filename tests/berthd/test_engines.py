"""Every engine pushes, every engine pulls what the others pushed."""

import hashlib
import json

import pytest

import debian_image
from conftest import CACHE
from engines import ENGINES, run
from containers import BERTH, rootfs_tar

SMALL_LAYERS = 3


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """Started on first use, stopped at the end."""
    started = {}

    def get(name):
        if name not in started:
            folder = tmp_path_factory.mktemp(name)
            started[name] = ENGINES[name](folder)
        return started[name]

    yield get
    for engine in started.values():
        engine.stop()


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    """A small image of its own for each engine, as an OCI layout."""
    made = {}

    def get(name):
        if name not in made:
            folder = tmp_path_factory.mktemp("layout") / name
            debian_image.write_small(folder, seed=name, layers=SMALL_LAYERS)
            made[name] = folder
        return made[name]

    return get


@pytest.fixture(scope="module")
def pushed(shared, engines, layouts):
    """name -> reference that this engine pushed, once."""
    done = {}

    def get(name):
        if name not in done:
            reference = f"{shared.host}/engines/{name}:v1"
            engines(name).load(layouts(name), reference)
            engines(name).push(reference)
            done[name] = reference
        return done[name]

    return get


def served_digest(shared, repo, tag):
    client = shared.client()
    answer = client("GET", f"/v2/{repo}/manifests/{tag}")
    client.close()
    assert answer.status == 200
    digest = "sha256:" + hashlib.sha256(answer.body).hexdigest()
    assert answer["docker-content-digest"] == digest
    return digest, answer.json()


@pytest.mark.parametrize("puller", ENGINES)
@pytest.mark.parametrize("pusher", ENGINES)
def test_push_and_pull(shared, engines, pushed, pusher, puller):
    reference = pushed(pusher)
    digest, manifest = served_digest(shared, f"engines/{pusher}", "v1")
    assert len(manifest["layers"]) == SMALL_LAYERS
    engine = engines(puller)
    engine.pull(reference)
    assert engine.digest(reference) == digest


def test_pushing_what_was_pulled_changes_nothing(shared, engines, pushed):
    for name in ENGINES:
        reference = pushed(name)
        before = served_digest(shared, f"engines/{name}", "v1")[0]
        engines(name).pull(reference)
        engines(name).push(reference)
        assert served_digest(shared, f"engines/{name}", "v1")[0] == before


def test_debian_through_docker(shared, engines, tmp_path):
    """docker pushes the Debian image; pulled again, it is what it was."""
    digest = debian_image.write_layout(tmp_path / "layout", CACHE,
                                       tag="image")
    docker = engines("docker")
    reference = f"{shared.host}/engines/debian:v1"
    docker.load(tmp_path / "layout", reference)
    before = docker.run("run", "--rm", "--network", "none", reference)
    assert "merged-tool runs" in before and "WRONG" not in before
    docker.push(reference)
    docker.pull(reference)
    after = docker.run("run", "--rm", "--network", "none", reference)
    assert after == before
    # berth unpacks and runs it, with docker's answers.
    run(BERTH, "pull", reference)
    try:
        assert run(BERTH, "run", "--rm", reference) == before
    finally:
        run(BERTH, "rmi", reference)
    # The same image as it was made, through skopeo: digest and bytes.
    engines("skopeo").load(tmp_path / "layout", reference + "-oci")
    engines("skopeo").push(reference + "-oci")
    assert served_digest(shared, "engines/debian", "v1-oci")[0] == digest
    engines("skopeo").pull(reference + "-oci")
    assert engines("skopeo").digest(reference + "-oci") == digest


def test_berth_pushes_what_docker_and_podman_run(shared, engines, tmp_path):
    (tmp_path / "root.tar").write_bytes(rootfs_tar())
    reference = f"{shared.host}/engines/berth:v1"
    run(BERTH, "import", tmp_path / "root.tar", reference)
    try:
        run(BERTH, "push", reference)
        mine = run(BERTH, "run", "--rm", reference, "cat", "/data/seed")
    finally:
        run(BERTH, "rmi", reference)
    assert mine == "from the image\n"
    docker = engines("docker")
    docker.pull(reference)
    assert docker.run("run", "--rm", "--network", "none", reference, "cat",
                      "/data/seed") == mine
    podman = engines("podman")
    podman.pull(reference)
    # Without CAP_SYS_RESOURCE podman's own default limits cannot be set, and
    # crun refuses a hybrid cgroup tree: hence runc and explicit limits.
    assert run(*podman.base, "--runtime", "runc", "--cgroup-manager",
               "cgroupfs", "run", "--rm", "--network", "none", "--ulimit",
               "nofile=1000:1000", "--ulimit", "nproc=1000:1000", reference,
               "cat", "/data/seed") == mine
    run(BERTH, "pull", reference)
    assert run(BERTH, "run", "--rm", reference, "cat", "/data/seed") == mine
    run(BERTH, "rmi", reference)


def test_tags_and_delete_by_skopeo(shared, engines, pushed):
    pushed("skopeo")
    name = f"docker://{shared.host}/engines/skopeo"
    tags = json.loads(run("skopeo", "list-tags", "--tls-verify=false", name))
    assert tags["Tags"] == ["v1"]
    run("skopeo", "copy", "--src-tls-verify=false", "--dest-tls-verify=false",
        name + ":v1", f"docker://{shared.host}/engines/copy:v2")
    run("skopeo", "delete", "--tls-verify=false",
        f"docker://{shared.host}/engines/copy:v2")
    client = shared.client()
    assert client("HEAD", "/v2/engines/copy/manifests/v2").status == 404
    assert client("HEAD", "/v2/engines/skopeo/manifests/v1").status == 200
    client.close()
