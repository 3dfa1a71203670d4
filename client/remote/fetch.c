#include "client/remote/fetch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/image/blobw.h"
#include "client/image/image.h"
#include "client/remote/cancel.h"
#include "client/remote/jobs.h"
#include "client/remote/progress.h"
#include "client/store/space.h"

#define WIDTH       3
#define RESUMES_MAX 100
/* So much between two breaks is progress: the waits begin anew. */
#define STEP_BYTES 65536
#define BUSY_MS    100

struct blob {
    char hex[ISTORE_HEX];
    int64_t size;
    struct blobw *w; /* whole, for done(), or what came before an error */
    int busy;        /* the flock of its digest, or -1 */
    bool is_here;
};

struct fetch {
    struct remote *remote;
    struct istore_scratch *sc;
    struct progress *progress;
    atomic_bool stop;
    struct blob *blobs;
    size_t n;
};

/* One attempt at one blob. */
struct attempt {
    struct fetch *f;
    struct blob *b;
    size_t i;
    struct transfer *t;
    bool has_begun;
};

/* ---- one blob ------------------------------------------------------------*/

bool fetch_is_rest(const char *content_range, uint64_t from, uint64_t size)
{
    char want[128];
    (void)snprintf(want, sizeof(want), "bytes %llu-%llu/%llu",
                   (unsigned long long)from, (unsigned long long)(size - 1),
                   (unsigned long long)size);
    return strcmp(content_range, want) == 0;
}

/* Before the first byte: is this what was asked for? */
static int begin(struct attempt *a, struct err *e)
{
    const struct transfer *t = a->t;
    uint64_t size = (uint64_t)a->b->size, from = t->from;
    a->has_begun = true;
    if (from > 0 && t->status == 200) {
        /* The whole blob again: the registry cannot do parts. */
        if (blobw_reset(a->b->w, e) != 0)
            return -1;
        from = 0;
    } else if (from > 0 ? t->status != 206 ||
                              !fetch_is_rest(t->content_range, from, size)
                        : t->status != 200) {
        return err_set(e, ERR_PROTOCOL,
                       "the registry sent another part than was asked for");
    }
    if (t->length >= 0 && (uint64_t)t->length != size - from)
        return err_set(e, ERR_DIGEST,
                       "the registry has %lld bytes, the manifest says %llu",
                       (long long)t->length, (unsigned long long)(size - from));
    return 0;
}

static int on_blob(void *arg, const void *data, size_t n, struct err *e)
{
    struct attempt *a = arg;
    if (!a->has_begun && begin(a, e) != 0)
        return -1;
    if ((int64_t)n > a->b->size - blobw_size(a->b->w))
        return err_set(e, ERR_DIGEST, "more bytes came than were promised");
    if (blobw_write(a->b->w, data, n, e) != 0)
        return -1;
    progress_move(a->f->progress, a->i, "Downloading",
                  (uint64_t)blobw_size(a->b->w));
    return 0;
}

/* A strong ETag of an earlier answer, to be sure it is still that blob. */
static void keep_etag(const struct transfer *t, char *etag, size_t size)
{
    size_t n = strlen(t->etag);
    if (t->etag[0] == '"' && n < size)
        memcpy(etag, t->etag, n + 1);
}

static int download(struct fetch *f, struct remote *rm, size_t i, struct err *e)
{
    struct blob *b = &f->blobs[i];
    char path[128], etag[256] = "";
    int tries = 0;
    (void)snprintf(path, sizeof(path), "blobs/sha256:%s", b->hex);
    for (int resumes = 0; resumes < RESUMES_MAX; resumes++) {
        int64_t before = blobw_size(b->w);
        struct transfer t = {.method = "GET",
                             .path = path,
                             .body_fd = -1,
                             .from = (uint64_t)before,
                             .if_range = etag[0] != '\0' ? etag : NULL,
                             .sink = on_blob};
        struct attempt a = {.f = f, .b = b, .i = i, .t = &t};
        t.sink_arg = &a;
        if (before > 0 && before == b->size)
            return 0;
        if (remote_do(rm, &t, e) == 0)
            return 0;
        keep_etag(&t, etag, sizeof(etag));
        if (t.status == 416 && before > 0) {
            if (blobw_reset(b->w, e) != 0)
                return -1;
            etag[0] = '\0';
            continue;
        }
        if (blobw_size(b->w) - before >= STEP_BYTES)
            tries = 0;
        progress_move(f->progress, i, "Waiting to retry",
                      (uint64_t)blobw_size(b->w));
        if (!remote_wait(rm, &t, &tries))
            return -1;
    }
    return -1;
}

/* Another command may be at the same blob: then it is here when that ends. */
static int take_lock(struct fetch *f, struct blob *b, size_t i, struct err *e)
{
    struct istore *s = istore_scratch_store(f->sc);
    const struct timespec pause = {0, BUSY_MS * 1000000L};
    while ((b->busy = istore_digest_try(s, b->hex, e)) < 0) {
        if (e->code != ERR_BUSY)
            return -1;
        if (atomic_load(&f->stop))
            return err_set(e, ERR_CANCELLED, "interrupted");
        progress_move(f->progress, i, "Waiting", 0);
        (void)nanosleep(&pause, NULL);
    }
    return 0;
}

/* ---- jobs ----------------------------------------------------------------*/

static int open_worker(void *arg, void **mine, struct err *e)
{
    struct fetch *f = arg;
    struct remote *rm;
    if (remote_clone(f->remote, &f->stop, &rm, e) != 0)
        return -1;
    *mine = rm;
    return 0;
}

static void close_worker(void *mine)
{
    remote_free(mine);
}

static int work(void *arg, void *mine, size_t i, struct err *e)
{
    struct fetch *f = arg;
    struct blob *b = &f->blobs[i];
    if (take_lock(f, b, i, e) != 0)
        return -1;
    b->is_here = istore_has_blob(istore_scratch_store(f->sc), b->hex);
    if (b->is_here)
        return 0;
    progress_move(f->progress, i, "Downloading", 0);
    if (blobw_new(f->sc, &b->w, e) != 0)
        return -1;
    if (download(f, mine, i, e) != 0 || blobw_sync(b->w, e) != 0)
        return err_prefix(e, "blob sha256:%.12s", b->hex);
    return 0;
}

static int done(void *arg, size_t i, struct err *e)
{
    struct fetch *f = arg;
    struct blob *b = &f->blobs[i];
    char hex[ISTORE_HEX];
    if (!b->is_here &&
        blobw_finish(take_ptr(b->w), b->hex, b->size, hex, e) != 0)
        return err_prefix(e, "blob sha256:%.12s", b->hex);
    scope_close(&b->busy);
    b->busy = -1;
    progress_done(f->progress, i,
                  b->is_here ? "Already exists" : "Download complete");
    return 0;
}

static void tick(void *arg)
{
    progress_draw(((struct fetch *)arg)->progress);
}

/* ---- all of them ---------------------------------------------------------*/

static bool is_listed(const struct fetch *f, const char *hex)
{
    for (size_t i = 0; i < f->n; i++) {
        if (strcmp(f->blobs[i].hex, hex) == 0)
            return true;
    }
    return false;
}

static int add_blob(struct fetch *f, const json_t *desc, int64_t max,
                    struct err *e)
{
    struct blob *b = &f->blobs[f->n];
    if (image_descriptor(desc, b->hex, &b->size, e) != 0)
        return -1;
    if (b->size > max)
        return err_set(e, ERR_TOO_LARGE, "the config of the image is too big");
    if (!is_listed(f, b->hex)) {
        b->busy = -1;
        f->n++;
    }
    return 0;
}

static int list_blobs(struct fetch *f, const json_t *manifest, struct err *e)
{
    const json_t *layer, *layers = json_object_get(manifest, "layers");
    size_t i, n = json_array_size(layers);
    if (n > IMAGE_LAYERS_MAX)
        return err_set(e, ERR_TOO_LARGE, "the image has over %d layers",
                       IMAGE_LAYERS_MAX);
    f->blobs = calloc(n + 1, sizeof(*f->blobs));
    if (f->blobs == NULL)
        return err_set(e, ERR_NO_MEMORY, "pull: out of memory");
    if (add_blob(f, json_object_get(manifest, "config"), IMAGE_CONFIG_MAX, e) !=
        0)
        return -1;
    json_array_foreach (layers, i, layer) {
        if (add_blob(f, layer, INT64_MAX, e) != 0)
            return -1;
    }
    return 0;
}

/* Pin first: what is found here afterwards stays. */
static int pin_blobs(struct fetch *f, struct err *e)
{
    char(*pins)[ISTORE_HEX] = calloc(f->n, sizeof(*pins));
    if (pins == NULL)
        return err_set(e, ERR_NO_MEMORY, "pull: out of memory");
    for (size_t i = 0; i < f->n; i++)
        memcpy(pins[i], f->blobs[i].hex, ISTORE_HEX);
    int rc =
        istore_scratch_pin(f->sc, (const char(*)[ISTORE_HEX])pins, f->n, e);
    free(pins);
    return rc;
}

/* Before the first byte comes, not after the last that fitted. */
static int check_space(const struct fetch *f, struct err *e)
{
    const struct istore_scratch *sc = f->sc;
    uint64_t need = 0;
    for (size_t i = 0; i < f->n; i++) {
        if (!istore_has_blob(istore_scratch_store(sc), f->blobs[i].hex))
            need = space_sum(need, (uint64_t)f->blobs[i].size);
    }
    return need > 0 ? space_check(istore_scratch_dirfd(sc), need, e) : 0;
}

static int run(struct fetch *f, bool is_quiet, struct err *e)
{
    struct jobs j = {.n = f->n,
                     .width = WIDTH,
                     .arg = f,
                     .open = open_worker,
                     .close = close_worker,
                     .work = work,
                     .done = done,
                     .tick = tick,
                     .stop = &f->stop,
                     .cancel = cancel_flag()};
    if (progress_new(f->n, is_quiet, &f->progress, e) != 0)
        return -1;
    for (size_t i = 0; i < f->n; i++)
        progress_name(f->progress, i, f->blobs[i].hex,
                      (uint64_t)f->blobs[i].size);
    int rc = jobs_run(&j, e);
    progress_clear(f->progress);
    return rc;
}

int fetch_blobs(struct remote *rm, struct istore_scratch *sc,
                const json_t *manifest, bool is_quiet, struct err *e)
{
    struct fetch f = {.remote = rm, .sc = sc};
    int rc = list_blobs(&f, manifest, e);
    if (rc == 0)
        rc = pin_blobs(&f, e);
    if (rc == 0)
        rc = check_space(&f, e);
    if (rc == 0)
        rc = run(&f, is_quiet, e);
    for (size_t i = 0; i < f.n; i++) {
        blobw_free(f.blobs[i].w);
        scope_close(&f.blobs[i].busy);
    }
    progress_free(f.progress);
    free(f.blobs);
    return rc;
}
