/*
 * Platforms: what `--platform` says, and which entry of an index is meant.
 *
 * Spec: OCI image-spec, image-index.md; names are Go's (amd64, arm64).
 */
#ifndef BERTH_CLIENT_STORE_PLATFORM_H
#define BERTH_CLIENT_STORE_PLATFORM_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

#define PLATFORM_PART_MAX 32

struct platform {
    char os[PLATFORM_PART_MAX];
    char arch[PLATFORM_PART_MAX];
    char variant[PLATFORM_PART_MAX]; /* "" when the architecture has only one */
};

/*
 * "os/architecture[/variant]", or NULL: Linux on this machine.  Other names
 * of the same are understood (x86_64, aarch64, arm64/v8).
 */
must_check int platform_parse(const char *text, struct platform *out,
                              struct err *e);
/* The architecture of this machine, as images name it. */
const char *platform_architecture(void);
/* Does an entry of an index say that it is for p? */
bool platform_matches(const struct platform *p, const json_t *entry);
/*
 * The entry of an index for p, borrowed: one that says so, else the only one
 * of an index when that says nothing.
 * Errors: NULL with ERR_NOT_FOUND, whose message tells what there is.
 */
must_check const json_t *platform_choose(const struct platform *p,
                                         const json_t *index, struct err *e);

#endif
