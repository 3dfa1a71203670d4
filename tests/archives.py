"""Archives of images by hand: what is right, so that a test can spoil it.

An archive is a dict from name to bytes, in the order of the tar; a value may
also be a tarfile.TarInfo (a link, a device), or a pair of it and bytes.
"""

import hashlib
import io
import json
import tarfile

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
CONTAINERD_NAME = "io.containerd.image.name"
OCI_NAME = "org.opencontainers.image.ref.name"


def hexdigest(data):
    return hashlib.sha256(data).hexdigest()


def link(target, kind=tarfile.SYMTYPE):
    info = tarfile.TarInfo()
    info.type, info.linkname = kind, target
    return info


def special(kind):
    info = tarfile.TarInfo()
    info.type, info.devmajor, info.devminor = kind, 1, 3
    return info


def to_tar(files, form=tarfile.PAX_FORMAT):
    """The bytes of the archive; files may be a dict or a list of pairs."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, value in files.items() if hasattr(files, "items") else files:
            info, data = tarfile.TarInfo(name), None
            if isinstance(value, tuple):
                info, value = value
            if isinstance(value, tarfile.TarInfo):
                info = value
            else:
                data = io.BytesIO(value)
                info.size = len(value)
            info.name = name
            tar.addfile(info, data)
    return out.getvalue()


def layer(**files):
    """A plain layer: names without a slash, with text."""
    return to_tar({name: text.encode() for name, text in files.items()},
                  tarfile.USTAR_FORMAT)


def config_of(layers, arch="amd64", **more):
    return json.dumps({
        "architecture": arch, "os": "linux", "config": {},
        "rootfs": {"type": "layers",
                   "diff_ids": ["sha256:" + hexdigest(d) for d in layers]},
        **more}).encode()


class Oci:
    """An OCI layout that grows; files() is the archive."""

    def __init__(self):
        self.blobs = {}
        self.entries = []

    def blob(self, data, kind=OCI_LAYER):
        self.blobs["blobs/sha256/" + hexdigest(data)] = data
        return {"mediaType": kind, "digest": "sha256:" + hexdigest(data),
                "size": len(data)}

    def image(self, layers, config=None, stored=None, **more):
        """A descriptor; stored: the layers as they lie there."""
        config = config if config is not None else config_of(layers)
        return self.blob(json.dumps({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": self.blob(config, OCI_CONFIG),
            "layers": [self.blob(data) for data in stored or layers],
            **more}).encode(), OCI_MANIFEST)

    def index(self, *children):
        return self.blob(json.dumps({
            "schemaVersion": 2, "mediaType": OCI_INDEX,
            "manifests": children}).encode(), OCI_INDEX)

    def add(self, descriptor, name=None, note=CONTAINERD_NAME, **more):
        notes = {"annotations": {note: name}} if name else {}
        self.entries.append({**descriptor, **notes, **more})
        return self

    def files(self, **index):
        return {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
                "index.json": json.dumps({
                    "schemaVersion": 2, "manifests": self.entries,
                    **index}).encode(),
                **self.blobs}


def oci(*layers, name="arch:1"):
    made = Oci()
    return made.add(made.image(layers), name).files()


def docker(*layers, tags=("arch:1",), config=None, **more):
    """As docker before 25 saves an image."""
    config = config if config is not None else config_of(layers)
    files = {f"{number:064x}/layer.tar": data
             for number, data in enumerate(layers)}
    item = {"Config": hexdigest(config) + ".json",
            "RepoTags": list(tags) if tags is not None else None,
            "Layers": list(files), **more}
    return {**files, hexdigest(config) + ".json": config,
            "manifest.json": json.dumps([item]).encode()}
