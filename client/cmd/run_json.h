/*
 * Values of flags on their way into a record: JSON is UTF-8, and a text that
 * is not is the user's mistake (ERR_INVALID).
 */
#ifndef BERTH_CLIENT_CMD_RUN_JSON_H
#define BERTH_CLIENT_CMD_RUN_JSON_H

#include <jansson.h>

#include "base/err.h"
#include "client/cli/cli.h"

/* Set a member. Owns: takes v, which is NULL for a text that is no UTF-8. */
must_check int run_put(json_t *o, const char *key, json_t *v, struct err *e);
/* Add a text; `flag` is for the message. */
must_check int run_append(json_t *a, const char *flag, const char *text,
                          struct err *e);
/* The texts of a flag as an array, or NULL with e set. */
must_check json_t *run_list(const char *flag, const struct cli_list *l,
                            struct err *e);

#endif
