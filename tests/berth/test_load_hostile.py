"""berth load: what it refuses, and that it changes nothing then."""

import gzip
import json
import os
import random
import subprocess
import tarfile

import pytest

import archives
from archives import Oci, docker, hexdigest, layer, link, oci, special, to_tar
from containers import BERTH, berth, rootfs_tar
from loading import (  # noqa: F401
    ONE, TWO, UNDERSTOOD, empty, folder, load, nested, objects)

pytestmark = pytest.mark.usefixtures("fresh_store")


def changed(files, name, old, new):
    """A part's bytes with old replaced by new."""
    assert old in files[name], files[name]
    return {**files, name: files[name].replace(old, new)}


def without(files, part):
    left = {k: v for k, v in files.items() if part not in k}
    assert len(left) == len(files) - 1
    return left


def oci_with(change):
    """An archive whose manifest was changed, its digest made good."""
    made = Oci()
    descriptor = made.image([ONE])
    name = "blobs/sha256/" + descriptor["digest"][7:]
    data = change(json.loads(made.blobs.pop(name)))
    if not isinstance(data, bytes):
        data = json.dumps(data).encode()
    return made.add(made.blob(data, descriptor["mediaType"]), "arch:1").files()


def two_of_one_name():
    made = Oci()
    made.add(made.image([ONE]), "arch:1")
    return made.add(made.image([TWO]), "arch:1").files()


def good_and_bad():
    made = Oci()
    made.add(made.image([ONE]), "good:1")
    made.add(made.image([TWO], archives.config_of([ONE])), "bad:1")
    return made.files()


def typed(kind):
    made = Oci()
    return made.add({**made.image([ONE]), "mediaType": kind}, "arch:1").files()


def sized(size):
    made = Oci()
    return made.add({**made.image([ONE]), "size": size}, "arch:1").files()


def sparse():
    """A file of a terabyte that has no byte in the tar."""
    info = tarfile.TarInfo()
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0",
                        "GNU.sparse.name": "big",
                        "GNU.sparse.realsize": str(1 << 40)}
    data = b"1\n0\n512\n".ljust(512, b"\0") + bytes(512)
    info.size = len(data)
    return {"big": (info, data), **oci(ONE)}


LAYER = hexdigest(ONE)

CONFIG = hexdigest(archives.config_of([ONE]))

DOCKER_LAYER = f"{0:064x}/layer.tar"


def docker_item(**change):
    return docker(ONE, **change)


HOSTILE = {
    # names of the tar
    "dot-dot": (lambda: {"../../../tmp/x": b"bad", **oci(ONE)}, "bad name"),
    "dot-dot-inside": (lambda: {"blobs/../../x": b"", **oci(ONE)}, "bad name"),
    "absolute": (lambda: {"/tmp/x": b"bad", **oci(ONE)}, "bad name"),
    "dot-dot-folder": (lambda: {"../x": folder(), **oci(ONE)},
                       "bad name"),
    "index-is-a-link-out": (lambda: {**oci(ONE), "index.json":
                                     link("../../etc/passwd")},
                            "no archive of images"),
    "blob-is-a-link-out": (lambda: {**oci(ONE), "blobs/sha256/" + LAYER:
                                    link("/etc/passwd")}, "has no blobs"),
    "blob-is-another": (lambda: {**oci(ONE), "blobs/sha256/" + LAYER:
                                 link(CONFIG)}, "were promised"),
    "link-loop": (lambda: {**oci(ONE), "blobs/sha256/" + LAYER: link(LAYER)},
                  "has no blobs"),
    "device": (lambda: {"dev": special(tarfile.CHRTYPE), **oci(ONE)},
               "is no file"),
    "fifo": (lambda: {"pipe": special(tarfile.FIFOTYPE), **oci(ONE)},
             "is no file"),
    "root-is-a-file": (lambda: {".": b"x", **oci(ONE)}, "is no file"),
    "two-files-of-a-name": (lambda: [*oci(ONE).items(),
                                     ("index.json", b"{}")],
                            "two different files"),
    "link-over-file": (lambda: [*oci(ONE).items(),
                                ("./index.json", link("oci-layout"))],
                       "two different files"),
    "many-entries": (lambda: [(f"f{n}", b"") for n in range(10001)],
                     "over 10000 entries"),
    # bytes of the tar
    "empty": (lambda: b"", "bad tar"),
    "zeros": (lambda: bytes(10240), "is empty"),
    "garbage": (lambda: b"garbage" * 1000, "bad tar"),
    "cut": (lambda: to_tar(oci(ONE, layer(x="x" * 50000)))[:30000], "bad tar"),
    "gzip-cut": (lambda: gzip.compress(to_tar(oci(ONE)))[:-400],
                 "ends early"),
    "gzip-crc": (lambda: gzip.compress(to_tar(oci(ONE)))[:-8] + bytes(8),
                 "damaged"),
    "gzip-tail": (lambda: gzip.compress(to_tar(oci(ONE))) + b"tail",
                  "damaged"),
    "bomb": (lambda: gzip.compress(to_tar({"zero": bytes(100 << 20)}), 9),
             "bomb"),
    "sparse": (sparse, "not of the size"),
    "xz": (lambda: b"\xfd7zXZ\0" + bytes(100), "xz is not supported"),
    # other archives
    "root-file-system": (rootfs_tar, "berth import"),
    "docker-before-1.10": (lambda: {"repositories": b"{}", "x/json": b"{}"},
                           "before 1.10"),
    "no-image": (lambda: Oci().files(), "has no image"),
    "only-artifacts": (lambda: (lambda made: made.add(made.blob(json.dumps({
        "schemaVersion": 2, "mediaType": archives.OCI_MANIFEST,
        "config": made.blob(b"{}", "application/x"), "layers": []}).encode(),
        archives.OCI_MANIFEST), "a:1").files())(Oci()), "has no image"),
    "layout-version": (lambda: {**oci(ONE), "oci-layout":
                                b'{"imageLayoutVersion":"2.0.0"}'},
                       "layout version"),
    "layout-no-json": (lambda: {**oci(ONE), "oci-layout": b"1.0.0"},
                       "bad JSON"),
    # OCI
    "index-duplicate-key": (lambda: changed(
        oci(ONE), "index.json", b'"manifests"',
        b'"manifests": [], "manifests"'), "duplicate"),
    "index-is-huge": (lambda: {**oci(ONE), "index.json":
                               b" " * (5 << 20) + b"{}"}, "is over"),
    "index-is-deep": (lambda: {**oci(ONE), "index.json":
                               b'{"a":' + b"[" * 50}, "nested"),
    "index-has-layers": (lambda: changed(
        oci(ONE), "index.json", b'"manifests"', b'"layers": [], "manifests"'),
        "both manifests and"),
    "index-is-a-list": (lambda: {**oci(ONE), "index.json": b"[]"},
                        "no object"),
    "index-is-a-manifest": (lambda: {
        **oci(ONE), "index.json": json.dumps({
            "schemaVersion": 2, "layers": [], "config": {
                "mediaType": "a/b", "size": 2,
                "digest": "sha256:" + "0" * 64}}).encode()}, "is no index"),
    "type-lies": (lambda: typed(archives.OCI_INDEX), "is not the mediaType"),
    "size-lies": (lambda: sized(7), "were promised"),
    "size-negative": (lambda: sized(-1), "no valid size"),
    "size-huge": (lambda: sized(1 << 62), "no valid size"),
    "digest-is-a-path": (lambda: changed(
        oci(ONE), "index.json", b'"sha256:', b'"sha256:../../'),
        "malformed digest"),
    "digest-sha512": (lambda: changed(
        oci(ONE), "index.json", b'"digest": "sha256:',
        b'"digest": "sha512:' + b"0" * 64), "damaged"),
    "blob-altered": (lambda: changed(oci(ONE), "blobs/sha256/" + LAYER, b"1\n",
                                     b"2\n"), "were promised"),
    "no-layer": (lambda: without(oci(ONE), LAYER), "has no blobs"),
    "no-config": (lambda: without(oci(ONE), CONFIG), "has no blobs"),
    "manifest-duplicate-key": (lambda: oci_with(
        lambda m: json.dumps(m).replace('"layers"', '"layers":[],"layers"')
        .encode()), "duplicate"),
    "manifest-has-manifests": (lambda: oci_with(
        lambda m: {**m, "manifests": []}), "both manifests and"),
    "manifest-schema-1": (lambda: oci_with(
        lambda m: {**m, "schemaVersion": 1}), "schemaVersion"),
    "no-diff-ids": (lambda: oci_with(lambda m: {**m, "layers": []}),
                    "0 layers, 1 diff ids"),
    "config-duplicate-key": (lambda: (lambda made: made.add(made.image(
        [ONE], archives.config_of([ONE]).replace(b"{", b'{"os":"x",', 1)),
        "arch:1").files())(Oci()), "duplicate"),
    "diff-id-lies": (lambda: (lambda made: made.add(made.image(
        [ONE], archives.config_of([TWO])), "arch:1").files())(Oci()),
        "config says"),
    "layer-no-tar": (lambda: oci(b"no tar at all"), "bad tar"),
    "indexes-in-indexes": (lambda: nested(3), "too deeply"),
    "name-is-a-path": (lambda: oci(ONE, name="../../etc/passwd"),
                       "invalid reference"),
    "name-has-blanks": (lambda: oci(ONE, name="a b"), "invalid reference"),
    "name-steers": (lambda: oci(ONE, name="a\x1b[2Jb"), "invalid reference"),
    "name-steers-too": (lambda: oci(ONE, name="a\u009b2Jb"),
                        "invalid reference"),
    "name-is-two-lines": (lambda: oci(ONE, name="a\nberth: all is well"),
                          "invalid reference"),
    "two-images-of-a-name": (two_of_one_name, "two images"),
    "second-image-is-bad": (good_and_bad, "bad:1"),
    # docker's way
    "tag-is-no-name": (lambda: docker_item(tags=["A B"]), "invalid reference"),
    "tag-is-a-path": (lambda: docker_item(tags=["../x"]), "invalid reference"),
    "tag-is-a-number": (lambda: docker_item(tags=[1]), "no text"),
    "tag-is-a-digest": (lambda: docker_item(tags=["a@sha256:" + "0" * 64]),
                        "has a digest"),
    "tags-are-an-object": (lambda: docker_item(RepoTags={"a": "b"}),
                           "no list"),
    "config-is-outside": (lambda: docker_item(Config="../../etc/passwd"),
                          "has no config"),
    "config-is-absent": (lambda: docker_item(Config="x.json"),
                         "has no config"),
    "config-is-no-text": (lambda: docker_item(Config={}), "has no config"),
    "config-name-lies": (lambda: {
        **docker_item(Config="0" * 64 + ".json"),
        "0" * 64 + ".json": archives.config_of([ONE])}, "is sha256:"),
    "config-no-json": (lambda: docker(ONE, config=b"{"), "bad JSON"),
    "config-no-object": (lambda: docker(ONE, config=b"[]"), "no object"),
    "layer-is-absent": (lambda: docker_item(Layers=["x/layer.tar"]),
                        "has no layer"),
    "layer-loop": (lambda: {**docker(ONE), DOCKER_LAYER: link("../a"),
                            "a": link(DOCKER_LAYER)}, "has no layer"),
    "layer-is-outside": (lambda: {**docker(ONE), DOCKER_LAYER:
                                  link("../../../etc/passwd")},
                         "has no layer"),
    "layer-altered": (lambda: changed(docker(ONE), DOCKER_LAYER, b"1\n",
                                      b"2\n"), "config says"),
    "too-few-layers": (lambda: docker_item(Layers=[]), "0 layers, 1 diff"),
    "too-many-layers": (lambda: docker_item(Layers=[DOCKER_LAYER] * 128),
                        "over 127 layers"),
    "list-is-an-object": (lambda: {**docker(ONE), "manifest.json": b"{}"},
                          "no array"),
    "list-of-numbers": (lambda: {**docker(ONE), "manifest.json": b"[1]"},
                        "has no config"),
    "list-is-empty": (lambda: {**docker(ONE), "manifest.json": b"[]"},
                      "has no image"),
    "list-is-huge": (lambda: {**docker(ONE), "manifest.json":
                              b" " * (5 << 20) + b"[]"}, "is over"),
    "list-is-deep": (lambda: {**docker(ONE), "manifest.json": b"[" * 50},
                     "nested"),
    "list-of-many": (lambda: {**docker(ONE), "manifest.json":
                              b"[" + b"1," * 2000 + b"1]"},
                     "over 1000 images"),
    "list-duplicate-key": (lambda: changed(
        docker(ONE), "manifest.json", b'"RepoTags"',
        b'"RepoTags": ["x:1"], "RepoTags"'), "duplicate"),
}


@pytest.mark.parametrize("row", HOSTILE)
def test_load_refuses(row, fresh_store, tmp_path):
    load(oci(TWO, name="kept:1"))
    before = objects(fresh_store)
    make, message = HOSTILE[row]
    data = make()
    if not isinstance(data, bytes):
        data = to_tar(data)
    (tmp_path / "in").mkdir()
    done = subprocess.run([BERTH, "load"], input=data, capture_output=True,
                          timeout=120, cwd=tmp_path / "in")
    text = done.stderr.decode()
    assert done.returncode == 1 and text.startswith("berth: load"), done
    assert message in text
    assert text.endswith("\n") and text[:-1].isprintable()
    assert objects(fresh_store) == before
    assert os.listdir(tmp_path / "in") == []
    assert not os.path.exists("/tmp/x")
    assert berth("images").count("\n") == 2


def spoil(chance, data):
    """The archive with some bytes changed, cut out or put in."""
    data = bytearray(data)
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        # Most of a tar is zeros and file contents: hit headers and JSON more.
        at = chance.randrange(len(data))
        if chance.random() < 0.7:
            at = chance.choice([i for i in range(at, min(at + 4096, len(data)))
                                if data[i]] or [at])
        kind = chance.randrange(4)
        if kind == 0:
            data[at] ^= 1 << chance.randrange(8)
        elif kind == 1:
            data[at] = chance.randrange(256)
        elif kind == 2:
            del data[at:at + chance.choice([1, 2, 512])]
        else:
            data[at:at] = bytes(chance.randrange(256) for _ in range(
                chance.choice([1, 2, 512])))
        data = data or bytearray(b"x")
    return bytes(data)


@pytest.mark.parametrize("row", ["oci", "combined", "docker-linked", "gzip"])
def test_spoilt_archives(row, fresh_store):
    """Whatever is loaded is whole; whatever is refused leaves nothing."""
    seed = int(os.environ.get("BERTH_SEED") or
               random.SystemRandom().randrange(1 << 32))
    print(f"BERTH_SEED={seed}")
    chance = random.Random(seed)
    good = UNDERSTOOD[row]()
    good = good if isinstance(good, bytes) else to_tar(good)
    rounds = 1000 if os.environ.get("BERTH_LONG") else 40
    for number in range(rounds):
        data = spoil(chance, good)
        done = subprocess.run([BERTH, "load"], input=data, timeout=120,
                              capture_output=True)
        text = done.stderr.decode()
        assert done.returncode in (0, 1), (number, done)
        if done.returncode == 1:
            assert text.startswith("berth: load: ") and text.count("\n") == 1, \
                (number, text)
            assert objects(fresh_store) == [], (number, text)
            continue
        names = [line.split(": ", 1)[1]
                 for line in done.stdout.decode().splitlines()]
        saved = subprocess.run([BERTH, "save", *names], capture_output=True)
        assert saved.returncode == 0, (number, saved)
        berth("rmi", *names)


def test_a_bad_option():
    done = berth("load", "-i", "/no/such/file", code=None)
    assert done.returncode == 1 and "/no/such/file" in done.stderr
    done = berth("load", "--platform", "x", "-i", "/dev/null", code=None)
    assert done.returncode == 1 and "bad platform" in done.stderr
    berth("load", "argument", code=125)
