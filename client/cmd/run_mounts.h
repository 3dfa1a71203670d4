/* The mounts of a new container, from -v, --tmpfs and the image's VOLUMEs. */
#ifndef BERTH_CLIENT_CMD_RUN_MOUNTS_H
#define BERTH_CLIENT_CMD_RUN_MOUNTS_H

#include <jansson.h>

#include "base/err.h"
#include "client/cli/cli.h"

/*
 * Add the members "mounts" and "asked": what is mounted where, parents first,
 * and what inspect tells of it in docker's words.  Bind sources that are
 * absent become folders.
 * Inputs: config as of run_record(); dir is the container's folder.
 */
must_check int run_mounts(json_t *record, const struct cli_list *volumes,
                          const struct cli_list *tmpfs, const json_t *config,
                          const char *dir, struct err *e);

#endif
