/* Fields of JSON in text; see template.h. */
#include "client/cli/template.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

#define WORD_MAX 256

static void skip_blanks(const char **p)
{
    *p += strspn(*p, " \t");
}

/* ".A.B" at *p, followed from o; NULL with e set. */
static const json_t *path(const char **p, const json_t *o, struct err *e)
{
    const char *begin = *p;
    if (**p != '.') {
        (void)err_set(e, ERR_INVALID, "--format: want a field at \"%.60s\"",
                      *p);
        return NULL;
    }
    while (**p == '.') {
        char key[WORD_MAX];
        size_t n = strcspn(++*p, ". \t}");
        if (n == 0 && *p - begin == 1)
            return o; /* "." alone */
        if (n == 0 || n >= sizeof(key)) {
            (void)err_set(e, ERR_INVALID, "--format: no field at \"%.60s\"",
                          begin);
            return NULL;
        }
        memcpy(key, *p, n);
        key[n] = '\0';
        *p += n;
        o = json_object_get(o, key);
        if (o == NULL) {
            (void)err_set(e, ERR_INVALID, "--format: there is no field %.*s",
                          (int)(*p - begin), begin);
            return NULL;
        }
    }
    return o;
}

/* The `"key"` or the number behind an index; json_null() when absent. */
static const json_t *element(const char **p, const json_t *o, struct err *e)
{
    const json_t *v = NULL;
    uint64_t at;
    skip_blanks(p);
    if (**p == '"') {
        char key[WORD_MAX];
        size_t n = strcspn(++*p, "\"");
        if ((*p)[n] != '"' || n >= sizeof(key)) {
            (void)err_set(e, ERR_INVALID, "--format: unfinished text");
            return NULL;
        }
        memcpy(key, *p, n);
        key[n] = '\0';
        *p += n + 1;
        v = json_object_get(o, key);
    } else {
        size_t n = strspn(*p, "0123456789");
        if (!num_parse_u64((struct slice){*p, n}, SIZE_MAX, &at)) {
            (void)err_set(e, ERR_INVALID,
                          "--format: index wants a text or a number");
            return NULL;
        }
        *p += n;
        v = json_array_get(o, (size_t)at);
    }
    return v != NULL ? v : json_null();
}

static void print_value(const json_t *v, FILE *out)
{
    const char *key;
    json_t *member;
    size_t i;
    switch (json_typeof(v)) {
    case JSON_STRING:
        (void)fwrite(json_string_value(v), 1, json_string_length(v), out);
        break;
    case JSON_INTEGER:
        (void)fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        break;
    case JSON_REAL:
        (void)fprintf(out, "%g", json_real_value(v));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        (void)fputs(json_is_true(v) ? "true" : "false", out);
        break;
    case JSON_NULL:
        (void)fputs("<nil>", out);
        break;
    case JSON_ARRAY:
        (void)fputc('[', out);
        json_array_foreach (v, i, member) {
            (void)fputs(i > 0 ? " " : "", out);
            print_value(member, out);
        }
        (void)fputc(']', out);
        break;
    case JSON_OBJECT:
        (void)fputs("map[", out);
        i = 0;
        json_object_foreach ((json_t *)(uintptr_t)v, key, member) {
            (void)fprintf(out, "%s%s:", i++ > 0 ? " " : "", key);
            print_value(member, out);
        }
        (void)fputc(']', out);
        break;
    }
}

/* One "{{...}}" at *p, which stands behind its "{{". */
static int action(const char **p, const json_t *o, FILE *out, struct err *e)
{
    bool as_json = false, is_index = false;
    const json_t *v;
    skip_blanks(p);
    if (strncmp(*p, "json ", 5) == 0) {
        as_json = true;
        *p += 5;
    } else if (strncmp(*p, "index ", 6) == 0) {
        is_index = true;
        *p += 6;
    }
    skip_blanks(p);
    v = path(p, o, e);
    if (v != NULL && is_index)
        v = element(p, v, e);
    if (v == NULL)
        return -1;
    skip_blanks(p);
    if (strncmp(*p, "}}", 2) != 0)
        return err_set(e, ERR_INVALID,
                       "--format knows {{.Field}}, {{json .Field}} and "
                       "{{index .Field \"key\"}}, not \"%.60s\"",
                       *p);
    *p += 2;
    if (as_json)
        (void)json_dumpf(v, out, JSON_COMPACT | JSON_ENCODE_ANY);
    else
        print_value(v, out);
    return 0;
}

int template_print(const char *format, const json_t *o, FILE *out,
                   struct err *e)
{
    char *text = NULL;
    size_t n;
    int rc = 0;
    FILE *f = open_memstream(&text, &n);
    if (f == NULL)
        return err_set(e, ERR_NO_MEMORY, "out of memory");
    for (const char *p = format; rc == 0 && *p != '\0';) {
        if (strncmp(p, "{{", 2) == 0) {
            p += 2;
            rc = action(&p, o, f, e);
        } else {
            (void)fputc(*p++, f);
        }
    }
    if (fclose(f) != 0 && rc == 0)
        rc = err_set(e, ERR_NO_MEMORY, "out of memory");
    if (rc == 0)
        (void)fprintf(out, "%s\n", text);
    free(text);
    return rc;
}

int template_as_json(const char *format, bool *as_json, struct err *e)
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
