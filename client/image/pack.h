/*
 * Making an image's parts: a layer blob out of a tar, configs and manifests
 * out of JSON.
 */
#ifndef BERTH_CLIENT_IMAGE_PACK_H
#define BERTH_CLIENT_IMAGE_PACK_H

#include <jansson.h>

#include "base/err.h"
#include "client/store/store.h"

/*
 * Store what fd gives, from its position to the end, as a layer's blob.  A
 * plain tar is compressed (gzip, level 6); compressed bytes stay as they are.
 */
must_check int pack_layer(struct istore_scratch *sc, int fd,
                          char hex[ISTORE_HEX], struct err *e);
/* The media type of a layer's blob, by its first byte. */
const char *pack_layer_type(int blob);
/* Store an object as a compact JSON blob of *len bytes. */
must_check int pack_json(struct istore_scratch *sc, const json_t *o,
                         char hex[ISTORE_HEX], size_t *len, struct err *e);
/* A new descriptor; NULL when memory is out. */
json_t *pack_descriptor(const char *type, const char *hex, int64_t size);

#endif
