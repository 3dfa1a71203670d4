#include "client/cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"
#include "client/cli/amount.h"

/* Decimal, with a minus sign or not. */
static bool parse_i64(const char *text, int64_t *out)
{
    bool is_negative = text[0] == '-';
    uint64_t v;
    if (!num_parse_u64(slice_of(text + is_negative), INT64_MAX, &v))
        return false;
    *out = is_negative ? -(int64_t)v : (int64_t)v;
    return true;
}

/* What Go's strconv.ParseBool takes, and so docker. */
static bool parse_bool(const char *text, bool *out)
{
    static const char *const words[][6] = {
        {"1", "t", "T", "true", "TRUE", "True"},
        {"0", "f", "F", "false", "FALSE", "False"}};
    for (size_t i = 0; i < array_len(words[0]); i++) {
        for (size_t k = 0; k < array_len(words); k++) {
            if (strcmp(text, words[k][i]) == 0) {
                *out = k == 0;
                return true;
            }
        }
    }
    return false;
}

static int set_flag(const struct cli_flag *f, const char *value, struct err *e)
{
    bool ok = true;
    if (f->kind == CLI_STR) {
        *(const char **)f->out = value;
    } else if (f->kind == CLI_LIST) {
        struct cli_list *l = f->out;
        const char **v = realloc(l->v, (l->n + 1) * sizeof(*v));
        if (v == NULL)
            return err_set(e, ERR_NO_MEMORY, "out of memory");
        l->v = v;
        v[l->n++] = value;
    } else if (f->kind == CLI_U64) {
        ok = num_parse_u64(slice_of(value), UINT64_MAX, f->out);
    } else if (f->kind == CLI_I64) {
        ok = parse_i64(value, f->out);
    } else if (f->kind == CLI_SIZE) {
        ok = amount_parse_size(value, f->out);
    } else if (f->kind == CLI_LATER) {
        return err_set(e, ERR_UNSUPPORTED, "--%s is not in this version: %s",
                       f->name, f->help);
    } else {
        ok = parse_bool(value, f->out);
    }
    if (!ok)
        return err_set(e, ERR_INVALID, "invalid argument \"%s\" for --%s",
                       value, f->name);
    return 0;
}

static const struct cli_flag *find_long(const struct cli_verb *v,
                                        const char *name, size_t len)
{
    for (size_t i = 0; i < v->n_flags; i++) {
        if (strlen(v->flags[i].name) == len &&
            memcmp(v->flags[i].name, name, len) == 0)
            return &v->flags[i];
    }
    return NULL;
}

static const struct cli_flag *find_letter(const struct cli_verb *v, char c)
{
    for (size_t i = 0; i < v->n_flags; i++) {
        if (v->flags[i].letter == c)
            return &v->flags[i];
    }
    return NULL;
}

/* argv[i] is "--name[=value]"; *i moves on when the value is the next word. */
static int parse_long(const struct cli_verb *v, int argc, char **argv, int *i,
                      struct err *e)
{
    const char *name = argv[*i] + 2;
    const char *eq = strchr(name, '=');
    size_t len = eq != NULL ? (size_t)(eq - name) : strlen(name);
    const struct cli_flag *f = find_long(v, name, len);
    if (f == NULL)
        return err_set(e, ERR_INVALID,
                       "unknown flag: --%.*s (see 'berth %s --help')", (int)len,
                       name, v->name);
    if (eq != NULL)
        return set_flag(f, eq + 1, e);
    if (f->kind == CLI_BOOL || f->kind == CLI_LATER)
        return set_flag(f, "true", e);
    if (*i + 1 >= argc)
        return err_set(e, ERR_INVALID, "flag needs an argument: --%s", f->name);
    return set_flag(f, argv[++*i], e);
}

static int parse_letters(const struct cli_verb *v, int argc, char **argv,
                         int *i, struct err *e)
{
    for (const char *p = argv[*i] + 1; *p != '\0'; p++) {
        const struct cli_flag *f = find_letter(v, *p);
        if (f == NULL)
            return err_set(
                e, ERR_INVALID,
                "unknown shorthand flag: '%c' in %s (see 'berth %s --help')",
                *p, argv[*i], v->name);
        if (f->kind == CLI_BOOL || f->kind == CLI_LATER) {
            if (p[1] == '=')
                return set_flag(f, p + 2, e);
            if (set_flag(f, "true", e) != 0)
                return -1;
            continue;
        }
        if (p[1] != '\0')
            return set_flag(f, p + (p[1] == '=' ? 2 : 1), e);
        if (*i + 1 >= argc)
            return err_set(e, ERR_INVALID, "flag needs an argument: -%c", *p);
        return set_flag(f, argv[++*i], e);
    }
    return 0;
}

enum cli_result cli_parse(const struct cli_verb *v, int argc, char **argv,
                          char ***args, int *n_args, struct err *e)
{
    int n = 0;
    bool is_open = true;
    for (int i = 1; i < argc; i++) {
        char *a = argv[i];
        if (!is_open || a[0] != '-' || a[1] == '\0') {
            if (v->is_command)
                is_open = false;
            argv[n++] = a;
            continue;
        }
        if (strcmp(a, "--") == 0) {
            is_open = false;
            continue;
        }
        if (strcmp(a, "--help") == 0 ||
            (strcmp(a, "-h") == 0 && find_letter(v, 'h') == NULL)) {
            cli_help(v);
            return CLI_HELP;
        }
        if ((a[1] == '-' ? parse_long(v, argc, argv, &i, e)
                         : parse_letters(v, argc, argv, &i, e)) != 0)
            return CLI_ERROR;
    }
    argv[n] = NULL;
    *args = argv;
    *n_args = n;
    if (n < v->min_args || (v->max_args >= 0 && n > v->max_args)) {
        (void)err_set(
            e, ERR_INVALID,
            "\"berth %s\" %s %d argument%s (usage: berth %s %s)", v->name,
            v->max_args == v->min_args ? "requires exactly"
            : n < v->min_args          ? "requires at least"
                                       : "requires at most",
            n < v->min_args ? v->min_args : v->max_args,
            (n < v->min_args ? v->min_args : v->max_args) == 1 ? "" : "s",
            v->name, v->synopsis);
        return CLI_ERROR;
    }
    return CLI_OK;
}

void cli_help(const struct cli_verb *v)
{
    printf("Usage:  berth %s %s\n\n%s\n", v->name, v->synopsis, v->help);
    if (v->n_flags > 0)
        printf("\nOptions:\n");
    for (size_t i = 0; i < v->n_flags; i++) {
        const struct cli_flag *f = &v->flags[i];
        char left[64];
        if (f->kind == CLI_LATER)
            continue;
        (void)snprintf(left, sizeof(left), "--%s%s%s", f->name,
                       f->arg != NULL ? " " : "", f->arg != NULL ? f->arg : "");
        if (f->letter != 0)
            printf("  -%c, %-26s %s\n", f->letter, left, f->help);
        else
            printf("      %-26s %s\n", left, f->help);
    }
}

void cli_list_free(struct cli_list *list)
{
    free(list->v);
    *list = (struct cli_list){NULL, 0};
}

/*
 * Messages quote names from archives and registries: none may steer the
 * terminal, by C0 or by C1 (in UTF-8: C2 80 to C2 9F), nor make a line.
 */
static void print_harmless(FILE *f, const char *text)
{
    for (const unsigned char *p = (const unsigned char *)text; *p; p++) {
        bool is_c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f;
        if (*p < 0x20 || *p == 0x7f || is_c1)
            (void)fprintf(f, "\\x%02x", *p);
        else
            (void)putc(*p, f);
        if (is_c1)
            (void)fprintf(f, "\\x%02x", *++p);
    }
}

int cli_fail(int status, const struct err *e)
{
    if (e->msg[0] == '\0')
        return status;
    (void)fprintf(stderr, "berth: ");
    print_harmless(stderr, e->msg);
    (void)putc('\n', stderr);
    return status;
}
