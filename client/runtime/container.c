#include "client/runtime/container.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"
#include "client/runtime/cgroup.h"
#include "client/runtime/life.h"

#define MONITOR_WAIT_MS 5000
#define MONITOR_POLL_MS 50

int ct_find(struct istore *s, const char *text, char id[ISTORE_HEX],
            struct err *e)
{
    char(*ids)[ISTORE_HEX] = NULL;
    size_t n = 0, hits = 0, len = strlen(text);
    if (istore_container_list(s, &ids, &n, e) != 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        struct err ignored;
        json_t *r = istore_container_read(s, ids[i], &ignored);
        const char *name = r ? json_member_string(r, "name") : NULL;
        bool is_name = name != NULL && strcmp(name, text) == 0;
        json_decref(r);
        if (is_name || (len > 0 && strncmp(ids[i], text, len) == 0)) {
            memcpy(id, ids[i], ISTORE_HEX);
            hits = is_name ? 1 : hits + 1;
        }
        if (is_name)
            break;
    }
    free(ids);
    if (hits == 1)
        return 0;
    return hits == 0 ? err_set(e, ERR_NOT_FOUND, "no such container: %s", text)
                     : err_set(e, ERR_INVALID,
                               "several containers begin with %s", text);
}

int ct_pidfd(struct istore *s, const char *id, struct err *e)
{
    struct ct_state st, again;
    ct_state(s, id, &st);
    if (st.status != CT_RUNNING)
        return err_set(e, ERR_INVALID, "container %.12s is not running", id);
    int fd = (int)syscall(SYS_pidfd_open, st.pid, 0);
    if (fd < 0)
        return err_sys(e, errno, "open process %d", (int)st.pid);
    /* Still the same process: then the descriptor is of the right one. */
    ct_state(s, id, &again);
    if (again.pid == st.pid)
        return fd;
    (void)close(fd);
    return err_set(e, ERR_INVALID, "container %.12s is not running", id);
}

/* <linux/pidfd.h> of 6.15; the headers of Debian 12 are older. */
struct pidfd_info_v0 {
    uint64_t mask, cgroup;
    uint32_t ids[11];
    int32_t exit_code;
};
#define PIDFD_EXIT     (1u << 3)
#define PIDFD_INFO_GET _IOWR(0xFF, 11, struct pidfd_info_v0)

static int code_of(int wait_status)
{
    return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status)
                                  : 128 + WTERMSIG(wait_status);
}

/*
 * The exit code of a process that has ended, or -1: not told.  Its pidfd
 * tells it once it was reaped; before, while init takes its time, the zombie
 * does.
 */
static int told_by(int pidfd, pid_t pid)
{
    for (int i = 0; i < 50; i++) {
        struct pidfd_info_v0 info = {.mask = PIDFD_EXIT};
        int status;
        struct pollfd p = {.fd = pidfd};
        /* Then ask whether it is still there: so long its pid is its own. */
        bool is_zombie = ct_zombie(pid, &status) &&
                         syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0;
        int rc = ioctl(pidfd, PIDFD_INFO_GET, &info);
        if (rc == 0 && (info.mask & PIDFD_EXIT) != 0)
            return code_of(info.exit_code);
        if (is_zombie)
            return code_of(status);
        if (rc != 0)
            break; /* an older kernel */
        (void)poll(&p, 1, 10);
    }
    return -1;
}

/* The monitor writes the exit code, then ends; or stays, without a state,
 * when its client is stopped and has not taken all output. */
static void await_monitor(struct istore *s, const char *id, pid_t monitor)
{
    struct ct_state st;
    scoped_fd fd = monitor > 0 ? (int)syscall(SYS_pidfd_open, monitor, 0) : -1;
    for (int waited = 0; fd >= 0 && waited < MONITOR_WAIT_MS;
         waited += MONITOR_POLL_MS) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, MONITOR_POLL_MS) != 0)
            break;
        ct_state(s, id, &st);
        if (st.monitor == 0)
            break;
    }
}

void ct_look(struct istore *s, const char *id, struct ct_state *out)
{
    ct_state(s, id, out);
    if (out->status == CT_EXITED && !out->is_known && out->monitor > 0) {
        await_monitor(s, id, out->monitor);
        ct_state(s, id, out);
    }
}

bool ct_wait(struct istore *s, const char *id, int timeout_ms, int *code)
{
    struct err e;
    struct ct_state st;
    int told = -1;
    ct_state(s, id, &st);
    pid_t pid = st.pid, monitor = st.monitor;
    scoped_fd fd = ct_pidfd(s, id, &e);
    if (fd >= 0) {
        struct pollfd p = {.fd = fd, .events = POLLIN};
        if (poll(&p, 1, timeout_ms) == 0)
            return false;
    }
    await_monitor(s, id, monitor);
    if (fd >= 0)
        told = told_by(fd, pid);
    ct_state(s, id, &st);
    if (told >= 0 && st.status == CT_EXITED && !st.is_known)
        (void)!ct_exit_write(s, id, told, false, "", &e);
    /* --rm: its record went with it. */
    if (fd >= 0 && st.status == CT_CREATED)
        st.exit_code = CT_UNKNOWN;
    if (code != NULL)
        *code = told >= 0 ? told : st.exit_code;
    return true;
}

void ct_kill(struct istore *s, const char *id)
{
    struct err e;
    struct cg_layout l;
    scoped_fd fd = ct_pidfd(s, id, &e);
    if (fd < 0)
        return;
    (void)syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0);
    if (cg_detect_self(&l, &e) == 0)
        cg_kill(&l, id);
    (void)ct_wait(s, id, 10000, NULL);
}

int ct_drop(struct istore *s, const char *id, char trash[ISTORE_FILE_MAX],
            struct err *e)
{
    struct cg_layout l;
    struct err ignored;
    if (cg_detect_self(&l, &ignored) == 0)
        cg_remove(&l, id);
    int rc = istore_container_drop(s, id, trash, e);
    if (rc == 0)
        life_end(id);
    return rc;
}

int ct_remove(struct istore *s, const char *id, struct err *e)
{
    char trash[ISTORE_FILE_MAX];
    if (ct_drop(s, id, trash, e) != 0)
        return -1;
    io_remove_tree(istore_dirfd(s), trash);
    return 0;
}
