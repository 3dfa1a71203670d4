/*
 * Capabilities: names, the default set, and giving up the rest.
 *
 * 1. Inheritable and ambient are always empty.
 * 2. The bounding set is what the container may ever have.
 */
#ifndef BERTH_CLIENT_RUNTIME_CAPS_H
#define BERTH_CLIENT_RUNTIME_CAPS_H

#include <stdint.h>

#include "base/err.h"

#define CAPS_NAME_MAX 32

/* podman's eleven: docker's without MKNOD, NET_RAW, AUDIT_WRITE. */
uint64_t caps_default(void);
/* "NET_ADMIN", "cap_net_admin" or "ALL" -> bits. */
must_check int caps_parse(const char *name, uint64_t *bits, struct err *e);
/* Every capability that we know by name. */
uint64_t caps_all(void);
/* A name that caps_parse() takes, as docker shows it: "CAP_CHOWN", "ALL". */
void caps_format(const char *name, char out[CAPS_NAME_MAX]);
/* Drop every capability outside `keep` from the bounding set. */
must_check int caps_bound(uint64_t keep, struct err *e);
/* Set permitted and effective to `keep`, inheritable and ambient empty. */
must_check int caps_apply(uint64_t keep, struct err *e);

#endif
