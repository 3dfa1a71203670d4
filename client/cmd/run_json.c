#include "client/cmd/run_json.h"

int run_put(json_t *o, const char *key, json_t *v, struct err *e)
{
    if (v != NULL && json_object_set_new(o, key, v) == 0)
        return 0;
    return err_set(e, ERR_INVALID, "the value of \"%.60s\" is not UTF-8", key);
}

int run_append(json_t *a, const char *flag, const char *text, struct err *e)
{
    if (json_array_append_new(a, json_string(text)) == 0)
        return 0;
    return err_set(e, ERR_INVALID, "a value of %s is not UTF-8", flag);
}

json_t *run_list(const char *flag, const struct cli_list *l, struct err *e)
{
    json_t *a = json_array();
    for (size_t i = 0; i < l->n; i++) {
        if (run_append(a, flag, l->v[i], e) != 0) {
            json_decref(a);
            return NULL;
        }
    }
    return a;
}
