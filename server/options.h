/* The command line of berthd. */
#ifndef BERTH_SERVER_OPTIONS_H
#define BERTH_SERVER_OPTIONS_H

#include "server/config.h"

enum verb { VERB_SERVE, VERB_CHECK_CONFIG, VERB_VERSION, VERB_HELP };

/*
 * Parse argv over the defaults and the file that --config names.
 * Owns:   fills *c, which the caller config_free()s also on failure.
 * Errors: ERR_INVALID with a message that says what to do.
 */
must_check int options_parse(int argc, char **argv, enum verb *verb,
                             struct config *c, struct err *e);
/* The data folder: configured, /var/lib/berthd, or XDG. malloc'd. */
char *options_root(const struct config *c, struct err *e);
void options_help(void);
void options_version(void);

#endif
