/*
 * Command lines and tables, as docker's users know them.
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
    CLI_SIZE, /* out: uint64_t *, see cli_parse_size() */
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
 * "64m", "1.5GiB", "10kb" -> bytes, powers of 1024; a bare number counts
 * bytes.
 */
must_check bool cli_parse_size(const char *text, uint64_t *out);
/* Bytes as docker prints them ("4.26MB", powers of 1000). */
void cli_format_size(uint64_t bytes, char out[32]);
/* Seconds as docker prints them: "5 minutes", "About an hour", "2 days". */
void cli_format_age(int64_t seconds, char out[32]);

/*
 * "berth: <message>" on stderr, control characters escaped; nothing when the
 * message is empty, since somebody told it already.  Returns status, for
 * `return cli_fail(..)`.
 */
int cli_fail(int status, const struct err *e);

/*
 * A table for people, or one JSON object per line (docker's --format json).
 * Keys of the JSON are the keys given; columns with a NULL title appear only
 * in JSON.
 */
struct cli_table;
struct cli_column {
    const char *title; /* "CONTAINER ID", or NULL */
    const char *key;   /* "ID" */
};
/* NULL when memory is out. */
struct cli_table *cli_table_new(const struct cli_column *cols, size_t n_cols);
/* One row; cells[n_cols], copied. */
must_check int cli_table_row(struct cli_table *t, const char *const *cells,
                             struct err *e);
void cli_table_print(const struct cli_table *t, bool as_json);
/*
 * As --format says: NULL, "table", "json", or a text in which "{{.Key}}" is a
 * cell ("table " before it adds the titles) and "\\t", "\\n" are what they
 * are in C.
 * Errors: ERR_UNSUPPORTED for any other template.
 */
must_check int cli_table_print_as(const struct cli_table *t, const char *format,
                                  struct err *e);
void cli_table_free(struct cli_table *t); /* NULL is fine */

/*
 * A --format value: NULL, "", "table" -> false; "json" or "{{json .}}" ->
 * true; else ERR_UNSUPPORTED.
 */
must_check int cli_format_json(const char *format, bool *as_json,
                               struct err *e);

#endif
