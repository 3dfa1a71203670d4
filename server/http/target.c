#include "server/http/target.h"

#include <string.h>

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Decode "%XX" at s.p[i]; -1 when malformed. */
static int escaped(struct slice s, size_t i)
{
    int hi, lo;

    if (s.n - i < 3)
        return -1;
    hi = hex(s.p[i + 1]);
    lo = hex(s.p[i + 2]);
    return hi < 0 || lo < 0 ? -1 : hi * 16 + lo;
}

/* Length of the UTF-8 sequence at p, 0 when it is none (RFC 3629). */
static size_t utf8_length(const unsigned char *p, size_t n)
{
    static const struct {
        unsigned char lo, hi, second_lo, second_hi;
        size_t len;
    } rows[] = {
        {0x00, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2},
        {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
        {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4},
        {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    for (size_t i = 0; i < array_len(rows); i++) {
        if (p[0] < rows[i].lo || p[0] > rows[i].hi)
            continue;
        if (rows[i].len > n)
            return 0;
        if (rows[i].len > 1 &&
            (p[1] < rows[i].second_lo || p[1] > rows[i].second_hi))
            return 0;
        for (size_t k = 2; k < rows[i].len; k++)
            if (p[k] < 0x80 || p[k] > 0xbf)
                return 0;
        return rows[i].len;
    }
    return 0;
}

static bool is_utf8(const char *s, size_t n)
{
    size_t i = 0;

    while (i < n) {
        size_t step = utf8_length((const unsigned char *)s + i, n - i);

        if (step == 0)
            return false;
        i += step;
    }
    return true;
}

/* Segments between slashes: not empty (the last may be), not "." or "..". */
static bool segments_ok(const char *path)
{
    const char *p = path + 1;

    for (;;) {
        size_t n = strcspn(p, "/");

        if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
            return false;
        if (p[n] == 0)
            return true;
        if (n == 0)
            return false;
        p += n + 1;
    }
}

char *target_path(struct arena *a, struct slice raw)
{
    char *out = arena_alloc(a, raw.n + 1);
    size_t n = 0;

    if (!out || raw.n == 0 || raw.p[0] != '/')
        return NULL;
    for (size_t i = 0; i < raw.n; i++) {
        int c = (unsigned char)raw.p[i];

        if (c == '%') {
            c = escaped(raw, i);
            if (c < 0x20 || c == 0x7f || c == '/' || c == '\\' || c == '%')
                return NULL;
            i += 2;
        }
        out[n++] = (char)c;
    }
    return is_utf8(out, n) && segments_ok(out) ? out : NULL;
}

/* Decode one name or value, where '+' is a blank. */
static int decode_part(struct arena *a, struct slice raw, struct slice *out)
{
    char *p = arena_alloc(a, raw.n + 1);
    size_t n = 0;

    if (!p)
        return -1;
    for (size_t i = 0; i < raw.n; i++) {
        int c = (unsigned char)raw.p[i];

        if (c == '%') {
            c = escaped(raw, i);
            if (c <= 0)
                return -1;
            i += 2;
        } else if (c == '+') {
            c = ' ';
        }
        p[n++] = (char)c;
    }
    *out = (struct slice){p, n};
    return 0;
}

int target_query_next(struct arena *a, struct slice query, size_t *pos,
                      struct http_param *out)
{
    struct slice part, value = {"", 0};
    const char *end, *eq;

    while (*pos < query.n && query.p[*pos] == '&')
        (*pos)++;
    if (*pos >= query.n)
        return 0;
    part = (struct slice){query.p + *pos, query.n - *pos};
    end = memchr(part.p, '&', part.n);
    if (end)
        part.n = (size_t)(end - part.p);
    *pos += part.n;
    eq = memchr(part.p, '=', part.n);
    if (eq) {
        value.p = eq + 1;
        value.n = part.n - (size_t)(eq - part.p) - 1;
        part.n = (size_t)(eq - part.p);
    }
    if (decode_part(a, part, &out->name) < 0 ||
        decode_part(a, value, &out->value) < 0)
        return -1;
    return 1;
}
