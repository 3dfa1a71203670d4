/* The Range header. Spec: RFC 9110, section 14. */
#ifndef BERTH_SERVER_RANGE_H
#define BERTH_SERVER_RANGE_H

#include <stddef.h>
#include <stdint.h>

#include "base/num.h"

/* More ranges than these in one request: the whole is sent instead. */
#define RANGE_MAX 1000

/* Bytes first..last, both inclusive. */
struct range {
    int64_t first, last;
};

enum range_result {
    RANGE_NONE,          /* absent, another unit, or too many: send it all */
    RANGE_SOME,          /* out[0..*n) are set, n > 0 */
    RANGE_UNSATISFIABLE, /* 416 */
};

/*
 * Read a Range header for a representation of size bytes.  out has room for
 * RANGE_MAX.  The ranges come in the order that was asked for, without those
 * beyond the end; ranges that share bytes are one, at the place of the first
 * of them, so that no answer is longer than the whole.  Ranges that only touch
 * stay apart: a reader may count on one part for each range.
 * A header that breaks the grammar is unsatisfiable.
 */
enum range_result range_parse(struct slice header, int64_t size,
                              struct range *out, size_t *n);

/*
 * Content-Range of a chunked upload: "<first>-<last>", both inclusive.
 * Returns false when it has another form.  Spec: OCI distribution, pushing a
 * blob in chunks (this is not RFC 9110's Content-Range).
 */
must_check bool range_parse_chunk(struct slice header, int64_t *first,
                                  int64_t *last);

#endif
