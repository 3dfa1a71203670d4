/*
 * What one container is to be: everything resolved, nothing looked up later
 * except names inside the root file system.  Built by cmd_run from image and
 * flags; read by every step of the runtime; owned by the caller.
 */
#ifndef BERTH_CLIENT_RUNTIME_SPEC_H
#define BERTH_CLIENT_RUNTIME_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#define RT_ID_LEN     64
#define RT_MOUNTS_MAX 64
#define RT_RLIMIT_MAX 16
#define RT_LAYERS_MAX 128
#define RT_GROUPS_MAX 64

enum rt_mount_kind {
    RT_BIND,   /* source on the host -> target, recursive */
    RT_VOLUME, /* as RT_BIND; the image's content is copied up first */
    RT_TMPFS,
};

struct rt_mount {
    enum rt_mount_kind kind;
    const char *source;  /* absolute; NULL for tmpfs */
    const char *target;  /* absolute, inside the root */
    const char *options; /* tmpfs: "size=64m,mode=1777", or NULL */
    bool is_read_only;
    bool is_own; /* a file of ours in /etc, not the user's wish */
};

struct rt_rlimit {
    int resource;
    struct rlimit value;
};

struct rt_limits {
    uint64_t memory;     /* bytes, 0: none */
    int64_t memory_swap; /* memory + swap, bytes; -1 unlimited, 0: default */
    uint64_t nano_cpus;  /* billionths of a CPU, 0: none */
    uint64_t cpu_shares; /* docker's 2..262144, 0: default */
    const char *cpuset;  /* "0-1", or NULL */
    uint64_t pids;       /* 0: none */
};

struct rt_spec {
    char id[RT_ID_LEN + 1];
    const char *lower[RT_LAYERS_MAX]; /* absolute folders, top layer first */
    size_t n_lower;
    const char *dir; /* container folder: upper/, work/, hosts, hostname ... */
    char *const *argv;
    char *const *env; /* "K=V"; HOME is added when absent */
    const char *cwd;
    const char *user; /* "name|uid[:group|gid]", "" or NULL: root */
    const char *groups[RT_GROUPS_MAX];
    size_t n_groups;
    const char *hostname;
    struct rt_mount mounts[RT_MOUNTS_MAX];
    size_t n_mounts;
    struct rt_rlimit rlimits[RT_RLIMIT_MAX];
    size_t n_rlimits;
    struct rt_limits limits;
    uint64_t caps; /* bit n: capability n */
    bool is_tty, has_stdin;
    unsigned short tty_rows, tty_cols; /* 0: unknown */
    bool is_read_only;                 /* the root file system */
    bool is_host_network;
    bool has_init;   /* pid 1 is ours and reaps */
    bool is_passing; /* --rm: its files need not outlive the machine */
    bool is_exec;    /* a process beside pid 1 */
    bool no_new_privs;
    bool no_seccomp;
};

#endif
