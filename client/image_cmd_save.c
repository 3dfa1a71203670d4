/*
 * save: images as an archive.  One tar is an OCI layout and has docker's
 * manifest.json beside it, so that everybody's load takes it; the bytes of
 * manifest, config and layers are those of the store, hence the digests too.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "client/cli.h"
#include "client/image/cmds.h"
#include "client/image/image.h"
#include "client/image/layout.h"

#define LAYOUT_TEXT "{\"imageLayoutVersion\":\"1.0.0\"}"

/* An image that goes out, by one of its names. */
struct item {
    struct istore_image img;
    bool has_name; /* img.name was asked for, not an id or a digest */
};

struct save {
    struct istore *store;
    struct istore_scratch *sc;
    struct item *list;
    size_t n;
    char (*blobs)[ISTORE_HEX]; /* all that goes out, sorted, each once */
    size_t n_blobs;
    bool is_dir;
};

/* ---- what goes out -------------------------------------------------------*/

/* Does text say the very name that was found? */
static bool is_its_name(const char *text, const char *name)
{
    struct reference r;
    struct err quiet;
    char full[REFERENCE_MAX];
    if (reference_parse(text, &r, &quiet) != 0 || r.digest[0] != '\0')
        return false;
    reference_format(&r, full);
    return strcmp(full, name) == 0;
}

/* Is the image known already, under that name or, without one, at all? */
static bool is_known(const struct save *s, const struct item *x)
{
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->list[i].img.manifest, x->img.manifest) == 0 &&
            (!x->has_name || (s->list[i].has_name &&
                              strcmp(s->list[i].img.name, x->img.name) == 0)))
            return true;
    }
    return false;
}

static int add_blob(struct save *s, const char *hex, struct err *e)
{
    char(*more)[ISTORE_HEX] =
        realloc(s->blobs, (s->n_blobs + 1) * sizeof(*more));
    if (more == NULL)
        return err_set(e, ERR_NO_MEMORY, "save: out of memory");
    s->blobs = more;
    memcpy(more[s->n_blobs++], hex, ISTORE_HEX);
    return 0;
}

static int add_image(struct save *s, const char *text, struct err *e)
{
    struct item x = {.has_name = false};
    if (istore_resolve(s->store, text, &x.img, e) != 0)
        return -1;
    x.has_name = is_its_name(text, x.img.name);
    if (is_known(s, &x)) {
        istore_image_free(&x.img);
        return 0;
    }
    struct item *list = realloc(s->list, (s->n + 1) * sizeof(*list));
    if (list == NULL) {
        istore_image_free(&x.img);
        return err_set(e, ERR_NO_MEMORY, "save: out of memory");
    }
    s->list = list;
    list[s->n++] = x;
    int rc = add_blob(s, x.img.manifest, e);
    if (rc == 0)
        rc = add_blob(s, x.img.config, e);
    for (size_t i = 0; i < x.img.n_layers && rc == 0; i++)
        rc = add_blob(s, x.img.blobs[i], e);
    return rc;
}

static int compare_hex(const void *a, const void *b)
{
    return memcmp(a, b, ISTORE_HEX);
}

/* Pin first, then look; one order, whatever was asked in which order. */
static int collect(struct save *s, char **names, int n, struct err *e)
{
    for (int i = 0; i < n; i++) {
        if (add_image(s, names[i], e) != 0)
            return -1;
    }
    qsort(s->blobs, s->n_blobs, ISTORE_HEX, compare_hex);
    size_t k = 0;
    for (size_t i = 0; i < s->n_blobs; i++) {
        if (k == 0 || memcmp(s->blobs[k - 1], s->blobs[i], ISTORE_HEX) != 0)
            memmove(s->blobs[k++], s->blobs[i], ISTORE_HEX);
    }
    s->n_blobs = k;
    if (istore_scratch_pin(s->sc, (const char(*)[ISTORE_HEX])s->blobs,
                           s->n_blobs, e) != 0)
        return -1;
    for (size_t i = 0; i < s->n_blobs; i++) {
        if (!istore_has_blob(s->store, s->blobs[i]))
            return err_set(e, ERR_MISSING, "blob sha256:%.12s is gone",
                           s->blobs[i]);
    }
    return 0;
}

/* ---- index.json and manifest.json ----------------------------------------*/

static json_t *index_entry(struct save *s, const struct item *x, struct err *e)
{
    scoped_free char *text = NULL;
    size_t len;
    struct reference r;
    char digest[72];
    if (istore_blob_read(s->store, x->img.manifest, IMAGE_MANIFEST_MAX, &text,
                         &len, e) != 0)
        return NULL;
    json_t *m = json_load_object(text, len, e);
    if (m == NULL)
        return NULL;
    const char *type = json_member_string(m, "mediaType");
    (void)snprintf(digest, sizeof(digest), "sha256:%s", x->img.manifest);
    json_t *o = json_pack("{s:s, s:s, s:I}", "mediaType",
                          type != NULL ? type : IMAGE_TYPE_MANIFEST, "digest",
                          digest, "size", (json_int_t)len);
    json_decref(m);
    int rc = o == NULL ? err_set(e, ERR_NO_MEMORY, "save: out of memory") : 0;
    if (rc == 0 && x->has_name)
        rc = reference_parse(x->img.name, &r, e);
    if (rc == 0 && x->has_name)
        rc = json_object_set_new(
            o, "annotations",
            json_pack("{s:s, s:s}", "io.containerd.image.name", x->img.name,
                      "org.opencontainers.image.ref.name", r.tag));
    if (rc == 0)
        return o;
    json_decref(o);
    return NULL;
}

static json_t *make_index(struct save *s, struct err *e)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->n; i++) {
        json_t *o = index_entry(s, &s->list[i], e);
        if (o == NULL) {
            json_decref(list);
            return NULL;
        }
        (void)json_array_append_new(list, o);
    }
    return json_pack("{s:i, s:s, s:o}", "schemaVersion", 2, "mediaType",
                     IMAGE_TYPE_INDEX, "manifests", list);
}

static json_t *blob_name(const char *hex)
{
    return json_sprintf("blobs/sha256/%s", hex);
}

/*
 * docker's item of the image list[at], with all its names.  Whole names, as
 * podman writes them: it takes "nginx:1" for a name of its own.
 */
static json_t *docker_item(const struct save *s, size_t at)
{
    const struct istore_image *img = &s->list[at].img;
    json_t *tags = json_array(), *layers = json_array();
    for (size_t i = at; i < s->n; i++) {
        if (s->list[i].has_name &&
            strcmp(s->list[i].img.manifest, img->manifest) == 0)
            (void)json_array_append_new(tags, json_string(s->list[i].img.name));
    }
    for (size_t i = 0; i < img->n_layers; i++)
        (void)json_array_append_new(layers, blob_name(img->blobs[i]));
    if (json_array_size(tags) == 0) {
        json_decref(tags);
        tags = json_null();
    }
    return json_pack("{s:o, s:o, s:o}", "Config", blob_name(img->config),
                     "RepoTags", tags, "Layers", layers);
}

static json_t *make_docker(const struct save *s)
{
    json_t *list = json_array();
    for (size_t i = 0; i < s->n; i++) {
        bool is_first = true;
        for (size_t k = 0; k < i; k++) {
            if (strcmp(s->list[k].img.manifest, s->list[i].img.manifest) == 0)
                is_first = false;
        }
        if (is_first)
            (void)json_array_append_new(list, docker_item(s, i));
    }
    return list;
}

/* ---- writing -------------------------------------------------------------*/

/* Owns: takes o. */
static int put_json(struct layout *l, const char *name, json_t *o,
                    struct err *e)
{
    scoped_free char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
    json_decref(o);
    if (text == NULL)
        return err_set(e, ERR_NO_MEMORY, "save: out of memory");
    return layout_bytes(l, name, text, strlen(text), e);
}

static int put_blobs(struct save *s, struct layout *l, struct err *e)
{
    for (size_t i = 0; i < s->n_blobs; i++) {
        scoped_fd fd = istore_blob_open(s->store, s->blobs[i], e);
        if (fd < 0 || layout_blob(l, s->blobs[i], fd, e) != 0)
            return -1;
    }
    return 0;
}

/* A folder gets its index last: it is no layout before. */
static int put_all(struct save *s, struct layout *l, struct err *e)
{
    json_t *index = make_index(s, e);
    if (index == NULL)
        return -1;
    int rc = layout_bytes(l, "oci-layout", LAYOUT_TEXT, strlen(LAYOUT_TEXT), e);
    if (rc == 0 && !s->is_dir) {
        rc = put_json(l, "index.json", json_incref(index), e);
        if (rc == 0)
            rc = put_json(l, "manifest.json", make_docker(s), e);
    }
    if (rc == 0)
        rc = layout_folder(l, "blobs", e);
    if (rc == 0)
        rc = layout_folder(l, "blobs/sha256", e);
    if (rc == 0)
        rc = put_blobs(s, l, e);
    if (rc == 0 && s->is_dir)
        rc = put_json(l, "index.json", json_incref(index), e);
    json_decref(index);
    return rc == 0 ? layout_finish(l, e) : -1;
}

static int write_to(struct save *s, int fd, struct err *e)
{
    struct layout *l;
    if ((s->is_dir ? layout_to_dir(fd, &l, e) : layout_to_tar(fd, &l, e)) != 0)
        return -1;
    int rc = put_all(s, l, e);
    layout_free(l);
    return rc;
}

static int write_dir(struct save *s, const char *path, struct err *e)
{
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return err_sys(e, errno, "make folder %.150s", path);
    scoped_fd fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int copy =
        fd >= 0 ? openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
    if (d == NULL) {
        scope_close(&copy);
        return err_sys(e, errno, "open folder %.150s", path);
    }
    bool is_empty = true;
    for (struct dirent *de; (de = readdir(d)) != NULL;) {
        if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0)
            is_empty = false;
    }
    (void)closedir(d);
    if (!is_empty)
        return err_set(e, ERR_EXISTS, "the folder %.150s is not empty", path);
    return write_to(s, fd, e);
}

/* A file has its name only when it is whole. */
static int write_file(struct save *s, const char *path, struct err *e)
{
    struct stat st;
    char part[PATH_MAX];
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
        scoped_fd fd = open(path, O_WRONLY | O_CLOEXEC);
        return fd >= 0 ? write_to(s, fd, e)
                       : err_sys(e, errno, "open %.150s", path);
    }
    int n = snprintf(part, sizeof(part), "%s.part-%d", path, (int)getpid());
    if (n < 0 || (size_t)n >= sizeof(part))
        return err_set(e, ERR_TOO_LARGE, "the name of the file is too long");
    scoped_fd fd = open(part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_sys(e, errno, "make %.150s", part);
    int rc = write_to(s, fd, e);
    if (rc == 0 && fdatasync(fd) != 0)
        rc = err_sys(e, errno, "sync %.150s", part);
    if (rc == 0 && rename(part, path) != 0)
        rc = err_sys(e, errno, "rename %.150s", part);
    if (rc != 0)
        (void)unlink(part);
    return rc;
}

static int save(struct save *s, const char *path, char **names, int n,
                struct err *e)
{
    if (istore_open(NULL, &s->store, e) != 0)
        return -1;
    int rc = istore_scratch_new(s->store, &s->sc, e);
    if (rc == 0)
        rc = collect(s, names, n, e);
    if (rc == 0 && s->is_dir)
        rc = write_dir(s, path, e);
    else if (rc == 0)
        rc = path != NULL ? write_file(s, path, e)
                          : write_to(s, STDOUT_FILENO, e);
    for (size_t i = 0; i < s->n; i++)
        istore_image_free(&s->list[i].img);
    free(s->list);
    free(s->blobs);
    istore_scratch_free(s->sc);
    istore_close(s->store);
    return rc == 0 ? 0 : err_prefix(e, "save");
}

static int check_flags(struct save *s, const char *path, const char *format,
                       struct err *e)
{
    s->is_dir = strcmp(format, "oci-dir") == 0;
    if (!s->is_dir && strcmp(format, "oci-archive") != 0 &&
        strcmp(format, "docker-archive") != 0)
        return err_set(e, ERR_UNSUPPORTED,
                       "--format knows oci-archive, docker-archive (the same "
                       "file is both) and oci-dir, not \"%.60s\"",
                       format);
    if (s->is_dir && path == NULL)
        return err_set(e, ERR_INVALID, "--format oci-dir needs -o FOLDER");
    if (path == NULL && isatty(STDOUT_FILENO) == 1)
        return err_set(e, ERR_INVALID,
                       "an archive is nothing for a terminal: give -o FILE, "
                       "or send stdout to a file or pipe");
    return 0;
}

int cmd_save(int argc, char **argv)
{
    struct save s = {.store = NULL};
    const char *path = NULL, *format = "oci-archive";
    const struct cli_flag flags[] = {
        {"format", 0, CLI_STR, &format, "FORMAT",
         "oci-archive (default; docker and podman load it too) or oci-dir"},
        {"output", 'o', CLI_STR, &path, "FILE",
         "Write there instead of to stdout"},
    };
    const struct cli_verb v = {
        .name = "save",
        .synopsis = "[OPTIONS] IMAGE [IMAGE...]",
        .help = "Write images to an archive: a tar that berth, docker, podman, "
                "skopeo and\ncontainerd load, with the digests that the "
                "images have here.",
        .flags = flags,
        .n_flags = array_len(flags),
        .min_args = 1,
        .max_args = -1};
    struct err e = {.msg = "out of memory"};
    char **args;
    int n;
    enum cli_result r = cli_parse(&v, argc, argv, &args, &n, &e);
    if (r != CLI_OK)
        return r == CLI_HELP ? 0 : cli_fail(125, &e);
    if (check_flags(&s, path, format, &e) != 0 ||
        save(&s, path, args, n, &e) != 0)
        return cli_fail(1, &e);
    return 0;
}
