/*
 * From a compressed layer to a layer folder of the store.
 *
 * The work is done by a child in a cage (confine.h), on an overlay of the lower
 * layers: what the overlay leaves in its upper folder is the
 * layer, whiteouts and opaque folders as the container's overlay wants them.
 */
#ifndef BERTH_CLIENT_IMAGE_LAYER_H
#define BERTH_CLIENT_IMAGE_LAYER_H

#include "base/err.h"
#include "client/store/store.h"

struct layer_result {
    char diff_id[ISTORE_HEX]; /* of the whole decompressed stream */
    char chain[ISTORE_HEX];
    uint64_t size;    /* bytes of files */
    uint64_t skipped; /* entries left out, see unpack.h */
};

/* Chain id of a layer upon `below` (NULL for the first). Spec: image-spec. */
void layer_chain(const char *below, const char *diff_id, char out[ISTORE_HEX]);

/*
 * Unpack the file blob (from its start) onto lower[0..n_lower) (bottom first,
 * chain ids) and add it to the store.
 * Inputs: diff_id is what the config promises, or NULL to take what comes.
 * Errors: ERR_DIGEST when the stream is another; ERR_DENIED when not root.
 */
must_check int layer_add(struct istore_scratch *sc, int blob,
                         const char (*lower)[ISTORE_HEX], size_t n_lower,
                         const char *diff_id, struct layer_result *out,
                         struct err *e);

/*
 * Is the blob what the store's layer `chain` was made of?  It is when it is
 * the very blob, else its content is hashed (in a cage, too).
 * Errors: ERR_DIGEST when it holds something else.
 */
must_check int layer_check(struct istore_scratch *sc, const char *chain,
                           const char *blob_hex, const char *diff_id,
                           struct err *e);

#endif
