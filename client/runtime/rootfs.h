/*
 * The file system a container sees, built in its own mount namespace.
 *
 * 1. A path of the image or the user is followed only inside the root, by
 *    openat2(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS).
 * 2. Mounts are made detached and attached by descriptor, never by path.
 * 3. Files are masked with the host's /dev/null, checked to be 1:3.
 * 4. Nothing of it is visible on the host; it goes with its last process.
 */
#ifndef BERTH_CLIENT_RUNTIME_ROOTFS_H
#define BERTH_CLIENT_RUNTIME_ROOTFS_H

#include "base/err.h"
#include "client/runtime/cgroup.h"
#include "client/runtime/spec.h"

/*
 * Build the tree and make it the root; the caller is in new mount, pid, net,
 * ipc, uts and cgroup namespaces, and is root there.
 * *tty_master is the master of the console when spec->is_tty, and *tty_slave
 * its other side; else -1.
 */
must_check int rootfs_enter(const struct rt_spec *s,
                            const struct cg_layout *cgroups, int *tty_master,
                            int *tty_slave, struct err *e);

/* Open a pty of this devpts folder, of the spec's size: both ends. */
must_check int rootfs_open_pty(const struct rt_spec *s, int pts_dirfd,
                               int *master, int *slave, struct err *e);

#endif
