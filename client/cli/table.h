/*
 * A table for people, or one JSON object per line (docker's --format json).
 * Keys of the JSON are the keys given; columns with a NULL title appear only
 * in JSON.
 */
#ifndef BERTH_CLIENT_CLI_TABLE_H
#define BERTH_CLIENT_CLI_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct table;
struct table_column {
    const char *title; /* "CONTAINER ID", or NULL */
    const char *key;   /* "ID" */
};
/* NULL when memory is out. */
struct table *table_new(const struct table_column *cols, size_t n_cols);
/* One row; cells[n_cols], copied. */
must_check int table_row(struct table *t, const char *const *cells,
                         struct err *e);
void table_print(const struct table *t, bool as_json);
/*
 * As --format says: NULL, "table", "json", or a text in which "{{.Key}}" is a
 * cell ("table " before it adds the titles) and "\\t", "\\n" are what they
 * are in C.
 * Errors: ERR_UNSUPPORTED for any other template.
 */
must_check int table_print_as(const struct table *t, const char *format,
                              struct err *e);
void table_free(struct table *t); /* NULL is fine */

#endif
