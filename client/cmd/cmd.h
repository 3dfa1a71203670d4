/*
 * The verbs of berth.  Each takes argv[0] = its own name and returns the exit
 * status of the process; messages are already printed.
 */
#ifndef BERTH_CLIENT_CMD_CMD_H
#define BERTH_CLIENT_CMD_CMD_H

#include <stdbool.h>

struct cli_verb;
struct istore;

int cmd_run(int argc, char **argv);
int cmd_start(int argc, char **argv);
int cmd_exec(int argc, char **argv);
int cmd_ps(int argc, char **argv);
int cmd_logs(int argc, char **argv);
int cmd_stop(int argc, char **argv);
int cmd_kill(int argc, char **argv);
int cmd_wait(int argc, char **argv);
int cmd_rm(int argc, char **argv);
int cmd_inspect(int argc, char **argv);

/*
 * What most verbs begin with: parse, open the store.  True to go on (the
 * caller closes *s), else *status is what the program returns.
 */
bool cmd_begin(const struct cli_verb *v, int argc, char **argv, char ***args,
               int *n, struct istore **s, int *status);

/*
 * Execute a verb of berth-image, found beside this program in a build tree,
 * else in ../libexec/berth.  Returns only when that failed (status 125).
 */
int cmd_exec_image(char **argv);
/*
 * As above in a child, with stdout sent to stderr; the exit status of the
 * child, or 125.  argv[0] is the verb, the list ends with NULL.
 */
int cmd_run_image(char *const *argv);

#endif
