/* berth inspect, in docker's shape. */
#include "client/cmd/cmd.h"

#include <stdio.h>
#include <string.h>

#include "client/cli/cli.h"
#include "client/cli/template.h"
#include "client/cmd/inspect.h"
#include "client/runtime/container.h"
#include "client/store/store.h"

enum kind { KIND_ANY, KIND_CONTAINER, KIND_IMAGE };

static int parse_kind(const char *type, enum kind *out, struct err *e)
{
    *out = KIND_ANY;
    if (type == NULL || type[0] == '\0')
        return 0;
    if (strcmp(type, "container") != 0 && strcmp(type, "image") != 0)
        return err_set(e, ERR_INVALID,
                       "--type knows \"container\" and \"image\", not "
                       "\"%.60s\"",
                       type);
    *out = type[0] == 'c' ? KIND_CONTAINER : KIND_IMAGE;
    return 0;
}

/* A container first, then an image: docker's rule. */
static json_t *inspect_any(struct istore *s, const char *text, enum kind kind,
                           struct err *e)
{
    char id[ISTORE_HEX];
    if (kind != KIND_IMAGE) {
        if (ct_find(s, text, id, e) == 0)
            return inspect_container(s, id, e);
        if (e->code != ERR_NOT_FOUND || kind == KIND_CONTAINER)
            return NULL;
    }
    json_t *o = inspect_image(s, text, e);
    /* A name that no image can have may still be meant for a container. */
    if (o == NULL && kind == KIND_ANY &&
        (e->code == ERR_NOT_FOUND || e->code == ERR_INVALID))
        (void)err_set(e, ERR_NOT_FOUND, "no such container or image: %.150s",
                      text);
    return o;
}

static void print_all(const json_t *list, bool as_lines)
{
    size_t i;
    const json_t *o;
    if (!as_lines) {
        (void)json_dumpf(list, stdout, JSON_INDENT(4));
        (void)putchar('\n');
        return;
    }
    json_array_foreach (list, i, o) {
        (void)json_dumpf(o, stdout, JSON_COMPACT);
        (void)putchar('\n');
    }
}

int cmd_inspect(int argc, char **argv)
{
    static const char *format, *type;
    static const struct cli_flag f[] = {
        {"format", 'f', CLI_STR, &format, "FORMAT",
         "\"json\": one object per line; or as '{{.State.Pid}}'"},
        {"type", 0, CLI_STR, &type, "TYPE",
         "Only a \"container\" or an \"image\" of that name"}};
    const struct cli_verb v = {"inspect",
                               "[OPTIONS] NAME|ID [NAME|ID...]",
                               "Show all about containers or images, as JSON. "
                               "A container comes first\nwhere both have the "
                               "name.",
                               f,
                               array_len(f),
                               1,
                               -1,
                               false};
    struct err e;
    struct istore *s;
    enum kind kind;
    bool as_lines = false, has_template;
    char **args;
    int n, status;
    if (!cmd_begin(&v, argc, argv, &args, &n, &s, &status))
        return status;
    has_template = format != NULL && strstr(format, "{{") != NULL &&
                   strcmp(format, "{{json .}}") != 0;
    if ((!has_template && template_as_json(format, &as_lines, &e) != 0) ||
        parse_kind(type, &kind, &e) != 0) {
        istore_close(s);
        return cli_fail(1, &e);
    }
    json_t *list = json_array();
    for (int i = 0; i < n; i++) {
        json_t *o = inspect_any(s, args[i], kind, &e);
        if (o == NULL ||
            (has_template && template_print(format, o, stdout, &e) != 0)) {
            json_decref(o);
            status = cli_fail(1, &e);
        } else {
            (void)json_array_append_new(list, o);
        }
    }
    if (!has_template)
        print_all(list, as_lines);
    json_decref(list);
    istore_close(s);
    return status;
}
