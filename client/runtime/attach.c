/* The client's side: raw mode, window size, signals, streams. */
#include "client/runtime/attach.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "base/io.h"
#include "client/runtime/monitor.h"

static struct termios saved;
static bool is_raw;

static void restore(void)
{
    if (is_raw)
        (void)tcsetattr(0, TCSANOW, &saved);
    is_raw = false;
}

static void make_raw(void)
{
    static bool is_registered;
    struct termios t;
    if (tcgetattr(0, &saved) != 0)
        return;
    t = saved;
    cfmakeraw(&t);
    is_raw = tcsetattr(0, TCSANOW, &t) == 0;
    if (!is_registered)
        is_registered = atexit(restore) == 0;
}

int attach_signals(void)
{
    static const int list[] = {SIGHUP,  SIGINT,  SIGQUIT,  SIGTERM, SIGUSR1,
                               SIGUSR2, SIGALRM, SIGWINCH, SIGCONT};
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < array_len(list); i++)
        (void)sigaddset(&set, list[i]);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

/* To our stdout (1) or stderr (2); false when nobody will read it. */
static bool give_output(int to, const char *p, size_t n)
{
    struct err e;
    if (io_write_all(to, p, n, -1, &e) == 0)
        return true;
    if (e.sys != EPIPE) {
        restore();
        fprintf(stderr, "berth: write to std%s: %s\n", to == 2 ? "err" : "out",
                e.msg);
    }
    return false;
}

static void send_frame(int fd, char kind, const void *p, size_t n)
{
    char f[64];
    f[0] = kind;
    memcpy(f + 1, p, n);
    (void)send(fd, f, n + 1, MSG_NOSIGNAL);
}

static void send_size(int ctl)
{
    struct winsize ws;
    if (ioctl(0, TIOCGWINSZ, &ws) == 0)
        send_frame(ctl, 'w', &ws, sizeof(ws));
}

int mon_await_start(struct mon_client *c)
{
    char f[1024];
    int status = 125;
    ssize_t n = recv(c->data, f, sizeof(f) - 1, 0);
    if (n >= 1 && f[0] == 'S')
        return 0;
    if (n > (ssize_t)(1 + sizeof(int)) && f[0] == 'E') {
        memcpy(&status, f + 1, sizeof(int));
        f[n] = '\0';
        fprintf(stderr, "berth: %s\n", f + 1 + sizeof(int));
        return status;
    }
    fprintf(stderr, "berth: the monitor ended before the container began\n");
    return status;
}

/* One frame of the monitor; true with *status when it was the last. */
static bool take_frame(struct mon_client *c, int *status)
{
    static char f[MON_FRAME_MAX + 1];
    ssize_t n = recv(c->data, f, sizeof(f), 0);
    if (n < 0 && errno == EINTR)
        return false;
    if (n <= 0) {
        restore();
        fprintf(stderr, "berth: the monitor is gone; the container goes on\n");
        *status = 125;
        return true;
    }
    if ((f[0] == '1' || f[0] == '2') &&
        !give_output(f[0] == '1' ? 1 : 2, f + 1, (size_t)n - 1))
        send_frame(c->ctl, 'c', f, 1);
    if (f[0] == 'X' && n == (ssize_t)(1 + sizeof(int))) {
        memcpy(status, f + 1, sizeof(int));
        return true;
    }
    return false;
}

/* Room first, then read: nothing is ever held back here. */
static bool give_stdin(int data)
{
    static char f[MON_FRAME_MAX + 1];
    ssize_t n = read(0, f + 1, MON_FRAME_MAX / 4);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return true;
    f[0] = n > 0 ? 'i' : 'e';
    (void)send(data, f, n > 0 ? (size_t)n + 1 : 1, MSG_NOSIGNAL);
    return n > 0;
}

static void take_signal(int sigs, int ctl, bool is_tty)
{
    struct signalfd_siginfo si;
    if (read(sigs, &si, sizeof(si)) != sizeof(si))
        return;
    int sig = (int)si.ssi_signo;
    if (sig == SIGWINCH) {
        if (is_tty)
            send_size(ctl);
    } else {
        send_frame(ctl, 's', &sig, sizeof(sig));
    }
}

int mon_attach(struct mon_client *c, bool has_stdin, bool is_tty)
{
    scoped_fd sigs = c->sigs;
    int status = 125;
    (void)signal(SIGPIPE, SIG_IGN);
    if (is_tty) {
        send_size(c->ctl); /* it may have changed since the start */
        if (has_stdin)
            make_raw();
    }
    for (bool end = false; !end;) {
        struct pollfd room = {.fd = c->data, .events = POLLOUT};
        bool can_send = has_stdin && poll(&room, 1, 0) == 1 &&
                        (room.revents & POLLOUT) != 0;
        struct pollfd p[3] = {{.fd = c->data, .events = POLLIN},
                              {.fd = sigs, .events = POLLIN},
                              {.fd = can_send ? 0 : -1, .events = POLLIN}};
        /* Without room, look again soon: POLLOUT alone would spin. */
        if (poll(p, 3, has_stdin && !can_send ? 20 : -1) < 0)
            continue;
        if (p[0].revents)
            end = take_frame(c, &status);
        if (p[1].revents)
            take_signal(sigs, c->ctl, is_tty);
        if (p[2].revents)
            has_stdin = give_stdin(c->data);
    }
    restore();
    return status;
}

/* ---- exec --------------------------------------------------------------- */

int attach_pipes(bool has_in, int stdio[3], struct attach_exec *x,
                 struct err *e)
{
    int *ours[3] = {&x->in, &x->out, &x->err};
    stdio[0] = stdio[1] = stdio[2] = -1;
    x->has_in = has_in;
    for (int i = 0; i < 3; i++) {
        int p[2];
        *ours[i] = -1;
        if (i == 0 && !has_in)
            continue; /* the container's null device */
        if (pipe2(p, O_CLOEXEC) != 0)
            return err_sys(e, errno, "make a pipe");
        stdio[i] = p[i == 0 ? 0 : 1];
        *ours[i] = p[i == 0 ? 1 : 0];
    }
    return 0;
}

/* One read of output; false when there is no more, or nobody to read it. */
static bool pump(int *from, int to)
{
    char buf[16384];
    ssize_t n = read(*from, buf, sizeof(buf));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    if (n > 0 && give_output(to, buf, (size_t)n))
        return true;
    scope_close(from);
    *from = -1;
    return false;
}

struct input {
    char text[16384];
    size_t at, n;
    bool is_open;
};

static void take_input(struct input *in, struct attach_exec *x)
{
    ssize_t n = read(0, in->text, sizeof(in->text));
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    in->at = 0;
    in->n = n > 0 ? (size_t)n : 0;
    in->is_open = n > 0;
    /* The end of our input is the end of its; a terminal has none. */
    if (n <= 0 && !x->is_tty) {
        scope_close(&x->in);
        x->in = -1;
    }
}

static void pass_input(struct input *in, struct attach_exec *x)
{
    ssize_t n = write(x->in, in->text + in->at, in->n);
    if (n > 0) {
        in->at += (size_t)n;
        in->n -= (size_t)n;
    } else if (errno != EAGAIN && errno != EINTR) {
        in->n = 0; /* it closed its input */
        in->is_open = false;
    }
}

static void exec_signal(struct attach_exec *x, int pidfd)
{
    struct signalfd_siginfo si;
    struct winsize ws;
    if (read(x->sigs, &si, sizeof(si)) != sizeof(si))
        return;
    if (si.ssi_signo != SIGWINCH)
        (void)syscall(SYS_pidfd_send_signal, pidfd, (int)si.ssi_signo, NULL, 0);
    else if (x->is_tty && ioctl(0, TIOCGWINSZ, &ws) == 0)
        (void)ioctl(x->in, TIOCSWINSZ, &ws);
}

static void join(struct attach_exec *x, int pidfd)
{
    struct input in = {.is_open = x->has_in};
    for (bool is_end = false; !is_end;) {
        struct pollfd p[6] = {
            {.fd = pidfd, .events = POLLIN},
            {.fd = x->sigs, .events = POLLIN},
            {.fd = x->out, .events = POLLIN},
            {.fd = x->err, .events = POLLIN},
            {.fd = in.is_open && in.n == 0 ? 0 : -1, .events = POLLIN},
            {.fd = in.n > 0 ? x->in : -1, .events = POLLOUT}};
        if (poll(p, 6, -1) < 0)
            continue;
        is_end = p[0].revents != 0;
        if (p[1].revents)
            exec_signal(x, pidfd);
        if (p[2].revents)
            (void)pump(&x->out, 1);
        if (p[3].revents)
            (void)pump(&x->err, 2);
        if (p[4].revents)
            take_input(&in, x);
        if (p[5].revents)
            pass_input(&in, x);
    }
    /* What it left; who else holds the pipe is not waited for. */
    while (x->out >= 0 && pump(&x->out, 1))
        ;
    while (x->err >= 0 && pump(&x->err, 2))
        ;
}

int attach_run(struct attach_exec *x, pid_t pid)
{
    scoped_fd pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    int ends[3] = {x->in, x->out, x->err};
    (void)signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < array_len(ends); i++)
        (void)fcntl(ends[i], F_SETFL, O_NONBLOCK);
    if (x->is_tty && x->has_in)
        make_raw();
    join(x, pidfd);
    restore();
    scope_close(&x->in);
    scope_close(&x->out);
    scope_close(&x->err);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
