"""berth load: archives of every maker."""

import subprocess

import pytest

import archives
from archives import Oci, docker, hexdigest, layer, oci
from containers import BERTH, berth
from loading import (  # noqa: F401
    ONE, TWO, UNDERSTOOD, empty, image, inspect, load, of_platforms)

pytestmark = pytest.mark.usefixtures("fresh_store")


@pytest.mark.parametrize("row", UNDERSTOOD)
def test_load_understands(row, fresh_store):
    assert load(UNDERSTOOD[row]()) == "Loaded image: arch:1\n"
    image = inspect("arch:1")
    assert image["RepoTags"] == ["arch:1"]
    assert image["RootFS"]["Layers"][0] == "sha256:" + hexdigest(ONE)
    assert image["Architecture"] == "amd64"
    top = list((fresh_store / "layers").glob("*/fs/one"))
    assert top and top[0].read_text() == "1\n"


def test_ids_and_digests_stay():
    made = Oci()
    descriptor = made.image([ONE, TWO])
    load(made.add(descriptor, "a:1").files())
    config = archives.config_of([ONE, TWO])
    assert inspect("a:1")["Descriptor"] == descriptor
    assert inspect("a:1")["Id"] == "sha256:" + hexdigest(config)
    # docker's way has no manifest; the id is what docker shows.
    load(docker(ONE, TWO, tags=["b:1", "localhost:5000/c:2"]))
    assert inspect("b:1")["Id"] == "sha256:" + hexdigest(config)
    assert sorted(inspect("b:1")["RepoTags"]) == ["a:1", "b:1",
                                                  "localhost:5000/c:2"]
    # Its layers are compressed as import does it, and always alike.
    digest = inspect("b:1")["Descriptor"]["digest"]
    assert digest != descriptor["digest"]
    berth("rmi", "b:1", "localhost:5000/c:2")
    load(docker(ONE, TWO, tags=["b:1"]))
    assert inspect("b:1")["Descriptor"]["digest"] == digest


def test_platforms_of_an_archive():
    files = of_platforms(True)
    load(files, "--platform", "linux/arm64")
    assert inspect("arch:1")["Architecture"] == "arm64"
    text = load(files, "--platform", "linux/s390x", code=1)
    assert "no image for linux/s390x: there is linux/arm64, linux/amd64" in text
    assert inspect("arch:1")["Architecture"] == "arm64"
    load(of_platforms(False), "--platform", "linux/arm64")
    assert inspect("arch:1")["Architecture"] == "arm64"
    text = load(of_platforms(False), "--platform", "linux/s390x", code=1)
    assert "two images with the name arch:1" in text


def test_images_without_a_name():
    for files in (oci(ONE, name=None), docker(ONE, tags=None),
                  docker(ONE, tags=[])):
        whole = "sha256:" + hexdigest(archives.config_of([ONE]))
        assert load(files) == f"Loaded image ID: {whole}\n"
    made = Oci()
    made.add(made.image([ONE]), "V1+x", archives.OCI_NAME)
    assert load(made.files()).startswith("Loaded image ID: ")
    made = Oci()
    made.add(made.image([ONE]), "a/b@sha256:" + "0" * 64)
    assert load(made.files()).startswith("Loaded image ID: ")


def test_many_images():
    made = Oci()
    for number in range(20):
        made.add(made.image([ONE, layer(n=str(number))]), f"many:{number}")
    said = load(made.files()).splitlines()
    assert said == [f"Loaded image: many:{number}" for number in range(20)]
    assert berth("images").count("many ") == 20
    names = [f"many:{number}" for number in range(20)]
    done = subprocess.run([BERTH, "save", *names], capture_output=True)
    berth("rmi", *names)
    assert load(done.stdout).splitlines() == said


def test_quiet_says_the_names():
    assert load(oci(ONE), "-q") == "Loaded image: arch:1\n"
