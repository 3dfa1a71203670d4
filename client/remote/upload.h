/*
 * Blobs of an image from the store to a registry: what it has is left out,
 * what another repository of it has is mounted, the rest is sent, a few at a
 * time, and goes on where it broke.
 */
#ifndef BERTH_CLIENT_REMOTE_UPLOAD_H
#define BERTH_CLIENT_REMOTE_UPLOAD_H

#include <jansson.h>

#include "base/err.h"
#include "client/remote/remote.h"
#include "client/store/reference.h"
#include "client/store/store.h"

/* The layers and the config that a manifest names; r is where they go. */
must_check int upload_blobs(struct remote *rm, struct istore *s,
                            const struct reference *r, const json_t *manifest,
                            bool is_quiet, struct err *e);
/*
 * How many bytes an upload has, from its Range "0-<last>"; "0-0" stands for
 * none, which at worst sends one byte again.
 */
must_check bool upload_parse_range(const char *range, uint64_t *have);

#endif
