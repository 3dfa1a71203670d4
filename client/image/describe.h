/* An image as docker shows it: what scripts read out of `image inspect`. */
#ifndef BERTH_CLIENT_IMAGE_DESCRIBE_H
#define BERTH_CLIENT_IMAGE_DESCRIBE_H

#include <jansson.h>

#include "base/err.h"
#include "client/image/store.h"

/*
 * Describe the image that text names, see istore_resolve().
 * Owns:   the caller json_decref()s the result.
 * Errors: NULL with e set; ERR_NOT_FOUND ("no such image: x").
 */
must_check json_t *describe_image(struct istore *s, const char *text,
                                  struct err *e);

#endif
