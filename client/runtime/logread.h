/*
 * Read a container's log from its oldest line on, over rotations that happen
 * meanwhile.
 *
 * 1. A file is left only when it has got another name and was read to its end
 *    after that: the writer never goes back to it.
 * 2. What follows is found by inode, not by name: two rotations between two
 *    looks lose nothing that still exists.
 */
#ifndef BERTH_CLIENT_RUNTIME_LOGREAD_H
#define BERTH_CLIENT_RUNTIME_LOGREAD_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"

struct logread {
    int dirfd; /* borrowed */
    FILE *file;
    bool is_renamed; /* seen under another name at the last end of file */
    char *line;      /* getline()'s */
    size_t line_max;
    json_t *entry; /* what the last logread_next() pointed into */
};

struct logread_line {
    int stream;       /* 1 or 2 */
    const char *when; /* "2026-01-31T12:00:00.000000000Z" */
    const char *text; /* may hold NUL; with its newline, unless cut */
    size_t n;
};

/* Begin at the oldest line; dirfd stays the caller's, and open. */
void logread_open(struct logread *l, int dirfd);
void logread_close(struct logread *l);
/*
 * The next whole line, valid until the next call; false when there is none
 * now.  Lines that are no log entries are passed over.
 */
bool logread_next(struct logread *l, struct logread_line *out);

#endif
