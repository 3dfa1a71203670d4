/*
 * The configuration file. registry.conf.example documents every key.
 *
 * Unknown keys and keys given twice are errors with file and line: a typing
 * error must never be a silent default.
 */
#ifndef BERTH_SERVER_CONFIG_H
#define BERTH_SERVER_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "server/http/forwarded.h"
#include "server/http/http.h"

#define CONFIG_MAX_LIST 16

struct config_list {
    char *at[CONFIG_MAX_LIST];
    size_t count;
};

struct config {
    struct config_list listen; /* "addr:port"; none: both loopbacks */
    char *root;                /* NULL: /var/lib/berthd or XDG */
    char *log_file;            /* NULL: stderr */
    char *log_level;
    bool allow_anonymous;
    bool read_only;
    bool allow_delete;
    bool delete_used;
    struct config_list sparse; /* patterns of repositories */
    int64_t delete_delay_s;
    int64_t collect_grace_s;
    int64_t upload_idle_s;
    int64_t upload_ttl_s;
    int64_t takeover_ms;
    int64_t min_free_bytes; /* -1: automatic */
    int64_t drain_timeout_ms;
    struct http_limits http;
    struct config_list trusted;   /* networks of proxies */
    char *forwarded_header;       /* NULL: X-Forwarded-For */
    struct forwarded_trust trust; /* the same, read */
};

/* Defaults; strings are owned, free with config_free(). */
must_check int config_init(struct config *c, struct err *e);
/* Read a file over *c. Errors: ERR_INVALID "file:line: what". */
must_check int config_read(struct config *c, const char *path, struct err *e);
/* Errors: ERR_INVALID when it is full.  The value is copied. */
must_check int config_list_add(struct config_list *list, const char *value,
                               struct err *e);
void config_list_clear(struct config_list *list);
void config_free(struct config *c);
/* The i-th key's name, NULL past the end: the example file is checked. */
const char *config_key(size_t i);

#endif
