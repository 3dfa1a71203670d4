/*
 * Tar archives by hand, so that they may be wrong in any way.  Everything is
 * appended to one bounded buffer.
 */
#ifndef BERTH_TESTS_IMAGE_TAR_H
#define BERTH_TESTS_IMAGE_TAR_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAR_MAX (4U << 20)

struct tar {
    unsigned char *p;
    size_t n;
};

/* One entry; what is 0 or NULL has the usual value. */
struct tar_entry {
    const char *name;
    char type;        /* '0' .. '7', 'L', 'x', ...; 0: a file */
    const char *link; /* of '1' and '2' */
    const char *data;
    unsigned mode; /* 0: 0644, or 0755 for folders */
    unsigned uid, gid;
    long mtime;
    unsigned major, minor;
    const char *pax; /* "key=value" of a PAX header before it */
    const char *pax2;
    const char *claim; /* another text for the size field */
};

static inline void tar_bytes(struct tar *t, const void *data, size_t n)
{
    if (t->p == NULL)
        t->p = calloc(1, TAR_MAX);
    if (t->p == NULL || n > TAR_MAX - t->n)
        abort();
    memcpy(t->p + t->n, data, n);
    t->n += n;
}

static inline void tar_pad(struct tar *t)
{
    static const char zero[512];
    tar_bytes(t, zero, (512 - t->n % 512) % 512);
}

static inline void tar_field(char *field, const char *text, size_t max)
{
    size_t n = strlen(text);
    memcpy(field, text, n < max ? n : max);
}

static inline void tar_header(struct tar *t, const struct tar_entry *e,
                              size_t size)
{
    char h[512] = "", text[24];
    unsigned sum = 0;
    char type = e->type != 0 ? e->type : '0';
    unsigned mode = e->mode != 0 ? e->mode : type == '5' ? 0755 : 0644;
    tar_field(h, e->name, 100);
    (void)snprintf(h + 100, 8, "%07o", mode & 07777);
    (void)snprintf(h + 108, 8, "%07o", e->uid & 07777777);
    (void)snprintf(h + 116, 8, "%07o", e->gid & 07777777);
    (void)snprintf(text, sizeof(text), "%011zo", size);
    tar_field(h + 124, e->claim != NULL ? e->claim : text, 12);
    (void)snprintf(h + 136, 12, "%011lo", (unsigned long)e->mtime);
    h[156] = type;
    if (e->link != NULL)
        tar_field(h + 157, e->link, 100);
    memcpy(h + 257, "ustar\00000", 8);
    (void)snprintf(h + 329, 8, "%07o", e->major & 07777777);
    (void)snprintf(h + 337, 8, "%07o", e->minor & 07777777);
    memset(h + 148, ' ', 8);
    for (size_t i = 0; i < sizeof(h); i++)
        sum += (unsigned char)h[i];
    (void)snprintf(h + 148, 8, "%06o", sum);
    tar_bytes(t, h, sizeof(h));
}

/* One record "LEN key=value\n"; the value may have any bytes. */
static inline void tar_record(struct tar *t, const char *kv, size_t n)
{
    char len[24];
    size_t digits = 1;
    while ((size_t)snprintf(len, sizeof(len), "%zu", digits + 1 + n + 1) >
           digits)
        digits++;
    tar_bytes(t, len, digits);
    tar_bytes(t, " ", 1);
    tar_bytes(t, kv, n);
    tar_bytes(t, "\n", 1);
}

static inline void tar_pax(struct tar *t, const char *a, const char *b)
{
    struct tar inner = {.p = NULL};
    const struct tar_entry e = {.name = "PaxHeaders/x", .type = 'x'};
    tar_record(&inner, a, strlen(a));
    if (b != NULL)
        tar_record(&inner, b, strlen(b));
    tar_header(t, &e, inner.n);
    tar_bytes(t, inner.p, inner.n);
    tar_pad(t);
    free(inner.p);
}

static inline void tar_add(struct tar *t, const struct tar_entry *e)
{
    size_t n = e->data != NULL ? strlen(e->data) : 0;
    if (e->pax != NULL)
        tar_pax(t, e->pax, e->pax2);
    tar_header(t, e, n);
    tar_bytes(t, e->data != NULL ? e->data : "", n);
    tar_pad(t);
}

static inline void tar_end(struct tar *t)
{
    static const char zero[1024];
    tar_bytes(t, zero, sizeof(zero));
}

static inline void tar_free(struct tar *t)
{
    free(t->p);
    t->p = NULL;
    t->n = 0;
}

#endif
