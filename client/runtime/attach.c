/* The client's side: raw mode, window size, signals, streams. */
#include "client/runtime/attach.h"

#include <errno.h>
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
        (void)tcsetattr(0, TCSAFLUSH, &saved);
    is_raw = false;
}

static void make_raw(void)
{
    struct termios t;
    if (tcgetattr(0, &saved) != 0)
        return;
    t = saved;
    cfmakeraw(&t);
    is_raw = tcsetattr(0, TCSANOW, &t) == 0;
    (void)atexit(restore);
}

/* Every signal that makes sense to forward, as a descriptor. */
static int catch_signals(void)
{
    static const int list[] = {SIGHUP,  SIGINT,  SIGQUIT,  SIGTERM,
                               SIGUSR1, SIGUSR2, SIGWINCH, SIGCONT};
    sigset_t set;
    (void)sigemptyset(&set);
    for (size_t i = 0; i < array_len(list); i++)
        (void)sigaddset(&set, list[i]);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
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
static bool take_frame(int data, int *status)
{
    static char f[MON_FRAME_MAX + 1];
    struct err ignored;
    ssize_t n = recv(data, f, sizeof(f), 0);
    if (n <= 0) {
        fprintf(stderr, "berth: the monitor is gone; the container goes on\n");
        *status = 125;
        return true;
    }
    if (f[0] == '1' || f[0] == '2')
        (void)!io_write_all(f[0] == '1' ? 1 : 2, f + 1, (size_t)n - 1, -1,
                            &ignored);
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
    scoped_fd sigs = catch_signals();
    int status = 125;
    (void)signal(SIGPIPE, SIG_IGN);
    if (is_tty) {
        send_size(c->ctl);
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
            end = take_frame(c->data, &status);
        if (p[1].revents)
            take_signal(sigs, c->ctl, is_tty);
        if (p[2].revents)
            has_stdin = give_stdin(c->data);
    }
    restore();
    return status;
}

int attach_tty(int master, pid_t pid)
{
    scoped_fd sigs = catch_signals();
    scoped_fd pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct winsize ws;
    struct err ignored;
    char buf[8192];
    bool has_in = true;
    make_raw();
    if (ioctl(0, TIOCGWINSZ, &ws) == 0)
        (void)ioctl(master, TIOCSWINSZ, &ws);
    for (;;) {
        struct pollfd p[4] = {{.fd = master, .events = POLLIN},
                              {.fd = has_in ? 0 : -1, .events = POLLIN},
                              {.fd = sigs, .events = POLLIN},
                              {.fd = pidfd, .events = POLLIN}};
        if (poll(p, 4, -1) < 0)
            continue;
        if (p[0].revents) {
            ssize_t n = read(master, buf, sizeof(buf));
            if (n <= 0)
                break;
            (void)!io_write_all(1, buf, (size_t)n, -1, &ignored);
        } else if (p[3].revents) {
            break;
        }
        if (p[1].revents) {
            ssize_t n = read(0, buf, sizeof(buf));
            has_in = n > 0;
            if (n > 0)
                (void)!io_write_all(master, buf, (size_t)n, -1, &ignored);
        }
        if (p[2].revents) {
            struct signalfd_siginfo si;
            if (read(sigs, &si, sizeof(si)) == sizeof(si) &&
                si.ssi_signo == SIGWINCH && ioctl(0, TIOCGWINSZ, &ws) == 0)
                (void)ioctl(master, TIOCSWINSZ, &ws);
            else
                (void)kill(pid, (int)si.ssi_signo);
        }
    }
    restore();
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

struct pipes {
    int in, out[2];
    char input[8192];
    size_t at, n;
};

/* One read of output i; false when there is none now. */
static bool pass_output(struct pipes *p, int i)
{
    static char buf[MON_FRAME_MAX];
    struct err ignored;
    ssize_t n = read(p->out[i], buf, sizeof(buf));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return false;
    /* Nobody reads ours any more: then the writer shall know as well. */
    if (n > 0 && io_write_all(i + 1, buf, (size_t)n, -1, &ignored) == 0)
        return true;
    scope_close(&p->out[i]);
    p->out[i] = -1;
    return false;
}

static void take_stdin(struct pipes *p)
{
    ssize_t n = read(0, p->input, sizeof(p->input));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    p->at = 0;
    p->n = n > 0 ? (size_t)n : 0;
    if (n <= 0) {
        scope_close(&p->in);
        p->in = -1;
    }
}

static void give_input(struct pipes *p)
{
    ssize_t n = write(p->in, p->input + p->at, p->n - p->at);
    if (n > 0)
        p->at += (size_t)n;
    else if (errno != EAGAIN && errno != EINTR) {
        scope_close(&p->in);
        p->in = -1;
    }
    if (p->at == p->n)
        p->at = p->n = 0;
}

int attach_pipes(int in, const int out[2], pid_t pid)
{
    struct pipes p = {.in = in, .out = {out[0], out[1]}};
    scoped_fd pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    int status = 0;
    (void)signal(SIGPIPE, SIG_IGN);
    for (;;) {
        bool wants = p.in >= 0 && p.n == 0;
        struct pollfd f[5] = {{.fd = pidfd, .events = POLLIN},
                              {.fd = p.out[0], .events = POLLIN},
                              {.fd = p.out[1], .events = POLLIN},
                              {.fd = wants ? 0 : -1, .events = POLLIN},
                              {.fd = p.n > 0 ? p.in : -1, .events = POLLOUT}};
        if (poll(f, 5, -1) < 0)
            continue;
        for (int i = 0; i < 2; i++) {
            if (f[i + 1].revents)
                (void)pass_output(&p, i);
        }
        if (f[3].revents)
            take_stdin(&p);
        if (f[4].revents)
            give_input(&p);
        if (f[0].revents)
            break;
    }
    for (int i = 0; i < 2; i++) {
        while (p.out[i] >= 0 && pass_output(&p, i))
            ;
        scope_close(&p.out[i]);
    }
    scope_close(&p.in);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
