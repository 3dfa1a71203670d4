/* pull: manifest by tag or digest, its blobs, each byte checked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/json.h"
#include "client/cli.h"
#include "client/image/cmds.h"
#include "client/image/image.h"
#include "client/image/platform.h"
#include "client/image/remote.h"
#include "client/runtime/life.h"

#define INDEX_DEPTH   3
#define SWEEP_WAIT_MS 5000
#define ACCEPT                                                       \
    IMAGE_TYPE_MANIFEST ", " IMAGE_TYPE_INDEX ", " IMAGE_TYPE_DOCKER \
                        ", " IMAGE_TYPE_DOCKER_LIST

struct pull {
    struct remote *remote;
    struct istore_scratch *sc;
    struct platform platform;
    bool is_quiet, is_terminal;
};

/* ---- small bodies --------------------------------------------------------*/

struct text {
    char *p;
    size_t n, max;
};

static int on_text(void *arg, const void *data, size_t n, struct err *e)
{
    struct text *t = arg;
    if (n > t->max - t->n)
        return err_set(e, ERR_TOO_LARGE, "the answer is over %zu bytes",
                       t->max);
    char *more = realloc(t->p, t->n + n + 1);
    if (more == NULL)
        return err_set(e, ERR_NO_MEMORY, "pull: out of memory");
    t->p = more;
    memcpy(t->p + t->n, data, n);
    t->n += n;
    t->p[t->n] = '\0';
    return 0;
}

/* A manifest by tag or digest, stored as a blob; its text is the caller's. */
static int get_manifest(struct pull *p, const char *what, char hex[ISTORE_HEX],
                        struct text *t, struct err *e)
{
    char path[300], want[ISTORE_HEX];
    struct remote_call c = {.method = "GET",
                            .path = path,
                            .accept = ACCEPT,
                            .body_fd = -1,
                            .sink = on_text,
                            .sink_arg = t};
    t->max = IMAGE_MANIFEST_MAX;
    (void)snprintf(path, sizeof(path), "manifests/%s", what);
    if (remote_do(p->remote, &c, e) != 0)
        return err_prefix(e, "manifest %.100s", what);
    if (t->p == NULL)
        return err_set(e, ERR_PROTOCOL, "the registry sent an empty manifest");
    if (blob_put(p->sc, t->p, t->n, hex, e) != 0)
        return -1;
    if (image_digest_hex(what, want) && strcmp(want, hex) != 0)
        return err_set(e, ERR_DIGEST,
                       "the registry sent another manifest: sha256:%.12s", hex);
    return 0;
}

/* ---- blobs ---------------------------------------------------------------*/

struct download {
    struct blobw *w;
    const struct pull *p;
    const char *hex;
    int64_t got, size;
    int percent;
};

static void show(struct download *d)
{
    static const char bar[] =
        "==================================================";
    char got[32], size[32];
    int percent = d->size > 0 ? (int)(d->got * 100 / d->size) : 100;
    if (!d->p->is_terminal || percent == d->percent)
        return;
    d->percent = percent;
    cli_format_size((uint64_t)d->got, got);
    cli_format_size((uint64_t)d->size, size);
    (void)fprintf(stderr, "\r%.12s: Downloading [%-50.*s] %s/%s\033[K", d->hex,
                  percent / 2, bar, got, size);
}

static int on_blob(void *arg, const void *data, size_t n, struct err *e)
{
    struct download *d = arg;
    if ((int64_t)n > d->size - d->got)
        return err_set(e, ERR_DIGEST, "more bytes came than were promised");
    d->got += (int64_t)n;
    show(d);
    return blobw_write(d->w, data, n, e);
}

static void say(const struct pull *p, const char *hex, const char *what)
{
    if (!p->is_quiet)
        (void)fprintf(stderr, "%s%.12s: %s%s\n", p->is_terminal ? "\r" : "",
                      hex, what, p->is_terminal ? "\033[K" : "");
}

static int get_blob(struct pull *p, const json_t *desc, struct err *e)
{
    struct istore *s = istore_scratch_store(p->sc);
    char pin[1][ISTORE_HEX], got[ISTORE_HEX], path[128];
    struct download d = {.p = p, .percent = -1};
    if (image_descriptor(desc, pin[0], &d.size, e) != 0)
        return -1;
    d.hex = pin[0];
    if (istore_scratch_pin(p->sc, (const char(*)[ISTORE_HEX])pin, 1, e) != 0)
        return -1;
    scoped_fd busy = istore_digest_lock(s, d.hex, e);
    if (busy < 0)
        return -1;
    if (istore_has_blob(s, d.hex)) {
        say(p, d.hex, "Already exists");
        return 0;
    }
    struct remote_call c = {.method = "GET",
                            .path = path,
                            .body_fd = -1,
                            .sink = on_blob,
                            .sink_arg = &d};
    (void)snprintf(path, sizeof(path), "blobs/sha256:%s", d.hex);
    if (blobw_new(p->sc, &d.w, e) != 0)
        return -1;
    if (remote_do(p->remote, &c, e) != 0) {
        blobw_free(d.w);
        return err_prefix(e, "blob sha256:%.12s", d.hex);
    }
    if (blobw_finish(d.w, d.hex, d.size, got, e) != 0)
        return err_prefix(e, "blob sha256:%.12s", d.hex);
    say(p, d.hex, "Download complete");
    return 0;
}

/* ---- the image -----------------------------------------------------------*/

/* Walk from a tag or digest to an image manifest; *m is the caller's. */
static int find_manifest(struct pull *p, const char *what, char top[ISTORE_HEX],
                         char hex[ISTORE_HEX], json_t **m, struct err *e)
{
    char name[256];
    (void)snprintf(name, sizeof(name), "%s", what);
    for (int depth = 0; depth < INDEX_DEPTH; depth++) {
        struct text t = {.p = NULL};
        int rc = get_manifest(p, name, hex, &t, e);
        json_t *o = rc == 0 ? json_load_object(t.p, t.n, e) : NULL;
        free(t.p);
        if (o == NULL)
            return -1;
        if (depth == 0)
            memcpy(top, hex, ISTORE_HEX);
        if (json_object_get(o, "manifests") == NULL) {
            *m = o;
            return 0;
        }
        const json_t *entry = platform_choose(&p->platform, o, e);
        int64_t size;
        char child[ISTORE_HEX];
        rc = entry == NULL ? -1 : image_descriptor(entry, child, &size, e);
        json_decref(o);
        if (rc != 0)
            return -1;
        (void)snprintf(name, sizeof(name), "sha256:%s", child);
    }
    return err_set(e, ERR_INVALID, "indexes are nested too deeply");
}

static void on_layer(void *arg, size_t i, size_t n, const char *hex)
{
    const struct pull *p = arg;
    if (p->is_terminal && !p->is_quiet)
        (void)fprintf(stderr, "\r%.12s: Extracting (%zu of %zu)\033[K", hex,
                      i + 1, n);
}

static int pull_image(struct pull *p, const struct reference *r,
                      char top[ISTORE_HEX], struct err *e)
{
    char name[REFERENCE_MAX], hex[ISTORE_HEX];
    json_t *m = NULL;
    const char *what = r->digest[0] != '\0' ? r->digest : r->tag;
    size_t i;
    json_t *layer;
    if (find_manifest(p, what, top, hex, &m, e) != 0)
        return -1;
    int rc = get_blob(p, json_object_get(m, "config"), e);
    json_array_foreach (json_object_get(m, "layers"), i, layer) {
        if (rc == 0)
            rc = get_blob(p, layer, e);
    }
    json_decref(m);
    if (rc != 0)
        return -1;
    reference_format(r, name);
    rc = image_adopt(p->sc, hex, name, top, on_layer, p, e);
    if (p->is_terminal && !p->is_quiet)
        (void)fprintf(stderr, "\r\033[K");
    return rc;
}

static int pull(struct pull *p, const char *text, bool is_insecure,
                struct err *e)
{
    struct reference r;
    struct istore *s = NULL;
    struct err quiet;
    char top[ISTORE_HEX], name[REFERENCE_MAX];
    if (reference_parse(text, &r, e) != 0)
        return -1;
    if (geteuid() != 0)
        return err_set(e, ERR_DENIED, "pull needs root: try with sudo");
    reference_format(&r, name);
    int rc = istore_open(NULL, &s, e);
    if (rc == 0)
        rc = remote_new(&r, is_insecure, false, &p->remote, e);
    if (rc == 0)
        rc = istore_scratch_new(s, &p->sc, e);
    if (rc == 0)
        rc = pull_image(p, &r, top, e);
    istore_scratch_free(p->sc);
    remote_free(p->remote);
    /* What came is kept for another try, but not on a full disk. */
    if (rc != 0 && s != NULL && e->code == ERR_NO_SPACE)
        (void)!istore_sweep(s, SWEEP_WAIT_MS, NULL, &quiet);
    if (rc == 0) {
        life_clean(s);
        (void)!istore_sweep(s, SWEEP_WAIT_MS, NULL, &quiet);
        if (!p->is_quiet)
            (void)fprintf(stderr, "Digest: sha256:%s\n", top);
        printf("%s\n", name);
    }
    istore_close(s);
    return rc == 0 ? 0 : err_prefix(e, "pull %.100s", text);
}

int cmd_pull(int argc, char **argv)
{
    struct pull p = {.is_terminal = isatty(STDERR_FILENO) == 1};
    bool tls_verify = true;
    const char *platform = NULL;
    const struct cli_flag flags[] = {
        {"platform", 0, CLI_STR, &platform, "OS/ARCH[/VARIANT]",
         "Choose in an index (default: this machine's)"},
        {"quiet", 'q', CLI_BOOL, &p.is_quiet, NULL, "Print only the name"},
        {"tls-verify", 0, CLI_BOOL, &tls_verify, NULL,
         "Check certificates; =false also allows plain HTTP (default true)"},
    };
    const struct cli_verb v = {.name = "pull",
                               .synopsis = "[OPTIONS] IMAGE",
                               .help = "Download an image from a registry.",
                               .flags = flags,
                               .n_flags = array_len(flags),
                               .min_args = 1,
                               .max_args = 1};
    struct err e;
    char **args;
    int n;
    enum cli_result r = cli_parse(&v, argc, argv, &args, &n, &e);
    if (r != CLI_OK)
        return r == CLI_HELP ? 0 : cli_fail(125, &e);
    if (p.is_quiet)
        p.is_terminal = false;
    if (platform_parse(platform, &p.platform, &e) != 0 ||
        pull(&p, args[0], !tls_verify, &e) != 0)
        return cli_fail(1, &e);
    return 0;
}
