/* push: blobs that the registry lacks, then the manifest, byte for byte. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json.h"
#include "client/cli.h"
#include "client/image/cmds.h"
#include "client/image/image.h"
#include "client/image/remote.h"

struct push {
    struct remote *remote;
    struct istore *store;
    bool is_quiet, is_terminal;
};

struct upload {
    const struct push *p;
    const char *hex;
    uint64_t size;
    int percent;
};

static void on_sent(void *arg, uint64_t sent)
{
    static const char bar[] =
        "==================================================";
    struct upload *u = arg;
    char got[32], size[32];
    int percent = u->size > 0 ? (int)(sent * 100 / u->size) : 100;
    if (!u->p->is_terminal || percent == u->percent)
        return;
    u->percent = percent;
    cli_format_size(sent, got);
    cli_format_size(u->size, size);
    (void)fprintf(stderr, "\r%.12s: Pushing [%-50.*s] %s/%s\033[K", u->hex,
                  percent / 2, bar, got, size);
}

static void say(const struct push *p, const char *hex, const char *what)
{
    if (!p->is_quiet)
        (void)fprintf(stderr, "%s%.12s: %s%s\n", p->is_terminal ? "\r" : "",
                      hex, what, p->is_terminal ? "\033[K" : "");
}

/* POST, PATCH with the bytes, PUT with the digest. */
static int upload(struct push *p, const char *hex, int fd, uint64_t size,
                  struct err *e)
{
    struct upload u = {.p = p, .hex = hex, .size = size, .percent = -1};
    char end[sizeof(((struct remote_call *)0)->location) + 96];
    struct remote_call post = {
        .method = "POST", .path = "blobs/uploads/", .body_fd = -1};
    if (remote_do(p->remote, &post, e) != 0)
        return -1;
    struct remote_call patch = {.method = "PATCH",
                                .path = post.location,
                                .type = "application/octet-stream",
                                .body_fd = fd,
                                .body_len = size,
                                .on_sent = on_sent,
                                .progress_arg = &u};
    if (post.location[0] == '\0')
        return err_set(e, ERR_PROTOCOL, "the registry gave no upload address");
    if (remote_do(p->remote, &patch, e) != 0)
        return -1;
    const char *where =
        patch.location[0] != '\0' ? patch.location : post.location;
    (void)snprintf(end, sizeof(end), "%s%cdigest=sha256%%3A%s", where,
                   strchr(where, '?') != NULL ? '&' : '?', hex);
    struct remote_call put = {.method = "PUT", .path = end, .body_fd = -1};
    return remote_do(p->remote, &put, e);
}

static int push_blob(struct push *p, const json_t *desc, struct err *e)
{
    char hex[ISTORE_HEX], path[128];
    int64_t size;
    struct err mine;
    if (image_descriptor(desc, hex, &size, e) != 0)
        return -1;
    (void)snprintf(path, sizeof(path), "blobs/sha256:%s", hex);
    struct remote_call head = {.method = "HEAD", .path = path, .body_fd = -1};
    if (remote_do(p->remote, &head, &mine) == 0) {
        say(p, hex, "Layer already exists");
        return 0;
    }
    if (mine.code != ERR_NOT_FOUND) {
        *e = mine;
        return err_prefix(e, "blob sha256:%.12s", hex);
    }
    scoped_fd fd = istore_blob_open(p->store, hex, e);
    if (fd < 0)
        return -1;
    if (upload(p, hex, fd, (uint64_t)size, e) != 0)
        return err_prefix(e, "blob sha256:%.12s", hex);
    say(p, hex, "Pushed");
    return 0;
}

static int push_manifest(struct push *p, const json_t *m, const char *text,
                         size_t len, const struct reference *r, struct err *e)
{
    char path[256];
    const char *type = json_member_string(m, "mediaType");
    (void)snprintf(path, sizeof(path), "manifests/%s", r->tag);
    struct remote_call c = {.method = "PUT",
                            .path = path,
                            .type = type != NULL ? type : IMAGE_TYPE_MANIFEST,
                            .body = text,
                            .body_fd = -1,
                            .body_len = len};
    if (remote_do(p->remote, &c, e) != 0)
        return err_prefix(e, "manifest");
    return 0;
}

static int push_image(struct push *p, const struct istore_image *img,
                      const struct reference *r, struct err *e)
{
    scoped_free char *text = NULL;
    size_t len, i;
    json_t *layer;
    if (istore_blob_read(p->store, img->manifest, IMAGE_MANIFEST_MAX, &text,
                         &len, e) != 0)
        return -1;
    json_t *m = json_load_object(text, len, e);
    if (m == NULL)
        return -1;
    int rc = 0;
    json_array_foreach (json_object_get(m, "layers"), i, layer) {
        if (rc == 0)
            rc = push_blob(p, layer, e);
    }
    if (rc == 0)
        rc = push_blob(p, json_object_get(m, "config"), e);
    if (rc == 0)
        rc = push_manifest(p, m, text, len, r, e);
    json_decref(m);
    return rc;
}

/* What was pushed under its own name is what that name now stands for. */
static int note_source(struct push *p, struct istore_image *img,
                       const struct reference *r, struct err *e)
{
    char name[REFERENCE_MAX];
    reference_format(r, name);
    if (strcmp(name, img->name) != 0 || strcmp(img->source, img->manifest) == 0)
        return 0;
    memcpy(img->source, img->manifest, ISTORE_HEX);
    return istore_ref_write(p->store, img, e);
}

static int push(struct push *p, const char *text, const char *to,
                bool is_insecure, struct err *e)
{
    struct reference r;
    struct istore_image img = {.name = ""};
    if (reference_parse(to, &r, e) != 0)
        return -1;
    if (r.digest[0] != '\0')
        return err_set(e, ERR_INVALID, "cannot push to a digest: name a tag");
    if (istore_open(NULL, &p->store, e) != 0)
        return -1;
    int rc = istore_resolve(p->store, text, &img, e);
    if (rc == 0)
        rc = remote_new(&r, is_insecure, true, &p->remote, e);
    if (rc == 0)
        rc = push_image(p, &img, &r, e);
    if (rc == 0)
        rc = note_source(p, &img, &r, e);
    if (rc == 0)
        printf("%s: digest: sha256:%s\n", r.tag, img.manifest);
    istore_image_free(&img);
    remote_free(p->remote);
    istore_close(p->store);
    return rc == 0 ? 0 : err_prefix(e, "push %.100s", to);
}

int cmd_push(int argc, char **argv)
{
    struct push p = {.is_terminal = isatty(STDERR_FILENO) == 1};
    bool tls_verify = true;
    const struct cli_flag flags[] = {
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
    if (p.is_quiet)
        p.is_terminal = false;
    if (push(&p, args[0], n > 1 ? args[1] : args[0], !tls_verify, &e) != 0)
        return cli_fail(1, &e);
    return 0;
}
