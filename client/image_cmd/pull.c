/* pull: manifest by tag or digest, its blobs, each byte checked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "client/cli/cli.h"
#include "client/image/blobw.h"
#include "client/image/image.h"
#include "client/image_cmd/image_cmd.h"
#include "client/remote/cancel.h"
#include "client/remote/fetch.h"
#include "client/remote/remote.h"
#include "client/runtime/life.h"
#include "client/store/platform.h"

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

/* A manifest by tag or digest, stored as a blob; its text is the caller's. */
static int get_manifest(struct pull *p, const char *what, char hex[ISTORE_HEX],
                        char **text, size_t *len, struct err *e)
{
    char path[300], want[ISTORE_HEX];
    (void)snprintf(path, sizeof(path), "manifests/%s", what);
    if (remote_get(p->remote, path, ACCEPT, IMAGE_MANIFEST_MAX, text, len, e) !=
        0)
        return err_prefix(e, "manifest %.100s", what);
    if (blobw_put(p->sc, *text, *len, hex, e) != 0)
        return -1;
    if (image_digest_hex(what, want) && strcmp(want, hex) != 0)
        return err_set(e, ERR_DIGEST,
                       "the registry sent another manifest: sha256:%.12s", hex);
    return 0;
}

/* Walk from a tag or digest to an image manifest; *m is the caller's. */
static int find_manifest(struct pull *p, const char *what, char top[ISTORE_HEX],
                         char hex[ISTORE_HEX], json_t **m, struct err *e)
{
    char name[256];
    (void)snprintf(name, sizeof(name), "%s", what);
    for (int depth = 0; depth < INDEX_DEPTH; depth++) {
        scoped_free char *text = NULL;
        size_t len;
        int rc = get_manifest(p, name, hex, &text, &len, e);
        json_t *o = rc == 0 ? json_load_object(text, len, e) : NULL;
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
    if (find_manifest(p, what, top, hex, &m, e) != 0)
        return -1;
    int rc = fetch_blobs(p->remote, p->sc, m, p->is_quiet, e);
    json_decref(m);
    /* Unpacking is done by a child: signals reach it, and end both. */
    cancel_release();
    if (rc == 0 && atomic_load(cancel_flag()))
        rc = err_set(e, ERR_CANCELLED, "interrupted");
    if (rc != 0)
        return -1;
    reference_format(r, name);
    rc = image_adopt(p->sc, hex, name, top, on_layer, p, e);
    if (p->is_terminal && !p->is_quiet)
        (void)fprintf(stderr, "\r\033[K");
    return rc;
}

static int pull(struct pull *p, const char *text,
                const struct remote_options *o, struct err *e)
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
    cancel_catch();
    if (rc == 0)
        rc = remote_new(&r, o, &p->remote, e);
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
    struct remote_options o = {.cancel = cancel_flag()};
    bool tls_verify = true;
    const char *platform = NULL;
    const struct cli_flag flags[] = {
        {"cert-dir", 0, CLI_STR, &o.cert_dir, "DIR",
         "Certificates, instead of those in /etc/containers/certs.d"},
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
    o.is_insecure = !tls_verify;
    if (platform_parse(platform, &p.platform, &e) != 0 ||
        pull(&p, args[0], &o, &e) != 0) {
        cancel_die();
        return cli_fail(1, &e);
    }
    return 0;
}
