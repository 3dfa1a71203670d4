/*
 * The json-file log of a container, one object per line as docker writes it,
 * rotated at 10 MiB, three files: log, log.1, log.2.
 */
#ifndef BERTH_CLIENT_RUNTIME_LOG_H
#define BERTH_CLIENT_RUNTIME_LOG_H

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

#define CLOG_BYTES_MAX (10 * 1024 * 1024)
#define CLOG_FILES     3
#define CLOG_LINE_MAX  16384 /* longer lines come in pieces, as docker's */

struct clog {
    int dirfd, fd;
    off_t size;
    struct {
        char text[CLOG_LINE_MAX];
        size_t n;
    } part[2]; /* unfinished lines of stdout and stderr */
};

/* Open dirfd/log for appending; dirfd stays the caller's, and open. */
must_check int clog_open(struct clog *l, int dirfd, struct err *e);
/* Output of stream 1 or 2; a full disk loses lines, never the container. */
void clog_write(struct clog *l, int stream, const char *data, size_t n);
/* Write unfinished lines and close. */
void clog_close(struct clog *l);

#endif
