/*
 * Listings: tags, catalog, referrers, each a keyset page with a relative Link
 * to the next.  Spec: OCI distribution, end-8, end-12; _catalog is in use
 * since Docker's registry and in no specification.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "server/req.h"

enum { PAGE_DEFAULT = 1000, CATALOG_DEFAULT = 100, REFERRERS_PAGE = 200 };

struct listing {
    size_t n;
    const char *last;
    struct store_page page;
    bool has_repository;
    const char *types[16]; /* artifactType filters */
    size_t type_count;
    int64_t after;
    struct store_referrers referrers;
    char *text; /* the referrers as the answer says them */
};

/* Does the handler go on?  Sets r->state with n and last. */
static struct listing *begin(struct req *r, size_t fallback)
{
    struct listing *list = req_alloc(r, sizeof(*list));

    r->state = list;
    if (!list || req_page(r, fallback, &list->n, &list->last) < 0)
        return NULL;
    return list;
}

static json_t *page_names(const struct store_page *page)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < page->count; i++) {
        if (json_array_append_new(array, json_string(page->names[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

/*
 * The text of an answer, with a newline for who reads it in a terminal; takes
 * the body.  NULL: out of memory, or the body is.  Free it.
 */
static char *take_text(json_t *body)
{
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    size_t n = text ? strlen(text) : 0;
    char *line = text ? realloc(text, n + 2) : NULL;

    json_decref(body);
    if (line)
        memcpy(line + n, "\n", 2);
    else
        free(text);
    return line;
}

/* Link to the page after this one; path has no query yet. */
static void set_link(struct req *r, const char *path, const char *last,
                     size_t n)
{
    char link[1024];

    snprintf(link, sizeof(link), "<%s?n=%zu&last=", path, n);
    append_encoded(link, sizeof(link) - 32, last);
    http_setf(r->x, "Link", "%s>; rel=\"next\"", link);
}

/* ---- tags --------------------------------------------------------------- */

static void read_tags(struct req *r, struct store_reader *reader)
{
    struct listing *list = r->state;

    r->rc = store_has_repository(reader, r->name, &list->has_repository, &r->e);
    if (r->rc == 0 && list->n > 0)
        r->rc = store_tags(reader, r->name, list->last, list->n, &list->page,
                           &r->e);
}

static void after_tags(struct req *r)
{
    struct listing *list = r->state;
    char path[NAME_MAX_LEN + 32];
    char *text;

    if (r->rc < 0) {
        reply_failure(r, &r->e);
        return;
    }
    if (!list->has_repository) {
        store_page_free(&list->page);
        reply_error(r, OCI_NAME_UNKNOWN, "the repository is unknown");
        return;
    }
    if (list->page.has_more) {
        snprintf(path, sizeof(path), "/v2/%s/tags/list", r->name);
        set_link(r, path, list->page.names[list->page.count - 1], list->n);
    }
    text = take_text(json_pack("{s:s, s:o}", "name", r->name, "tags",
                               page_names(&list->page)));
    store_page_free(&list->page);
    reply_json(r, text);
}

void h_tags(struct req *r)
{
    if (begin(r, PAGE_DEFAULT))
        req_work(r, WORK_READ, read_tags, after_tags);
}

/* ---- catalog ------------------------------------------------------------ */

static void read_catalog(struct req *r, struct store_reader *reader)
{
    struct listing *list = r->state;

    r->rc = 0;
    if (list->n > 0)
        r->rc =
            store_repositories(reader, list->last, list->n, &list->page, &r->e);
}

static void after_catalog(struct req *r)
{
    struct listing *list = r->state;
    char *text;

    if (r->rc < 0) {
        reply_failure(r, &r->e);
        return;
    }
    if (list->page.has_more)
        set_link(r, "/v2/_catalog", list->page.names[list->page.count - 1],
                 list->n);
    text =
        take_text(json_pack("{s:o}", "repositories", page_names(&list->page)));
    store_page_free(&list->page);
    reply_json(r, text);
}

void h_catalog(struct req *r)
{
    if (begin(r, CATALOG_DEFAULT))
        req_work(r, WORK_READ, read_catalog, after_catalog);
}

/* ---- referrers ---------------------------------------------------------- */

static json_t *referrer_json(const struct store_referrer *one)
{
    char text[DIGEST_TEXT_MAX];
    json_t *notes =
        one->annotations ? json_loads(one->annotations, 0, NULL) : NULL;

    return json_pack(
        "{s:s, s:s, s:I, s:s*, s:o*}", "mediaType", one->media_type, "digest",
        digest_format(&one->digest, text), "size", (json_int_t)one->size,
        "artifactType", one->artifact_type, "annotations", notes);
}

static json_t *referrers_json(const struct store_referrers *list)
{
    json_t *array = json_array();

    for (size_t i = 0; array && i < list->count; i++) {
        if (json_array_append_new(array, referrer_json(&list->list[i])) < 0) {
            json_decref(array);
            return NULL;
        }
    }
    return json_pack("{s:i, s:s, s:o}", "schemaVersion", 2, "mediaType",
                     TYPE_OCI_INDEX, "manifests", array);
}

static void read_referrers(struct req *r, struct store_reader *reader)
{
    struct listing *list = r->state;

    r->rc = store_referrers(
        reader, r->name, &r->digest, list->type_count ? list->types : NULL,
        list->type_count, list->after, list->n, &list->referrers, &r->e);
    /* Here, since megabytes of annotations would keep the lane busy. */
    if (r->rc == 0)
        list->text = take_text(referrers_json(&list->referrers));
}

static void set_referrers_link(struct req *r, const struct listing *list)
{
    size_t size = 512, used;
    scoped_free char *link = NULL;

    for (size_t i = 0; i < list->type_count; i++)
        size += 3 * strlen(list->types[i]) + 32;
    link = malloc(size);
    if (!link) {
        http_close_after(r->x);
        return;
    }
    snprintf(link, size, "</v2/%s/referrers/%s?last=%lld", r->name, r->ref,
             (long long)list->referrers.list[list->referrers.count - 1].id);
    for (size_t i = 0; i < list->type_count; i++) {
        used = strlen(link);
        snprintf(link + used, size - used, "&artifactType=");
        append_encoded(link, size, list->types[i]);
    }
    http_setf(r->x, "Link", "%s>; rel=\"next\"", link);
}

static void after_referrers(struct req *r)
{
    struct listing *list = r->state;

    if (r->rc < 0) {
        reply_failure(r, &r->e);
        return;
    }
    if (!list->text) {
        store_referrers_free(&list->referrers);
        reply_error(r, OCI_UNAVAILABLE, "out of memory");
        return;
    }
    if (list->referrers.has_more)
        set_referrers_link(r, list);
    store_referrers_free(&list->referrers);
    if (list->type_count)
        http_set(r->x, "OCI-Filters-Applied", "artifactType");
    http_set(r->x, "Content-Type", TYPE_OCI_INDEX);
    http_reply_owned(r->x, 200, list->text, strlen(list->text));
}

/* Each type once; false: there are too many. */
static bool add_filter(struct listing *list, const char *type)
{
    for (size_t i = 0; i < list->type_count; i++) {
        if (strcmp(list->types[i], type) == 0)
            return true;
    }
    if (list->type_count == array_len(list->types))
        return false;
    list->types[list->type_count++] = type;
    return true;
}

/* artifactType may come several times; an empty one is no filter. */
static bool collect_filters(struct req *r, struct listing *list)
{
    struct http_param param;
    size_t pos = 0;
    uint64_t after;
    int rc;

    while ((rc = http_query_next(r->x, &pos, &param)) == 1) {
        if (slice_is(param.name, "artifactType") && param.value.n > 0 &&
            !add_filter(list, param.value.p)) {
            reply_error_as(r, 414, OCI_SIZE_INVALID, NULL,
                           "too many artifact types in one request");
            return false;
        }
        if (slice_is(param.name, "last") &&
            num_parse_u64(param.value, INT64_MAX, &after))
            list->after = (int64_t)after;
    }
    if (rc < 0)
        reply_error(r, OCI_DIGEST_INVALID, "malformed query");
    return rc == 0;
}

void h_referrers(struct req *r)
{
    struct listing *list = req_alloc(r, sizeof(*list));

    r->state = list;
    if (!list)
        return;
    list->n = REFERRERS_PAGE;
    switch (digest_parse(slice_of(r->ref), &r->digest)) {
    case DIGEST_MALFORMED:
        reply_error(r, OCI_DIGEST_INVALID, "the digest is malformed");
        return;
    case DIGEST_UNSUPPORTED: /* nothing can refer to it: an empty list */
        list->text = take_text(referrers_json(&list->referrers));
        after_referrers(r);
        return;
    case DIGEST_OK:
    default:
        if (collect_filters(r, list))
            req_work(r, WORK_READ, read_referrers, after_referrers);
    }
}
