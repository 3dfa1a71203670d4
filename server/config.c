#include "server/config.h"

#include <confuse.h>
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/num.h"

enum kind { KIND_BOOL, KIND_NUMBER, KIND_STRING, KIND_LIST };

/* Every key: name, kind, bounds of numbers, where it goes. */
static const struct {
    const char *name;
    enum kind kind;
    long min, max;
    size_t at;
} keys[] = {
    {"listen", KIND_LIST, 0, 0, offsetof(struct config, listen)},
    {"root", KIND_STRING, 0, 0, offsetof(struct config, root)},
    {"log-file", KIND_STRING, 0, 0, offsetof(struct config, log_file)},
    {"log-level", KIND_STRING, 0, 0, offsetof(struct config, log_level)},
    {"allow-anonymous", KIND_BOOL, 0, 0,
     offsetof(struct config, allow_anonymous)},
    {"read-only", KIND_BOOL, 0, 0, offsetof(struct config, read_only)},
    {"allow-delete", KIND_BOOL, 0, 0, offsetof(struct config, allow_delete)},
    {"sparse-manifests", KIND_BOOL, 0, 0,
     offsetof(struct config, sparse_manifests)},
    {"delete-delay", KIND_NUMBER, 0, 31536000,
     offsetof(struct config, delete_delay_s)},
    {"collect-grace", KIND_NUMBER, 1, 31536000,
     offsetof(struct config, collect_grace_s)},
    {"upload-idle", KIND_NUMBER, 1, 31536000,
     offsetof(struct config, upload_idle_s)},
    {"upload-ttl", KIND_NUMBER, 1, 31536000,
     offsetof(struct config, upload_ttl_s)},
    {"min-free", KIND_NUMBER, -1, LONG_MAX,
     offsetof(struct config, min_free_bytes)},
    {"max-connections", KIND_NUMBER, 16, 1000000,
     offsetof(struct config, max_connections)},
    {"head-timeout", KIND_NUMBER, 10, 3600000,
     offsetof(struct config, head_timeout_ms)},
    {"idle-timeout", KIND_NUMBER, 10, 3600000,
     offsetof(struct config, idle_timeout_ms)},
    {"drain-timeout", KIND_NUMBER, 0, 3600000,
     offsetof(struct config, drain_timeout_ms)},
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
        .min_free_bytes = -1,
        .max_connections = 20000,
        .head_timeout_ms = 10000,
        .idle_timeout_ms = 120000,
        .drain_timeout_ms = 30000,
    };
    c->log_level = strdup("info");
    if (!c->log_level)
        return err_set(e, ERR_NO_MEMORY, "configuration: out of memory");
    return 0;
}

void config_free(struct config *c)
{
    for (int i = 0; i < c->listen_count; i++)
        free(c->listen[i]);
    free(c->root);
    free(c->log_file);
    free(c->log_level);
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

/*
 * libconfuse lets a later value win: keys given twice are found in the text.
 * A key stands at the start of a line, before '=' or '+='.
 */
static int check_duplicates(const char *path, struct err *e)
{
    scoped_free char *text = NULL;
    int line = 0, seen[array_len(keys)] = {0};
    size_t len;

    if (io_read_file(AT_FDCWD, path, 1 << 20, &text, &len, e) < 0)
        return -1;
    if (strlen(text) != len)
        return err_set(e, ERR_INVALID, "%s: holds a NUL byte", path);
    for (char *p = text, *next; p; p = next) {
        next = strchr(p, '\n');
        if (next)
            *next++ = '\0';
        line++;
        while (isspace((unsigned char)*p))
            p++;
        for (size_t i = 0; i < array_len(keys); i++) {
            size_t n = strlen(keys[i].name);

            if (strncmp(p, keys[i].name, n) != 0 || !strchr(" \t=+", p[n]) ||
                !p[n])
                continue;
            if (seen[i])
                return err_set(e, ERR_INVALID,
                               "%s:%d: %s was given on line %d already", path,
                               line, keys[i].name, seen[i]);
            seen[i] = line;
        }
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

static int take_list(struct config *c, cfg_t *cfg, const char *name,
                     const char *path, struct err *e)
{
    unsigned n = cfg_size(cfg, name);

    if (n > CONFIG_MAX_LISTEN)
        return err_set(e, ERR_INVALID, "%s: over %d addresses in %s", path,
                       CONFIG_MAX_LISTEN, name);
    for (unsigned i = 0; i < n; i++) {
        if (take_string(&c->listen[i], cfg_getnstr(cfg, name, i), e) < 0)
            return -1;
        c->listen_count = (int)i + 1;
    }
    return 0;
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
        return take_list(c, cfg, name, path, e);
    case KIND_NUMBER:
    default:
        number = cfg_getint(cfg, name);
        if (number < keys[i].min || number > keys[i].max)
            return err_set(e, ERR_INVALID, "%s: %s is not between %ld and %ld",
                           path, name, keys[i].min, keys[i].max);
        *(int64_t *)at = number;
        return 0;
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

        opts[i] = keys[i].kind == KIND_NUMBER   ? number
                  : keys[i].kind == KIND_BOOL   ? flag
                  : keys[i].kind == KIND_STRING ? string
                                                : list;
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
    return rc;
}
