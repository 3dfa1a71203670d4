/* What the verbs of berth have in common. */
#include "client/cmd/cmd.h"

#include "client/cli/cli.h"
#include "client/store/store.h"

bool cmd_begin(const struct cli_verb *v, int argc, char **argv, char ***args,
               int *n, struct istore **s, int *status)
{
    struct err e;
    enum cli_result r = cli_parse(v, argc, argv, args, n, &e);
    *status = 0;
    if (r == CLI_HELP)
        return false;
    if (r == CLI_OK && istore_open(NULL, s, &e) == 0)
        return true;
    *status = cli_fail(1, &e);
    return false;
}
