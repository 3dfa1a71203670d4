/*
 * An arena: many small allocations with one lifetime, freed at once.
 *
 * Why: what belongs to a request (decoded path, header values, answers) dies
 * with it; one owner instead of twenty frees.  Bounded: an arena refuses to
 * grow beyond its maximum, so a request cannot take all memory.
 */
#ifndef BERTH_BASE_ARENA_H
#define BERTH_BASE_ARENA_H

#include <stddef.h>

#include "base/defs.h"
#include "base/num.h"

struct arena_block;

struct arena {
    struct arena_block *blocks; /* newest first */
    size_t used, size;          /* of the newest block */
    size_t total, max;          /* bytes over all blocks, and their bound */
};

/* Start empty; nothing is allocated before the first use. */
void arena_init(struct arena *a, size_t max_bytes);
/* Free everything; the arena is empty and usable again. */
void arena_free(struct arena *a);
/* n zeroed bytes, aligned for any type; NULL when memory or max is out. */
must_check void *arena_alloc(struct arena *a, size_t n);
/* A NUL-terminated copy of s; NULL when out. */
must_check char *arena_dup(struct arena *a, struct slice s);
/* Formatted text; NULL when out. */
must_check char *arena_printf(struct arena *a, const char *fmt, ...)
    printf_like(2, 3);

#endif
