"""An index in a registry: berth takes the child that is meant, and knows it.

Also what `berth inspect` shows of images, and labels from image to container.
"""

import json

import pytest

from rawhttp import OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, sha256
from containers import berth, rootfs_tar

pytestmark = pytest.mark.usefixtures("fresh_store")


def put_manifest(client, repo, tag, manifest):
    data = json.dumps(manifest).encode()
    kind = manifest["mediaType"]
    answer = client.put_manifest(repo, tag or sha256(data), data, kind)
    assert answer.status == 201
    return {"mediaType": kind, "digest": sha256(data), "size": len(data)}


def put_image(client, repo, arch, layer):
    """An image of one layer that says for which architecture it is."""
    config = json.dumps({
        "created": "2024-05-06T07:08:09Z", "architecture": arch, "os": "linux",
        "author": "somebody",
        "config": {"Cmd": ["cat", "/data/seed"], "Env": ["ARCH=" + arch],
                   "Labels": {"from": "image", "arch": arch},
                   "ExposedPorts": {"80/tcp": {}}, "StopSignal": "SIGUSR1",
                   "WorkingDir": "/tmp", "User": "app"},
        "rootfs": {"type": "layers", "diff_ids": [sha256(layer)]}}).encode()
    manifest = {
        "schemaVersion": 2, "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "size": len(config),
                   "digest": client.push_blob(repo, config)},
        "layers": [{"mediaType": OCI_LAYER, "size": len(layer),
                    "digest": client.push_blob(repo, layer)}]}
    return put_manifest(client, repo, None, manifest), sha256(config)


@pytest.fixture(scope="module")
def index(shared):
    """The index t/index:v1 and what is in it."""
    client = shared.client()
    layer = rootfs_tar()
    children, ids = {}, {}
    for arch, platform in {
            "amd64": {}, "arm64": {"variant": "v8"}, "arm": {"variant": "v6"},
            "s390x": {}}.items():
        children[arch], ids[arch] = put_image(client, "t/index", arch, layer)
        children[arch]["platform"] = {"os": "linux", "architecture": arch,
                                      **platform}
    top = put_manifest(client, "t/index", "v1", {
        "schemaVersion": 2, "mediaType": OCI_INDEX,
        "manifests": [
            {**children["amd64"], "platform": {"os": "unknown",
                                               "architecture": "unknown"}},
            *children.values()]})
    nested = put_manifest(client, "t/index", "nested", {
        "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [top]})
    # Four indexes above the images: over the limit.
    below = nested
    for _ in range(2):
        below = put_manifest(client, "t/index", "deep", {
            "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [below]})
    client.close()
    return {"name": f"{shared.host}/t/index:v1", "ids": ids, "top": top,
            "repo": f"{shared.host}/t/index", "children": children,
            "nested": nested}


@pytest.fixture
def names():
    """Names to remove at the end."""
    made = []
    yield made
    for name in made:
        berth("rmi", "-f", name, code=None)


def inspect(*names):
    return json.loads(berth("inspect", *names))


@pytest.mark.parametrize("platform, arch", [
    ("linux/arm64", "arm64"), ("linux/aarch64", "arm64"),
    ("linux/arm64/v8", "arm64"), ("linux/arm/v6", "arm"),
    ("linux/s390x", "s390x"), (None, "amd64")])
def test_the_platform_chooses(index, names, platform, arch):
    names.append(index["name"])
    flag = ["--platform", platform] if platform else []
    berth("pull", *flag, index["name"])
    image, = inspect(index["name"])
    assert image["Id"] == index["ids"][arch]
    assert image["Architecture"] == arch
    assert image["Descriptor"]["digest"] == index["children"][arch]["digest"]
    # By which digest it was pulled: the registry's answer for this tag.
    assert image["RepoDigests"] == [
        f"{index['repo']}@{index['top']['digest']}"]


@pytest.mark.parametrize("platform", ["linux/ppc64le", "linux/arm/v7",
                                      "windows/amd64"])
def test_an_absent_platform(index, platform):
    done = berth("pull", "--platform", platform, index["name"], code=None)
    assert done.returncode == 1
    assert f"no image for {platform}: there is linux/amd64, linux/arm64, " \
           "linux/arm/v6, linux/s390x" in done.stderr
    done = berth("run", "--rm", "--platform", platform, "--pull", "always",
                 index["name"], code=None)
    assert done.returncode == 125 and "no image for" in done.stderr
    assert index["repo"] not in berth("images")


def test_a_bad_platform(index):
    for platform in ("amd64", "linux/", "linux/a/b/c", "linux/\x1b[2J"):
        done = berth("pull", "--platform", platform, index["name"], code=None)
        assert done.returncode == 1 and "bad platform" in done.stderr


def test_nested_indexes(index, names):
    names.append(index["repo"] + ":nested")
    berth("pull", index["repo"] + ":nested")
    image, = inspect(index["repo"] + ":nested")
    assert image["Id"] == index["ids"]["amd64"]
    assert image["RepoDigests"] == [
        f"{index['repo']}@{index['nested']['digest']}"]
    done = berth("pull", index["repo"] + ":deep", code=None)
    assert done.returncode == 1 and "too deeply" in done.stderr


def test_by_the_digest_of_the_index(index, names):
    name = f"{index['repo']}@{index['top']['digest']}"
    names.append(name)
    berth("pull", name)
    image, = inspect(name)
    assert image["RepoTags"] == [] and image["RepoDigests"] == [name]
    berth("rmi", name)
    # What was pulled by its tag is found by both digests, without a registry.
    names.append(index["name"])
    berth("pull", index["name"])
    child = index["children"]["amd64"]["digest"]
    for digest in (index["top"]["digest"], child):
        assert berth("run", "--rm", "--pull", "never",
                     f"{index['repo']}@{digest}") == "from the image\n"


def test_a_push_sends_the_child(index, names, shared):
    """Only the chosen image is here: it is what goes out under a new name."""
    other = f"{shared.host}/t/child:v1"
    names += [index["name"], other]
    berth("pull", index["name"])
    berth("tag", index["name"], other)
    image, = inspect(other)
    assert sorted(image["RepoTags"]) == sorted([index["name"], other])
    assert image["RepoDigests"] == [f"{index['repo']}@"
                                    f"{index['top']['digest']}"]
    child = index["children"]["amd64"]["digest"]
    assert child in berth("push", other)
    client = shared.client()
    assert sha256(client("GET", "/v2/t/child/manifests/v1").body) == child
    client.close()
    image, = inspect(other)
    assert sorted(image["RepoDigests"]) == sorted([
        f"{index['repo']}@{index['top']['digest']}",
        f"{shared.host}/t/child@{child}"])


def test_inspect_of_an_image(index, names):
    names.append(index["name"])
    berth("pull", index["name"])
    image, = inspect(index["name"])
    layer = sha256(rootfs_tar())
    assert image["RepoTags"] == [index["name"]]
    assert image["Created"] == "2024-05-06T07:08:09Z"
    assert (image["Os"], image["Author"]) == ("linux", "somebody")
    assert image["Size"] > 100_000
    assert image["RootFS"] == {"Type": "layers", "Layers": [layer]}
    assert image["Descriptor"]["mediaType"] == OCI_MANIFEST
    config = image["Config"]
    assert config["Cmd"] == ["cat", "/data/seed"]
    assert config["Env"] == ["ARCH=amd64"]
    assert config["Labels"] == {"from": "image", "arch": "amd64"}
    assert config["ExposedPorts"] == {"80/tcp": {}}
    assert config["StopSignal"] == "SIGUSR1"
    assert (config["WorkingDir"], config["User"]) == ("/tmp", "app")
    # What the image does not say is there all the same, as with docker.
    assert config["Entrypoint"] is None and config["Volumes"] is None
    # By id, by its beginning, and as `berth image inspect`.
    short = image["Id"][7:19]
    for text in (image["Id"], image["Id"][7:], short):
        assert inspect(text) == [image]
    assert json.loads(berth("image", "inspect", index["name"])) == [image]
    lines = berth("inspect", "--format", "json", index["name"], short)
    assert [json.loads(line) for line in lines.splitlines()] == [image, image]


def test_templates_of_an_image(index, names):
    names.append(index["name"])
    berth("pull", index["name"])
    image, = inspect(index["name"])
    assert berth("inspect", "-f", "{{.Id}}", index["name"]) == \
        image["Id"] + "\n"
    shown = berth("image", "inspect", "-f",
                  "{{.Config.StopSignal}} {{json .RepoTags}} "
                  "{{index .Config.Labels \"from\"}}", index["name"])
    assert shown == f"SIGUSR1 {json.dumps([index['name']])} image\n"


def test_containers_come_first(index, names):
    names += [index["name"], "both:latest"]
    berth("pull", index["name"])
    berth("tag", index["name"], "both")
    container = berth("run", "-d", "--name", "both", "--pull", "never", "both",
                      "sleep", "1000").strip()
    try:
        found, = inspect("both")
        assert found["Id"] == container
        image, = inspect("--type", "image", "both")
        assert image["Id"] == index["ids"]["amd64"]
        assert inspect("--type", "container", "both")[0]["Id"] == container
        assert [o["Id"] for o in inspect("both", "both:latest")] == \
            [container, image["Id"]]
        done = berth("inspect", "--type", "container", "both:latest",
                     code=None)
        assert done.returncode == 1 and "no such container" in done.stderr
    finally:
        berth("rm", "-f", "both")
    assert inspect("both") == [image]


def test_inspect_tells_what_is_not_there(index, names):
    names.append(index["name"])
    berth("pull", index["name"])
    done = berth("inspect", "no-such", index["name"], "A/B", code=None)
    assert done.returncode == 1
    assert len(json.loads(done.stdout)) == 1
    assert "no such container or image: no-such" in done.stderr
    assert "no such container or image: A/B" in done.stderr
    done = berth("inspect", "--type", "image", "no-such", code=None)
    assert done.returncode == 1 and "no such image: no-such" in done.stderr
    for bad in (["--type", "volume"], ["--format", "{{.Id"], []):
        done = berth("inspect", *bad, *([index["name"]] if bad else []),
                     code=None)
        assert done.returncode == 1 and done.stdout == ""


def test_labels_of_the_image(fresh_store, index, names):
    names.append(index["name"])
    container = berth("run", "-d", "--label", "arch=mine", "-l", "own=x=y",
                      index["name"], "sleep", "1000").strip()
    try:
        record = json.loads(
            (fresh_store / "containers" / container / "record.json").read_text())
        assert sorted(record["labels"]) == ["arch=mine", "from=image",
                                            "own=x=y"]
    finally:
        berth("rm", "-f", container)


@pytest.mark.parametrize("group, word, verb", [
    ("image", "ls", "images"), ("container", "ls", "ps")])
def test_groups(group, word, verb):
    assert berth(group, word, "--help") == berth(verb, "--help")
    assert berth(group, word) == berth(verb)
    done = berth(group, "no-such-word", code=None)
    assert done.returncode == 125
