#include "client/cmd/run_env.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "client/cli/value.h"

#define ENV_FILE_MAX (1 << 20)

/* Where "NAME=" (n bytes) stands in an array of "K=V"; its size if nowhere. */
static size_t env_find(const json_t *env, const char *name, size_t n)
{
    size_t i = 0;
    for (; i < json_array_size(env); i++) {
        const char *kv = json_string_value(json_array_get(env, i));
        if (strncmp(kv, name, n) == 0 && kv[n] == '=')
            break;
    }
    return i;
}

bool run_env_has(const json_t *env, const char *name)
{
    return env_find(env, name, strlen(name)) < json_array_size(env);
}

int run_env_set(json_t *env, const char *kv, bool is_unsetting, struct err *e)
{
    size_t n = strcspn(kv, "="), at = env_find(env, kv, n);
    const char *value = kv[n] == '=' ? kv + n + 1 : getenv(kv);
    if (value == NULL) {
        if (is_unsetting)
            (void)json_array_remove(env, at);
        return 0;
    }
    json_t *text = json_sprintf("%.*s=%s", (int)n, kv, value);
    if (text == NULL)
        return err_set(e, ERR_INVALID,
                       "the environment variable %.*s is not UTF-8",
                       n > 60 ? 60 : (int)n, kv);
    return at < json_array_size(env) ? json_array_set_new(env, at, text)
                                     : json_array_append_new(env, text);
}

static int env_from_file(json_t *env, const char *path, struct err *e)
{
    scoped_free char *text = NULL;
    size_t n;
    if (io_read_file(AT_FDCWD, path, ENV_FILE_MAX, &text, &n, e) != 0)
        return err_prefix(e, "--env-file");
    if (strlen(text) != n)
        return err_set(e, ERR_INVALID, "--env-file %.100s: has a NUL byte",
                       path);
    char *next = strncmp(text, "\xef\xbb\xbf", 3) == 0 ? text + 3 : text;
    while (next != NULL) {
        const char *line = strsep(&next, "\n");
        size_t len = strlen(line), name_len;
        if (len > 0 && line[len - 1] == '\r')
            ((char *)(uintptr_t)line)[len - 1] = '\0';
        if (value_env_line(&line, &name_len, e) != 0 ||
            (name_len > 0 && run_env_set(env, line, false, e) != 0))
            return err_prefix(e, "--env-file %.100s", path);
    }
    return 0;
}

int run_env_flags(json_t *env, const struct cli_list *files,
                  const struct cli_list *vars, struct err *e)
{
    for (size_t i = 0; i < files->n; i++) {
        if (env_from_file(env, files->v[i], e) != 0)
            return -1;
    }
    for (size_t i = 0; i < vars->n; i++) {
        const char *kv = vars->v[i];
        if (kv[0] == '=' || kv[0] == '\0')
            return err_set(e, ERR_INVALID,
                           "-e \"%.60s\": invalid environment variable", kv);
        if (run_env_set(env, kv, true, e) != 0)
            return -1;
    }
    return 0;
}
