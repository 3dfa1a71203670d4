/*
 * load: images from an archive.  All of it is read, checked and unpacked
 * before the first image gets its name, so that a bad archive changes
 * nothing.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/archive/load.h"
#include "client/cli/cli.h"
#include "client/image/image.h"
#include "client/image_cmd/image_cmd.h"

#define SWEEP_WAIT_MS 5000
/* Where images without a name are kept, by digest. */
#define UNNAMED "localhost/unnamed"

struct job {
    struct istore *store;
    struct load load;
    struct istore_image *images; /* [load.n] */
    bool is_terminal;
};

static void on_layer(void *arg, size_t i, size_t n, const char *hex)
{
    const struct job *j = arg;
    if (j->is_terminal)
        (void)fprintf(stderr, "\r%.12s: Extracting (%zu of %zu)\033[K", hex,
                      i + 1, n);
}

static int unpack_all(struct job *j, struct err *e)
{
    const struct load *l = &j->load;
    j->images = calloc(l->n + 1, sizeof(*j->images));
    if (j->images == NULL)
        return err_set(e, ERR_NO_MEMORY, "load: out of memory");
    for (size_t i = 0; i < l->n; i++) {
        size_t k = 0;
        while (strcmp(l->list[k].manifest, l->list[i].manifest) != 0)
            k++;
        int rc = k < i ? istore_image_copy(&j->images[k], &j->images[i], e)
                       : image_unpack(l->sc, l->list[i].manifest, on_layer, j,
                                      &j->images[i], e);
        if (rc != 0)
            return err_prefix(e, "image %.100s",
                              l->list[i].name[0] ? l->list[i].name
                                                 : l->list[i].manifest);
    }
    return 0;
}

/* Has some name, of the archive or of the store, this image already? */
static int is_named(struct job *j, const char *config, bool *out, struct err *e)
{
    struct istore_image *list;
    size_t n;
    if (istore_ref_list(j->store, &list, &n, e) != 0)
        return -1;
    *out = false;
    for (size_t i = 0; i < n; i++)
        *out = *out || strcmp(list[i].config, config) == 0;
    istore_ref_list_free(list, n);
    return 0;
}

static int name_one(struct job *j, size_t i, struct err *e)
{
    struct istore_image *img = &j->images[i];
    struct reference r;
    char repo[REFERENCE_MAX];
    bool is_known = false;
    if (j->load.list[i].name[0] == '\0') {
        if (is_named(j, img->config, &is_known, e) != 0)
            return -1;
        (void)snprintf(img->name, sizeof(img->name), UNNAMED "@sha256:%.64s",
                       img->manifest);
    } else {
        (void)snprintf(img->name, sizeof(img->name), "%s",
                       j->load.list[i].name);
    }
    if (!is_known && istore_ref_write(j->store, img, e) != 0)
        return -1;
    if (j->load.list[i].name[0] == '\0') {
        printf("Loaded image ID: sha256:%s\n", img->config);
        return 0;
    }
    if (reference_parse(img->name, &r, e) != 0)
        return -1;
    reference_familiar(&r, repo);
    printf("Loaded image: %s:%s\n", repo, r.tag);
    return 0;
}

/* Names first, then what has none: that may be one of the named. */
static int name_all(struct job *j, struct err *e)
{
    for (int with_name = 1; with_name >= 0; with_name--) {
        for (size_t i = 0; i < j->load.n; i++) {
            if ((j->load.list[i].name[0] != '\0') == (with_name == 1) &&
                name_one(j, i, e) != 0)
                return -1;
        }
    }
    return 0;
}

static int load(struct job *j, int fd, bool is_dir, struct err *e)
{
    struct load *l = &j->load;
    if (j->is_terminal)
        (void)fprintf(stderr, "Reading the archive ...\033[K");
    int rc = is_dir ? spool_read_dir(l->sc, fd, &l->spool, e)
                    : spool_read_tar(l->sc, fd, &l->spool, e);
    if (rc == 0)
        rc = load_plan(l, e);
    spool_free(l->spool);
    l->spool = NULL;
    if (rc == 0)
        rc = unpack_all(j, e);
    if (j->is_terminal)
        (void)fprintf(stderr, "\r\033[K");
    if (rc == 0 && l->n_skipped > 0)
        (void)fprintf(stderr,
                      "warning: %zu artifacts that are no images were "
                      "left out\n",
                      l->n_skipped);
    return rc == 0 ? name_all(j, e) : -1;
}

static int load_from(struct job *j, int fd, bool is_dir, struct err *e)
{
    struct err quiet;
    if (geteuid() != 0)
        return err_set(e, ERR_DENIED, "load needs root: try with sudo");
    if (istore_open(NULL, &j->store, e) != 0)
        return -1;
    int rc = istore_scratch_new(j->store, &j->load.sc, e);
    if (rc == 0)
        rc = load(j, fd, is_dir, e);
    for (size_t i = 0; j->images != NULL && i < j->load.n; i++)
        istore_image_free(&j->images[i]);
    free(j->images);
    load_free(&j->load);
    istore_scratch_free(j->load.sc);
    /* Also after an error: what was kept has no name. */
    (void)!istore_sweep(j->store, SWEEP_WAIT_MS, NULL, &quiet);
    istore_close(j->store);
    return rc;
}

static int open_input(const char *path, bool *is_dir, struct err *e)
{
    struct stat st;
    *is_dir = false;
    if (path == NULL || strcmp(path, "-") == 0) {
        if (isatty(STDIN_FILENO) == 1)
            return err_set(e, ERR_INVALID,
                           "stdin is a terminal: give -i FILE, or send an "
                           "archive to stdin");
        int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
        return fd >= 0 ? fd : err_sys(e, errno, "stdin");
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        scope_close(&fd);
        return err_sys(e, errno, "open %.150s", path);
    }
    *is_dir = S_ISDIR(st.st_mode);
    return fd;
}

int cmd_load(int argc, char **argv)
{
    struct job j = {.store = NULL};
    const char *path = NULL, *platform = NULL;
    bool is_quiet = false, is_dir;
    const struct cli_flag flags[] = {
        {"input", 'i', CLI_STR, &path, "FILE",
         "File, or folder with an OCI layout, instead of stdin"},
        {"platform", 0, CLI_STR, &platform, "OS/ARCH[/VARIANT]",
         "Choose in an index (default: this machine's)"},
        {"quiet", 'q', CLI_BOOL, &is_quiet, NULL, "Show no progress"},
    };
    const struct cli_verb v = {
        .name = "load",
        .synopsis = "[OPTIONS]",
        .help = "Load images from an archive (OCI layout or docker's; plain, "
                "gzip or zstd),\nas save, \"docker save\", \"podman save\" "
                "and skopeo write it.",
        .flags = flags,
        .n_flags = array_len(flags)};
    struct err e = {.msg = "out of memory"};
    char **args;
    int n;
    enum cli_result r = cli_parse(&v, argc, argv, &args, &n, &e);
    if (r != CLI_OK)
        return r == CLI_HELP ? 0 : cli_fail(125, &e);
    j.is_terminal = !is_quiet && isatty(STDERR_FILENO) == 1;
    if (platform_parse(platform, &j.load.platform, &e) != 0)
        return cli_fail(1, &e);
    scoped_fd fd = open_input(path, &is_dir, &e);
    if (fd >= 0 && load_from(&j, fd, is_dir, &e) == 0)
        return 0;
    (void)err_prefix(&e, "load%s%.100s", path != NULL ? " " : "",
                     path != NULL ? path : "");
    return cli_fail(1, &e);
}
