/* Grammar of repository names and tags. Spec: OCI distribution, Pull. */
#ifndef BERTH_STORAGE_NAME_H
#define BERTH_STORAGE_NAME_H

#include <stdbool.h>

#include "base/num.h"

#define NAME_MAX_LEN 255
#define TAG_MAX_LEN  128

/* [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/...)*, at most 255 bytes. */
bool name_is_repository(struct slice s);
/* [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127} */
bool name_is_tag(struct slice s);

#endif
