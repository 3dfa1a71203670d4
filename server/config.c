#include "server/config.h"

#include <confuse.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auth/pattern.h"
#include "base/io.h"
#include "base/log.h"
#include "base/num.h"
#include "server/http/head.h"

enum kind {
    KIND_BOOL,
    KIND_NUMBER,   /* int64_t */
    KIND_UNSIGNED, /* of the HTTP limits */
    KIND_SIZE,     /* the same, size_t */
    KIND_STRING,
    KIND_LIST,
};

#define AT(member)   offsetof(struct config, member)
#define HTTP(member) offsetof(struct config, http.member)
#define HOUR_MS      3600000

_Static_assert(CONFIG_MAX_LIST <= FORWARDED_NETS, "every network fits");

/* Every key: name, kind, bounds of numbers, where it goes. */
static const struct {
    const char *name;
    enum kind kind;
    long min, max;
    size_t at;
} keys[] = {
    {"listen", KIND_LIST, 0, 0, AT(listen)},
    {"root", KIND_STRING, 0, 0, AT(root)},
    {"log-file", KIND_STRING, 0, 0, AT(log_file)},
    {"log-level", KIND_STRING, 0, 0, AT(log_level)},
    {"allow-anonymous", KIND_BOOL, 0, 0, AT(allow_anonymous)},
    {"read-only", KIND_BOOL, 0, 0, AT(read_only)},
    {"allow-delete", KIND_BOOL, 0, 0, AT(allow_delete)},
    {"delete-used", KIND_BOOL, 0, 0, AT(delete_used)},
    {"sparse-repositories", KIND_LIST, 0, 0, AT(sparse)},
    {"delete-delay", KIND_NUMBER, 0, 31536000, AT(delete_delay_s)},
    {"collect-grace", KIND_NUMBER, 1, 31536000, AT(collect_grace_s)},
    {"upload-idle", KIND_NUMBER, 1, 31536000, AT(upload_idle_s)},
    {"upload-ttl", KIND_NUMBER, 1, 31536000, AT(upload_ttl_s)},
    {"upload-takeover", KIND_NUMBER, 0, HOUR_MS, AT(takeover_ms)},
    {"min-free", KIND_NUMBER, -1, LONG_MAX, AT(min_free_bytes)},
    {"drain-timeout", KIND_NUMBER, 0, HOUR_MS, AT(drain_timeout_ms)},
    {"max-connections", KIND_UNSIGNED, 1, 1000000, HTTP(connections)},
    {"max-connections-per-address", KIND_UNSIGNED, 0, 1000000,
     HTTP(per_address)},
    {"trusted-proxies", KIND_LIST, 0, 0, AT(trusted)},
    {"forwarded-header", KIND_STRING, 0, 0, AT(forwarded_header)},
    {"requests-per-connection", KIND_UNSIGNED, 1, 1000000000, HTTP(requests)},
    {"pipeline-bytes", KIND_SIZE, 64, 1 << 20, HTTP(pipeline_bytes)},
    {"head-timeout", KIND_UNSIGNED, 10, HOUR_MS, HTTP(header_ms)},
    {"idle-timeout", KIND_UNSIGNED, 10, HOUR_MS, HTTP(idle_ms)},
    {"head-bytes", KIND_SIZE, 256, 1 << 20, HTTP(head_bytes)},
    {"target-bytes", KIND_SIZE, 64, 1 << 20, HTTP(line_bytes)},
    {"header-bytes", KIND_SIZE, 64, 1 << 20, HTTP(header_bytes)},
    {"header-count", KIND_UNSIGNED, 1, HEAD_HEADERS_MAX, HTTP(headers)},
    {"body-window", KIND_UNSIGNED, 10, HOUR_MS, HTTP(window_ms)},
    {"body-rate", KIND_UNSIGNED, 0, 1 << 30, HTTP(min_bps)},
    {"body-idle", KIND_UNSIGNED, 10, HOUR_MS, HTTP(body_idle_ms)},
    {"body-memory", KIND_SIZE, HTTP_BLOCK_SIZE, LONG_MAX, HTTP(pool_bytes)},
    {"manifest-memory", KIND_SIZE, 0, LONG_MAX, HTTP(whole_bytes)},
    {"linger-timeout", KIND_UNSIGNED, 10, HOUR_MS, HTTP(linger_ms)},
    {"linger-bytes", KIND_SIZE, 0, 1 << 30, HTTP(linger_bytes)},
};

const char *config_key(size_t i)
{
    return i < array_len(keys) ? keys[i].name : NULL;
}

int config_init(struct config *c, struct err *e)
{
    *c = (struct config){
        .allow_delete = true,
        .delete_delay_s = 10,
        .collect_grace_s = 86400,
        .upload_idle_s = 900,
        .upload_ttl_s = 86400,
        .takeover_ms = 2000,
        .min_free_bytes = -1,
        .drain_timeout_ms = 30000,
    };
    http_limits_default(&c->http);
    c->log_level = strdup("info");
    if (!c->log_level)
        return err_set(e, ERR_NO_MEMORY, "configuration: out of memory");
    return 0;
}

void config_list_clear(struct config_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        free(list->at[i]);
    *list = (struct config_list){.count = 0};
}

int config_list_add(struct config_list *list, const char *value, struct err *e)
{
    if (list->count == CONFIG_MAX_LIST)
        return err_set(e, ERR_INVALID, "over %d entries", CONFIG_MAX_LIST);
    list->at[list->count] = strdup(value);
    if (!list->at[list->count])
        return err_set(e, ERR_NO_MEMORY, "configuration: out of memory");
    list->count++;
    return 0;
}

void config_free(struct config *c)
{
    config_list_clear(&c->listen);
    config_list_clear(&c->sparse);
    config_list_clear(&c->trusted);
    free(c->root);
    free(c->log_file);
    free(c->log_level);
    free(c->forwarded_header);
    *c = (struct config){0};
}

/* libconfuse reports through a callback without context: one at a time. */
static char first_error[200];

static void on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
    char text[160];

    if (first_error[0])
        return;
    vsnprintf(text, sizeof(text), fmt, ap);
    snprintf(first_error, sizeof(first_error), "%d: %s", cfg->line, text);
}

/* Behind the comment or the string in quotes that begins at p; else p. */
static const char *skip_opaque(const char *p)
{
    const char *end = p + 1;

    if (*p == '#' || strncmp(p, "//", 2) == 0)
        return p + strcspn(p, "\n");
    if (strncmp(p, "/*", 2) == 0) {
        end = strstr(p + 2, "*/");
        return end ? end + 2 : p + strlen(p);
    }
    if (*p != '"' && *p != '\'')
        return p;
    while (*end && *end != *p)
        end += *end == '\\' && end[1] ? 2 : 1;
    return *end ? end + 1 : end;
}

/* Is the word of n bytes at p a key, before '=' or '+='? */
static bool is_key(const char *p, size_t n, const char *key)
{
    return strlen(key) == n && memcmp(p, key, n) == 0 &&
           p[n + strspn(p + n, " \t\r\n+")] == '=';
}

/* Note the key at p, if one is there; seen: the line of each, 0: none. */
static int note_key(const char *p, size_t n, int line, int *seen,
                    const char *path, struct err *e)
{
    for (size_t i = 0; i < array_len(keys); i++) {
        if (!is_key(p, n, keys[i].name))
            continue;
        if (seen[i])
            return err_set(e, ERR_INVALID,
                           "%s:%d: %s was given on line %d already", path, line,
                           keys[i].name, seen[i]);
        seen[i] = line;
    }
    return 0;
}

/* libconfuse lets a later value win: keys given twice are found in the text. */
static int check_duplicates(const char *path, struct err *e)
{
    scoped_free char *text = NULL;
    int line = 1, seen[array_len(keys)] = {0};
    const char *next;
    size_t len;

    if (io_read_file(AT_FDCWD, path, 1 << 20, &text, &len, e) < 0)
        return -1;
    if (strlen(text) != len)
        return err_set(e, ERR_INVALID, "%s: holds a NUL byte", path);
    for (const char *p = text; *p; p = next) {
        size_t n = strcspn(p, " \t\r\n={},+\"'#");

        next = skip_opaque(p);
        if (next == p && note_key(p, n, line, seen, path, e) < 0)
            return -1;
        if (next == p)
            next = p + (n ? n : 1);
        for (const char *c = p; c < next; c++)
            line += *c == '\n';
    }
    return 0;
}

static int take_string(char **at, const char *value, struct err *e)
{
    char *copy = strdup(value);

    if (!copy)
        return err_set(e, ERR_NO_MEMORY, "configuration: out of memory");
    free(*at);
    *at = copy;
    return 0;
}

static int take_list(struct config_list *list, cfg_t *cfg, const char *name,
                     const char *path, struct err *e)
{
    config_list_clear(list);
    for (unsigned i = 0; i < cfg_size(cfg, name); i++) {
        if (config_list_add(list, cfg_getnstr(cfg, name, i), e) < 0)
            return err_prefix(e, "%s: %s", path, name);
    }
    return 0;
}

static int take_number(void *at, enum kind kind, long number)
{
    if (kind == KIND_NUMBER)
        *(int64_t *)at = number;
    else if (kind == KIND_UNSIGNED)
        *(unsigned *)at = (unsigned)number;
    else
        *(size_t *)at = (size_t)number;
    return 0;
}

static int take_trust(struct config *c, const char *path, struct err *e)
{
    struct forwarded_trust *t = &c->trust;
    const char *header = c->forwarded_header;

    *t = (struct forwarded_trust){.count = c->trusted.count};
    for (size_t i = 0; i < t->count; i++) {
        if (!ip_net_parse(slice_of(c->trusted.at[i]), &t->nets[i]))
            return err_set(e, ERR_INVALID,
                           "%s: trusted-proxies: '%.80s' is no address and no "
                           "network such as 192.0.2.0/24",
                           path, c->trusted.at[i]);
    }
    if (header && strcasecmp(header, "Forwarded") == 0)
        t->is_rfc7239 = true;
    else if (header && strcasecmp(header, "X-Forwarded-For") != 0)
        return err_set(e, ERR_INVALID,
                       "%s: forwarded-header is not X-Forwarded-For or "
                       "Forwarded",
                       path);
    return 0;
}

/* What the kind of a key does not say. */
static int check_values(struct config *c, const char *path, struct err *e)
{
    enum log_level level;

    if (log_level_parse(c->log_level, &level) < 0)
        return err_set(e, ERR_INVALID,
                       "%s: log-level %.40s is not error, warn, info or debug",
                       path, c->log_level);
    for (size_t i = 0; i < c->listen.count; i++) {
        if (http_address_check(c->listen.at[i], NULL, e) < 0)
            return err_prefix(e, "%s", path);
    }
    for (size_t i = 0; i < c->sparse.count; i++) {
        if (!pattern_is_valid(slice_of(c->sparse.at[i])))
            return err_set(e, ERR_INVALID,
                           "%s: sparse-repositories: '%.80s' is no pattern of "
                           "repository names",
                           path, c->sparse.at[i]);
    }
    return take_trust(c, path, e);
}

static int take_key(struct config *c, cfg_t *cfg, size_t i, const char *path,
                    struct err *e)
{
    void *at = (char *)c + keys[i].at;
    const char *name = keys[i].name;
    long number;

    if (cfg_size(cfg, name) == 0)
        return 0;
    switch (keys[i].kind) {
    case KIND_BOOL:
        *(bool *)at = cfg_getbool(cfg, name) == cfg_true;
        return 0;
    case KIND_STRING:
        return take_string(at, cfg_getstr(cfg, name), e);
    case KIND_LIST:
        return take_list(at, cfg, name, path, e);
    case KIND_NUMBER:
    case KIND_UNSIGNED:
    case KIND_SIZE:
    default:
        number = cfg_getint(cfg, name);
        if (number < keys[i].min || number > keys[i].max)
            return err_set(e, ERR_INVALID, "%s: %s is not between %ld and %ld",
                           path, name, keys[i].min, keys[i].max);
        return take_number(at, keys[i].kind, number);
    }
}

int config_read(struct config *c, const char *path, struct err *e)
{
    cfg_opt_t opts[array_len(keys) + 1] = {{0}};
    cfg_t *cfg;
    int rc;

    if (check_duplicates(path, e) < 0)
        return -1;
    for (size_t i = 0; i < array_len(keys); i++) {
        cfg_opt_t number = CFG_INT(keys[i].name, 0, CFGF_NODEFAULT);
        cfg_opt_t flag = CFG_BOOL(keys[i].name, cfg_false, CFGF_NODEFAULT);
        cfg_opt_t string = CFG_STR(keys[i].name, NULL, CFGF_NODEFAULT);
        cfg_opt_t list = CFG_STR_LIST(keys[i].name, NULL, CFGF_NODEFAULT);

        opts[i] = keys[i].kind == KIND_BOOL     ? flag
                  : keys[i].kind == KIND_STRING ? string
                  : keys[i].kind == KIND_LIST   ? list
                                                : number;
    }
    opts[array_len(keys)] = (cfg_opt_t)CFG_END();
    cfg = cfg_init(opts, CFGF_NONE);
    if (!cfg)
        return err_set(e, ERR_NO_MEMORY, "configuration: out of memory");
    cfg_set_error_function(cfg, on_error);
    first_error[0] = '\0';
    rc = cfg_parse(cfg, path);
    if (rc != CFG_SUCCESS) {
        cfg_free(cfg);
        return err_set(e, ERR_INVALID, "%s:%s", path,
                       first_error[0] ? first_error : " cannot be parsed");
    }
    rc = 0;
    for (size_t i = 0; rc == 0 && i < array_len(keys); i++)
        rc = take_key(c, cfg, i, path, e);
    cfg_free(cfg);
    return rc == 0 ? check_values(c, path, e) : rc;
}
