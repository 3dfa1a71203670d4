#!/bin/sh
# From nothing to a registry that serves an image:
#   sh deploy/demo.sh [ADDR:PORT]      (default 127.0.0.1:5000)
#
# Installs what is missing (Debian, as root), builds, starts berthd in the
# background, pushes a small real image made of Debian's busybox-static,
# pulls it back, compares, and leaves the registry running.
set -eu
cd "$(dirname "$0")/.."
listen=${1:-127.0.0.1:5000}

if ! command -v make >/dev/null; then
    echo "demo: installing make"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
        --no-install-recommends make >/dev/null
fi
make deps BUILD_ONLY=1
for package in skopeo busybox-static; do
    dpkg-query -W -f '${db:Status-Status}\n' $package 2>/dev/null |
        grep -qx installed && continue
    echo "demo: installing $package"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
        --no-install-recommends $package >/dev/null
done
make -j"$(nproc)" build/berthd

work=$(mktemp -d)
log=build/demo.log
trap 'rm -rf "$work"' EXIT
mkdir -p build && : >"$log"
setsid build/berthd serve --listen "$listen" \
    </dev/null >/dev/null 2>"$log" &
pid=$!
until grep -q " ready: " "$log"; do
    kill -0 $pid 2>/dev/null || { cat "$log" >&2; exit 1; }
    sleep 0.1
done
grep " ready: " "$log"

# An image: one layer with busybox, a config and a manifest (OCI layout).
blob() { # blob FILE: move it among the layout's blobs, print its hex digest
    digest=$(sha256sum "$1" | cut -d' ' -f1)
    mv "$1" "$layout/blobs/sha256/$digest"
    echo "$digest"
}
layout=$work/layout
mkdir -p "$layout/blobs/sha256" "$work/root/bin"
cp /bin/busybox "$work/root/bin/busybox"
ln -s busybox "$work/root/bin/sh"
tar -C "$work/root" --owner=0 --group=0 -cf "$work/layer.tar" bin
diff_id=$(sha256sum "$work/layer.tar" | cut -d' ' -f1)
gzip -n "$work/layer.tar"
layer_size=$(stat -c %s "$work/layer.tar.gz")
layer=$(blob "$work/layer.tar.gz")
printf '{"architecture":"amd64","os":"linux","config":{"Cmd":["/bin/sh"]},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "$diff_id" >"$work/config"
config_size=$(stat -c %s "$work/config")
config=$(blob "$work/config")
type=application/vnd.oci.image
printf '{"schemaVersion":2,"mediaType":"%s.manifest.v1+json","config":{"mediaType":"%s.config.v1+json","digest":"sha256:%s","size":%s},"layers":[{"mediaType":"%s.layer.v1.tar+gzip","digest":"sha256:%s","size":%s}]}' \
    $type $type "$config" "$config_size" $type "$layer" "$layer_size" \
    >"$work/manifest"
manifest_size=$(stat -c %s "$work/manifest")
manifest=$(blob "$work/manifest")
printf '{"schemaVersion":2,"manifests":[{"mediaType":"%s.manifest.v1+json","digest":"sha256:%s","size":%s}]}' \
    $type "$manifest" "$manifest_size" >"$layout/index.json"
printf '{"imageLayoutVersion":"1.0.0"}' >"$layout/oci-layout"

echo "demo: pushing busybox:demo, sha256:$manifest"
skopeo --insecure-policy copy -q --dest-tls-verify=false "oci:$layout" \
    "docker://$listen/busybox:demo"
skopeo --insecure-policy copy -q --src-tls-verify=false \
    "docker://$listen/busybox:demo" "dir:$work/pulled"
pulled=$(sha256sum "$work/pulled/manifest.json" | cut -d' ' -f1)
[ "$pulled" = "$manifest" ] || { echo "demo: the digests differ" >&2; exit 1; }
echo "demo: pulled the same digest back"
cat <<TEXT

The registry goes on running (pid $pid, log in $log; stop it with: kill $pid).
Try:

  skopeo list-tags --tls-verify=false docker://$listen/busybox
  podman run --rm --tls-verify=false $listen/busybox:demo /bin/busybox uname -a
  docker run --rm $listen/busybox:demo /bin/busybox uname -a
TEXT
