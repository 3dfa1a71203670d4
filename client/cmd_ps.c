/* berth ps: the containers of the store, with what their state files say. */
#include "client/cmd.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/json.h"
#include "client/cli.h"
#include "client/image/store.h"
#include "client/runtime/container.h"

static void status_text(const struct ct_state *st, char out[96])
{
    char age[32];
    int64_t now = clock_wall_s();
    if (st->status == CT_RUNNING) {
        cli_format_age(now - st->started, age);
        (void)snprintf(out, 96, "Up %s%s", age,
                       st->monitor == 0 ? " (monitor gone)" : "");
    } else if (st->status == CT_CREATED) {
        (void)snprintf(out, 96, "Created");
    } else if (!st->is_known) {
        (void)snprintf(out, 96, "Exited (unknown)");
    } else {
        cli_format_age(now - st->finished, age);
        (void)snprintf(out, 96, "Exited (%d) %s ago", st->exit_code, age);
    }
}

static void command_text(const json_t *record, char out[64])
{
    const json_t *argv = json_object_get(record, "argv");
    size_t n = 0;
    out[0] = '\0';
    for (size_t i = 0; i < json_array_size(argv) && n < 40; i++)
        n += (size_t)snprintf(out + n, 64 - n, "%s%.*s", i ? " " : "",
                              (int)(40 - n),
                              json_string_value(json_array_get(argv, i)));
}

static const struct cli_column ps_columns[] = {
    {"CONTAINER ID", "ID"},   {"IMAGE", "Image"},   {"COMMAND", "Command"},
    {"CREATED", "CreatedAt"}, {"STATUS", "Status"}, {NULL, "State"},
    {"NAMES", "Names"}};

static int ps_row(struct istore *s, struct cli_table *t, const char *id,
                  bool is_all, bool is_quiet, struct err *e)
{
    struct ct_state st;
    struct istore_image img = {0};
    struct err gone;
    char command[64], created[48], age[32], status[96], short_id[16];
    char name[REFERENCE_MAX] = "";
    json_t *r = istore_container_read(s, id, &gone);
    ct_state(s, id, &st);
    if (r == NULL || (!is_all && st.status != CT_RUNNING)) {
        json_decref(r); /* removed meanwhile, or not asked for */
        return 0;
    }
    (void)snprintf(short_id, sizeof(short_id), "%.12s", id);
    if (istore_container_image(r, &img, &gone) == 0) {
        struct reference ref;
        (void)snprintf(name, sizeof(name), "%s", img.name);
        if (reference_parse(img.name, &ref, &gone) == 0)
            reference_familiar(&ref, name);
    }
    command_text(r, command);
    status_text(&st, status);
    cli_format_age(clock_wall_s() -
                       json_integer_value(json_object_get(r, "created")),
                   age);
    (void)snprintf(created, sizeof(created), "%s ago", age);
    const char *cells[] = {short_id,
                           name,
                           command,
                           created,
                           status,
                           st.status == CT_RUNNING   ? "running"
                           : st.status == CT_CREATED ? "created"
                                                     : "exited",
                           json_member_string(r, "name")};
    int rc = 0;
    if (is_quiet)
        printf("%s\n", short_id);
    else
        rc = cli_table_row(t, cells, e);
    istore_image_free(&img);
    json_decref(r);
    return rc;
}

int cmd_ps(int argc, char **argv)
{
    static bool all, quiet;
    static const char *format;
    static const struct cli_flag f[] = {
        {"all", 'a', CLI_BOOL, &all, NULL, "Also those that have ended"},
        {"quiet", 'q', CLI_BOOL, &quiet, NULL, "Only the ids"},
        {"format", 0, CLI_STR, &format, "FORMAT", "table or json"}};
    const struct cli_verb v = {
        "ps", "[OPTIONS]", "List containers.", f, array_len(f), 0, 0, false};
    struct err e;
    struct istore *s;
    char **args, (*ids)[ISTORE_HEX] = NULL;
    int n, status;
    size_t count = 0;
    bool as_json;
    if (!cmd_begin(&v, argc, argv, &args, &n, &s, &status))
        return status;
    struct cli_table *t = cli_table_new(ps_columns, array_len(ps_columns));
    if (t == NULL || cli_format_json(format, &as_json, &e) != 0 ||
        istore_container_list(s, &ids, &count, &e) != 0)
        return cli_fail(1, &e);
    for (size_t i = 0; i < count; i++) {
        if (ps_row(s, t, ids[i], all, quiet, &e) != 0)
            return cli_fail(1, &e);
    }
    if (!quiet)
        cli_table_print(t, as_json);
    cli_table_free(t);
    free(ids);
    istore_close(s);
    return 0;
}
