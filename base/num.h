/*
 * Strict numbers and byte slices from outside: no sign, no blank, no prefix,
 * no locale, overflow is an error.  strtol and friends accept all of these.
 */
#ifndef BERTH_BASE_NUM_H
#define BERTH_BASE_NUM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/defs.h"

#define NUM_NANO 1000000000u /* billionths in one */

/* A view of bytes somebody else owns; not terminated. */
struct slice {
    const char *p;
    size_t n;
};

/* A slice over a C string (without its NUL). */
struct slice slice_of(const char *s);
bool slice_eq(struct slice a, struct slice b);
bool slice_is(struct slice a, const char *s);
/* ASCII case-insensitive equality. */
bool slice_is_nocase(struct slice a, const char *s);

/* Decimal digits only, at least one, value <= max; false otherwise. */
must_check bool num_parse_u64(struct slice s, uint64_t max, uint64_t *out);
/*
 * "12", "1.5", ".5" or "1.", with at most nine digits behind the dot: the
 * whole, at most max, and the billionths.
 */
must_check bool num_parse_decimal(struct slice s, uint64_t max, uint64_t *whole,
                                  uint32_t *nano);

/* Lower-case hex of n bytes into out (2n+1 bytes, terminated). */
void num_hex(const unsigned char *bytes, size_t n, char *out);
/* Lower-case hex only, exactly 2n digits; false otherwise. */
must_check bool num_unhex(struct slice s, unsigned char *out, size_t n);

#endif
