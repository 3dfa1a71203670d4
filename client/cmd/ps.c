/* berth ps: the containers of the store, with what their state files say. */
#include "client/cmd/cmd.h"

#include <regex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/num.h"
#include "client/cli/amount.h"
#include "client/cli/cli.h"
#include "client/cli/table.h"
#include "client/cmd/inspect.h"
#include "client/runtime/container.h"
#include "client/store/store.h"

#define COMMAND_CHARS 20 /* docker's, with the ellipsis */

static struct {
    bool all, quiet, latest, no_trunc;
    const char *format;
    struct cli_list filters;
    int64_t last;
} o = {.last = -1};

struct one {
    json_t *record;
    struct ct_state state;
    char id[ISTORE_HEX];
};

static const struct table_column columns[] = {
    {"CONTAINER ID", "ID"},    {"IMAGE", "Image"},     {"COMMAND", "Command"},
    {"CREATED", "RunningFor"}, {"STATUS", "Status"},   {"NAMES", "Names"},
    {NULL, "State"},           {NULL, "CreatedAt"},    {NULL, "Labels"},
    {NULL, "Mounts"},          {NULL, "LocalVolumes"}, {NULL, "Networks"},
    {NULL, "Ports"},           {NULL, "Size"}};

/* ---- cells -------------------------------------------------------------- */

static void status_text(const struct ct_state *st, char out[96])
{
    char age[32];
    int64_t now = clock_wall_s();
    if (st->status == CT_RUNNING) {
        amount_format_age(now - st->started, age);
        (void)snprintf(out, 96, "Up %s%s", age,
                       st->monitor == 0 ? " (monitor gone)" : "");
    } else if (st->status == CT_CREATED) {
        (void)snprintf(out, 96, "Created");
    } else if (!st->is_known) {
        (void)snprintf(out, 96, "Exited (unknown)");
    } else {
        amount_format_age(now - st->finished, age);
        (void)snprintf(out, 96, "Exited (%d) %s ago", st->exit_code, age);
    }
}

/* One character as Go's %q has it. */
static void quote_byte(FILE *f, unsigned char c)
{
    if (c == '"' || c == '\\')
        (void)fprintf(f, "\\%c", c);
    else if (c == '\n' || c == '\t' || c == '\r')
        (void)fprintf(f, "\\%c", c == '\n' ? 'n' : c == '\t' ? 't' : 'r');
    else if (c < 0x20 || c == 0x7f)
        (void)fprintf(f, "\\x%02x", c);
    else
        (void)fputc(c, f);
}

/* The words of the command, in quotes where they have blanks, then whole. */
static char *command_text(const json_t *record)
{
    char *plain = NULL, *quoted = NULL;
    size_t n, chars = 0, i;
    json_t *v;
    FILE *f = open_memstream(&plain, &n);
    if (f == NULL)
        return NULL;
    json_array_foreach (json_object_get(record, "argv"), i, v) {
        const char *word = json_string_value(v);
        const char *mark = i > 0 && strchr(word, ' ') != NULL ? "'" : "";
        (void)fprintf(f, "%s%s%s%s", i > 0 ? " " : "", mark, word, mark);
    }
    if (fclose(f) != 0 || (f = open_memstream(&quoted, &n)) == NULL) {
        free(plain);
        return NULL;
    }
    for (const char *p = plain; *p != '\0'; p++)
        chars += ((unsigned char)*p & 0xc0) != 0x80;
    size_t keep =
        o.no_trunc || chars <= COMMAND_CHARS ? SIZE_MAX : COMMAND_CHARS - 1;
    (void)fputc('"', f);
    chars = 0;
    for (const char *p = plain; *p != '\0'; p++) {
        chars += ((unsigned char)*p & 0xc0) != 0x80;
        if (chars > keep)
            break;
        quote_byte(f, (unsigned char)*p);
    }
    (void)fprintf(f, "%s\"", keep == SIZE_MAX ? "" : "\xe2\x80\xa6");
    free(plain);
    return fclose(f) == 0 ? quoted : NULL;
}

/* "a=b,c=d" of a list of texts. */
static char *joined(const json_t *list)
{
    char *out = NULL;
    size_t n, i;
    json_t *v;
    FILE *f = open_memstream(&out, &n);
    if (f == NULL)
        return NULL;
    json_array_foreach (list, i, v)
        (void)fprintf(f, "%s%s", i > 0 ? "," : "", json_string_value(v));
    return fclose(f) == 0 ? out : NULL;
}

/* Names of volumes and paths of binds; *volumes counts the former. */
static char *mounts_text(const json_t *record, unsigned *volumes)
{
    json_t *names = json_array(), *m;
    size_t i;
    *volumes = 0;
    json_array_foreach (json_object_get(record, "mounts"), i, m) {
        json_int_t kind = json_integer_value(json_object_get(m, "kind"));
        const char *key = kind == RT_VOLUME ? "name" : "source";
        json_t *v = json_object_get(m, key);
        *volumes += kind == RT_VOLUME;
        if (json_is_string(v))
            (void)json_array_append(names, v);
    }
    char *out = joined(names);
    json_decref(names);
    return out;
}

static int add_row(struct table *t, const struct one *c, struct err *e)
{
    const json_t *r = c->record;
    json_int_t created = json_integer_value(json_object_get(r, "created"));
    char id[ISTORE_HEX], ago[40], age[32], status[96], at[64] = "", volumes[16];
    unsigned n_volumes;
    scoped_free char *command = command_text(r);
    scoped_free char *labels = joined(json_object_get(r, "labels"));
    scoped_free char *mounts = mounts_text(r, &n_volumes);
    time_t when = (time_t)created;
    struct tm tm;
    (void)snprintf(id, sizeof(id), "%.*s", o.no_trunc ? 64 : 12, c->id);
    amount_format_age(clock_wall_s() - created, age);
    (void)snprintf(ago, sizeof(ago), "%s ago", age);
    if (gmtime_r(&when, &tm) != NULL)
        (void)strftime(at, sizeof(at), "%Y-%m-%d %H:%M:%S +0000 UTC", &tm);
    (void)snprintf(volumes, sizeof(volumes), "%u", n_volumes);
    status_text(&c->state, status);
    const char *cells[] = {
        id,
        json_member_string(json_object_get(r, "asked"), "image"),
        command,
        ago,
        status,
        json_member_string(r, "name"),
        inspect_status(c->state.status),
        at,
        labels,
        mounts,
        volumes,
        inspect_network(r),
        "",
        "0B"};
    return table_row(t, cells, e);
}

/* ---- filters ------------------------------------------------------------ */

static bool name_matches(const json_t *r, const char *pattern)
{
    char text[300];
    regex_t re;
    const char *name = json_member_string(r, "name");
    if (name == NULL || regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0)
        return false;
    (void)snprintf(text, sizeof(text), "/%.290s", name);
    bool is_match = regexec(&re, text + 1, 0, NULL, 0) == 0 ||
                    regexec(&re, text, 0, NULL, 0) == 0;
    regfree(&re);
    return is_match;
}

static bool label_matches(const json_t *r, const char *want)
{
    size_t i, n = strlen(want);
    json_t *v;
    bool has_value = strchr(want, '=') != NULL;
    json_array_foreach (json_object_get(r, "labels"), i, v) {
        const char *have = json_string_value(v);
        if (strncmp(have, want, n) == 0 &&
            (have[n] == '\0' || (!has_value && have[n] == '=')))
            return true;
    }
    return false;
}

static bool image_matches(const json_t *r, const char *want)
{
    struct istore_image img = {0};
    struct err ignored;
    const char *asked =
        json_member_string(json_object_get(r, "asked"), "image");
    bool is_match = asked != NULL && strcmp(asked, want) == 0;
    if (!is_match && istore_container_image(r, &img, &ignored) == 0)
        is_match = strlen(want) >= 4 &&
                   (strncmp(img.config, want, strlen(want)) == 0 ||
                    strcmp(img.name, want) == 0);
    istore_image_free(&img);
    return is_match;
}

static bool one_matches(const struct one *c, struct slice key, const char *v)
{
    uint64_t code;
    if (slice_is(key, "name"))
        return name_matches(c->record, v);
    if (slice_is(key, "id"))
        return strncmp(c->id, v, strlen(v)) == 0;
    if (slice_is(key, "label"))
        return label_matches(c->record, v);
    if (slice_is(key, "ancestor"))
        return image_matches(c->record, v);
    if (slice_is(key, "exited"))
        return c->state.status == CT_EXITED &&
               num_parse_u64(slice_of(v), 255, &code) &&
               c->state.exit_code == (int)code;
    return strcmp(inspect_status(c->state.status), v) == 0; /* status */
}

static struct slice key_of(const char *filter)
{
    return (struct slice){filter, strcspn(filter, "=")};
}

/* Every label must fit; of another key's values, one. */
static bool matches(const struct one *c)
{
    for (size_t i = 0; i < o.filters.n; i++) {
        struct slice key = key_of(o.filters.v[i]);
        bool is_label = slice_is(key, "label"), is_hit = false;
        for (size_t k = is_label ? i : 0; k < o.filters.n && !is_hit; k++) {
            const char *f = o.filters.v[k];
            if (is_label && k > i)
                break;
            if (slice_eq(key_of(f), key))
                is_hit = one_matches(c, key, f + key.n + 1);
        }
        if (!is_hit)
            return false;
    }
    return true;
}

static int check_filters(bool *wants_all, struct err *e)
{
    static const char *const keys[] = {"name",     "id",     "label",
                                       "ancestor", "exited", "status"};
    static const char *const states[] = {"created",   "running", "exited",
                                         "paused",    "dead",    "removing",
                                         "restarting"};
    for (size_t i = 0; i < o.filters.n; i++) {
        const char *f = o.filters.v[i];
        struct slice key = key_of(f);
        size_t k = 0, s = 0;
        while (k < array_len(keys) && !slice_is(key, keys[k]))
            k++;
        if (k == array_len(keys) || f[key.n] != '=')
            return err_set(e, ERR_INVALID,
                           "invalid filter: %.60s (name=, id=, label=, "
                           "ancestor=, exited= or status=)",
                           f);
        *wants_all = *wants_all || k >= 4;
        while (k == 5 && s < array_len(states) &&
               strcmp(states[s], f + key.n + 1) != 0)
            s++;
        if (k == 5 && s == array_len(states))
            return err_set(e, ERR_INVALID, "invalid filter: %.60s", f);
    }
    return 0;
}

/* ---- the list ----------------------------------------------------------- */

static int newest_first(const void *a, const void *b)
{
    static const char *const keys[] = {"created", "created_ns"};
    const struct one *x = a, *y = b;
    for (size_t i = 0; i < array_len(keys); i++) {
        json_int_t p = json_integer_value(json_object_get(x->record, keys[i]));
        json_int_t q = json_integer_value(json_object_get(y->record, keys[i]));
        if (p != q)
            return p < q ? 1 : -1;
    }
    return strcmp(x->id, y->id);
}

/* All that are there, newest first; what goes meanwhile is left out. */
static int load(struct istore *s, struct one **out, size_t *n, struct err *e)
{
    char(*ids)[ISTORE_HEX] = NULL;
    size_t count = 0;
    *n = 0;
    if (istore_container_list(s, &ids, &count, e) != 0)
        return -1;
    *out = calloc(count + 1, sizeof(**out));
    for (size_t i = 0; *out != NULL && i < count; i++) {
        struct err gone;
        struct one *c = *out + *n;
        /* The state first: of one that is gone it would say "created". */
        ct_look(s, ids[i], &c->state);
        c->record = istore_container_read(s, ids[i], &gone);
        if (c->record == NULL)
            continue;
        memcpy(c->id, ids[i], ISTORE_HEX);
        (*n)++;
    }
    free(ids);
    if (*out == NULL)
        return err_set(e, ERR_NO_MEMORY, "out of memory");
    qsort(*out, *n, sizeof(**out), newest_first);
    return 0;
}

static int print(const struct one *all, size_t n, bool wants_all, struct err *e)
{
    size_t left = o.latest ? 1 : o.last >= 0 ? (size_t)o.last : SIZE_MAX;
    struct table *t = table_new(columns, array_len(columns));
    int rc = t != NULL ? 0 : err_set(e, ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; rc == 0 && i < n && left > 0; i++) {
        if ((!wants_all && all[i].state.status != CT_RUNNING) ||
            !matches(&all[i]))
            continue;
        left--;
        if (o.quiet)
            printf("%.*s\n", o.no_trunc ? 64 : 12, all[i].id);
        else
            rc = add_row(t, &all[i], e);
    }
    if (rc == 0 && !o.quiet)
        rc = table_print_as(t, o.format, e);
    table_free(t);
    return rc;
}

int cmd_ps(int argc, char **argv)
{
    static const struct cli_flag f[] = {
        {"all", 'a', CLI_BOOL, &o.all, NULL, "Also those that have ended"},
        {"filter", 'f', CLI_LIST, &o.filters, "KEY=VALUE",
         "Only name=, id=, label=, ancestor=, exited=, status="},
        {"format", 0, CLI_STR, &o.format, "FORMAT",
         "table, json or a template such as '{{.Names}}'"},
        {"last", 'n', CLI_I64, &o.last, "N", "The last N, in any state"},
        {"latest", 'l', CLI_BOOL, &o.latest, NULL, "The last one"},
        {"no-trunc", 0, CLI_BOOL, &o.no_trunc, NULL, "Whole ids and commands"},
        {"quiet", 'q', CLI_BOOL, &o.quiet, NULL, "Only the ids"}};
    const struct cli_verb v = {
        "ps", "[OPTIONS]", "List containers.", f, array_len(f), 0, 0, false};
    struct err e;
    struct istore *s;
    struct one *all = NULL;
    char **args;
    int n, status;
    size_t count = 0;
    bool wants_all = false;
    if (!cmd_begin(&v, argc, argv, &args, &n, &s, &status))
        return status;
    if (check_filters(&wants_all, &e) != 0 || load(s, &all, &count, &e) != 0 ||
        print(all, count, wants_all || o.all || o.latest || o.last >= 0, &e) !=
            0)
        status = cli_fail(1, &e);
    for (size_t i = 0; i < count; i++)
        json_decref(all[i].record);
    free(all);
    cli_list_free(&o.filters);
    istore_close(s);
    return status;
}
