/* Processes of containers; see start.h. */
#include "client/runtime/start.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/cli/value.h"
#include "client/runtime/caps.h"
#include "client/runtime/init.h"
#include "client/runtime/rootfs.h"
#include "client/runtime/seccomp.h"
#include "client/runtime/user.h"

/* Does not exist in the namespaces' clone flags of older headers. */
#define NAMESPACES (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS)

struct report {
    char kind; /* 'G'o, 'T'erminal, 'P'id, 'E'rror */
    int status;
    struct err e;
};

/* ---- the channel -------------------------------------------------------- */

static int send_report(int sock, const struct report *r, int fd)
{
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(sizeof(int))];
    } c;
    struct iovec iov = {.iov_base = (void *)(uintptr_t)r,
                        .iov_len = sizeof(*r)};
    struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd >= 0) {
        memset(&c, 0, sizeof(c));
        m.msg_control = c.buf;
        m.msg_controllen = sizeof(c.buf);
        struct cmsghdr *h = CMSG_FIRSTHDR(&m);
        h->cmsg_level = SOL_SOCKET;
        h->cmsg_type = SCM_RIGHTS;
        h->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(h), &fd, sizeof(int));
    }
    return sendmsg(sock, &m, MSG_NOSIGNAL) == (ssize_t)sizeof(*r) ? 0 : -1;
}

/* 1 with a report, 0 at the end; *fd is what came with it, or -1. */
static int recv_report(int sock, struct report *r, int *fd)
{
    union {
        struct cmsghdr align;
        char buf[CMSG_SPACE(sizeof(int))];
    } c;
    struct iovec iov = {.iov_base = r, .iov_len = sizeof(*r)};
    struct msghdr m = {.msg_iov = &iov,
                       .msg_iovlen = 1,
                       .msg_control = c.buf,
                       .msg_controllen = sizeof(c.buf)};
    ssize_t n;
    *fd = -1;
    do
        n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof(*r))
        return 0;
    struct cmsghdr *h = CMSG_FIRSTHDR(&m);
    if (h != NULL && h->cmsg_type == SCM_RIGHTS)
        memcpy(fd, CMSG_DATA(h), sizeof(int));
    return 1;
}

static _Noreturn void fail(int sock, int status, const struct err *e)
{
    struct report r = {.kind = 'E', .status = status, .e = *e};
    (void)send_report(sock, &r, -1);
    _exit(status);
}

/* ---- steps of the child ------------------------------------------------- */

static void reset_signals(void)
{
    sigset_t none;
    for (int i = 1; i < NSIG; i++)
        (void)signal(i, SIG_DFL);
    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

/*
 * A hard limit above our own needs CAP_SYS_RESOURCE.  Pid 1 was promised its
 * limits: an error.  Another process gets the lower of both.
 */
static int set_rlimits(const struct rt_spec *s, struct err *e)
{
    for (size_t i = 0; i < s->n_rlimits; i++) {
        __rlimit_resource_t which = (__rlimit_resource_t)s->rlimits[i].resource;
        const char *name = value_ulimit_name(s->rlimits[i].resource);
        struct rlimit want = s->rlimits[i].value, own;
        if (setrlimit(which, &want) == 0)
            continue;
        if (errno != EPERM || getrlimit(which, &own) != 0)
            return err_sys(e, errno, "set ulimit %s", name ? name : "?");
        if (!s->is_exec)
            return err_set(e, ERR_DENIED,
                           "set ulimit %s: the hard limit of this shell is "
                           "%llu, and raising it is not permitted",
                           name ? name : "?", (unsigned long long)own.rlim_max);
        if (want.rlim_cur > own.rlim_max)
            want.rlim_cur = own.rlim_max;
        want.rlim_max = own.rlim_max;
        if (setrlimit(which, &want) != 0)
            return err_sys(e, errno, "set ulimit %s", name ? name : "?");
    }
    return 0;
}

static int loopback_up(struct err *e)
{
    struct ifreq r = {.ifr_name = "lo"};
    scoped_fd s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    r.ifr_flags = IFF_UP | IFF_RUNNING;
    if (s < 0 || ioctl(s, SIOCSIFFLAGS, &r) != 0)
        return err_sys(e, errno, "bring the loopback interface up");
    return 0;
}

/*
 * The null device of the container.  Not the host's: through an inode of the
 * host root in the container could change its owner and mode.
 */
static int open_null(struct err *e)
{
    struct stat st;
    scoped_fd fd = open("/dev/null", O_RDWR | O_NOFOLLOW | O_NONBLOCK |
                                         O_NOCTTY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, errno, "open /dev/null in the container");
    if (fstat(fd, &st) != 0 || !S_ISCHR(st.st_mode) ||
        st.st_rdev != makedev(1, 3) || fcntl(fd, F_SETFL, 0) != 0)
        return err_set(e, ERR_DENIED,
                       "/dev/null of the container is no null device");
    return take_fd(&fd);
}

/* Make 0, 1 and 2 and keep nothing else but the channel, as number 3. */
static int arrange_fds(const int stdio[3], int slave, int *sock, struct err *e)
{
    int from[3], high;
    for (int i = 0; i < 3; i++) {
        int fd = slave >= 0 ? slave : stdio[i];
        if (fd < 0)
            fd = open_null(e); /* closed with all the rest below */
        if (fd < 0)
            return -1;
        from[i] = fcntl(fd, F_DUPFD_CLOEXEC, 16);
        if (from[i] < 0)
            return err_sys(e, errno, "duplicate a standard stream");
    }
    high = fcntl(*sock, F_DUPFD_CLOEXEC, 16);
    for (int i = 0; i < 3; i++) {
        if (dup2(from[i], i) < 0)
            return err_sys(e, errno, "place a standard stream");
    }
    if (high < 0 || dup3(high, 3, O_CLOEXEC) != 3)
        return err_sys(e, errno, "place the channel");
    *sock = 3;
    if (syscall(SYS_close_range, 4u, ~0u, 0) != 0)
        return err_sys(e, errno, "close what the container must not see");
    return 0;
}

/* A link through /proc must not lead out of the root (CVE-2024-21626). */
static int enter_cwd(const char *cwd, struct err *e)
{
    char now[PATH_MAX];
    if (chdir(cwd) != 0)
        return err_sys(e, errno, "change to the working directory %s", cwd);
    if (syscall(SYS_getcwd, now, sizeof(now)) < 0 || now[0] != '/')
        return err_set(e, ERR_DENIED,
                       "the working directory %s is outside of the container",
                       cwd);
    return 0;
}

static int become(const struct rt_spec *s, const struct user *u, struct err *e)
{
    /* The bounding set first: it needs SETPCAP, which may go. */
    if (caps_bound(s->caps, e) != 0)
        return -1;
    if (s->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return err_sys(e, errno, "set no-new-privileges");
    /* While SYS_ADMIN is there; every call below is in the table. */
    if (!s->no_seccomp && seccomp_load(s->caps, e) != 0)
        return -1;
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 ||
        setgroups(u->n_groups, u->groups) != 0 ||
        setresgid(u->gid, u->gid, u->gid) != 0 ||
        setresuid(u->uid, u->uid, u->uid) != 0)
        return err_sys(e, errno, "become user %u:%u", u->uid, u->gid);
    return caps_apply(s->caps, e);
}

/* The program in each folder of PATH; the errno that says most. */
static int exec_in_path(const char *path, char *const *argv, char *const *env)
{
    int best = ENOENT;
    char full[PATH_MAX];
    for (const char *p = path; *p != '\0';) {
        size_t n = strcspn(p, ":");
        /* An empty folder would be the working directory: never meant. */
        if (n > 0 && n + strlen(argv[0]) + 2 <= sizeof(full)) {
            (void)snprintf(full, sizeof(full), "%.*s/%s", (int)n, p, argv[0]);
            (void)execve(full, argv, env);
            if (errno != ENOENT && errno != ENOTDIR)
                best = errno;
        }
        p += n + (p[n] == ':' ? 1 : 0);
    }
    return best;
}

/* execvp with the container's PATH and docker's status codes. */
static int exec_argv(char *const *argv, char *const *env, struct err *e)
{
    const char *path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:"
                       "/sbin:/bin";
    int best = ENOENT;
    if (strchr(argv[0], '/') != NULL) {
        (void)execve(argv[0], argv, env);
        best = errno;
    } else if (argv[0][0] != '\0') {
        for (size_t i = 0; env[i] != NULL; i++) {
            if (strncmp(env[i], "PATH=", 5) == 0)
                path = env[i] + 5;
        }
        best = exec_in_path(path, argv, env);
    }
    (void)err_sys(e, best, "exec \"%.150s\"", argv[0]);
    return best == ENOENT || best == ENOTDIR ? 127 : 126;
}

/* The environment with HOME, which only the user's record knows; as docker,
 * also in place of an empty one. */
static char *const *with_home(char *const *env, const char *home)
{
    static char text[PATH_MAX + 8];
    size_t n = 0, at = 0;
    while (env[n] != NULL)
        n++;
    while (at < n && strncmp(env[at], "HOME=", 5) != 0)
        at++;
    if (at < n && env[at][5] != '\0')
        return env;
    char **all = calloc(n + 2, sizeof(*all));
    if (all == NULL)
        return env;
    memcpy(all, env, n * sizeof(*all));
    (void)snprintf(text, sizeof(text), "HOME=%s", home);
    all[at] = text;
    return all;
}

/*
 * In the new root: the user, the streams, the limits, the folder, and then
 * nothing more than the program may have.  Ends the process on failure.
 */
static void settle(const struct rt_spec *s, const int stdio[3], int slave,
                   int *sock, struct user *u)
{
    struct err e;
    scoped_fd root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (user_resolve_in(root, s->user, s->groups, s->n_groups, u, &e) != 0 ||
        arrange_fds(stdio, slave, sock, &e) != 0)
        fail(*sock, 125, &e);
    root = -1; /* closed with the rest */
    (void)umask(022);
    if (s->is_tty && fchown(0, u->uid, (gid_t)-1) != 0) {
        (void)err_sys(&e, errno, "give the terminal to its user");
        fail(*sock, 125, &e);
    }
    if (set_rlimits(s, &e) != 0 || enter_cwd(s->cwd, &e) != 0 ||
        become(s, u, &e) != 0)
        fail(*sock, 125, &e);
}

/* The settled process becomes the program, in a session of its own. */
static _Noreturn void finish(const struct rt_spec *s, const struct user *u,
                             int sock, bool has_init)
{
    struct err e;
    if ((setsid() < 0 && errno != EPERM) ||
        (s->is_tty && ioctl(0, TIOCSCTTY, 0) != 0)) {
        (void)err_sys(&e, errno, "take the terminal");
        fail(sock, 125, &e);
    }
    if (has_init)
        init_split(s->is_tty, sock);
    reset_signals();
    fail(sock, exec_argv(s->argv, with_home(s->env, u->home), &e), &e);
}

static _Noreturn void child_main(const struct rt_spec *s,
                                 const struct cg_layout *l, const int stdio[3],
                                 int sock)
{
    struct err e;
    struct user u;
    struct report r;
    int none, master, slave;
    /* The setup half holds host descriptors: nobody may look into it. */
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    (void)prctl(PR_SET_PDEATHSIG, 0, 0, 0, 0);
    if (cg_join(l, s->id, &e) != 0)
        fail(sock, 125, &e);
    /* Until the parent has written down who we are. */
    if (recv_report(sock, &r, &none) != 1)
        _exit(125);
    /* The cgroup namespace's root is where we are now. */
    if (unshare(CLONE_NEWCGROUP) != 0) {
        (void)err_sys(&e, errno, "make the cgroup namespace");
        fail(sock, 125, &e);
    }
    if (sethostname(s->hostname, strlen(s->hostname)) != 0) {
        (void)err_sys(&e, errno, "set the host name %s", s->hostname);
        fail(sock, 125, &e);
    }
    if ((!s->is_host_network && loopback_up(&e) != 0) ||
        rootfs_enter(s, l, &master, &slave, &e) != 0)
        fail(sock, 125, &e);
    if (master >= 0) {
        r = (struct report){.kind = 'T'};
        (void)send_report(sock, &r, master);
    }
    settle(s, stdio, slave, &sock, &u);
    finish(s, &u, sock, s->has_init);
}

/* ---- the parent --------------------------------------------------------- */

/* Wait until the exec closed the channel, or an error came. */
static int await_exec(int sock, struct rt_started *out, struct err *e)
{
    struct report r;
    int fd;
    while (recv_report(sock, &r, &fd) == 1) {
        if (r.kind == 'T') {
            out->tty_master = fd;
        } else if (r.kind == 'P') {
            out->pid = r.status;
        } else if (r.kind == 'E') {
            scope_close(&fd);
            scope_close(&out->tty_master);
            r.e.msg[sizeof(r.e.msg) - 1] = '\0';
            out->status = r.status;
            *e = r.e;
            return -1;
        }
    }
    return 0;
}

/* clone3 into the v2 group of the container; 0 in the child. */
static pid_t clone_into(const struct cg_layout *l, const char *id,
                        uint64_t flags, int *pidfd, struct err *e)
{
    int group;
    if (cg_open(l, id, &group, e) != 0)
        return -1;
    scoped_fd owned = group;
    struct clone_args a = {.flags = flags,
                           .pidfd = (uint64_t)(uintptr_t)pidfd,
                           .exit_signal = SIGCHLD};
    if (group >= 0) {
        a.flags |= CLONE_INTO_CGROUP;
        a.cgroup = (unsigned)group;
    }
    pid_t pid = (pid_t)syscall(SYS_clone3, &a, sizeof(a));
    if (pid < 0)
        return err_sys(e, errno, "make a process in the container's cgroup");
    return pid;
}

int rt_clone(const struct rt_spec *s, const struct cg_layout *l,
             const int stdio[3], struct rt_started *out, struct err *e)
{
    int sv[2];
    int pidfd = -1;
    *out = (struct rt_started){-1, -1, -1, 125, -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) != 0)
        return err_sys(e, errno, "make a socket pair");
    scoped_fd parent = sv[0];
    pid_t pid = clone_into(l, s->id,
                           NAMESPACES | CLONE_PIDFD |
                               (s->is_host_network ? 0 : CLONE_NEWNET),
                           &pidfd, e);
    if (pid == 0) {
        (void)close(sv[0]);
        child_main(s, l, stdio, sv[1]);
    }
    (void)close(sv[1]);
    if (pid < 0)
        return -1;
    *out = (struct rt_started){pid, pidfd, -1, 125, take_fd(&parent)};
    return 0;
}

void rt_abandon(struct rt_started *out)
{
    if (out->pid <= 0)
        return;
    (void)syscall(SYS_pidfd_send_signal, out->pidfd, SIGKILL, NULL, 0);
    (void)waitpid(out->pid, NULL, 0);
    scope_close(&out->channel);
    scope_close(&out->pidfd);
    out->pid = out->pidfd = out->channel = -1;
}

int rt_go(struct rt_started *out, struct err *e)
{
    struct report go = {.kind = 'G'};
    bool is_sent = send_report(out->channel, &go, -1) == 0;
    int saved = errno;
    /* What it has to say comes first, also when it is dead already. */
    int rc = await_exec(out->channel, out, e);
    if (rc == 0 && !is_sent)
        rc = err_sys(e, saved, "let the container go");
    if (rc != 0) {
        rt_abandon(out);
        return -1;
    }
    scope_close(&out->channel);
    out->channel = -1;
    return 0;
}

/*
 * Into the namespaces of a container, that of mounts first: until the very end
 * of its setup this is a copy of the host's, with the host's files as root.
 */
static int enter(int pidfd, struct err *e)
{
    struct stat host, now;
    if (stat("/", &host) != 0 || setns(pidfd, CLONE_NEWNS) != 0 ||
        stat("/", &now) != 0)
        return err_sys(e, errno, "enter the container");
    if (host.st_dev == now.st_dev && host.st_ino == now.st_ino)
        return err_set(e, ERR_BUSY, "the container is still being started");
    if (setns(pidfd, (NAMESPACES & ~CLONE_NEWNS) | CLONE_NEWCGROUP |
                         CLONE_NEWNET) != 0)
        return err_sys(e, errno, "enter the container");
    return 0;
}

static _Noreturn void exec_child(const struct rt_spec *s,
                                 const struct cg_layout *l, int pidfd,
                                 const int stdio[3], int sock)
{
    struct err e;
    struct user u;
    int master = -1, slave = -1;
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    /* Limits first: afterwards the cgroup files are out of reach. */
    if (cg_join(l, s->id, &e) != 0 || enter(pidfd, &e) != 0)
        fail(sock, 125, &e);
    if (s->is_tty) {
        scoped_fd pts =
            open("/dev/pts", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (rootfs_open_pty(s, pts, &master, &slave, &e) != 0)
            fail(sock, 125, &e);
        struct report t = {.kind = 'T'};
        (void)send_report(sock, &t, master);
    }
    /* The clone is seen in the container, and taken over there by whoever has
     * SYS_PTRACE: everything is given up before it.
     * CLONE_PARENT: the new process is the caller's own child. */
    settle(s, stdio, slave, &sock, &u);
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_PARENT | SIGCHLD, 0, 0, 0, 0);
    if (pid == 0)
        finish(s, &u, sock, false);
    if (pid < 0) {
        /* ENOMEM is what a pid namespace without its pid 1 says. */
        (void)err_sys(&e, errno == ENOMEM ? ESRCH : errno,
                      "make a process in the container");
        fail(sock, 125, &e);
    }
    struct report p = {.kind = 'P', .status = pid};
    (void)send_report(sock, &p, -1);
    _exit(0);
}

int rt_exec(const struct rt_spec *s, const struct cg_layout *l, int pidfd,
            const int stdio[3], struct rt_started *out, struct err *e)
{
    int sv[2];
    *out = (struct rt_started){-1, -1, -1, 125, -1};
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sv) != 0)
        return err_sys(e, errno, "make a socket pair");
    scoped_fd parent = sv[0];
    pid_t pid = clone_into(l, s->id, 0, NULL, e);
    if (pid == 0) {
        (void)close(sv[0]);
        exec_child(s, l, pidfd, stdio, sv[1]);
    }
    (void)close(sv[1]);
    if (pid < 0)
        return -1;
    int rc = await_exec(parent, out, e);
    (void)waitpid(pid, NULL, 0);
    if (rc != 0 && out->pid > 0)
        (void)waitpid(out->pid, NULL, 0);
    if (rc == 0 && out->pid <= 0)
        return err_sys(e, ESRCH, "the container ended");
    return rc;
}
