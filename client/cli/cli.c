/* Command lines and tables; see cli.h. */
#include "client/cli/cli.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

/* The unit at the end of a size: "", "k", "KiB", "mb" ...; its shift. */
static bool size_unit(const char *p, unsigned *shift)
{
    static const char units[] = "kKmMgGtTpP";
    const char *u = *p != '\0' ? strchr(units, *p) : NULL;
    *shift = 0;
    if (u != NULL) {
        *shift = 10 * (unsigned)((u - units) / 2 + 1);
        p++;
        if (*p == 'i' || *p == 'I') {
            p++;
            if (*p == '\0')
                return false;
        }
    }
    if (*p == 'b' || *p == 'B')
        p++;
    return *p == '\0';
}

bool cli_parse_size(const char *text, uint64_t *out)
{
    size_t n = strspn(text, "0123456789"), n_part = 0;
    const char *unit = text + n;
    uint64_t v, part = 0, scale = 1;
    unsigned shift;
    if (*unit == '.') {
        n_part = strspn(++unit, "0123456789");
        if (n_part == 0 || n_part > 9 ||
            !num_parse_u64((struct slice){unit, n_part}, UINT64_MAX, &part))
            return false;
        unit += n_part;
    }
    unit += *unit == ' ' && unit[1] != '\0';
    if (!size_unit(unit, &shift) ||
        !num_parse_u64((struct slice){text, n}, (UINT64_MAX >> 1 >> shift) - 1,
                       &v))
        return false;
    while (n_part-- > 0)
        scale *= 10;
    *out = (v << shift) +
           (uint64_t)((double)part / (double)scale * (double)(1ull << shift));
    return true;
}

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
        ok = cli_parse_size(value, f->out);
    } else if (f->kind == CLI_LATER) {
        return err_set(e, ERR_UNSUPPORTED, "--%s is not in this version: %s",
                       f->name, f->help);
    } else {
        ok = strcmp(value, "true") == 0 || strcmp(value, "false") == 0;
        *(bool *)f->out = value[0] == 't';
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

void cli_format_size(uint64_t bytes, char out[32])
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    double v = (double)bytes;
    size_t u = 0;
    while (v >= 1000 && u + 1 < array_len(units)) {
        v /= 1000;
        u++;
    }
    (void)snprintf(out, 32, "%.3g%s", v, units[u]);
}

void cli_format_age(int64_t s, char out[32])
{
    static const struct {
        int64_t below, span;
        const char *name;
    } unit[] = {{60, 1, "second"},
                {3600, 60, "minute"},
                {48 * 3600, 3600, "hour"},
                {14 * 86400, 86400, "day"},
                {60 * 86400, 7 * 86400, "week"},
                {730 * 86400, 30 * 86400, "month"},
                {INT64_MAX, 365 * 86400, "year"}};
    size_t u = 0;
    if (s < 1) {
        (void)snprintf(out, 32, "Less than a second");
        return;
    }
    /* From an hour on, whole hours are what counts, as docker's. */
    if (s >= 3600)
        s = (s + 1800) / 3600 * 3600;
    while (s >= unit[u].below)
        u++;
    int64_t n = s / unit[u].span;
    if (n == 1 && unit[u].span == 60)
        (void)snprintf(out, 32, "About a minute");
    else if (n == 1 && unit[u].span == 3600)
        (void)snprintf(out, 32, "About an hour");
    else
        (void)snprintf(out, 32, "%" PRId64 " %s%s", n, unit[u].name,
                       n == 1 ? "" : "s");
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

struct cli_table {
    const struct cli_column *cols;
    size_t n_cols, n_rows;
    char **cells;
};

struct cli_table *cli_table_new(const struct cli_column *cols, size_t n_cols)
{
    struct cli_table *t = calloc(1, sizeof(*t));
    if (t != NULL) {
        t->cols = cols;
        t->n_cols = n_cols;
    }
    return t;
}

int cli_table_row(struct cli_table *t, const char *const *cells, struct err *e)
{
    size_t base = t->n_rows * t->n_cols;
    char **c = realloc(t->cells, (base + t->n_cols) * sizeof(*c));
    if (c == NULL)
        return err_set(e, ERR_NO_MEMORY, "out of memory");
    t->cells = c;
    for (size_t i = 0; i < t->n_cols; i++) {
        c[base + i] = strdup(cells[i] != NULL ? cells[i] : "");
        if (c[base + i] == NULL) {
            while (i > 0)
                free(c[base + --i]);
            return err_set(e, ERR_NO_MEMORY, "out of memory");
        }
    }
    t->n_rows++;
    return 0;
}

static void print_json(const struct cli_table *t)
{
    for (size_t r = 0; r < t->n_rows; r++) {
        json_t *o = json_object();
        for (size_t i = 0; i < t->n_cols; i++)
            (void)json_object_set_new(o, t->cols[i].key,
                                      json_string(t->cells[r * t->n_cols + i]));
        (void)json_dumpf(o, stdout, JSON_COMPACT);
        (void)putchar('\n');
        json_decref(o);
    }
}

static const char *cell(const struct cli_table *t, size_t row, size_t col)
{
    return row == 0 ? t->cols[col].title
                    : t->cells[(row - 1) * t->n_cols + col];
}

/* Characters, not bytes: a shortened cell ends with an ellipsis. */
static size_t text_width(const char *text)
{
    size_t n = 0;
    for (; *text != '\0'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

void cli_table_print(const struct cli_table *t, bool as_json)
{
    if (as_json) {
        print_json(t);
        return;
    }
    size_t last = 0;
    for (size_t i = 0; i < t->n_cols; i++) {
        if (t->cols[i].title != NULL)
            last = i;
    }
    for (size_t r = 0; r <= t->n_rows; r++) {
        for (size_t i = 0; i < t->n_cols; i++) {
            size_t width = 0;
            if (t->cols[i].title == NULL)
                continue;
            for (size_t k = 0; k <= t->n_rows; k++) {
                size_t n = text_width(cell(t, k, i));
                width = n > width ? n : width;
            }
            const char *text = cell(t, r, i);
            if (i == last)
                printf("%s\n", text);
            else
                printf("%s%*s", text, (int)(width - text_width(text)) + 3, "");
        }
    }
}

/* The cell that "{{.Key}}" at *p names; moves on behind it. */
static const char *template_cell(const struct cli_table *t, size_t row,
                                 const char **p)
{
    const char *key = *p + 2 + strspn(*p + 2, " ");
    size_t n = strcspn(key, " }");
    const char *stop = key + n + strspn(key + n, " ");
    if (*key != '.' || n < 2 || strncmp(stop, "}}", 2) != 0)
        return NULL;
    for (size_t i = 0; i < t->n_cols; i++) {
        if (strlen(t->cols[i].key) == n - 1 &&
            memcmp(t->cols[i].key, key + 1, n - 1) == 0) {
            *p = stop + 2;
            const char *title = t->cols[i].title;
            return row > 0         ? cell(t, row, i)
                   : title != NULL ? title
                                   : t->cols[i].key;
        }
    }
    return NULL;
}

/* One row by a template; only checked when `out` is NULL. */
static int template_row(const struct cli_table *t, size_t row,
                        const char *format, FILE *out, struct err *e)
{
    for (const char *p = format; *p != '\0';) {
        char c = *p;
        if (strncmp(p, "{{", 2) == 0) {
            const char *text = template_cell(t, row, &p);
            if (text == NULL)
                return err_set(e, ERR_UNSUPPORTED,
                               "--format knows \"table\", \"json\" and fields "
                               "such as {{.%s}}, not \"%.60s\"",
                               t->cols[0].key, p);
            if (out != NULL)
                (void)fputs(text, out);
            continue;
        }
        if (c == '\\' && (p[1] == 't' || p[1] == 'n'))
            c = *++p == 't' ? '\t' : '\n';
        p++;
        if (out != NULL)
            (void)fputc(c, out);
    }
    if (out != NULL)
        (void)fputc('\n', out);
    return 0;
}

int cli_table_print_as(const struct cli_table *t, const char *format,
                       struct err *e)
{
    bool as_json, has_titles = format && strncmp(format, "table ", 6) == 0;
    struct err plain;
    if (cli_format_json(format, &as_json, &plain) == 0) {
        cli_table_print(t, as_json);
        return 0;
    }
    format += has_titles ? 6 : 0;
    /* Before anything is printed; titles stand for a row. */
    if (template_row(t, 0, format, NULL, e) != 0)
        return -1;
    for (size_t r = has_titles ? 0 : 1; r <= t->n_rows; r++) {
        if (template_row(t, r, format, stdout, e) != 0)
            return -1;
    }
    return 0;
}

void cli_table_free(struct cli_table *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->n_rows * t->n_cols; i++)
        free(t->cells[i]);
    free(t->cells);
    free(t);
}

int cli_format_json(const char *format, bool *as_json, struct err *e)
{
    *as_json = false;
    if (format == NULL || format[0] == '\0' || strcmp(format, "table") == 0)
        return 0;
    if (strcmp(format, "json") != 0 && strcmp(format, "{{json .}}") != 0)
        return err_set(e, ERR_UNSUPPORTED,
                       "--format knows \"table\" and \"json\", not \"%s\"",
                       format);
    *as_json = true;
    return 0;
}
