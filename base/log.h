/*
 * The log: one line per event on stderr or in a file.
 *
 * Invariants: 1. a line is written by one write(2), so lines of threads never
 * mix; 2. bytes that came from a client are escaped, so that a line stays one
 * line and a terminal is never steered.
 */
#ifndef BERTH_BASE_LOG_H
#define BERTH_BASE_LOG_H

#include <stddef.h>

#include "base/err.h"

enum log_level {
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG
};

/* Parse "error", "warn", "info" or "debug"; -1 when it is none. */
int log_level_parse(const char *word, enum log_level *out);
void log_set_level(enum log_level level);
/*
 * Log to a file (append, 0640) instead of stderr; NULL goes back to stderr.
 * log_reopen opens the same path again, for rotation.
 */
must_check int log_open(const char *path, struct err *e);
must_check int log_reopen(struct err *e);

/* Thread: any. */
void log_line(enum log_level level, const char *fmt, ...) printf_like(2, 3);

/*
 * Escape n bytes into out (always terminated): control bytes, DEL, quote,
 * backslash and everything >= 0x80 become \xHH; cut with "..." when full.
 * Returns out.
 */
char *log_escape(char *out, size_t size, const char *p, size_t n);

#endif
