#include "base/num.h"

#include <string.h>
#include <strings.h>

struct slice slice_of(const char *s)
{
    return (struct slice){s, strlen(s)};
}

bool slice_eq(struct slice a, struct slice b)
{
    return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool slice_is(struct slice a, const char *s)
{
    return slice_eq(a, slice_of(s));
}

bool slice_is_nocase(struct slice a, const char *s)
{
    return a.n == strlen(s) && strncasecmp(a.p, s, a.n) == 0;
}

bool num_parse_u64(struct slice s, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;

    if (s.n == 0)
        return false;
    for (size_t i = 0; i < s.n; i++) {
        unsigned d = (unsigned)(unsigned char)s.p[i] - '0';

        if (d > 9 || v > (UINT64_MAX - d) / 10)
            return false;
        v = v * 10 + d;
    }
    if (v > max)
        return false;
    *out = v;
    return true;
}

static bool fraction(struct slice s, uint32_t *nano)
{
    uint64_t v;

    if (s.n > 9 || !num_parse_u64(s, NUM_NANO - 1, &v))
        return false;
    for (size_t n = s.n; n < 9; n++)
        v *= 10;
    *nano = (uint32_t)v;
    return true;
}

bool num_parse_decimal(struct slice s, uint64_t max, uint64_t *whole,
                       uint32_t *nano)
{
    const char *dot = s.n > 0 ? memchr(s.p, '.', s.n) : NULL;
    size_t left = dot ? (size_t)(dot - s.p) : s.n;
    size_t right = dot ? s.n - left - 1 : 0;

    *whole = 0;
    *nano = 0;
    return left + right > 0 &&
           (left == 0 ||
            num_parse_u64((struct slice){s.p, left}, max, whole)) &&
           (right == 0 || fraction((struct slice){dot + 1, right}, nano));
}

void num_hex(const unsigned char *bytes, size_t n, char *out)
{
    static const char digits[] = "0123456789abcdef";

    for (size_t i = 0; i < n; i++) {
        out[2 * i] = digits[bytes[i] >> 4];
        out[2 * i + 1] = digits[bytes[i] & 15];
    }
    out[2 * n] = '\0';
}

static int nibble(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return -1;
}

bool num_unhex(struct slice s, unsigned char *out, size_t n)
{
    if (s.n != 2 * n)
        return false;
    for (size_t i = 0; i < n; i++) {
        int hi = nibble(s.p[2 * i]);
        int lo = nibble(s.p[2 * i + 1]);

        if (hi < 0 || lo < 0)
            return false;
        out[i] = (unsigned char)(hi << 4 | lo);
    }
    return true;
}
