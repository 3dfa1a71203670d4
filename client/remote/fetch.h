/*
 * Blobs of an image from a registry into the store: a few at a time, every
 * byte counted and hashed, broken downloads resumed where they broke.
 */
#ifndef BERTH_CLIENT_REMOTE_FETCH_H
#define BERTH_CLIENT_REMOTE_FETCH_H

#include <jansson.h>

#include "base/err.h"
#include "client/remote/remote.h"
#include "client/store/store.h"

/*
 * Config and layers that a manifest names; they are pinned in sc.
 * Errors: ERR_DIGEST when other bytes came, ERR_CANCELLED, and remote_do()'s.
 */
must_check int fetch_blobs(struct remote *rm, struct istore_scratch *sc,
                           const json_t *manifest, bool is_quiet,
                           struct err *e);
/* "bytes <from>-<size-1>/<size>" and nothing else? */
bool fetch_is_rest(const char *content_range, uint64_t from, uint64_t size);

#endif
