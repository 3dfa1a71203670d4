/* The monitor of one container; see monitor.h. */
#include "client/runtime/monitor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "client/runtime/attach.h"
#include "client/runtime/cgroup.h"
#include "client/runtime/container.h"
#include "client/runtime/guard.h"
#include "client/runtime/life.h"
#include "client/runtime/log.h"
#include "client/runtime/start.h"

/* What the client has no room for yet. */
struct frame {
    struct frame *next;
    size_t n;
    char bytes[];
};

struct mon {
    struct rt_started run;
    struct clog log;
    int data, ctl;    /* -1: the client is gone */
    int in, out, err; /* our ends; with a terminal in == -1, out = master */
    bool keeps_input; /* started detached: no client will close it */
    bool is_removed;  /* --rm */
    int life;         /* see life.h */
    char trash[ISTORE_FILE_MAX]; /* what is left of it, or "" */
    struct cg_layout layout;
    struct winsize size; /* of the client's terminal, or 0x0 */
    char input[MON_FRAME_MAX];
    size_t input_at, input_n;
    struct frame *first, **last;
};

static void drop_client(struct mon *m)
{
    scope_close(&m->data);
    scope_close(&m->ctl);
    m->data = m->ctl = -1;
    if (!m->keeps_input) {
        scope_close(&m->in);
        m->in = -1;
    }
}

/*
 * Send what is queued; flags MSG_DONTWAIT: as much as goes now.  A client
 * that is stopped must not hold up the end of its container.
 */
static void flush(struct mon *m, int flags)
{
    while (m->first != NULL && m->data >= 0) {
        struct frame *f = m->first;
        if (send(m->data, f->bytes, f->n, MSG_NOSIGNAL | flags) < 0) {
            if (errno == EINTR)
                continue;
            if (errno == EAGAIN)
                return;
            drop_client(m);
            return;
        }
        m->first = f->next;
        if (m->first == NULL)
            m->last = &m->first;
        free(f);
    }
}

static void tell(struct mon *m, char kind, const void *p, size_t n)
{
    if (m->data < 0)
        return;
    struct frame *f = malloc(sizeof(*f) + n + 1);
    if (f == NULL) {
        drop_client(m); /* with a gap in its output it would be misled */
        return;
    }
    f->next = NULL;
    f->n = n + 1;
    f->bytes[0] = kind;
    memcpy(f->bytes + 1, p, n);
    *m->last = f;
    m->last = &f->next;
    flush(m, MSG_DONTWAIT);
}

/* One read of the container's output; false at its end. */
static bool pump(struct mon *m, int *fd, int stream)
{
    static char buf[MON_FRAME_MAX];
    ssize_t n = read(*fd, buf, sizeof(buf));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n <= 0) {
        scope_close(fd);
        *fd = -1;
        return false;
    }
    clog_write(&m->log, stream, buf, (size_t)n);
    tell(m, stream == 2 ? '2' : '1', buf, (size_t)n);
    return true;
}

static void take_control(struct mon *m)
{
    char f[64];
    ssize_t n = recv(m->ctl, f, sizeof(f), MSG_DONTWAIT);
    int sig;
    struct winsize ws;
    if (n == 0) {
        drop_client(m);
    } else if (n == (ssize_t)(1 + sizeof(sig)) && f[0] == 's') {
        memcpy(&sig, f + 1, sizeof(sig));
        (void)syscall(SYS_pidfd_send_signal, m->run.pidfd, sig, NULL, 0);
    } else if (n == (ssize_t)(1 + sizeof(ws)) && f[0] == 'w') {
        memcpy(&ws, f + 1, sizeof(ws));
        (void)ioctl(m->run.tty_master, TIOCSWINSZ, &ws);
    } else if (n == 2 && f[0] == 'c' && m->run.tty_master < 0) {
        int *fd = f[1] == '2' ? &m->err : &m->out;
        scope_close(fd);
        *fd = -1;
    }
}

static int input_fd(const struct mon *m)
{
    return m->run.tty_master >= 0 ? m->run.tty_master : m->in;
}

static void take_input(struct mon *m)
{
    char f[MON_FRAME_MAX + 1];
    ssize_t n = recv(m->data, f, sizeof(f), MSG_DONTWAIT);
    if (n == 0) {
        drop_client(m);
    } else if (n > 1 && f[0] == 'i' && input_fd(m) >= 0) {
        m->input_n = (size_t)n - 1;
        m->input_at = 0;
        memcpy(m->input, f + 1, m->input_n);
    } else if (n == 1 && f[0] == 'e') {
        scope_close(&m->in);
        m->in = -1;
    }
}

static void give_input(struct mon *m)
{
    ssize_t n =
        write(input_fd(m), m->input + m->input_at, m->input_n - m->input_at);
    if (n > 0)
        m->input_at += (size_t)n;
    else if (errno != EAGAIN)
        m->input_at = m->input_n; /* it closed its input */
    if (m->input_at == m->input_n)
        m->input_at = m->input_n = 0;
}

static void loop(struct mon *m)
{
    for (;;) {
        bool pending = m->input_n > 0 && input_fd(m) >= 0;
        /* While the client has no room, the container's output waits. */
        bool is_full = m->first != NULL && m->data >= 0;
        short wants = (short)((pending ? 0 : POLLIN) | (is_full ? POLLOUT : 0));
        struct pollfd p[6] = {
            {.fd = m->run.pidfd, .events = POLLIN},
            {.fd = is_full ? -1 : m->out, .events = POLLIN},
            {.fd = is_full ? -1 : m->err, .events = POLLIN},
            {.fd = m->ctl, .events = POLLIN},
            {.fd = wants != 0 ? m->data : -1, .events = wants},
            {.fd = pending ? input_fd(m) : -1, .events = POLLOUT}};
        if (poll(p, 6, -1) < 0)
            continue;
        if (p[5].revents)
            give_input(m);
        if (p[1].revents)
            (void)pump(m, &m->out, 1);
        if (p[2].revents)
            (void)pump(m, &m->err, 2);
        if (p[3].revents && m->ctl >= 0)
            take_control(m);
        if (p[4].revents & POLLOUT)
            flush(m, MSG_DONTWAIT);
        if ((p[4].revents & ~POLLOUT) != 0 && m->data >= 0 && !pending)
            take_input(m);
        if (p[0].revents)
            break;
    }
    /* Pid 1 is dead and with it every writer: take what is left. */
    while (m->out >= 0 && pump(m, &m->out, 1))
        ;
    while (m->err >= 0 && pump(m, &m->err, 2))
        ;
}

/* Pipes for the container: stdio[] its ends, m ours. */
static int make_pipes(struct mon *m, const struct rt_spec *s, int stdio[3],
                      struct err *e)
{
    int p[2];
    stdio[0] = stdio[1] = stdio[2] = -1;
    m->in = m->out = m->err = -1;
    if (s->is_tty)
        return 0;
    if (s->has_stdin) {
        if (pipe2(p, O_CLOEXEC) != 0)
            return err_sys(e, errno, "make a pipe");
        stdio[0] = p[0];
        m->in = p[1];
        (void)fcntl(m->in, F_SETFL, O_NONBLOCK);
    }
    for (int i = 1; i <= 2; i++) {
        if (pipe2(p, O_CLOEXEC) != 0)
            return err_sys(e, errno, "make a pipe");
        stdio[i] = p[1];
        *(i == 1 ? &m->out : &m->err) = p[0];
        (void)fcntl(p[0], F_SETFL, O_NONBLOCK);
    }
    return 0;
}

static int launch(struct mon *m, struct istore *s, const char *id,
                  struct err *e)
{
    static struct rt_spec spec;
    struct cg_layout *l = &m->layout;
    int stdio[3];
    json_t *record = istore_container_read(s, id, e);
    if (record == NULL || ct_spec(s, id, record, &spec, e) != 0)
        return -1;
    spec.tty_rows = m->size.ws_row;
    spec.tty_cols = m->size.ws_col;
    scoped_fd dir = istore_container_open(s, id, e);
    int log_dir =
        dir < 0 ? -1 : openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (log_dir < 0 || clog_open(&m->log, log_dir, e) != 0 ||
        cg_detect_self(l, e) != 0 || make_pipes(m, &spec, stdio, e) != 0)
        return -1;
    if (cg_create(l, id, &spec.limits, e) != 0 ||
        cg_limit_devices(l, id, e) != 0 ||
        rt_clone(&spec, l, stdio, &m->run, e) != 0)
        return -1;
    /* Known to everybody before it may run: container_state.h,
     * rule 3. */
    if (ct_state_write(s, &spec, m->run.pid, getpid(), e) != 0 ||
        rt_go(&m->run, e) != 0)
        return -1;
    for (int i = 0; i < 3; i++)
        scope_close(&stdio[i]);
    if (spec.is_tty) {
        m->out = fcntl(m->run.tty_master, F_DUPFD_CLOEXEC, 3);
        (void)fcntl(m->out, F_SETFL, O_NONBLOCK);
    }
    return 0;
}

static void report_failure(struct mon *m, int status, const struct err *e)
{
    char text[sizeof(int) + sizeof(e->msg)];
    memcpy(text, &status, sizeof(int));
    memcpy(text + sizeof(int), e->msg, sizeof(e->msg));
    tell(m, 'E', text, sizeof(text));
}

static int collect(struct mon *m)
{
    int status = 0;
    while (waitpid(m->run.pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/*
 * The end of a container: what is kept is written first, then everything is
 * taken down in the order that life_clean() can pick up after a kill.
 */
static void finish(struct mon *m, struct istore *s, const char *id, int code,
                   const char *error)
{
    struct err ignored;
    if (m->is_removed && ct_drop(s, id, m->trash, &ignored) == 0) {
        scope_close(&m->life);
        return;
    }
    bool is_oom = cg_was_oom_killed(&m->layout, id);
    (void)!ct_exit_write(s, id, code, is_oom, error, &ignored);
    cg_remove(&m->layout, id);
    life_end(id);
    /* Whoever is told of the end may begin with what comes next. */
    scope_close(&m->life);
}

/* Nobody waits for the files of --rm to be unlinked. */
static _Noreturn void empty(struct mon *m, struct istore *s)
{
    if (m->trash[0] != '\0')
        io_remove_tree(istore_dirfd(s), m->trash);
    _exit(0);
}

static _Noreturn void monitor_main(struct mon *m, struct istore *s,
                                   const char *id)
{
    struct err e;
    if (launch(m, s, id, &e) != 0) {
        int status = m->run.status > 0 ? m->run.status : 125;
        rt_abandon(&m->run);
        finish(m, s, id, status, e.msg);
        report_failure(m, status, &e);
        flush(m, 0);
        empty(m, s);
    }
    tell(m, 'S', "", 0);
    /* From here on it only waits and takes down.  Without this it would do
     * that as well, so that a failure is no reason to end the container. */
    (void)!guard_privileges(m->is_removed, &e);
    loop(m);
    int code = collect(m);
    clog_close(&m->log);
    finish(m, s, id, code, "");
    tell(m, 'X', &code, sizeof(code));
    flush(m, 0); /* may wait for the client: everything else is done */
    empty(m, s);
}

/* Become a background process: nothing of the caller's stays in reach. */
static void settle(struct mon *m, struct istore *s)
{
    struct err ignored;
    int keep[] = {m->data, m->ctl, m->life, istore_dirfd(s)};
    sigset_t none;
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    (void)prctl(PR_SET_NAME, "berth-monitor", 0, 0, 0);
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)!chdir("/");
    (void)umask(077);
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < 3; i++)
        (void)dup2(null_fd, i);
    (void)!guard_descriptors(keep, array_len(keep), &ignored);
}

int mon_start(struct istore *s, const char *id, int life, bool is_detached,
              bool is_removed, struct mon_client *out, struct err *e)
{
    static struct mon m;
    int data[2], ctl[2];
    scoped_fd mine = life;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, data) != 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ctl) != 0)
        return err_sys(e, errno, "make a socket pair");
    m = (struct mon){.data = data[1],
                     .ctl = ctl[1],
                     .keeps_input = is_detached,
                     .is_removed = is_removed,
                     .life = life,
                     .run = {-1, -1, -1, 125, -1},
                     .log.fd = -1,
                     .in = -1,
                     .out = -1,
                     .err = -1};
    m.last = &m.first;
    /* It has its size from the start: a program looks once. */
    (void)ioctl(STDIN_FILENO, TIOCGWINSZ, &m.size);
    int sigs = is_detached ? -1 : attach_signals();
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        /* Own session: a closed terminal must not reach the container.  It
         * stays our child, and becomes init's when we end before it. */
        (void)setsid();
        settle(&m, s);
        monitor_main(&m, s, id);
    }
    (void)close(data[1]);
    (void)close(ctl[1]);
    if (pid < 0)
        return err_sys(e, errno, "fork the monitor");
    *out = (struct mon_client){data[0], ctl[0], sigs};
    return 0;
}
