/*
 * JSON from outside, strictly, and JSON strings to outside.
 *
 * jansson accepts duplicate keys unless told otherwise and spends 75 bytes of
 * memory for each byte of `{},`: so the text is scanned for depth and tokens
 * before it is parsed.
 */
#ifndef BERTH_BASE_JSON_H
#define BERTH_BASE_JSON_H

#include <jansson.h>

#include "base/err.h"
#include "base/num.h"

#define JSON_DEPTH_CAP 32
#define JSON_TOKEN_CAP 100000

/*
 * Parse one JSON object and nothing after it.
 * Owns: the caller json_decref()s the result.
 * Errors: NULL with ERR_INVALID (grammar, duplicate key, depth, tokens, not
 *         an object) or ERR_NO_MEMORY.
 */
must_check json_t *json_load_object(const void *data, size_t len,
                                    struct err *e);

/* As above, of one JSON array. */
must_check json_t *json_load_array(const void *data, size_t len, struct err *e);

/* A string member, or NULL when it is absent or of another type. */
const char *json_member_string(const json_t *object, const char *key);

#endif
