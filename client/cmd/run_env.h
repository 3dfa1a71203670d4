/* The environment of a new process, an array of "K=V". */
#ifndef BERTH_CLIENT_CMD_RUN_ENV_H
#define BERTH_CLIENT_CMD_RUN_ENV_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"
#include "client/cli/cli.h"

/*
 * Set "K=V"; "K" alone takes our own value, or when we have none and
 * is_unsetting, removes what is there.
 */
must_check int run_env_set(json_t *env, const char *kv, bool is_unsetting,
                           struct err *e);
bool run_env_has(const json_t *env, const char *name);
/* --env-file, then -e: the latter win. */
must_check int run_env_flags(json_t *env, const struct cli_list *files,
                             const struct cli_list *vars, struct err *e);

#endif
