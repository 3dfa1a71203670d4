#include "client/image/child.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int child_get(int in, void *data, size_t n, struct err *e)
{
    for (size_t got = 0; got < n;) {
        ssize_t k = read(in, (char *)data + got, n - got);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return err_sys(e, errno, "read a report");
        if (k == 0)
            return err_set(e, ERR_PROTOCOL, "a report ends early");
        got += (size_t)k;
    }
    return 0;
}

int child_run(child_work *work, child_read *on_report, void *arg, struct err *e)
{
    int ends[2], status;
    if (pipe2(ends, O_CLOEXEC) != 0)
        return err_sys(e, errno, "pipe");
    scoped_fd in = ends[0], out = ends[1];
    pid_t parent = getpid(), pid = fork();
    if (pid < 0)
        return err_sys(e, errno, "fork");
    if (pid == 0) {
        /* A killed parent takes this with it, or the lock of the scratch
         * folder that was inherited here would keep that alive. */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (getppid() == parent)
            work(arg, out);
        _exit(0);
    }
    scope_close(&out);
    out = -1;
    int rc = on_report(arg, in, e);
    /* Who still writes gets SIGPIPE or EPIPE instead of waiting for ever. */
    scope_close(&in);
    in = -1;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (rc != 0 && e->code == ERR_PROTOCOL)
        return err_set(e, ERR_IO, "the unpacking process died (%s %d)",
                       WIFSIGNALED(status) ? "signal" : "exit status",
                       WIFSIGNALED(status) ? WTERMSIG(status)
                                           : WEXITSTATUS(status));
    return rc;
}
