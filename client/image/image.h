/*
 * Images as the verbs see them: blobs written while hashed, and a manifest
 * with its blobs turned into a named image.
 */
#ifndef BERTH_CLIENT_IMAGE_IMAGE_H
#define BERTH_CLIENT_IMAGE_IMAGE_H

#include <jansson.h>

#include "base/err.h"
#include "client/store/store.h"

#define IMAGE_MANIFEST_MAX (4U << 20)
#define IMAGE_CONFIG_MAX   (4U << 20)
#define IMAGE_LAYERS_MAX   127

#define IMAGE_TYPE_MANIFEST "application/vnd.oci.image.manifest.v1+json"
#define IMAGE_TYPE_INDEX    "application/vnd.oci.image.index.v1+json"
#define IMAGE_TYPE_CONFIG   "application/vnd.oci.image.config.v1+json"
#define IMAGE_TYPE_LAYER    "application/vnd.oci.image.layer.v1.tar"
#define IMAGE_TYPE_DOCKER   "application/vnd.docker.distribution.manifest.v2+json"
#define IMAGE_TYPE_DOCKER_CONFIG \
    "application/vnd.docker.container.image.v1+json"
#define IMAGE_TYPE_DOCKER_LIST \
    "application/vnd.docker.distribution.manifest.list.v2+json"

/* A blob on its way into the store, in a scratch folder. */
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
must_check int blob_put(struct istore_scratch *sc, const void *data, size_t n,
                        char hex[ISTORE_HEX], struct err *e);

/* "sha256:<hex>" -> hex; false for anything else. */
must_check bool image_digest_hex(const char *digest, char hex[ISTORE_HEX]);
/* The digest of a descriptor, checked. */
must_check int image_descriptor(const json_t *desc, char hex[ISTORE_HEX],
                                int64_t *size, struct err *e);
typedef void image_on_layer(void *arg, size_t i, size_t n, const char *hex);
/*
 * Unpack what a manifest names (it and its blobs are in the store and
 * pinned); *img is all that a ref says, but for name and source.
 * Inputs: on_layer may be NULL.
 * Owns:   *img is the caller's to free, and zeroed on error.
 */
must_check int image_unpack(struct istore_scratch *sc, const char *manifest,
                            image_on_layer *on_layer, void *arg,
                            struct istore_image *img, struct err *e);
/*
 * As above, and give it a name.
 * Inputs: source is the digest that the registry knows the name by, or NULL.
 */
must_check int image_adopt(struct istore_scratch *sc, const char *manifest,
                           const char *name, const char *source,
                           image_on_layer *on_layer, void *arg, struct err *e);
/* RFC 3339 of a time, UTC. */
void image_time(int64_t t, char out[32]);

#endif
