#include "client/runtime/container_state.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"
#include "base/json.h"

#define STATE_MAX 65536

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

bool ct_zombie(pid_t pid, int *wait_status)
{
    struct stat_line l;
    if (!read_stat(pid, &l) || l.state != 'Z')
        return false;
    *wait_status = l.exit_code;
    return true;
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
        out->started_ns = integer(live, "started_ns");
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
        out->started_ns = integer(end, "started_ns");
        out->is_oom = json_is_true(json_object_get(end, "oom"));
        out->finished = integer(end, "finished");
        out->finished_ns = integer(end, "finished_ns");
        (void)snprintf(out->error, sizeof(out->error), "%s",
                       error != NULL ? error : "");
        /* Its program never ran: as docker's, it is only created. */
        if (out->is_known && out->error[0] != '\0') {
            out->status = CT_CREATED;
            out->started = out->finished = 0;
            out->started_ns = out->finished_ns = 0;
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
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    ct_run_dir(spec->id, dir);
    ct_boot_id(boot);
    if (save_unsynced(dir, "state.json",
                      json_pack("{s:i,s:I,s:i,s:I,s:s,s:I,s:I}", "pid",
                                (int)pid, "pid_start",
                                (json_int_t)ct_start_time(pid), "monitor",
                                (int)monitor, "monitor_start",
                                (json_int_t)ct_start_time(monitor), "boot",
                                boot, "started", (json_int_t)now.tv_sec,
                                "started_ns", (json_int_t)now.tv_nsec),
                      e) != 0)
        return -1;
    if (spec->is_passing)
        return 0;
    ct_dir(s, spec->id, dir);
    return save_unsynced(dir, "exit.json",
                         json_pack("{s:i,s:b,s:I,s:I}", "code", CT_UNKNOWN,
                                   "known", 0, "started",
                                   (json_int_t)now.tv_sec, "started_ns",
                                   (json_int_t)now.tv_nsec),
                         e);
}

int ct_exit_write(struct istore *s, const char *id, int code, bool is_oom,
                  const char *error, struct err *e)
{
    char dir[PATH_MAX];
    struct ct_state st;
    struct timespec now;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    ct_state(s, id, &st);
    ct_dir(s, id, dir);
    return save(dir, "exit.json",
                json_pack("{s:i,s:b,s:s,s:I,s:I,s:I,s:I}", "code", code, "oom",
                          is_oom, "error", error, "started",
                          (json_int_t)st.started, "started_ns",
                          (json_int_t)st.started_ns, "finished",
                          (json_int_t)now.tv_sec, "finished_ns",
                          (json_int_t)now.tv_nsec),
                e);
}
