/*
 * Command lines, as docker's users know them.
 *
 * Each verb is a table of flags; the parser, the --help text and the error
 * messages come from that one table, so that they cannot disagree.
 *
 * 1. `--name value`, `--name=value`, `-n value`, `-nvalue`, `-abc` (booleans
 *    together, the last may take a value), `--` ends the flags.
 * 2. A boolean takes `--name`, `--name=true` or `--name=false`.
 * 3. Flags may stand after arguments, except for verbs whose arguments are a
 *    command (run, exec): there the first argument ends the flags.
 */
#ifndef BERTH_CLIENT_CLI_CLI_H
#define BERTH_CLIENT_CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum cli_kind {
    CLI_BOOL, /* out: bool * */
    CLI_STR,  /* out: const char **, points into argv; the last one wins */
    CLI_LIST, /* out: struct cli_list *, every occurrence, in order */
    CLI_U64,  /* out: uint64_t *, decimal */
    CLI_I64,  /* out: int64_t *, decimal, may be negative */
    CLI_SIZE, /* out: uint64_t *, see amount_parse_size() */
    /* A flag of docker's that this version refuses, not in the help; `help`
     * says why, `out` is NULL. */
    CLI_LATER,
};

struct cli_list {
    const char **v; /* the strings point into argv */
    size_t n;
};

struct cli_flag {
    const char *name; /* long name, without dashes */
    char letter;      /* short name, or 0 */
    enum cli_kind kind;
    void *out;
    const char *arg; /* name of the value in the help, NULL for booleans */
    const char *help;
};

struct cli_verb {
    const char *name;     /* "run" */
    const char *synopsis; /* "[OPTIONS] IMAGE [COMMAND] [ARG...]" */
    const char *help;     /* one sentence */
    const struct cli_flag *flags;
    size_t n_flags;
    int min_args;
    int max_args;    /* -1: any number */
    bool is_command; /* rule 3 */
};

enum cli_result { CLI_OK, CLI_HELP, CLI_ERROR };

/*
 * Parse argv[1..] of a verb (argv[0] is the verb's name).  The arguments are
 * moved to the front: *args and *n_args name them afterwards, args[n_args]
 * is NULL.
 * Errors: CLI_HELP when help was asked for and printed on stdout; CLI_ERROR
 *         with e set, message as docker's ("unknown flag: --x").
 */
must_check enum cli_result cli_parse(const struct cli_verb *verb, int argc,
                                     char **argv, char ***args, int *n_args,
                                     struct err *e);
/* The help text of a verb, on stdout. */
void cli_help(const struct cli_verb *verb);
void cli_list_free(struct cli_list *list);

/*
 * "berth: <message>" on stderr, control characters escaped; nothing when the
 * message is empty, since somebody told it already.  Returns status, for
 * `return cli_fail(..)`.
 */
int cli_fail(int status, const struct err *e);

#endif
