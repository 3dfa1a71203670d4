/* Docker's view of a container; see inspect.h. */
#include "client/cmd/inspect.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/json.h"
#include "client/cli/value.h"
#include "client/runtime/container.h"

static json_t *time_json(int64_t seconds, int64_t nano)
{
    char text[96] = "0001-01-01T00:00:00Z", part[32] = "";
    struct tm tm;
    time_t t = (time_t)seconds;
    if (t > 0 && gmtime_r(&t, &tm) != NULL) {
        size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
        if (nano > 0) {
            int len = snprintf(part, sizeof(part), ".%09lld", (long long)nano);
            while (part[len - 1] == '0') /* as Go's RFC3339Nano */
                part[--len] = '\0';
        }
        (void)snprintf(text + n, sizeof(text) - n, "%sZ", part);
    }
    return json_string(text);
}

static json_int_t integer(const json_t *o, const char *key)
{
    return json_integer_value(json_object_get(o, key));
}

static bool is_set(const json_t *o, const char *key)
{
    return json_is_true(json_object_get(o, key));
}

static const char *text_of(const json_t *o, const char *key)
{
    const char *v = json_member_string(o, key);
    return v != NULL ? v : "";
}

/* A copy of a list or object, null when it is empty: Go's nil. */
static json_t *or_null(const json_t *o, const char *key)
{
    json_t *v = json_object_get(o, key);
    bool is_empty = v == NULL ||
                    (json_is_array(v) && json_array_size(v) == 0) ||
                    (json_is_object(v) && json_object_size(v) == 0);
    return is_empty ? json_null() : json_incref(v);
}

json_t *inspect_labels(const json_t *record)
{
    json_t *out = json_object(), *v;
    const json_t *list = json_object_get(record, "labels");
    size_t i;
    json_array_foreach (list, i, v) {
        const char *kv = json_string_value(v);
        size_t n = kv != NULL ? strcspn(kv, "=") : 0;
        char key[4096];
        if (n == 0 || n >= sizeof(key))
            continue;
        (void)snprintf(key, sizeof(key), "%.*s", (int)n, kv);
        (void)json_object_set_new(out, key,
                                  json_string(kv[n] == '=' ? kv + n + 1 : ""));
    }
    return out;
}

const char *inspect_network(const json_t *record)
{
    return is_set(record, "host_network") ? "host" : "none";
}

const char *inspect_status(enum ct_status status)
{
    return status == CT_RUNNING   ? "running"
           : status == CT_CREATED ? "created"
                                  : "exited";
}

static json_t *state_json(const struct ct_state *st)
{
    return json_pack(
        "{s:s,s:b,s:b,s:b,s:b,s:b,s:i,s:i,s:s,s:o,s:o}", "Status",
        inspect_status(st->status), "Running", st->status == CT_RUNNING,
        "Paused", false, "Restarting", false, "OOMKilled", st->is_oom, "Dead",
        false, "Pid", (int)st->pid, "ExitCode", st->exit_code, "Error",
        st->error, "StartedAt", time_json(st->started, st->started_ns),
        "FinishedAt", time_json(st->finished, st->finished_ns));
}

static json_t *config_json(const json_t *r, const json_t *asked)
{
    bool is_attached = is_set(asked, "attach"), has_in = is_set(r, "stdin");
    json_t *c = json_pack(
        "{s:O,s:s,s:O,s:b,s:b,s:b,s:O,s:O,s:b,s:O,s:o,s:s,s:o,s:s,s:o,s:n,"
        "s:o}",
        "Hostname", json_object_get(r, "hostname"), "Domainname", "", "User",
        json_object_get(r, "user"), "AttachStdin", is_attached && has_in,
        "AttachStdout", is_attached, "AttachStderr", is_attached, "Tty",
        json_object_get(r, "tty"), "OpenStdin", json_object_get(r, "stdin"),
        "StdinOnce", is_attached && has_in, "Env", json_object_get(r, "env"),
        "Cmd", or_null(asked, "cmd"), "Image", text_of(asked, "image"),
        "Volumes", or_null(asked, "volumes"), "WorkingDir",
        text_of(asked, "workdir"), "Entrypoint", or_null(asked, "entrypoint"),
        "OnBuild", "Labels", inspect_labels(r));
    const char *sig = text_of(r, "stop_signal");
    if (c != NULL && sig[0] != '\0')
        (void)json_object_set_new(c, "StopSignal", json_string(sig));
    json_t *timeout = json_object_get(asked, "stop_timeout");
    if (c != NULL && timeout != NULL)
        (void)json_object_set(c, "StopTimeout", timeout);
    return c;
}

static json_t *ulimits_json(const json_t *r)
{
    json_t *out = json_array(), *v;
    const json_t *list = json_object_get(r, "rlimits");
    size_t i;
    json_array_foreach (list, i, v) {
        const char *name = value_ulimit_name((int)integer(v, "resource"));
        (void)json_array_append_new(out, json_pack("{s:s,s:I,s:I}", "Name",
                                                   name != NULL ? name : "",
                                                   "Hard", integer(v, "hard"),
                                                   "Soft", integer(v, "soft")));
    }
    return out;
}

/* docker fills in twice the memory when no swap was given. */
static json_int_t shown_swap(const json_t *limits)
{
    json_int_t swap = integer(limits, "memory_swap");
    return swap != 0 ? swap : 2 * integer(limits, "memory");
}

static json_t *limits_json(const json_t *r)
{
    const json_t *l = json_object_get(r, "limits");
    json_int_t pids = integer(l, "pids");
    return json_pack(
        "{s:I,s:I,s:I,s:I,s:s,s:s,s:o,s:o,s:b,s:n,s:i,s:i,s:i}", "Memory",
        integer(l, "memory"), "MemorySwap", shown_swap(l), "NanoCpus",
        integer(l, "nano_cpus"), "CpuShares", integer(l, "cpu_shares"),
        "CpusetCpus", text_of(l, "cpuset"), "CpusetMems", "", "PidsLimit",
        pids > 0 ? json_integer(pids) : json_null(), "Ulimits", ulimits_json(r),
        "OomKillDisable", false, "MemorySwappiness", "MemoryReservation", 0,
        "CpuPeriod", 0, "CpuQuota", 0);
}

static json_t *host_json(const json_t *r, const json_t *asked)
{
    json_t *h = json_pack(
        "{s:o,s:s,s:{s:s,s:{}},s:s,s:{},s:{s:s,s:i},s:b,s:n,s:o,s:o,s:o,s:s,"
        "s:s,s:b,s:b,s:O,s:o,s:i,s:s,s:s}",
        "Binds", or_null(asked, "binds"), "ContainerIDFile",
        text_of(asked, "cidfile"), "LogConfig", "Type", "json-file", "Config",
        "NetworkMode", inspect_network(r), "PortBindings", "RestartPolicy",
        "Name", "no", "MaximumRetryCount", 0, "AutoRemove", is_set(r, "rm"),
        "VolumesFrom", "CapAdd", or_null(asked, "cap_add"), "CapDrop",
        or_null(asked, "cap_drop"), "GroupAdd", or_null(r, "groups"), "IpcMode",
        "private", "PidMode", "", "Privileged", false, "PublishAllPorts", false,
        "ReadonlyRootfs", json_object_get(r, "read_only"), "SecurityOpt",
        or_null(asked, "security_opt"), "ShmSize", 64 << 20, "CgroupnsMode",
        "private", "Runtime", "berth");
    json_t *limits = limits_json(r), *tmpfs = json_object_get(asked, "tmpfs");
    if (h == NULL || limits == NULL || json_object_update(h, limits) != 0) {
        json_decref(h);
        json_decref(limits);
        return NULL;
    }
    json_decref(limits);
    if (json_object_size(tmpfs) > 0)
        (void)json_object_set(h, "Tmpfs", tmpfs);
    if (is_set(r, "init"))
        (void)json_object_set_new(h, "Init", json_true());
    return h;
}

static json_t *mounts_json(const json_t *r)
{
    json_t *out = json_array(), *m;
    const json_t *list = json_object_get(r, "mounts");
    size_t i;
    json_array_foreach (list, i, m) {
        json_int_t kind = integer(m, "kind");
        bool is_rw = !is_set(m, "ro");
        if (kind == RT_BIND)
            (void)json_array_append_new(
                out, json_pack("{s:s,s:s,s:s,s:s,s:b,s:s}", "Type", "bind",
                               "Source", text_of(m, "source"), "Destination",
                               text_of(m, "target"), "Mode", text_of(m, "mode"),
                               "RW", is_rw, "Propagation", "rprivate"));
        if (kind == RT_VOLUME)
            (void)json_array_append_new(
                out, json_pack("{s:s,s:s,s:s,s:s,s:s,s:s,s:b,s:s}", "Type",
                               "volume", "Name", text_of(m, "name"), "Source",
                               text_of(m, "source"), "Destination",
                               text_of(m, "target"), "Driver", "local", "Mode",
                               "", "RW", is_rw, "Propagation", ""));
    }
    return out;
}

static json_t *network_json(const json_t *r)
{
    const char *name = inspect_network(r);
    return json_pack("{s:s,s:s,s:s,s:i,s:{},s:{s:{s:s,s:s,s:s}}}", "IPAddress",
                     "", "Gateway", "", "MacAddress", "", "IPPrefixLen", 0,
                     "Ports", "Networks", name, "IPAddress", "", "Gateway", "",
                     "MacAddress", "");
}

/* "a:b:c" of the layers' folders, the top one first, as overlay has it. */
static json_t *graph_json(struct istore *s, const char *dir,
                          const struct istore_image *img)
{
    json_t *lower = json_string("");
    for (size_t i = img->n_layers; i > 0; i--) {
        char path[PATH_MAX];
        struct err ignored;
        if (istore_layer_path(s, img->layers[i - 1], path, &ignored) != 0)
            continue;
        json_t *longer =
            json_sprintf("%s%s%s", json_string_value(lower),
                         json_string_length(lower) > 0 ? ":" : "", path);
        json_decref(lower);
        lower = longer;
    }
    return json_pack("{s:s,s:{s:o,s:s+,s:s+}}", "Name", "overlay2", "Data",
                     "LowerDir", lower, "UpperDir", dir, "/upper", "WorkDir",
                     dir, "/work");
}

static json_t *whole(struct istore *s, const char *id, const json_t *r,
                     const struct istore_image *img, const struct ct_state *st)
{
    char dir[PATH_MAX];
    const json_t *asked = json_object_get(r, "asked");
    json_t *args = json_array(), *v;
    const json_t *argv = json_object_get(r, "argv");
    size_t i;
    json_array_foreach (argv, i, v) {
        if (i > 0)
            (void)json_array_append(args, v);
    }
    ct_dir(s, id, dir);
    return json_pack(
        "{s:s,s:o,s:O,s:o,s:o,s:s+,s:s+,s:s+,s:s+,s:s+,s:s+,s:i,s:s,s:s,s:n,"
        "s:o,s:o,s:o,s:o,s:o}",
        "Id", id, "Created",
        time_json(integer(r, "created"), integer(r, "created_ns")), "Path",
        json_array_get(argv, 0), "Args", args, "State", state_json(st), "Image",
        "sha256:", img->config, "ResolvConfPath", dir, "/resolv.conf",
        "HostnamePath", dir, "/hostname", "HostsPath", dir, "/hosts", "LogPath",
        dir, "/log", "Name", "/", text_of(r, "name"), "RestartCount", 0,
        "Driver", "overlay2", "Platform", "linux", "ExecIDs", "HostConfig",
        host_json(r, asked), "GraphDriver", graph_json(s, dir, img), "Mounts",
        mounts_json(r), "Config", config_json(r, asked), "NetworkSettings",
        network_json(r));
}

json_t *inspect_container(struct istore *s, const char *id, struct err *e)
{
    struct istore_image img = {0};
    struct ct_state st;
    json_t *all = NULL;
    /* Before the record: of one that is gone it would say "created". */
    ct_look(s, id, &st);
    json_t *r = istore_container_read(s, id, e);
    if (r != NULL && istore_container_image(r, &img, e) == 0) {
        all = whole(s, id, r, &img, &st);
        if (all == NULL)
            (void)err_set(e, ERR_INVALID, "the record of %.12s is incomplete",
                          id);
    }
    istore_image_free(&img);
    json_decref(r);
    return all;
}
