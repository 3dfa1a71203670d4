#include "base/json.h"

#include <stdbool.h>
#include <stdlib.h>

/*
 * jansson says "invalid token", or nothing, when memory is gone amid a text:
 * so its allocations are watched.  A constructor, since json_set_alloc_funcs()
 * is for a program that has one thread.
 */
static _Thread_local bool is_memory_gone;

static void *watched_malloc(size_t n)
{
    void *p = malloc(n);

    if (!p)
        is_memory_gone = true;
    return p;
}

__attribute__((constructor)) static void watch(void)
{
    json_set_alloc_funcs(watched_malloc, free);
}

/*
 * Count structural tokens and depth outside strings.  This is no validation:
 * it only bounds what the parser will be asked to build.
 */
static int scan(const char *p, size_t n, struct err *e)
{
    size_t tokens = 0;
    int depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < n; i++) {
        char c = p[i];

        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
            continue;
        }
        if (c == '"')
            in_string = true;
        if (c == '{' || c == '[')
            depth++;
        if (c == '}' || c == ']')
            depth--;
        if (c == '"' || c == '{' || c == '[' || c == ',' || c == ':')
            tokens++;
        if (depth > JSON_DEPTH_CAP)
            return err_set(e, ERR_INVALID, "JSON is nested over %d deep",
                           JSON_DEPTH_CAP);
        if (tokens > JSON_TOKEN_CAP)
            return err_set(e, ERR_INVALID, "JSON has over %d tokens",
                           JSON_TOKEN_CAP);
    }
    return 0;
}

static json_t *load(const void *data, size_t len, struct err *e)
{
    json_error_t je;
    json_t *root;

    if (scan(data, len, e) < 0)
        return NULL;
    is_memory_gone = false;
    root = json_loadb(data, len, JSON_REJECT_DUPLICATES, &je);
    if (!root) {
        if (is_memory_gone)
            err_set(e, ERR_NO_MEMORY, "parse JSON: out of memory");
        else
            err_set(e, ERR_INVALID, "bad JSON at byte %d: %s", je.position,
                    je.text);
        return NULL;
    }
    return root;
}

json_t *json_load_object(const void *data, size_t len, struct err *e)
{
    json_t *root = load(data, len, e);

    if (root && !json_is_object(root)) {
        json_decref(root);
        err_set(e, ERR_INVALID, "JSON is no object");
        return NULL;
    }
    return root;
}

json_t *json_load_array(const void *data, size_t len, struct err *e)
{
    json_t *root = load(data, len, e);

    if (root && !json_is_array(root)) {
        json_decref(root);
        err_set(e, ERR_INVALID, "JSON is no array");
        return NULL;
    }
    return root;
}

const char *json_member_string(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}
