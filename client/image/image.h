/*
 * Images as the verbs see them: a manifest, with the blobs that it names,
 * turned into a named image.
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
