/*
 * The default-deny system call filter.
 *
 * Our own table, with the verdicts of moby's profile, becomes a binary tree
 * of cBPF: the kernel runs the filter once for every number to fill its
 * cache, so that a tree loads three times faster than a list.
 *
 * 1. Not in the table: ENOSYS, so that libc falls back (clone3, new calls).
 * 2. In the table, denied: EPERM; some are allowed by a capability.
 * 3. Another architecture than the native one, x32 included: ENOSYS.
 */
#ifndef BERTH_CLIENT_RUNTIME_SECCOMP_H
#define BERTH_CLIENT_RUNTIME_SECCOMP_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SECCOMP_INSNS_MAX 2048

/*
 * Write the filter for a container with these capabilities.
 * Returns the number of instructions; out holds SECCOMP_INSNS_MAX.
 */
size_t seccomp_build(uint64_t caps, struct sock_filter *out);
/* Build and load for this thread; wants NO_NEW_PRIVS or CAP_SYS_ADMIN. */
must_check int seccomp_load(uint64_t caps, struct err *e);

#endif
