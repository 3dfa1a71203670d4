/* images, tag, rmi: the verbs that only look at or change names. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/cli/amount.h"
#include "client/cli/cli.h"
#include "client/cli/table.h"
#include "client/cli/template.h"
#include "client/image/image.h"
#include "client/image_cmd/image_cmd.h"
#include "client/runtime/life.h"

#define SWEEP_WAIT_MS 5000

static int newest_first(const void *a, const void *b)
{
    const struct istore_image *x = a, *y = b;
    if (x->time != y->time)
        return x->time < y->time ? 1 : -1;
    return strcmp(x->name, y->name);
}

static int add_row(struct table *t, const struct istore_image *img,
                   bool no_trunc, struct err *e)
{
    struct reference r;
    char repo[REFERENCE_MAX], id[80], age[32], ago[40], size[32], digest[72];
    if (reference_parse(img->name, &r, e) != 0)
        return -1;
    reference_familiar(&r, repo);
    (void)snprintf(id, sizeof(id), "%s%.*s", no_trunc ? "sha256:" : "",
                   no_trunc ? 64 : 12, img->config);
    amount_format_age((int64_t)time(NULL) - img->time, age);
    (void)snprintf(ago, sizeof(ago), "%s ago", age);
    amount_format_size(img->size, size);
    (void)snprintf(digest, sizeof(digest), "sha256:%.64s", img->manifest);
    const char *cells[] = {repo,  r.tag[0] ? r.tag : "<none>", id, ago, size,
                           digest};
    return table_row(t, cells, e);
}

static void print_ids(const struct istore_image *list, size_t n, bool no_trunc)
{
    for (size_t i = 0; i < n; i++)
        printf("%s%.*s\n", no_trunc ? "sha256:" : "", no_trunc ? 64 : 12,
               list[i].config);
}

static int print_images(struct istore *s, bool as_json, bool quiet,
                        bool no_trunc, struct err *e)
{
    static const struct table_column cols[] = {
        {"REPOSITORY", "Repository"}, {"TAG", "Tag"},   {"IMAGE ID", "ID"},
        {"CREATED", "CreatedSince"},  {"SIZE", "Size"}, {NULL, "Digest"}};
    struct istore_image *list;
    size_t n;
    int rc = 0;
    if (istore_ref_list(s, &list, &n, e) != 0)
        return -1;
    if (n > 0)
        qsort(list, n, sizeof(*list), newest_first);
    struct table *t = table_new(cols, array_len(cols));
    if (t == NULL)
        rc = err_set(e, ERR_NO_MEMORY, "out of memory");
    for (size_t i = 0; i < n && rc == 0; i++)
        rc = add_row(t, &list[i], no_trunc, e);
    if (rc == 0 && quiet)
        print_ids(list, n, no_trunc);
    else if (rc == 0)
        table_print(t, as_json);
    table_free(t);
    istore_ref_list_free(list, n);
    return rc;
}

int cmd_images(int argc, char **argv)
{
    bool quiet = false, no_trunc = false, as_json = false;
    const char *format = NULL;
    const struct cli_flag flags[] = {
        {"format", 0, CLI_STR, &format, "FORMAT", "\"table\" or \"json\""},
        {"no-trunc", 0, CLI_BOOL, &no_trunc, NULL, "Show whole ids"},
        {"quiet", 'q', CLI_BOOL, &quiet, NULL, "Show only ids"},
    };
    const struct cli_verb v = {.name = "images",
                               .synopsis = "[OPTIONS]",
                               .help = "List images.",
                               .flags = flags,
                               .n_flags = array_len(flags)};
    struct istore *s = NULL;
    struct err e;
    char **args;
    int n;
    enum cli_result r = cli_parse(&v, argc, argv, &args, &n, &e);
    if (r != CLI_OK)
        return r == CLI_HELP ? 0 : cli_fail(125, &e);
    if (template_as_json(format, &as_json, &e) != 0 ||
        istore_open(NULL, &s, &e) != 0)
        return cli_fail(1, &e);
    int rc = print_images(s, as_json, quiet, no_trunc, &e);
    istore_close(s);
    return rc == 0 ? 0 : cli_fail(1, &e);
}

static int tag(struct istore *s, const char *from, const char *to,
               struct err *e)
{
    struct istore_image img;
    struct reference r, was;
    struct err quiet;
    if (reference_parse(to, &r, e) != 0)
        return -1;
    if (r.digest[0] != '\0')
        return err_set(e, ERR_INVALID, "a new name cannot have a digest");
    if (istore_resolve(s, from, &img, e) != 0)
        return -1;
    /* Another repository does not have it before a push. */
    if (reference_parse(img.name, &was, &quiet) != 0 ||
        !reference_same_repository(&was, &r))
        img.source[0] = '\0';
    reference_format(&r, img.name);
    int rc = istore_ref_write(s, &img, e);
    istore_image_free(&img);
    return rc;
}

int cmd_tag(int argc, char **argv)
{
    const struct cli_verb v = {.name = "tag",
                               .synopsis = "IMAGE NAME",
                               .help = "Give an image another name.",
                               .min_args = 2,
                               .max_args = 2};
    struct istore *s = NULL;
    struct err e;
    char **args;
    int n;
    enum cli_result r = cli_parse(&v, argc, argv, &args, &n, &e);
    if (r != CLI_OK)
        return r == CLI_HELP ? 0 : cli_fail(125, &e);
    if (istore_open(NULL, &s, &e) != 0)
        return cli_fail(1, &e);
    int rc = tag(s, args[0], args[1], &e);
    istore_close(s);
    return rc == 0 ? 0 : cli_fail(1, &e);
}

/* Is an image used by a container?  Its id is then in `id`. */
static bool is_used(struct istore *s, const char *config, char id[ISTORE_HEX])
{
    char(*ids)[ISTORE_HEX];
    size_t n;
    struct err quiet;
    bool used = false;
    if (istore_container_list(s, &ids, &n, &quiet) != 0)
        return false;
    for (size_t i = 0; i < n && !used; i++) {
        struct istore_image img;
        json_t *record = istore_container_read(s, ids[i], &quiet);
        if (record != NULL &&
            istore_container_image(record, &img, &quiet) == 0) {
            used = strcmp(img.config, config) == 0;
            memcpy(id, ids[i], ISTORE_HEX);
            istore_image_free(&img);
        }
        json_decref(record);
    }
    free(ids);
    return used;
}

/* Has the image a name besides this one?  Then nothing loses its last one. */
static bool has_other_name(struct istore *s, const struct istore_image *img)
{
    struct istore_image *list;
    struct err quiet;
    size_t n;
    bool has = false;
    if (istore_ref_list(s, &list, &n, &quiet) != 0)
        return false;
    for (size_t i = 0; i < n; i++)
        has = has || (strcmp(list[i].config, img->config) == 0 &&
                      strcmp(list[i].name, img->name) != 0);
    istore_ref_list_free(list, n);
    return has;
}

/* With the name as docker shows it. */
static void print_untagged(const char *name)
{
    struct reference r;
    struct err quiet;
    char repo[REFERENCE_MAX];
    if (reference_parse(name, &r, &quiet) != 0)
        return;
    reference_familiar(&r, repo);
    printf("Untagged: %s%s%s\n", repo, r.digest[0] ? "@" : ":",
           r.digest[0] ? r.digest : r.tag);
}

/* Was it found by a name of its own, and not by its id? */
static bool is_by_name(const char *text, const struct istore_image *img)
{
    struct reference r;
    struct err quiet;
    char name[REFERENCE_MAX];
    if (reference_parse(text, &r, &quiet) != 0)
        return false;
    reference_format(&r, name);
    return r.digest[0] != '\0' || strcmp(name, img->name) == 0;
}

static bool is_same_repository(const char *a, const char *b)
{
    struct reference one, other;
    struct err quiet;
    return reference_parse(a, &one, &quiet) == 0 &&
           reference_parse(b, &other, &quiet) == 0 &&
           reference_same_repository(&one, &other);
}

static int untag(struct istore *s, const char *name, struct err *e)
{
    if (istore_ref_remove(s, name, e) != 0)
        return -1;
    print_untagged(name);
    return 0;
}

/* An id stands for all names of the image; of several repositories, as
 * docker's, only with force. */
static int untag_all(struct istore *s, const char *text,
                     const struct istore_image *img, bool force, struct err *e)
{
    struct istore_image *list;
    size_t n;
    int rc = 0;
    if (istore_ref_list(s, &list, &n, e) != 0)
        return -1;
    for (size_t i = 0; i < n && rc == 0 && !force; i++) {
        if (strcmp(list[i].config, img->config) == 0 &&
            !is_same_repository(list[i].name, img->name))
            rc = err_set(e, ERR_BUSY,
                         "image %.100s has names in several repositories: "
                         "remove it by name, or use --force",
                         text);
    }
    for (size_t i = 0; i < n && rc == 0; i++) {
        if (strcmp(list[i].config, img->config) == 0)
            rc = untag(s, list[i].name, e);
    }
    istore_ref_list_free(list, n);
    return rc;
}

static int remove_one(struct istore *s, const char *text, bool force,
                      struct err *e)
{
    struct istore_image img;
    char id[ISTORE_HEX];
    if (istore_resolve(s, text, &img, e) != 0)
        return -1;
    bool by_name = is_by_name(text, &img);
    int rc;
    if (!force && !(by_name && has_other_name(s, &img)) &&
        is_used(s, img.config, id))
        rc = err_set(e, ERR_BUSY,
                     "image %.100s is used by container %.12s: remove that "
                     "first, or use --force",
                     text, id);
    else
        rc = by_name ? untag(s, img.name, e)
                     : untag_all(s, text, &img, force, e);
    istore_image_free(&img);
    return rc;
}

int cmd_rmi(int argc, char **argv)
{
    bool force = false;
    const struct cli_flag flags[] = {
        {"force", 'f', CLI_BOOL, &force, NULL,
         "Remove the name although a container uses the image"}};
    const struct cli_verb v = {.name = "rmi",
                               .synopsis = "[OPTIONS] IMAGE [IMAGE...]",
                               .help = "Remove images.",
                               .flags = flags,
                               .n_flags = array_len(flags),
                               .min_args = 1,
                               .max_args = -1};
    struct istore *s = NULL;
    struct err e;
    char **args;
    int n, status = 0;
    enum cli_result r = cli_parse(&v, argc, argv, &args, &n, &e);
    if (r != CLI_OK)
        return r == CLI_HELP ? 0 : cli_fail(125, &e);
    if (istore_open(NULL, &s, &e) != 0)
        return cli_fail(1, &e);
    /* What a killed `run --rm` left must not keep its image. */
    life_clean(s);
    for (int i = 0; i < n; i++) {
        if (remove_one(s, args[i], force, &e) != 0)
            status = cli_fail(1, &e);
    }
    if (istore_sweep(s, SWEEP_WAIT_MS, NULL, &e) != 0)
        status = cli_fail(1, &e);
    istore_close(s);
    return status;
}
