/* push: blobs that the registry lacks, then the manifest, byte for byte. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "client/cli/cli.h"
#include "client/image/image.h"
#include "client/image_cmd/image_cmd.h"
#include "client/remote/cancel.h"
#include "client/remote/remote.h"
#include "client/remote/upload.h"

struct push {
    struct remote *remote;
    struct istore *store;
    struct istore_scratch *scratch; /* its pins: an rmi may come meanwhile */
    bool is_quiet;
};

/* Pin first, then look: what is sent stays until the end. */
static int pin_image(struct push *p, const struct istore_image *img,
                     struct err *e)
{
    size_t n = 0;
    scoped_free char(*hex)[ISTORE_HEX] =
        calloc(img->n_layers + 2, sizeof(*hex));
    if (hex == NULL)
        return err_set(e, ERR_NO_MEMORY, "push: out of memory");
    memcpy(hex[n++], img->manifest, ISTORE_HEX);
    memcpy(hex[n++], img->config, ISTORE_HEX);
    for (size_t i = 0; i < img->n_layers; i++)
        memcpy(hex[n++], img->blobs[i], ISTORE_HEX);
    if (istore_scratch_new(p->store, &p->scratch, e) != 0 ||
        istore_scratch_pin(p->scratch, (const char(*)[ISTORE_HEX])hex, n, e) !=
            0)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (!istore_has_blob(p->store, hex[i]))
            return err_set(e, ERR_MISSING, "blob sha256:%.12s is gone", hex[i]);
    }
    return 0;
}

static int push_manifest(struct push *p, const char *hex, const json_t *m,
                         const char *text, size_t len,
                         const struct reference *r, struct err *e)
{
    char path[256];
    const char *type = json_member_string(m, "mediaType");
    (void)snprintf(path, sizeof(path), "manifests/%s", r->tag);
    struct transfer t = {.method = "PUT",
                         .path = path,
                         .type = type != NULL ? type : IMAGE_TYPE_MANIFEST,
                         .body = text,
                         .body_fd = -1,
                         .body_len = len};
    if (remote_do_again(p->remote, &t, e) != 0)
        return err_prefix(e, "manifest");
    if (t.digest[0] != '\0' && (strncmp(t.digest, "sha256:", 7) != 0 ||
                                strcmp(t.digest + 7, hex) != 0))
        return err_set(e, ERR_DIGEST,
                       "the registry took the manifest for another one");
    return 0;
}

static int push_image(struct push *p, const struct istore_image *img,
                      const struct reference *r, size_t *len, struct err *e)
{
    scoped_free char *text = NULL;
    if (istore_blob_read(p->store, img->manifest, IMAGE_MANIFEST_MAX, &text,
                         len, e) != 0)
        return -1;
    json_t *m = json_load_object(text, *len, e);
    if (m == NULL)
        return -1;
    int rc = upload_blobs(p->remote, p->store, r, m, p->is_quiet, e);
    if (rc == 0)
        rc = push_manifest(p, img->manifest, m, text, *len, r, e);
    json_decref(m);
    return rc;
}

/* What was pushed under its own name is what that name now stands for. */
static int note_source(struct push *p, struct istore_image *img,
                       const struct reference *r, struct err *e)
{
    char name[REFERENCE_MAX];
    struct istore_image now = {.name = ""};
    struct err gone;
    reference_format(r, name);
    if (strcmp(name, img->name) != 0 || strcmp(img->source, img->manifest) == 0)
        return 0;
    /* Removed or replaced meanwhile: then there is nothing to note. */
    bool is_same = istore_resolve(p->store, name, &now, &gone) == 0 &&
                   strcmp(now.name, name) == 0 &&
                   strcmp(now.manifest, img->manifest) == 0;
    istore_image_free(&now);
    if (!is_same)
        return 0;
    memcpy(img->source, img->manifest, ISTORE_HEX);
    return istore_ref_write(p->store, img, e);
}

static int push(struct push *p, const char *text, const char *to,
                const struct remote_options *o, struct err *e)
{
    struct reference r;
    size_t len = 0;
    struct istore_image img = {.name = ""};
    if (reference_parse(to, &r, e) != 0)
        return -1;
    if (r.digest[0] != '\0')
        return err_set(e, ERR_INVALID, "cannot push to a digest: name a tag");
    if (istore_open(NULL, &p->store, e) != 0)
        return -1;
    int rc = istore_resolve(p->store, text, &img, e);
    if (rc == 0)
        rc = pin_image(p, &img, e);
    if (rc == 0)
        rc = remote_new(&r, o, &p->remote, e);
    if (rc == 0)
        rc = push_image(p, &img, &r, &len, e);
    if (rc == 0)
        rc = note_source(p, &img, &r, e);
    if (rc == 0 && p->is_quiet)
        printf("sha256:%s\n", img.manifest);
    else if (rc == 0)
        printf("%s: digest: sha256:%s size: %zu\n", r.tag, img.manifest, len);
    istore_image_free(&img);
    remote_free(p->remote);
    istore_scratch_free(p->scratch);
    istore_close(p->store);
    return rc == 0 ? 0 : err_prefix(e, "push %.100s", to);
}

int cmd_push(int argc, char **argv)
{
    struct push p = {.is_quiet = false};
    struct remote_options o = {.is_push = true, .cancel = cancel_flag()};
    bool tls_verify = true;
    const struct cli_flag flags[] = {
        {"cert-dir", 0, CLI_STR, &o.cert_dir, "DIR",
         "Certificates, instead of those in /etc/containers/certs.d"},
        {"quiet", 'q', CLI_BOOL, &p.is_quiet, NULL, "Print only the digest"},
        {"tls-verify", 0, CLI_BOOL, &tls_verify, NULL,
         "Check certificates; =false also allows plain HTTP (default true)"},
    };
    const struct cli_verb v = {
        .name = "push",
        .synopsis = "[OPTIONS] IMAGE [NAME]",
        .help = "Upload an image to a registry, under NAME if it is given.",
        .flags = flags,
        .n_flags = array_len(flags),
        .min_args = 1,
        .max_args = 2};
    struct err e;
    char **args;
    int n;
    enum cli_result r = cli_parse(&v, argc, argv, &args, &n, &e);
    if (r != CLI_OK)
        return r == CLI_HELP ? 0 : cli_fail(125, &e);
    o.is_insecure = !tls_verify;
    cancel_catch();
    if (push(&p, args[0], n > 1 ? args[1] : args[0], &o, &e) != 0) {
        cancel_die();
        return cli_fail(1, &e);
    }
    return 0;
}
