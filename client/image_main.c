/*
 * berth-image: the verbs that need curl, libarchive and OpenSSL.  `berth`
 * executes it; a user sees one command.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "base/defs.h"
#include "client/image_cmd/image_cmd.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} verbs[] = {
    {"images", cmd_images}, {"import", cmd_import}, {"load", cmd_load},
    {"login", cmd_login},   {"logout", cmd_logout}, {"pull", cmd_pull},
    {"push", cmd_push},     {"rmi", cmd_rmi},       {"save", cmd_save},
    {"tag", cmd_tag},
};

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; argc >= 2 && i < array_len(verbs); i++) {
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run(argc - 1, argv + 1);
    }
    (void)fprintf(stderr, "berth: '%s' is not in this version\n",
                  argc >= 2 ? argv[1] : "");
    return 125;
}
