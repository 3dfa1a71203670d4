#include "client/remote/upload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "client/image/image.h"
#include "client/remote/cancel.h"
#include "client/remote/jobs.h"
#include "client/remote/progress.h"

#define WIDTH          3
#define CANDIDATES_MAX 3 /* repositories to try a mount from, per blob */
#define SESSIONS_MAX   5

struct blob {
    char hex[ISTORE_HEX];
    uint64_t size;
    char from[CANDIDATES_MAX][256];
    size_t n_from;
};

struct push {
    struct remote *remote;
    struct istore *store;
    struct progress *progress;
    atomic_bool stop;
    struct blob *blobs;
    size_t n;
};

/* One blob on its way. */
struct session {
    struct push *p;
    struct remote *rm;
    const struct blob *b;
    size_t i;
    int fd;
    uint64_t have; /* bytes that the registry has */
    int tries;
    bool is_resumed;
    char location[4 * TRANSFER_VALUE_MAX]; /* "": none is open */
};

/* ---- sessions ------------------------------------------------------------*/

bool upload_parse_range(const char *range, uint64_t *have)
{
    const char *dash = strchr(range, '-');
    uint64_t first, last;
    if (dash == NULL ||
        !num_parse_u64((struct slice){range, (size_t)(dash - range)}, 0,
                       &first) ||
        !num_parse_u64(slice_of(dash + 1), INT64_MAX - 1, &last))
        return false;
    *have = last > 0 ? last + 1 : 0;
    return true;
}

static int keep_location(struct session *s, const struct transfer *t,
                         struct err *e)
{
    if (t->location[0] != '\0')
        memcpy(s->location, t->location, sizeof(s->location));
    if (s->location[0] == '\0')
        return err_set(e, ERR_PROTOCOL, "the registry gave no upload address");
    return 0;
}

static int open_session(struct session *s, struct err *e)
{
    struct transfer t = {
        .method = "POST", .path = "blobs/uploads/", .body_fd = -1};
    if (remote_do_again(s->rm, &t, e) != 0)
        return -1;
    s->have = 0;
    if (t.status != 202)
        return err_set(e, ERR_PROTOCOL, "the registry answers %ld to POST",
                       t.status);
    return keep_location(s, &t, e);
}

/* A session that nobody needs; if that fails, the registry expires it. */
static void cancel_session(struct session *s)
{
    struct transfer t = {
        .method = "DELETE", .path = s->location, .body_fd = -1};
    struct err quiet;
    (void)!remote_do(s->rm, &t, &quiet);
    s->location[0] = '\0';
}

static bool is_there(struct session *s)
{
    char path[128];
    struct transfer t = {.method = "HEAD", .path = path, .body_fd = -1};
    struct err quiet;
    (void)snprintf(path, sizeof(path), "blobs/sha256:%s", s->b->hex);
    return remote_do_again(s->rm, &t, &quiet) == 0;
}

static void on_sent(void *arg, uint64_t sent)
{
    struct session *s = arg;
    progress_move(s->p->progress, s->i, "Pushing", s->have + sent);
}

static int send_rest(struct session *s, struct transfer *t, struct err *e)
{
    *t = (struct transfer){.method = "PATCH",
                           .path = s->location,
                           .type = "application/octet-stream",
                           .body_fd = s->fd,
                           .body_from = s->have,
                           .body_len = s->b->size - s->have,
                           .has_range = s->have > 0,
                           .on_sent = on_sent,
                           .progress_arg = s};
    if (remote_do(s->rm, t, e) != 0)
        return -1;
    s->have = s->b->size;
    return keep_location(s, t, e);
}

static int finish(struct session *s, struct transfer *t, struct err *e)
{
    char url[sizeof(s->location) + 96];
    (void)snprintf(url, sizeof(url), "%s%cdigest=sha256%%3A%s", s->location,
                   strchr(s->location, '?') != NULL ? '&' : '?', s->b->hex);
    *t = (struct transfer){.method = "PUT", .path = url, .body_fd = -1};
    return remote_do(s->rm, t, e);
}

/* After a break: what does the registry have?  If it does not say: nothing. */
static void ask_status(struct session *s)
{
    struct transfer t = {.method = "GET", .path = s->location, .body_fd = -1};
    struct err quiet;
    if (remote_do_again(s->rm, &t, &quiet) != 0 ||
        !upload_parse_range(t.range, &s->have) || s->have > s->b->size ||
        keep_location(s, &t, &quiet) != 0)
        s->location[0] = '\0';
}

/*
 * A session that is gone or disagrees about what it has is begun anew; one
 * that broke goes on.
 */
static bool may_go_on(struct session *s, const struct transfer *t)
{
    if (t->fault == TRANSFER_OK && (t->status == 404 || t->status == 416 ||
                                    (t->status == 400 && s->is_resumed))) {
        s->location[0] = '\0';
        s->is_resumed = false;
        return ++s->tries < SESSIONS_MAX;
    }
    progress_move(s->p->progress, s->i, "Waiting to retry", s->have);
    if (!remote_wait(s->rm, t, &s->tries))
        return false;
    s->is_resumed = true;
    ask_status(s);
    return true;
}

static int upload(struct session *s, struct err *e)
{
    for (;;) {
        struct transfer t = {.fault = TRANSFER_FINAL};
        if (s->location[0] == '\0' && open_session(s, e) != 0)
            return -1;
        uint64_t before = s->have;
        int rc = s->have < s->b->size ? send_rest(s, &t, e) : 0;
        if (rc == 0) {
            rc = finish(s, &t, e);
            if (rc == 0)
                return 0;
            /* Only its answer may have been lost; curl may have sent it
             * twice, and the second time there was no session any more. */
            if ((t.fault == TRANSFER_BROKEN || t.status == 404) && is_there(s))
                return 0;
        }
        if (!may_go_on(s, &t))
            return -1;
        if (s->have > before)
            s->tries = 0;
    }
}

/* ---- one blob ------------------------------------------------------------*/

/* 1: mounted; 0: not, and perhaps a session is open. */
static int mount_from(struct session *s, const char *from, struct err *e)
{
    char path[512];
    struct transfer t = {.method = "POST", .path = path, .body_fd = -1};
    (void)snprintf(path, sizeof(path),
                   "blobs/uploads/?mount=sha256%%3A%s&from=%s", s->b->hex,
                   from);
    if (remote_do(s->rm, &t, e) != 0)
        return 0; /* 4xx: some registries say so; then it is sent */
    if (t.status == 201)
        return 1;
    s->have = 0;
    return keep_location(s, &t, e);
}

static int push_blob(struct session *s, char what[128], struct err *e)
{
    char path[128];
    struct transfer head = {.method = "HEAD", .path = path, .body_fd = -1};
    (void)snprintf(path, sizeof(path), "blobs/sha256:%s", s->b->hex);
    (void)snprintf(what, 128, "Layer already exists");
    if (remote_do_again(s->rm, &head, e) == 0)
        return 0;
    if (e->code != ERR_NOT_FOUND)
        return -1;
    for (size_t i = 0; i < s->b->n_from; i++) {
        if (s->location[0] != '\0')
            cancel_session(s);
        int rc = mount_from(s, s->b->from[i], e);
        (void)snprintf(what, 128, "Mounted from %.80s", s->b->from[i]);
        if (rc != 0)
            return rc > 0 ? 0 : -1;
    }
    (void)snprintf(what, 128, "Pushed");
    progress_move(s->p->progress, s->i, "Pushing", 0);
    return upload(s, e);
}

static int check_size(int fd, const struct blob *b, struct err *e)
{
    struct stat st;
    if (fstat(fd, &st) != 0 || (uint64_t)st.st_size != b->size)
        return err_set(e, ERR_DIGEST, "the blob in the store is damaged");
    return 0;
}

static int work(void *arg, void *mine, size_t i, struct err *e)
{
    struct push *p = arg;
    const struct blob *b = &p->blobs[i];
    char what[128];
    struct session *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return err_set(e, ERR_NO_MEMORY, "push: out of memory");
    scoped_fd fd = istore_blob_open(p->store, b->hex, e);
    *s = (struct session){.p = p, .rm = mine, .b = b, .i = i, .fd = fd};
    int rc = fd < 0 ? -1 : check_size(fd, b, e);
    if (rc == 0)
        rc = push_blob(s, what, e);
    free(s);
    if (rc != 0)
        return err_prefix(e, "blob sha256:%.12s", b->hex);
    progress_done(p->progress, i, what);
    return 0;
}

static int open_worker(void *arg, void **mine, struct err *e)
{
    struct push *p = arg;
    struct remote *rm;
    if (remote_clone(p->remote, &p->stop, &rm, e) != 0)
        return -1;
    *mine = rm;
    return 0;
}

static void close_worker(void *mine)
{
    remote_free(mine);
}

static void tick(void *arg)
{
    progress_draw(((struct push *)arg)->progress);
}

/* ---- where else they are -------------------------------------------------*/

static bool has_blob(const struct istore_image *img, const char *hex)
{
    for (size_t i = 0; i < img->n_layers; i++) {
        if (strcmp(img->blobs[i], hex) == 0)
            return true;
    }
    return strcmp(img->config, hex) == 0;
}

static void add_candidate(struct blob *b, const char *path)
{
    for (size_t i = 0; i < b->n_from; i++) {
        if (strcmp(b->from[i], path) == 0)
            return;
    }
    if (b->n_from < CANDIDATES_MAX)
        (void)snprintf(b->from[b->n_from++], sizeof(b->from[0]), "%s", path);
}

/*
 * Names of ours in the same registry that have a blob too: what was pulled
 * from there or pushed to there can be mounted.  (A name that was only given
 * here costs one request.)
 */
static void find_candidates(struct push *p, const struct reference *r)
{
    struct istore_image *list;
    size_t n;
    struct err quiet;
    if (istore_ref_list(p->store, &list, &n, &quiet) != 0)
        return;
    for (size_t i = 0; i < n; i++) {
        struct reference other;
        if (reference_parse(list[i].name, &other, &quiet) != 0 ||
            strcmp(other.domain, r->domain) != 0 ||
            strcmp(other.path, r->path) == 0)
            continue;
        for (size_t k = 0; k < p->n; k++) {
            if (!has_blob(&list[i], p->blobs[k].hex))
                continue;
            add_candidate(&p->blobs[k], other.path);
            remote_add_source(p->remote, other.path);
        }
    }
    istore_ref_list_free(list, n);
}

/* ---- all of them ---------------------------------------------------------*/

static int add_blob(struct push *p, const json_t *desc, struct err *e)
{
    struct blob *b = &p->blobs[p->n];
    int64_t size;
    if (image_descriptor(desc, b->hex, &size, e) != 0)
        return -1;
    b->size = (uint64_t)size;
    for (size_t i = 0; i < p->n; i++) {
        if (strcmp(p->blobs[i].hex, b->hex) == 0)
            return 0;
    }
    p->n++;
    return 0;
}

static int list_blobs(struct push *p, const json_t *manifest, struct err *e)
{
    const json_t *layer, *layers = json_object_get(manifest, "layers");
    size_t i;
    p->blobs = calloc(json_array_size(layers) + 1, sizeof(*p->blobs));
    if (p->blobs == NULL)
        return err_set(e, ERR_NO_MEMORY, "push: out of memory");
    json_array_foreach (layers, i, layer) {
        if (add_blob(p, layer, e) != 0)
            return -1;
    }
    return add_blob(p, json_object_get(manifest, "config"), e);
}

int upload_blobs(struct remote *rm, struct istore *s, const struct reference *r,
                 const json_t *manifest, bool is_quiet, struct err *e)
{
    struct push p = {.remote = rm, .store = s};
    struct jobs j = {.width = WIDTH,
                     .arg = &p,
                     .open = open_worker,
                     .close = close_worker,
                     .work = work,
                     .tick = tick,
                     .stop = &p.stop,
                     .cancel = cancel_flag()};
    int rc = list_blobs(&p, manifest, e);
    if (rc == 0)
        rc = progress_new(p.n, is_quiet, &p.progress, e);
    if (rc == 0) {
        for (size_t i = 0; i < p.n; i++)
            progress_name(p.progress, i, p.blobs[i].hex, p.blobs[i].size);
        find_candidates(&p, r);
        j.n = p.n;
        rc = jobs_run(&j, e);
        progress_clear(p.progress);
    }
    progress_free(p.progress);
    free(p.blobs);
    return rc;
}
