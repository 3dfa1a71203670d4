#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BLOCK_MIN 2048
#define ALIGN     _Alignof(max_align_t)

struct arena_block {
    struct arena_block *next;
    _Alignas(max_align_t) char data[];
};

void arena_init(struct arena *a, size_t max_bytes)
{
    memset(a, 0, sizeof(*a));
    a->max = max_bytes;
}

void arena_free(struct arena *a)
{
    struct arena_block *b = a->blocks;

    while (b) {
        struct arena_block *next = b->next;

        free(b);
        b = next;
    }
    arena_init(a, a->max);
}

static int arena_grow(struct arena *a, size_t n)
{
    size_t size = n > BLOCK_MIN ? n : BLOCK_MIN;
    struct arena_block *b;

    if (size > a->max - a->total)
        size = n;
    if (size > a->max - a->total)
        return -1;
    b = malloc(sizeof(*b) + size);
    if (!b)
        return -1;
    b->next = a->blocks;
    a->blocks = b;
    a->used = 0;
    a->size = size;
    a->total += size;
    return 0;
}

void *arena_alloc(struct arena *a, size_t n)
{
    void *p;

    if (n > a->max)
        return NULL;
    n = (n + ALIGN - 1) / ALIGN * ALIGN;
    if (a->size - a->used < n && arena_grow(a, n) < 0)
        return NULL;
    if (!a->blocks && arena_grow(a, ALIGN) < 0)
        return NULL;
    p = a->blocks->data + a->used;
    a->used += n;
    memset(p, 0, n);
    return p;
}

char *arena_dup(struct arena *a, struct slice s)
{
    char *p = arena_alloc(a, s.n + 1);

    if (p && s.n)
        memcpy(p, s.p, s.n);
    return p;
}

char *arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list ap, again;
    char *p = NULL;
    int n;

    va_start(ap, fmt);
    va_copy(again, ap);
    n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n >= 0)
        p = arena_alloc(a, (size_t)n + 1);
    if (p)
        vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}
