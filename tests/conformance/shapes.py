"""What the modules here push, and how they read lists."""

from rawhttp import OCI_CONFIG, OCI_LAYER, OCI_MANIFEST, sha256

ABSENT = "sha256:" + "0" * 64  # never pushed
EMPTY = sha256(b"")


def image(http, repo, **change):
    """A valid manifest as a dict, with its blobs pushed, then changed."""
    config = http.push_blob(repo, b"{}")
    layer = http.push_blob(repo, b"layer")
    manifest = {"schemaVersion": 2, "mediaType": OCI_MANIFEST,
                "config": {"mediaType": OCI_CONFIG, "digest": config,
                           "size": 2},
                "layers": [{"mediaType": OCI_LAYER, "digest": layer,
                            "size": 5}]}
    manifest.update(change)
    return {k: v for k, v in manifest.items() if v is not None}


def pages(http, path):
    """Follow Link from path; yields the JSON of each page."""
    while path:
        answer = http("GET", path)
        assert answer.status == 200
        yield answer.json()
        link = answer["link"]
        path = link[1:link.index(">")] if link else None
        assert not link or link.endswith('>; rel="next"')
