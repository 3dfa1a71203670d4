"""Random layers upon layers, against a model of what they must become."""

import hashlib
import io
import json
import os
import pathlib
import random
import subprocess
import tarfile


from containers import berth

LONG = bool(os.environ.get("BERTH_LONG"))
IMAGES = 1000 if LONG else 40
LAYERS = 4
OPERATIONS = 8
NAMES = "abc"


class Model:
    """Path -> what is there, as the specification of images has it."""

    def __init__(self):
        self.tree = {}
        self.ours = set()

    def begin_layer(self):
        self.ours = set()

    def children(self, path):
        return [p for p in self.tree
                if p != path and os.path.dirname(p) == path]

    def remove(self, path):
        for child in self.children(path):
            self.remove(child)
        self.tree.pop(path, None)

    def hide(self, path):
        """Only what lower layers have."""
        if path not in self.ours:
            self.remove(path)
        elif self.tree.get(path) == "d":
            for child in self.children(path):
                self.hide(child)

    def may_hold(self, path):
        """Are all parents folders, or absent?"""
        while path:
            path = os.path.dirname(path)
            if path and self.tree.get(path, "d") != "d":
                return False
        return True

    def put(self, path, what):
        if not (what == "d" and self.tree.get(path) == "d"):
            self.remove(path)
        self.tree[path] = what
        while path:
            self.ours.add(path)
            path = os.path.dirname(path)
            if path:
                self.tree.setdefault(path, "d")


def random_path(rng):
    return "/".join(rng.choice(NAMES) for _ in range(rng.randint(1, 3)))


def operate(rng, model, tar):
    """One random entry, in the model and in the tar."""
    path, kind = random_path(rng), rng.choice("fffddlhwwo")
    if not model.may_hold(path):
        return
    info = tarfile.TarInfo(path)
    data = None
    if kind == "f":
        data = str(rng.random()).encode()
        info.size, info.mode = len(data), 0o644
        model.put(path, "f" + data.decode())
    elif kind == "d":
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        model.put(path, "d")
    elif kind == "l":
        info.type, info.linkname = tarfile.SYMTYPE, "nowhere"
        model.put(path, "lnowhere")
    elif kind == "h":
        files = [p for p, what in model.tree.items() if what[0] == "f" and
                 p != path and not p.startswith(path + "/")]
        if not files:
            return
        info.type, info.linkname = tarfile.LNKTYPE, rng.choice(files)
        model.put(path, model.tree[info.linkname])
    elif kind == "w":
        head, tail = os.path.split(path)
        info.name = os.path.join(head, ".wh." + tail)
        model.hide(path)
    else:
        if model.tree.get(path) != "d":
            path = ""
        info.name = os.path.join(path, ".wh..wh..opq")
        for child in model.children(path):
            model.hide(child)
    tar.addfile(info, io.BytesIO(data) if data is not None else None)


def make_layers(rng, model):
    layers = []
    for _ in range(rng.randint(1, LAYERS)):
        out = io.BytesIO()
        model.begin_layer()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for _ in range(rng.randint(1, OPERATIONS)):
                operate(rng, model, tar)
        layers.append(out.getvalue())
    return layers


def write_archive(path, name, layers):
    """As docker save writes it."""
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [
            "sha256:" + hashlib.sha256(one).hexdigest() for one in layers]}})
    files = {f"{i}.tar": one for i, one in enumerate(layers)}
    files["config.json"] = config.encode()
    files["manifest.json"] = json.dumps([{
        "Config": "config.json", "RepoTags": [name],
        "Layers": [f"{i}.tar" for i in range(len(layers))]}]).encode()
    with tarfile.open(path, "w") as tar:
        for key, data in files.items():
            info = tarfile.TarInfo(key)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def read_tree(root):
    tree = {}
    for folder, dirs, files in os.walk(root):
        for name in [*dirs, *files]:
            path = pathlib.Path(folder) / name
            rel = str(path.relative_to(root))
            if path.is_symlink():
                tree[rel] = "l" + os.readlink(path)
            elif path.is_dir():
                tree[rel] = "d"
            else:
                tree[rel] = "f" + path.read_text()
    return tree


def merged(store, name, mount):
    """The tree as an overlay shows it."""
    for ref in (store / "refs").iterdir():
        image = json.loads(ref.read_text())
        if image["name"].endswith(name):
            break
    lower = [str(store / "layers" / chain / "fs")
             for chain in reversed(image["layers"])]
    if len(lower) == 1:
        return read_tree(lower[0])
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o",
                    "userxattr,ro,lowerdir=" + ":".join(lower), str(mount)],
                   check=True)
    try:
        return read_tree(mount)
    finally:
        subprocess.run(["umount", str(mount)], check=True)


def test_random_layers(tmp_path, fresh_store):
    mount = tmp_path / "mount"
    mount.mkdir()
    seed = int(os.environ.get("BERTH_SEED", random.randrange(1 << 30)))
    print("BERTH_SEED:", seed)
    for i in range(IMAGES):
        rng, model = random.Random(seed + i), Model()
        archive = tmp_path / "image.tar"
        write_archive(archive, "model:1", make_layers(rng, model))
        berth("load", "-q", "-i", archive)
        got = merged(fresh_store, "model:1", mount)
        assert got == model.tree, f"BERTH_SEED={seed + i}"
        berth("rmi", "model:1")
