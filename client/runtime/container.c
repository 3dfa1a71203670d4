/* Records and states; see container.h. */
#include "client/runtime/container.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "client/runtime/cgroup.h"
#include "client/runtime/life.h"

#define STATE_MAX       65536
#define MONITOR_WAIT_MS 5000
#define MONITOR_POLL_MS 50

void ct_dir(struct istore *s, const char *id, char out[PATH_MAX])
{
    (void)snprintf(out, PATH_MAX, "%.3900s/containers/%s", istore_path(s), id);
}

void ct_run_dir(const char *id, char out[PATH_MAX])
{
    const char *root = getenv("BERTH_RUN");
    (void)snprintf(out, PATH_MAX, "%.3900s/%s",
                   root != NULL && root[0] == '/' ? root : "/run/berth", id);
}

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

struct stat_line {
    char state;
    unsigned long long start; /* field 22 */
    int exit_code;            /* field 52, as waitpid() tells it */
};

static bool read_stat(pid_t pid, struct stat_line *out)
{
    char path[64], text[2048], *save = NULL;
    (void)snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    scoped_fd fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    *out = (struct stat_line){.state = 0};
    if (n <= 0)
        return false;
    text[n] = '\0';
    /* The name may hold anything, so count from the last parenthesis. */
    char *p = strrchr(text, ')');
    int field = 3;
    for (char *w = strtok_r(p ? p + 1 : text, " \n", &save);
         p != NULL && w != NULL; w = strtok_r(NULL, " \n", &save), field++) {
        if (field == 3)
            out->state = w[0];
        else if (field == 22)
            out->start = strtoull(w, NULL, 10);
        else if (field == 52)
            out->exit_code = (int)strtol(w, NULL, 10);
    }
    return field > 22;
}

unsigned long long ct_start_time(pid_t pid)
{
    struct stat_line l;
    return read_stat(pid, &l) && l.state != 'Z' && l.state != 'X' ? l.start : 0;
}

void ct_boot_id(char out[64])
{
    scoped_fd fd =
        open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, out, 36);
    out[n > 0 ? n : 0] = '\0';
}

static json_t *load(const char *dir, const char *name)
{
    struct err e;
    char *text = NULL;
    size_t len;
    scoped_fd fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || io_read_file(fd, name, STATE_MAX, &text, &len, &e) != 0)
        return NULL;
    json_t *o = json_load_object(text, len, &e);
    free(text);
    return o;
}

static int save(const char *dir, const char *name, json_t *o, struct err *e)
{
    scoped_fd fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_free char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    if (fd < 0 || text == NULL)
        return err_sys(e, errno, "write %s/%s", dir, name);
    return io_replace_file(fd, name, text, strlen(text), 0600, e);
}

static json_int_t integer(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static bool is_alive(json_int_t pid, json_int_t start)
{
    return pid > 0 && start > 0 &&
           ct_start_time((pid_t)pid) == (unsigned long long)start;
}

void ct_state(struct istore *s, const char *id, struct ct_state *out)
{
    char dir[PATH_MAX], boot[64];
    memset(out, 0, sizeof(*out));
    ct_run_dir(id, dir);
    json_t *live = load(dir, "state.json");
    const char *was = live ? json_member_string(live, "boot") : NULL;
    ct_boot_id(boot);
    if (was != NULL && strcmp(was, boot) == 0) {
        out->started = integer(live, "started");
        if (is_alive(integer(live, "monitor"), integer(live, "monitor_start")))
            out->monitor = (pid_t)integer(live, "monitor");
        if (is_alive(integer(live, "pid"), integer(live, "pid_start"))) {
            out->status = CT_RUNNING;
            out->pid = (pid_t)integer(live, "pid");
        }
    }
    ct_dir(s, id, dir);
    json_t *end = load(dir, "exit.json");
    if (out->status != CT_RUNNING && end != NULL) {
        const char *error = json_member_string(end, "error");
        out->status = CT_EXITED;
        out->is_known = !json_is_false(json_object_get(end, "known"));
        out->exit_code = (int)integer(end, "code");
        out->started = integer(end, "started");
        out->is_oom = json_is_true(json_object_get(end, "oom"));
        out->finished = integer(end, "finished");
        (void)snprintf(out->error, sizeof(out->error), "%s",
                       error != NULL ? error : "");
        /* Its program never ran: as docker's, it is only created. */
        if (out->is_known && out->error[0] != '\0') {
            out->status = CT_CREATED;
            out->started = out->finished = 0;
        }
    } else if (out->status != CT_RUNNING && live != NULL) {
        out->status = CT_EXITED;
        out->exit_code = CT_UNKNOWN;
    }
    json_decref(live);
    json_decref(end);
}

/*
 * Whole or not at all for those who read it meanwhile, but without a sync: a
 * machine that stops here has lost the process as well.
 */
static int save_unsynced(const char *dir, const char *name, json_t *o,
                         struct err *e)
{
    char temp[64];
    scoped_fd fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    scoped_free char *text = o ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    (void)snprintf(temp, sizeof(temp), "%.50s.new", name);
    scoped_fd out =
        fd < 0 || text == NULL
            ? -1
            : openat(fd, temp,
                     O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                     0600);
    if (out < 0)
        return err_sys(e, errno, "write %s/%s", dir, name);
    if (io_write_all(out, text, strlen(text), -1, e) != 0)
        return err_prefix(e, "%s/%s", dir, name);
    if (renameat(fd, temp, fd, name) != 0)
        return err_sys(e, errno, "write %s/%s", dir, name);
    return 0;
}

int ct_state_write(struct istore *s, const struct rt_spec *spec, pid_t pid,
                   pid_t monitor, struct err *e)
{
    char dir[PATH_MAX], boot[64];
    json_int_t now = (json_int_t)clock_wall_s();
    ct_run_dir(spec->id, dir);
    ct_boot_id(boot);
    if (save_unsynced(dir, "state.json",
                      json_pack("{s:i,s:I,s:i,s:I,s:s,s:I}", "pid", (int)pid,
                                "pid_start", (json_int_t)ct_start_time(pid),
                                "monitor", (int)monitor, "monitor_start",
                                (json_int_t)ct_start_time(monitor), "boot",
                                boot, "started", now),
                      e) != 0)
        return -1;
    if (spec->is_passing)
        return 0;
    ct_dir(s, spec->id, dir);
    return save_unsynced(dir, "exit.json",
                         json_pack("{s:i,s:b,s:I}", "code", CT_UNKNOWN, "known",
                                   0, "started", now),
                         e);
}

int ct_exit_write(struct istore *s, const char *id, int code, bool is_oom,
                  const char *error, struct err *e)
{
    char dir[PATH_MAX];
    struct ct_state st;
    ct_state(s, id, &st);
    ct_dir(s, id, dir);
    return save(dir, "exit.json",
                json_pack("{s:i,s:b,s:s,s:I,s:I}", "code", code, "oom", is_oom,
                          "error", error, "started", (json_int_t)st.started,
                          "finished", (json_int_t)clock_wall_s()),
                e);
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
        struct stat_line l;
        struct pollfd p = {.fd = pidfd};
        /* Then ask whether it is still there: so long its pid is its own. */
        bool is_zombie = read_stat(pid, &l) && l.state == 'Z' &&
                         syscall(SYS_pidfd_send_signal, pidfd, 0, NULL, 0) == 0;
        int rc = ioctl(pidfd, PIDFD_INFO_GET, &info);
        if (rc == 0 && (info.mask & PIDFD_EXIT) != 0)
            return code_of(info.exit_code);
        if (is_zombie)
            return code_of(l.exit_code);
        if (rc != 0)
            break; /* an older kernel */
        (void)poll(&p, 1, 10);
    }
    return -1;
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
    /* The monitor writes the exit code, then ends; or stays, without a state,
     * when its client is stopped and has not taken all output. */
    scoped_fd mon = monitor > 0 ? (int)syscall(SYS_pidfd_open, monitor, 0) : -1;
    for (int waited = 0; mon >= 0 && waited < MONITOR_WAIT_MS;
         waited += MONITOR_POLL_MS) {
        struct pollfd p = {.fd = mon, .events = POLLIN};
        if (poll(&p, 1, MONITOR_POLL_MS) != 0)
            break;
        ct_state(s, id, &st);
        if (st.monitor == 0)
            break;
    }
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
    istore_remove_tree(istore_dirfd(s), trash);
    return 0;
}

/* "RTMIN", "RTMIN+n", "RTMAX-n"; -1 for anything else. */
static int realtime_signal(const char *name)
{
    int base = strncasecmp(name, "RTMIN", 5) == 0   ? SIGRTMIN
               : strncasecmp(name, "RTMAX", 5) == 0 ? SIGRTMAX
                                                    : -1;
    uint64_t n = 0;
    char sign = base == SIGRTMIN ? '+' : '-';
    if (base < 0 || (name[5] != '\0' &&
                     (name[5] != sign ||
                      !num_parse_u64(slice_of(name + 6),
                                     (uint64_t)(SIGRTMAX - SIGRTMIN), &n))))
        return -1;
    return sign == '+' ? base + (int)n : base - (int)n;
}

int ct_signal(const char *name)
{
    static const struct {
        const char *name;
        int sig;
    } others[] = {{"IOT", SIGABRT}, {"CLD", SIGCHLD}, {"IO", SIGPOLL}};
    uint64_t n;
    if (num_parse_u64(slice_of(name), NSIG - 1, &n))
        return n > 0 ? (int)n : -1;
    if (strncasecmp(name, "SIG", 3) == 0)
        name += 3;
    for (int i = 1; i < NSIG; i++) {
        const char *abbrev = sigabbrev_np(i);
        if (abbrev != NULL && strcasecmp(abbrev, name) == 0)
            return i;
    }
    for (size_t i = 0; i < array_len(others); i++) {
        if (strcasecmp(others[i].name, name) == 0)
            return others[i].sig;
    }
    return realtime_signal(name);
}
