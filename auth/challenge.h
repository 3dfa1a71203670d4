/* WWW-Authenticate of a registry, as clients read it. Spec: RFC 9110 11.6. */
#ifndef BERTH_AUTH_CHALLENGE_H
#define BERTH_AUTH_CHALLENGE_H

#include <stdbool.h>

#include "base/num.h"

struct challenge {
    bool is_bearer; /* else Basic */
    char realm[1024];
    char service[256];
    char scope[1024];
};

/* The value of one header; false when it holds neither Bearer nor Basic. */
must_check bool challenge_parse(struct slice value, struct challenge *out);

#endif
