/*
 * Start a container's first process, or another one beside it.
 *
 * Between clone and exec the child is single-threaded and runs an ordered
 * list of steps; it reports over one SOCK_SEQPACKET channel, which the exec
 * closes.
 */
#ifndef BERTH_CLIENT_RUNTIME_START_H
#define BERTH_CLIENT_RUNTIME_START_H

#include <sys/types.h>

#include "base/err.h"
#include "client/runtime/cgroup.h"
#include "client/runtime/spec.h"

struct rt_started {
    pid_t pid;
    int pidfd;      /* caller closes; -1 after rt_exec */
    int tty_master; /* -1 without a terminal */
    int status;     /* on failure: 125, 126 or 127 */
    int channel;    /* between rt_clone and rt_go, else -1 */
};

/*
 * Make pid 1 of a container whose cgroups exist; it waits for rt_go(), and
 * ends when the caller ends before.
 * Inputs: stdio[3], used unless spec->is_tty; borrowed; -1 stands for the
 *         null device of the container.
 * Errors: nothing runs then.
 */
must_check int rt_clone(const struct rt_spec *s, const struct cg_layout *l,
                        const int stdio[3], struct rt_started *out,
                        struct err *e);
/*
 * Let it build its root and execute the program.
 * Errors: out->status says with what the client exits; the process is dead
 *         and reaped.
 */
must_check int rt_go(struct rt_started *out, struct err *e);
/* Kill and reap what rt_clone() made; nothing to do without it. */
void rt_abandon(struct rt_started *out);
/*
 * Start a process in the namespaces and cgroups of the container whose pid 1
 * is behind pidfd; it is a child of the caller.  Uses argv, env, cwd, user,
 * groups, caps, rlimits, tty and seccomp of the spec.
 * Errors: ERR_BUSY while its root is still being built: try again;
 *         e->sys == ESRCH when it ends meanwhile.
 */
must_check int rt_exec(const struct rt_spec *s, const struct cg_layout *l,
                       int pidfd, const int stdio[3], struct rt_started *out,
                       struct err *e);
/*
 * Run the program from where nobody can write to it: a read-only mount of the
 * file alone, else a sealed copy in memory (1 MiB for each container).  So no
 * container can change the file of the host through /proc/<pid>/exe.  Returns
 * when that is the case already; BERTH_EXE_DIR keeps the folder of the file.
 */
must_check int rt_seal_self(char **argv, struct err *e);

#endif
