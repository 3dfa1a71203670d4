#include "client/cli/table.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli/template.h"

struct table {
    const struct table_column *cols;
    size_t n_cols, n_rows;
    char **cells;
};

struct table *table_new(const struct table_column *cols, size_t n_cols)
{
    struct table *t = calloc(1, sizeof(*t));
    if (t != NULL) {
        t->cols = cols;
        t->n_cols = n_cols;
    }
    return t;
}

int table_row(struct table *t, const char *const *cells, struct err *e)
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

static void print_json(const struct table *t)
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

static const char *cell(const struct table *t, size_t row, size_t col)
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

void table_print(const struct table *t, bool as_json)
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
static const char *template_cell(const struct table *t, size_t row,
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
static int template_row(const struct table *t, size_t row, const char *format,
                        FILE *out, struct err *e)
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

int table_print_as(const struct table *t, const char *format, struct err *e)
{
    bool as_json, has_titles = format && strncmp(format, "table ", 6) == 0;
    struct err plain;
    if (template_as_json(format, &as_json, &plain) == 0) {
        table_print(t, as_json);
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

void table_free(struct table *t)
{
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->n_rows * t->n_cols; i++)
        free(t->cells[i]);
    free(t->cells);
    free(t);
}
