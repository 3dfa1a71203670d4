/* berth inspect of containers, in docker's shape. */
#include "client/cmd.h"

#include <stdio.h>
#include <time.h>

#include "base/json.h"
#include "client/cli.h"
#include "client/image/store.h"
#include "client/runtime/container.h"

static json_t *time_json(int64_t seconds)
{
    char text[40] = "0001-01-01T00:00:00Z";
    struct tm tm;
    time_t t = (time_t)seconds;
    if (t > 0 && gmtime_r(&t, &tm) != NULL)
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    return json_string(text);
}

static json_t *inspect_one(struct istore *s, const char *id, struct err *e)
{
    struct ct_state st;
    struct istore_image img = {0};
    json_t *r = istore_container_read(s, id, e);
    if (r == NULL || istore_container_image(r, &img, e) != 0) {
        json_decref(r);
        return NULL;
    }
    ct_state(s, id, &st);
    const json_t *l = json_object_get(r, "limits");
    json_t *state = json_pack(
        "{s:s,s:b,s:b,s:i,s:i,s:s,s:o,s:o}", "Status",
        st.status == CT_RUNNING   ? "running"
        : st.status == CT_CREATED ? "created"
                                  : "exited",
        "Running", st.status == CT_RUNNING, "OOMKilled", st.is_oom, "Pid",
        (int)st.pid, "ExitCode", st.exit_code, "Error", st.error, "StartedAt",
        time_json(st.started), "FinishedAt", time_json(st.finished));
    json_t *config = json_pack(
        "{s:O,s:O,s:O,s:O,s:O,s:O,s:s,s:O}", "Hostname",
        json_object_get(r, "hostname"), "User", json_object_get(r, "user"),
        "Env", json_object_get(r, "env"), "Cmd", json_object_get(r, "argv"),
        "WorkingDir", json_object_get(r, "cwd"), "Tty",
        json_object_get(r, "tty"), "Image", img.name, "StopSignal",
        json_object_get(r, "stop_signal"));
    json_t *host = json_pack(
        "{s:O,s:O,s:I,s:O,s:O,s:O,s:s}", "Memory", json_object_get(l, "memory"),
        "MemorySwap", json_object_get(l, "memory_swap"), "NanoCpus",
        json_integer_value(json_object_get(l, "cpu_milli")) * 1000000,
        "CpuShares", json_object_get(l, "cpu_shares"), "PidsLimit",
        json_object_get(l, "pids"), "ReadonlyRootfs",
        json_object_get(r, "read_only"), "NetworkMode",
        json_is_true(json_object_get(r, "host_network")) ? "host" : "none");
    char image[80];
    (void)snprintf(image, sizeof(image), "sha256:%s", img.config);
    json_t *all =
        json_pack("{s:s,s:o,s:s,s:s+,s:o,s:o,s:o,s:O}", "Id", id, "Created",
                  time_json(json_integer_value(json_object_get(r, "created"))),
                  "Image", image, "Name", "/", json_member_string(r, "name"),
                  "State", state, "Config", config, "HostConfig", host,
                  "Mounts", json_object_get(r, "mounts"));
    istore_image_free(&img);
    json_decref(r);
    if (all == NULL)
        (void)err_set(e, ERR_INVALID, "the record of %.12s is incomplete", id);
    return all;
}

int cmd_inspect(int argc, char **argv)
{
    struct err e;
    struct istore *s;
    json_t *list = json_array();
    /* Images, and flags that only they have, are berth-image's. */
    for (int i = 1; i < argc; i++) {
        char id[ISTORE_HEX];
        bool is_here = argv[i][0] != '-' && istore_open(NULL, &s, &e) == 0 &&
                       ct_find(s, argv[i], id, &e) == 0;
        if (!is_here)
            return cmd_exec_image(argv - 1);
        json_t *o = inspect_one(s, id, &e);
        if (o == NULL)
            return cli_fail(1, &e);
        (void)json_array_append_new(list, o);
        istore_close(s);
    }
    if (argc < 2)
        return cmd_exec_image(argv - 1);
    (void)json_dumpf(list, stdout, JSON_INDENT(4));
    (void)putchar('\n');
    json_decref(list);
    return 0;
}
