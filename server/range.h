/* The Range header. Spec: RFC 9110, section 14. */
#ifndef BERTH_SERVER_RANGE_H
#define BERTH_SERVER_RANGE_H

#include <stdint.h>

#include "base/num.h"

enum range_result {
    RANGE_NONE,          /* absent, another unit, or several: send it all */
    RANGE_ONE,           /* *first..*last are set, inclusive */
    RANGE_UNSATISFIABLE, /* 416 */
};

enum range_result range_parse(struct slice header, int64_t size, int64_t *first,
                              int64_t *last);

/*
 * Content-Range of a chunked upload: "<first>-<last>", both inclusive.
 * Returns false when it has another form.  Spec: OCI distribution, pushing a
 * blob in chunks (this is not RFC 9110's Content-Range).
 */
must_check bool range_parse_chunk(struct slice header, int64_t *first,
                                  int64_t *last);

#endif
