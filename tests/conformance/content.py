"""What is pushed, as a whole: blobs, manifests, tags, who refers to whom.

SETS has one of every kind of content that the official program knows, under
the name that it reports; what real tools push is in test_artifacts.py.
"""

import base64
import gzip
import json

from rawhttp import (OCI_CONFIG, OCI_INDEX, OCI_LAYER, OCI_MANIFEST, sha256,
                     sha512)

OCI_EMPTY = "application/vnd.oci.empty.v1+json"
FOREIGN = "application/vnd.oci.image.layer.nondistributable.v1.tar"
EXAMPLE = "application/vnd.example.thing.v1"


class Content:
    """Built child by child: what is added refers to what was there before."""

    def __init__(self, salt, hashed=sha256):
        self.salt, self.hashed = salt, hashed
        self.blobs = {}  # digest: bytes
        self.manifests = {}  # digest: (bytes, media type), children first
        self.tags = {}  # tag: digest
        self.referrers = {}  # subject's digest: [descriptor]

    def blob(self, content, kind, **more):
        """A descriptor of content, which is to be pushed."""
        return {"mediaType": kind, "size": len(content),
                "digest": self._keep(self.blobs, content, content), **more}

    def layer(self, text="layer", kind=OCI_LAYER, **more):
        return self.blob(f"{self.salt} {text}".encode() * 20, kind, **more)

    def config(self, kind=OCI_CONFIG, **members):
        return self.blob(json.dumps({"salt": self.salt, **members}).encode(),
                         kind)

    def empty(self, **more):
        return self.blob(b"{}", OCI_EMPTY, **more)

    def image(self, config=None, layers=None, tag=None, **members):
        """An image manifest; members of None are left out."""
        return self._manifest({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": config or self.config(),
            "layers": [self.layer()] if layers is None else layers,
            **members}, tag)

    def index(self, *children, tag=None, **members):
        return self._manifest({
            "schemaVersion": 2, "mediaType": OCI_INDEX,
            "manifests": list(children), **members}, tag)

    def platforms(self, *names, **members):
        """An image of its own for each of these architectures."""
        return [{**self.image(self.config(architecture=name, os="linux"),
                              **members),
                 "platform": {"os": "linux", "architecture": name}}
                for name in names]

    def _keep(self, where, data, value):
        digest = self.hashed(data)
        where[digest] = value
        return digest

    def _manifest(self, members, tag):
        members = {k: v for k, v in members.items() if v is not None}
        data = json.dumps(members).encode()
        kind = members.get("mediaType", OCI_MANIFEST)
        digest = self._keep(self.manifests, data, (data, kind))
        if tag:
            self.tags[tag] = digest
        found = {"mediaType": kind, "digest": digest, "size": len(data)}
        if "subject" in members:
            self._refer(members, dict(found))
        return found

    def _refer(self, members, entry):
        """What the list of referrers must say of this manifest."""
        kind = members.get("artifactType") or \
            members.get("config", {}).get("mediaType")
        if kind:
            entry["artifactType"] = kind
        if "annotations" in members:
            entry["annotations"] = members["annotations"]
        self.referrers.setdefault(members["subject"]["digest"],
                                  []).append(entry)


def image(c):
    c.image(tag="image")


def image_uncompressed_and_compressed(c):
    c.image(layers=[c.layer(), c.blob(gzip.compress(b"tar" * 99),
                                      OCI_LAYER + "+gzip")], tag="image")


def large(c):
    c.image(tag="large", annotations={f"large-{i}": "A" * 10000
                                      for i in range(390)})


def index(c):
    c.index(*c.platforms("amd64", "arm64"), tag="index")


def nested_index(c):
    one = c.index(*c.platforms("amd64", "arm64"))
    two = c.index(*c.platforms("s390x"))
    c.index(one, two, tag="outer")


def empty_index(c):
    c.index(tag="nothing")


def artifact(c, **members):
    return c.image(c.empty(), [c.layer("thing", EXAMPLE)],
                   artifactType=EXAMPLE, **members)


def artifact_without_layers(c):
    c.image(c.empty(), [c.empty()], artifactType=EXAMPLE, tag="bare")


def artifact_index(c):
    c.index(artifact(c, annotations={"n": "1"}),
            artifact(c, annotations={"n": "2"}),
            artifactType=EXAMPLE, tag="artifacts")


def artifacts_with_subject(c):
    subject = c.image(tag="image")
    c.image(c.config(of="referrer"), subject=subject)
    artifact(c, subject=subject, annotations={"a": "1", "b": ""},
             tag="one")
    c.image(c.empty(), [c.layer("other", "application/octet-stream")],
            artifactType="application/vnd.example.other.v1", subject=subject,
            annotations={"c": "ü \" \\ \n"}, tag="two")
    c.image(c.config("application/vnd.example.config"), [], artifactType="",
            subject=subject)


def index_with_subject(c):
    subject = c.index(*c.platforms("amd64"), tag="index")
    c.index(artifact(c), artifactType=EXAMPLE, subject=subject,
            annotations={"a": "b"}, tag="typed")
    c.index(artifact(c), subject=subject)
    artifact(c, subject=subject)


def missing_subject(c):
    artifact(c, subject={"mediaType": OCI_MANIFEST, "size": 123,
                         "digest": sha256(b"missing")}, tag="early")


def data_field(c):
    c.image(c.empty(data="e30="), [c.blob(
        b"inline", OCI_LAYER, data=base64.b64encode(b"inline").decode())],
        artifactType=EXAMPLE, tag="inline")


def foreign_layers(c):
    def elsewhere(text, kind):
        digest = sha256(text.encode())
        return {"mediaType": kind, "digest": digest, "size": 12345,
                "urls": [f"https://store.example/{digest}"]}
    c.image(layers=[elsewhere("a", FOREIGN), elsewhere("b", FOREIGN + "+gzip"),
                    c.layer()], tag="foreign")


def custom_fields(c):
    child = c.image(c.config(unknown={"deep": [1, None]}),
                    [c.layer(unknown="x")], unknown=["y"], tag="image")
    c.index({**child, "unknown": 1.5}, unknown=True, tag="index")


def no_layers(c):
    c.image(layers=[], tag="none")


def sparse(c):
    layer = c.layer("never pushed")
    c.image(layers=[c.layer(), layer], tag="image")
    del c.blobs[layer["digest"]]
    c.index(c.image(), {"mediaType": OCI_MANIFEST, "size": 1024,
                        "digest": sha256(b"never pushed either")},
            tag="index")


def tagged_twice(c):
    """For tag parameters: several tags of one manifest, and of its child."""
    child = c.image(tag="child")
    whole = c.index(child, tag="1.2.3")
    c.tags.update({"1.2": whole["digest"], "1": whole["digest"],
                   "latest": whole["digest"], "_": child["digest"]})


SETS = {
    "Image": image, "Image Uncompressed": image_uncompressed_and_compressed,
    "Image with Large Manifest": large, "Index": index,
    "Nested Index": nested_index, "Empty Index": empty_index,
    "Artifact": lambda c: artifact(c, tag="thing"),
    "Artifact Index": artifact_index,
    "Artifact without Layers": artifact_without_layers,
    "Artifacts with Subject": artifacts_with_subject,
    "Index with Subject": index_with_subject,
    "Missing Subject": missing_subject, "Data Field": data_field,
    "Non-distributable Layers": foreign_layers,
    "Custom Fields": custom_fields, "No Layers": no_layers,
    "Sparse Manifests": sparse, "Digest Algorithm sha512": nested_index,
    "Tag Param": tagged_twice, "Tag Param sha512": tagged_twice,
}
SHA512 = {"Digest Algorithm sha512", "Tag Param sha512"}
TAG_PARAMETERS = {"Tag Param", "Tag Param sha512"}
NEED_SPARSE = {"Sparse Manifests"}


def make(name, salt):
    content = Content(salt, sha512 if name in SHA512 else sha256)
    SETS[name](content)
    if name in SHA512 and name not in TAG_PARAMETERS:
        content.tags = {}  # a PUT by tag would be sha256
    return content
