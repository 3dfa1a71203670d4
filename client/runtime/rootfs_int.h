/*
 * Inside rootfs*.c: paths below a root, mounts that are made detached and
 * attached by descriptor, and the parts that rootfs_enter() puts together.
 */
#ifndef BERTH_CLIENT_RUNTIME_ROOTFS_INT_H
#define BERTH_CLIENT_RUNTIME_ROOTFS_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "client/runtime/rootfs.h"
#include "client/runtime/spec.h"

/* Mount attributes that every mount has unless it cannot. */
#define ROOTFS_SAFE (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

/* ---- rootfs_mount.c: every int is a descriptor, or -1 ---- */
/* openat2() that takes the root for "/", links included; errno is set. */
must_check int rootfs_in_root(int rootfd, const char *path, uint64_t flags);
/* A detached mount; options are {key, value}, value NULL for a flag. */
must_check int rootfs_make_mount(const char *type,
                                 const char *const (*options)[2], size_t n,
                                 unsigned attr, struct err *e);
must_check int rootfs_attach(int mount_fd, int target_fd, const char *what,
                             struct err *e);
/* Attach at a folder that the image may not replace by a link. */
must_check int rootfs_mount_at(int rootfd, const char *path, int mount_fd,
                               struct err *e);
must_check int rootfs_set_read_only(int fd, bool recursive, const char *what,
                                    struct err *e);
/* A detached recursive copy of what lies at fd. */
must_check int rootfs_clone_tree(int fd, const char *what, struct err *e);
/* Make the folder `path` inside the root, part by part, and open it. */
must_check int rootfs_make_dir(int rootfd, const char *path, struct err *e);
/* Make the file `path` inside the root if it is absent; opened O_PATH. */
must_check int rootfs_make_file(int rootfd, const char *path, struct err *e);

/* ---- rootfs_dev.c, rootfs_user.c ---- */
must_check int rootfs_setup_dev(const struct rt_spec *s, int rootfd,
                                int *master, int *slave, struct err *e);
must_check int rootfs_user_mounts(const struct rt_spec *s, int rootfd,
                                  struct err *e);

#endif
