/*
 * WWW-Authenticate of a registry, as clients read it.
 *
 * 1. The grammar is RFC 9110's and nothing more: who writes something else
 *    gets no credentials.
 * 2. What does not fit its field is refused, never cut: half a realm would be
 *    another address.
 */
#ifndef BERTH_AUTH_CHALLENGE_H
#define BERTH_AUTH_CHALLENGE_H

#include <stdbool.h>

#include "base/num.h"

#define CHALLENGE_MAX 8 /* in one answer */

enum challenge_scheme { CHALLENGE_OTHER, CHALLENGE_BASIC, CHALLENGE_BEARER };

struct challenge {
    enum challenge_scheme scheme;
    char realm[1024];
    char service[256];
    char scope[1024];
    char error[64]; /* "invalid_token", "insufficient_scope" */
};

/*
 * All challenges of one header; several header lines are joined with ", ".
 * Errors: -1 when the text breaks the grammar, a known parameter comes twice
 *         or is too long, or there are more than max; else their number.
 * Spec:   RFC 9110 11.3, 11.6.1, 5.6.4; RFC 6750 3.
 */
must_check int challenge_parse(struct slice value, struct challenge *out,
                               size_t max);
/* The one to answer: Bearer with a realm, else Basic, else NULL. */
const struct challenge *challenge_choose(const struct challenge *list,
                                         size_t n);

#endif
