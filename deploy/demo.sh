#!/bin/sh
# From nothing to a registry and a container that runs:
#   sh deploy/demo.sh [ADDR:PORT]      (default 127.0.0.1:5000)
#
# Installs what is missing (Debian, as root), builds, starts berthd in the
# background, makes a small real image of Debian's busybox-static, pushes it,
# pulls it back, runs a container of it with a memory limit, and leaves the
# registry running.
set -eu
cd "$(dirname "$0")/.."
listen=${1:-127.0.0.1:5000}
image=$listen/busybox:demo

install() { # install PACKAGE...: with apt, quietly
    echo "demo: installing $*"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
        --no-install-recommends "$@" >/dev/null
}
command -v make >/dev/null || install make
make deps BUILD_ONLY=1
[ -x /bin/busybox ] || install busybox-static
make -j"$(nproc)"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
log=build/demo.log
: >"$log"
setsid build/berthd serve --listen "$listen" </dev/null >/dev/null 2>"$log" &
pid=$!
until grep -q ' ready: ' "$log"; do
    kill -0 $pid 2>/dev/null || { cat "$log" >&2; exit 1; }
    sleep 0.1
done
grep ' ready: ' "$log"

mkdir -p "$work/root/bin" "$work/root/tmp"
cp /bin/busybox "$work/root/bin/busybox"
for applet in $(/bin/busybox --list); do
    [ "$applet" = busybox ] || ln -s busybox "$work/root/bin/$applet"
done
tar -C "$work/root" --owner=0 --group=0 -cf "$work/root.tar" .

run() { # run COMMAND...: show it, then do it
    echo "+ $*"
    "$@"
}
run build/berth import --change 'CMD ["/bin/sh"]' "$work/root.tar" "$image"
run build/berth push "$image"
run build/berth rmi "$image"
run build/berth pull "$image"
run build/berth run --rm -m 64m --hostname demo "$image" sh -c \
    'echo "hello from $(hostname), pid $$"; id; ps'
cat <<TEXT

The registry goes on running (pid $pid, log in $log; stop it with: kill $pid).
Try:

  build/berth run --rm -it $image
  podman run --rm --tls-verify=false $image uname -a
  docker run --rm $image uname -a
TEXT
