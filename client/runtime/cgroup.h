/*
 * Control groups: v1, v2 and hybrid behind one interface.
 *
 * 1. What is mounted where comes from mountinfo, never from a path's
 *    existence.
 * 2. A container's group is <hierarchy>/berth/<id>; a limit that was asked
 *    for and cannot be set is an error.
 * 3. On hybrid machines limits go to v1, killing goes to the unified tree.
 */
#ifndef BERTH_CLIENT_RUNTIME_CGROUP_H
#define BERTH_CLIENT_RUNTIME_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "client/runtime/spec.h"

enum cg_controller {
    CG_MEMORY,
    CG_CPU,
    CG_CPUACCT,
    CG_CPUSET,
    CG_PIDS,
    CG_DEVICES,
    CG_FREEZER,
    CG_BLKIO,
    CG_CONTROLLERS
};

struct cg_layout {
    char v1[CG_CONTROLLERS][PATH_MAX]; /* mount points, "" when absent */
    char v2[PATH_MAX];                 /* of cgroup2, "" when absent */
    bool is_v2_only;                   /* limits go to v2 */
};

const char *cg_name(enum cg_controller c);
/* Parse the text of /proc/self/mountinfo. */
void cg_detect(const char *mountinfo, struct cg_layout *out);
/* cg_detect() of the running system. */
must_check int cg_detect_self(struct cg_layout *out, struct err *e);

/* Make the groups of a container and set its limits. */
must_check int cg_create(const struct cg_layout *l, const char *id,
                         const struct rt_limits *limits, struct err *e);
/*
 * Let the groups of a container open only harmless devices: by the device
 * controller of v1 where it is, else by a program on the v2 group.
 */
must_check int cg_limit_devices(const struct cg_layout *l, const char *id,
                                struct err *e);
/*
 * How a process gets into the groups of a container.  Moving another one, or
 * a whole process, makes the kernel wait for all CPUs, some 10 ms; being born
 * into a v2 group and moving one's own thread do not.
 */
/* The v2 group for clone3(CLONE_INTO_CGROUP), *fd -1 where there is no v2. */
must_check int cg_open(const struct cg_layout *l, const char *id, int *fd,
                       struct err *e);
/* Join the v1 groups; the caller has one thread. */
must_check int cg_join(const struct cg_layout *l, const char *id,
                       struct err *e);
/* SIGKILL to all members where the kernel can do it at once. */
void cg_kill(const struct cg_layout *l, const char *id);
/* Did the kernel's memory killer strike in this container? */
bool cg_was_oom_killed(const struct cg_layout *l, const char *id);
/* Remove the groups; waits up to a second for members to disappear. */
void cg_remove(const struct cg_layout *l, const char *id);

#endif
