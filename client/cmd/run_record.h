/*
 * The record of a container: all that start needs to know, resolved from the
 * image's config and the flags of run.
 */
#ifndef BERTH_CLIENT_CMD_RUN_RECORD_H
#define BERTH_CLIENT_CMD_RUN_RECORD_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "client/cli/cli.h"

#define RUN_STOP_DEFAULT INT64_MIN /* --stop-timeout was not given */
#define RUN_STOP_S       10        /* then this is it */

/* The flags of run, as the parser left them; strings are argv's. */
struct run_options {
    bool detach, interactive, tty, rm, read_only, init;
    const char *name, *cwd, *user, *hostname, *entrypoint, *cpus, *cpuset,
        *network, *stop_signal, *pull, *platform, *cidfile, *swap;
    struct cli_list env, env_file, groups, volumes, tmpfs, cap_add, cap_drop,
        security, ulimits, labels;
    uint64_t memory, shares;
    int64_t pids, stop_timeout;
};

/*
 * Inputs: config is the "config" member of the image's config (may be NULL),
 *         dir the folder of the container, args[0] the image's name as given,
 *         args[1..n-1] the command.
 * Owns:   the caller json_decref()s the result.
 * Errors: NULL with e set; ERR_INVALID names the flag that is wrong.
 */
must_check json_t *run_record(const struct run_options *o, const json_t *config,
                              const char *id, const char *dir, char **args,
                              int n, struct err *e);

#endif
