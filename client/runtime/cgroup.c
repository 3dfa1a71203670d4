/* cgroup file systems; see cgroup.h. */
#include "client/runtime/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "client/runtime/devices.h"

#define MOUNTINFO_MAX (4 * 1024 * 1024)
#define CPU_PERIOD_US 100000

static const char *const names[CG_CONTROLLERS] = {"memory",  "cpu",  "cpuacct",
                                                  "cpuset",  "pids", "devices",
                                                  "freezer", "blkio"};

const char *cg_name(enum cg_controller c)
{
    return names[c];
}

static bool has_word(const char *list, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = list; p != NULL; p = strchr(p, ',')) {
        if (*p == ',')
            p++;
        if (strncmp(p, word, n) == 0 && (p[n] == ',' || p[n] == '\0'))
            return true;
    }
    return false;
}

static void detect_line(char *line, struct cg_layout *out)
{
    char root[PATH_MAX], point[PATH_MAX], type[32], options[512];
    const char *tail = strstr(line, " - ");
    if (tail == NULL ||
        sscanf(line, "%*s %*s %*s %4095s %4095s", root, point) != 2 ||
        sscanf(tail, " - %31s %*s %511s", type, options) != 2)
        return;
    if (strcmp(type, "cgroup2") == 0 && out->v2[0] == '\0')
        (void)snprintf(out->v2, sizeof(out->v2), "%s", point);
    if (strcmp(type, "cgroup") != 0)
        return;
    for (size_t c = 0; c < CG_CONTROLLERS; c++) {
        if (out->v1[c][0] == '\0' && has_word(options, names[c]))
            (void)snprintf(out->v1[c], sizeof(out->v1[c]), "%s", point);
    }
}

void cg_detect(const char *mountinfo, struct cg_layout *out)
{
    memset(out, 0, sizeof(*out));
    for (const char *p = mountinfo; *p != '\0';) {
        const char *nl = strchr(p, '\n');
        size_t n = nl != NULL ? (size_t)(nl - p) : strlen(p);
        char line[2 * PATH_MAX];
        if (n < sizeof(line)) {
            memcpy(line, p, n);
            line[n] = '\0';
            detect_line(line, out);
        }
        p += n + (nl != NULL ? 1 : 0);
    }
    out->is_v2_only = out->v2[0] != '\0';
    for (size_t c = 0; c < CG_CONTROLLERS; c++) {
        if (out->v1[c][0] != '\0')
            out->is_v2_only = false;
    }
}

int cg_detect_self(struct cg_layout *out, struct err *e)
{
    scoped_fd fd = open("/proc/self/mountinfo", O_RDONLY | O_CLOEXEC);
    scoped_free char *text = malloc(MOUNTINFO_MAX + 1);
    if (fd < 0 || text == NULL)
        return err_sys(e, errno, "read /proc/self/mountinfo");
    size_t n = 0;
    ssize_t got;
    while (n < MOUNTINFO_MAX &&
           (got = read(fd, text + n, MOUNTINFO_MAX - n)) > 0)
        n += (size_t)got;
    text[n] = '\0';
    cg_detect(text, out);
    return 0;
}

static void path_of(char out[PATH_MAX], const char *mount, const char *id,
                    const char *file)
{
    (void)snprintf(out, PATH_MAX, "%.2000s/berth/%s/%s", mount, id, file);
}

static int write_path(const char *path, const char *text, struct err *e)
{
    scoped_fd fd = open(path, O_WRONLY | O_CLOEXEC);
    size_t n = strlen(text);
    if (fd < 0 || write(fd, text, n) != (ssize_t)n)
        return err_sys(e, errno, "write %s to %s", text, path);
    return 0;
}

static int put(const char *mount, const char *id, const char *file,
               const char *text, struct err *e)
{
    char path[PATH_MAX];
    path_of(path, mount, id, file);
    return write_path(path, text, e);
}

static int put_u64(const char *mount, const char *id, const char *file,
                   uint64_t v, struct err *e)
{
    char text[32];
    (void)snprintf(text, sizeof(text), "%" PRIu64, v);
    return put(mount, id, file, text, e);
}

static ssize_t read_path(const char *path, char *out, size_t cap)
{
    scoped_fd fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, out, cap - 1);
    out[n > 0 ? n : 0] = '\0';
    return n;
}

/* A new v1 cpuset is empty and takes no member: copy the parent's. */
static int inherit_cpuset(const char *dir, struct err *e)
{
    static const char *const files[] = {"cpuset.cpus", "cpuset.mems"};
    for (size_t i = 0; i < array_len(files); i++) {
        char own[PATH_MAX], up[PATH_MAX], now[4096];
        (void)snprintf(own, sizeof(own), "%.4000s/%s", dir, files[i]);
        (void)snprintf(up, sizeof(up), "%.4000s/../%s", dir, files[i]);
        if (read_path(own, now, sizeof(now)) > 1)
            continue;
        if (read_path(up, now, sizeof(now)) <= 0)
            continue;
        now[strcspn(now, "\n")] = '\0';
        if (now[0] != '\0' && write_path(own, now, e) != 0)
            return -1;
    }
    return 0;
}

static int make_group(const char *mount, const char *id, bool is_cpuset,
                      struct err *e)
{
    char path[PATH_MAX];
    for (int depth = 0; depth < 2; depth++) {
        (void)snprintf(path, sizeof(path), "%.2000s/berth%s%s", mount,
                       depth ? "/" : "", depth ? id : "");
        if (mkdir(path, 0755) != 0 && errno != EEXIST)
            return err_sys(e, errno, "make cgroup %s", path);
        if (is_cpuset && inherit_cpuset(path, e) != 0)
            return -1;
    }
    return 0;
}

/* Memory plus swap in bytes; docker's default is twice the memory. */
static int64_t memsw_of(const struct rt_limits *m)
{
    if (m->memory_swap != 0)
        return m->memory_swap;
    return m->memory > INT64_MAX / 2 ? -1 : (int64_t)(2 * m->memory);
}

static uint64_t cpu_quota_us(const struct rt_limits *m)
{
    return m->nano_cpus * CPU_PERIOD_US / 1000000000u;
}

static int need(bool there, const char *what, struct err *e)
{
    if (there)
        return 0;
    return err_set(e, ERR_UNSUPPORTED,
                   "%s was asked for, but the machine has no cgroup "
                   "controller for it",
                   what);
}

static int v1_memory(const char *mount, const char *id,
                     const struct rt_limits *m, struct err *e)
{
    struct err ignored;
    int64_t memsw = memsw_of(m);
    if (put_u64(mount, id, "memory.limit_in_bytes", m->memory, e) != 0)
        return -1;
    if (memsw < 0)
        return 0;
    /* Kernels without swap accounting have no such file. */
    if (put_u64(mount, id, "memory.memsw.limit_in_bytes", (uint64_t)memsw,
                m->memory_swap > 0 ? e : &ignored) != 0 &&
        m->memory_swap > 0)
        return -1;
    return 0;
}

static int v1_limits(const struct cg_layout *l, const char *id,
                     const struct rt_limits *m, struct err *e)
{
    const char *cpu = l->v1[CG_CPU];
    if (need(!m->memory || l->v1[CG_MEMORY][0], "a memory limit", e) != 0 ||
        need(!(m->nano_cpus || m->cpu_shares) || cpu[0], "a CPU limit", e) !=
            0 ||
        need(!m->cpuset || l->v1[CG_CPUSET][0], "a set of CPUs", e) != 0 ||
        need(!m->pids || l->v1[CG_PIDS][0], "a limit of processes", e) != 0)
        return -1;
    if (m->memory && v1_memory(l->v1[CG_MEMORY], id, m, e) != 0)
        return -1;
    if (m->nano_cpus &&
        (put_u64(cpu, id, "cpu.cfs_period_us", CPU_PERIOD_US, e) != 0 ||
         put_u64(cpu, id, "cpu.cfs_quota_us", cpu_quota_us(m), e) != 0))
        return -1;
    if (m->cpu_shares && put_u64(cpu, id, "cpu.shares", m->cpu_shares, e) != 0)
        return -1;
    if (m->cpuset &&
        put(l->v1[CG_CPUSET], id, "cpuset.cpus", m->cpuset, e) != 0)
        return -1;
    if (m->pids && put_u64(l->v1[CG_PIDS], id, "pids.max", m->pids, e) != 0)
        return -1;
    return 0;
}

/* Hand the controllers down from the root and from berth/. */
static int v2_enable(const char *mount, const struct rt_limits *m,
                     struct err *e)
{
    const struct {
        bool wanted;
        const char *name;
    } want[] = {{true, "memory"},
                {m->nano_cpus || m->cpu_shares, "cpu"},
                {m->cpuset != NULL, "cpuset"},
                {true, "pids"}};
    char path[PATH_MAX], have[4096], text[32];
    (void)snprintf(path, sizeof(path), "%.4000s/cgroup.controllers", mount);
    (void)read_path(path, have, sizeof(have));
    for (size_t i = 0; i < array_len(want); i++) {
        if (!want[i].wanted || strstr(have, want[i].name) == NULL)
            continue;
        (void)snprintf(text, sizeof(text), "+%s", want[i].name);
        (void)snprintf(path, sizeof(path), "%.4000s/cgroup.subtree_control",
                       mount);
        if (write_path(path, text, e) != 0)
            return -1;
        (void)snprintf(path, sizeof(path),
                       "%.4000s/berth/cgroup.subtree_control", mount);
        if (write_path(path, text, e) != 0)
            return -1;
    }
    return 0;
}

static int v2_limits(const char *mount, const char *id,
                     const struct rt_limits *m, struct err *e)
{
    char text[64];
    if (m->memory) {
        int64_t memsw = memsw_of(m);
        struct err ignored;
        uint64_t swap =
            memsw > (int64_t)m->memory ? (uint64_t)memsw - m->memory : 0;
        if (put_u64(mount, id, "memory.max", m->memory, e) != 0)
            return -1;
        if (memsw >= 0 &&
            put_u64(mount, id, "memory.swap.max", swap,
                    m->memory_swap > 0 ? e : &ignored) != 0 &&
            m->memory_swap > 0)
            return -1;
    }
    (void)snprintf(text, sizeof(text), "%" PRIu64 " %d", cpu_quota_us(m),
                   CPU_PERIOD_US);
    if (m->nano_cpus && put(mount, id, "cpu.max", text, e) != 0)
        return -1;
    /* docker's 2..262144 onto 1..10000, as every runtime maps it. */
    if (m->cpu_shares &&
        put_u64(mount, id, "cpu.weight",
                1 + (m->cpu_shares - 2) * 9999 / 262142, e) != 0)
        return -1;
    if (m->cpuset && put(mount, id, "cpuset.cpus", m->cpuset, e) != 0)
        return -1;
    if (m->pids && put_u64(mount, id, "pids.max", m->pids, e) != 0)
        return -1;
    return 0;
}

int cg_create(const struct cg_layout *l, const char *id,
              const struct rt_limits *m, struct err *e)
{
    for (size_t c = 0; c < CG_CONTROLLERS; c++) {
        if (l->v1[c][0] && make_group(l->v1[c], id, c == CG_CPUSET, e) != 0)
            return -1;
    }
    if (l->v2[0] && make_group(l->v2, id, false, e) != 0)
        return -1;
    if (!l->is_v2_only)
        return v1_limits(l, id, m, e);
    if (v2_enable(l->v2, m, e) != 0)
        return -1;
    return v2_limits(l->v2, id, m, e);
}

static int v1_devices(const char *mount, const char *id, struct err *e)
{
    size_t n;
    const struct dev_rule *rules = devices_default(&n);
    if (put(mount, id, "devices.deny", "a", e) != 0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        char text[32];
        devices_format(&rules[i], text);
        if (put(mount, id, "devices.allow", text, e) != 0)
            return -1;
    }
    return 0;
}

int cg_limit_devices(const struct cg_layout *l, const char *id, struct err *e)
{
    char path[PATH_MAX];
    size_t n;
    if (l->v1[CG_DEVICES][0])
        return v1_devices(l->v1[CG_DEVICES], id, e);
    if (!l->v2[0])
        return 0; /* nothing that could: the capabilities must do */
    path_of(path, l->v2, id, "");
    scoped_fd fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, errno, "open cgroup %s", path);
    const struct dev_rule *rules = devices_default(&n);
    return devices_attach(fd, rules, n, e);
}

int cg_open(const struct cg_layout *l, const char *id, int *fd, struct err *e)
{
    char path[PATH_MAX];
    *fd = -1;
    if (!l->v2[0])
        return 0;
    path_of(path, l->v2, id, "");
    *fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return *fd >= 0 ? 0 : err_sys(e, errno, "open cgroup %s", path);
}

int cg_join(const struct cg_layout *l, const char *id, struct err *e)
{
    for (size_t c = 0; c < CG_CONTROLLERS; c++) {
        if (l->v1[c][0] && put(l->v1[c], id, "tasks", "0", e) != 0)
            return -1;
    }
    return 0;
}

void cg_kill(const struct cg_layout *l, const char *id)
{
    struct err ignored;
    if (l->v2[0])
        (void)put(l->v2, id, "cgroup.kill", "1", &ignored);
    /* SIGKILL waits until a v1 group is thawed. */
    if (l->v1[CG_FREEZER][0])
        (void)put(l->v1[CG_FREEZER], id, "freezer.state", "THAWED", &ignored);
}

bool cg_was_oom_killed(const struct cg_layout *l, const char *id)
{
    char path[PATH_MAX], text[1024];
    if (l->is_v2_only)
        path_of(path, l->v2, id, "memory.events");
    else
        path_of(path, l->v1[CG_MEMORY], id, "memory.oom_control");
    if (read_path(path, text, sizeof(text)) <= 0)
        return false;
    const char *p = strstr(text, "oom_kill ");
    return p != NULL && p[9] != '0';
}

static void remove_group(const char *mount, const char *id)
{
    char path[PATH_MAX];
    (void)snprintf(path, sizeof(path), "%.2000s/berth/%s", mount, id);
    for (int i = 0; i < 50; i++) {
        if (rmdir(path) == 0 || errno != EBUSY)
            return;
        /* A container with SYS_ADMIN can make groups in its own; members that
         * died are counted until they are reaped. */
        io_remove_tree(AT_FDCWD, path);
        (void)nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
}

void cg_remove(const struct cg_layout *l, const char *id)
{
    for (size_t c = 0; c < CG_CONTROLLERS; c++) {
        if (l->v1[c][0])
            remove_group(l->v1[c], id);
    }
    if (l->v2[0])
        remove_group(l->v2, id);
}
