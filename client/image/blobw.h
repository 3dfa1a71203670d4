/* A blob on its way into the store: hashed as it is written to scratch. */
#ifndef BERTH_CLIENT_IMAGE_BLOBW_H
#define BERTH_CLIENT_IMAGE_BLOBW_H

#include "base/err.h"
#include "client/store/store.h"

struct blobw;
must_check int blobw_new(struct istore_scratch *sc, struct blobw **out,
                         struct err *e);
must_check int blobw_write(struct blobw *w, const void *data, size_t n,
                           struct err *e);
int64_t blobw_size(const struct blobw *w); /* bytes so far */
/* Begin anew: what came so far is forgotten. */
must_check int blobw_reset(struct blobw *w, struct err *e);
/* fdatasync, for those who want it done on another thread. */
must_check int blobw_sync(struct blobw *w, struct err *e);
/*
 * Sync, check against the digest and size that were promised (want NULL, size
 * -1: none), pin and add it.
 * Owns:   w is freed, also on error.
 */
must_check int blobw_finish(struct blobw *w, const char *want, int64_t size,
                            char hex[ISTORE_HEX], struct err *e);
void blobw_free(struct blobw *w); /* drop; NULL is fine */
/* Bytes at once. */
must_check int blobw_put(struct istore_scratch *sc, const void *data, size_t n,
                         char hex[ISTORE_HEX], struct err *e);

#endif
