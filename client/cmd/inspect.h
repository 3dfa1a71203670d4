/* Containers and images as docker's inspect shows them. */
#ifndef BERTH_CLIENT_CMD_INSPECT_H
#define BERTH_CLIENT_CMD_INSPECT_H

#include <jansson.h>

#include "base/err.h"
#include "client/runtime/container_state.h"
#include "client/store/store.h"

/*
 * Everything that record and state say, under docker's keys.  What this
 * version cannot do has docker's value for "off"; keys of other systems'
 * containers are left out.
 * Owns: the caller json_decref()s the result; NULL with e set.
 */
must_check json_t *inspect_container(struct istore *s, const char *id,
                                     struct err *e);

/*
 * Describe the image that text names, see istore_resolve().
 * Owns:   the caller json_decref()s the result.
 * Errors: NULL with e set; ERR_NOT_FOUND ("no such image: x").
 */
must_check json_t *inspect_image(struct istore *s, const char *text,
                                 struct err *e);

/* Labels of a record ("K=V" each) as an object; the caller owns it. */
json_t *inspect_labels(const json_t *record);
/* "none" or "host". */
const char *inspect_network(const json_t *record);
/* "running", "created" or "exited". */
const char *inspect_status(enum ct_status status);

#endif
