/*
 * What pull and push tell while they run.
 *
 * On a terminal, one bar per blob that moves, redrawn in place, and a line
 * that stays for each that is done; elsewhere only lines for what is done.
 * Threads report, the caller of progress_draw() prints.
 */
#ifndef BERTH_CLIENT_REMOTE_PROGRESS_H
#define BERTH_CLIENT_REMOTE_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct progress;

/* One line per blob, of n. is_quiet: nothing is printed at all. */
must_check int progress_new(size_t n, bool is_quiet, struct progress **out,
                            struct err *e);
void progress_free(struct progress *p); /* NULL is fine */
/* Thread: any, for all three.  hex is a digest; its first 12 are shown. */
void progress_name(struct progress *p, size_t i, const char *hex,
                   uint64_t total);
/* "Downloading", a static text; done counts bytes of the total. */
void progress_move(struct progress *p, size_t i, const char *what,
                   uint64_t done);
/* The last word on this one, copied: at most 100 bytes. */
void progress_done(struct progress *p, size_t i, const char *what);
void progress_draw(struct progress *p);
/* Take the bars away; what is done stays. */
void progress_clear(struct progress *p);

#endif
