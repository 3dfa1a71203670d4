/*
 * berth: one command for the user, two programs underneath.  Verbs that run
 * and watch containers are here, in a static program that starts in half a
 * millisecond; verbs that speak to registries are in berth-image.
 */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "client/cmd/cmd.h"
#include "client/runtime/start.h"

static int cmd_version(int argc, char **argv)
{
    struct err e;
    const struct cli_verb v = {
        .name = "version", .synopsis = "", .help = "Show the version."};
    char **args;
    int n;
    enum cli_result r = cli_parse(&v, argc, argv, &args, &n, &e);
    if (r == CLI_ERROR)
        return cli_fail(125, &e);
    if (r == CLI_OK)
        printf("berth %s\n", BERTH_VERSION);
    return 0;
}

struct verb {
    const char *name;
    int (*run)(int argc, char **argv); /* NULL: a verb of berth-image */
    const char *help;
};

static const struct verb verbs[] = {
    {"run", cmd_run, "Run a command in a new container"},
    {"start", cmd_start, "Start a container that has ended"},
    {"exec", cmd_exec, "Run a command in a running container"},
    {"ps", cmd_ps, "List containers"},
    {"logs", cmd_logs, "Show the output of a container"},
    {"stop", cmd_stop, "Ask containers to end, then kill them"},
    {"kill", cmd_kill, "Send a signal to containers"},
    {"wait", cmd_wait, "Wait until containers end"},
    {"rm", cmd_rm, "Remove containers"},
    {"inspect", cmd_inspect, "Show all about containers or images"},
    {"pull", NULL, "Download an image from a registry"},
    {"push", NULL, "Upload an image to a registry"},
    {"login", NULL, "Keep a password for a registry"},
    {"logout", NULL, "Forget the password for a registry"},
    {"images", NULL, "List images"},
    {"rmi", NULL, "Remove images"},
    {"tag", NULL, "Give an image another name"},
    {"save", NULL, "Write images to an archive"},
    {"load", NULL, "Load images from an archive"},
    {"import", NULL, "Make an image from a root file system tar"},
    {"version", cmd_version, "Show the version"},
};

/* docker's second way to say it: "image ls" is "images". */
static const struct {
    const char *group, *word, *verb;
} grouped[] = {
    {"container", "exec", "exec"},   {"container", "kill", "kill"},
    {"container", "logs", "logs"},   {"container", "ls", "ps"},
    {"container", "rm", "rm"},       {"container", "run", "run"},
    {"container", "start", "start"}, {"container", "stop", "stop"},
    {"container", "wait", "wait"},   {"image", "import", "import"},
    {"image", "load", "load"},       {"image", "ls", "images"},
    {"image", "pull", "pull"},       {"image", "push", "push"},
    {"image", "rm", "rmi"},          {"image", "save", "save"},
    {"image", "tag", "tag"},
};

/*
 * Turn "berth GROUP WORD ..." into "berth VERB ..." in place; `inspect` keeps
 * its group as a flag.
 */
static void ungroup(int *argc, char ***argv)
{
    char **a = *argv;
    static char type[] = "--type=container";
    bool is_image = strcmp(a[1], "image") == 0;
    if (*argc < 3 || (!is_image && strcmp(a[1], "container") != 0))
        return;
    if (strcmp(a[2], "inspect") == 0) {
        a[1] = a[2];
        a[2] = type;
        if (is_image)
            memcpy(type + strlen("--type="), "image", sizeof("image"));
        return;
    }
    for (size_t i = 0; i < array_len(grouped); i++) {
        if (strcmp(a[1], grouped[i].group) != 0 ||
            strcmp(a[2], grouped[i].word) != 0)
            continue;
        a[1] = a[0];
        a[2] = (char *)(uintptr_t)grouped[i].verb;
        (*argv)++;
        (*argc)--;
        return;
    }
}

/* "berth image" alone, or with --help: the words of the group. */
static bool group_help(int argc, char **argv)
{
    bool is_group = false;
    if (argc > 2 && strcmp(argv[2], "--help") != 0 &&
        strcmp(argv[2], "-h") != 0)
        return false;
    for (size_t i = 0; i < array_len(grouped); i++) {
        if (strcmp(argv[1], grouped[i].group) != 0)
            continue;
        if (!is_group)
            printf("Usage:  berth %s COMMAND [OPTIONS]\n\nCommands:\n"
                   "  %-10s the same as: berth inspect --type=%s\n",
                   argv[1], "inspect", argv[1]);
        is_group = true;
        printf("  %-10s the same as: berth %s\n", grouped[i].word,
               grouped[i].verb);
    }
    return is_group;
}

static void usage(FILE *f)
{
    (void)fprintf(f, "Usage:  berth COMMAND [OPTIONS]\n\n"
                     "Run containers without a daemon.\n\nCommands:\n");
    for (size_t i = 0; i < array_len(verbs); i++)
        (void)fprintf(f, "  %-10s %s\n", verbs[i].name, verbs[i].help);
    (void)fprintf(f,
                  "\n'berth COMMAND --help' explains a command; \"image ls\", "
                  "\"container rm\" and so on\nare understood as well.\n");
}

/* A stream that the caller closed must not be the next file we open. */
static void fill_streams(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0)
        (void)close(fd);
}

int main(int argc, char **argv)
{
    fill_streams();
    if (argc < 2) {
        usage(stderr);
        return 125;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        usage(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-v") == 0)
        return cmd_version(1, argv);
    if (group_help(argc, argv))
        return 0;
    ungroup(&argc, &argv);
    /* Before anything of a container is near: out of its reach. */
    static const char *const entering[] = {"run", "start", "exec"};
    for (size_t i = 0; i < array_len(entering); i++) {
        struct err e;
        if (strcmp(argv[1], entering[i]) == 0 && rt_seal_self(argv, &e) != 0)
            return cli_fail(125, &e);
    }
    for (size_t i = 0; i < array_len(verbs); i++) {
        if (strcmp(argv[1], verbs[i].name) == 0)
            return verbs[i].run != NULL ? verbs[i].run(argc - 1, argv + 1)
                                        : cmd_exec_image(argv);
    }
    (void)fprintf(stderr,
                  "berth: '%s' is not a berth command (see 'berth --help')\n",
                  argv[1]);
    return 125;
}
