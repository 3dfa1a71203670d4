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

#define CONFIG_MAX_LISTEN 16

struct config {
    char *listen[CONFIG_MAX_LISTEN]; /* "addr:port" */
    int listen_count;                /* 0: both loopbacks, port 5000 */
    char *root;                      /* NULL: /var/lib/berthd or XDG */
    char *log_file;                  /* NULL: stderr */
    char *log_level;
    bool allow_anonymous;
    bool read_only;
    bool allow_delete;
    bool sparse_manifests;
    int64_t delete_delay_s;
    int64_t collect_grace_s;
    int64_t upload_idle_s;
    int64_t upload_ttl_s;
    int64_t min_free_bytes; /* -1: automatic */
    int64_t max_connections;
    int64_t head_timeout_ms;
    int64_t idle_timeout_ms;
    int64_t drain_timeout_ms;
};

/* Defaults; strings are owned, free with config_free(). */
must_check int config_init(struct config *c, struct err *e);
/* Read a file over *c. Errors: ERR_INVALID "file:line: what". */
must_check int config_read(struct config *c, const char *path, struct err *e);
void config_free(struct config *c);
/* The i-th key's name, NULL past the end: the example file is checked. */
const char *config_key(size_t i);

#endif
