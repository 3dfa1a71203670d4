/* What the image tests share: a store of one's own, blobs, small images. */
#ifndef BERTH_TESTS_CLIENT_KIT_H
#define BERTH_TESTS_CLIENT_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/io.h"
#include "base/num.h"
#include "client/image/blobw.h"
#include "client/image/image.h"
#include "client/image/layer.h"
#include "client/store/store.h"

#define KIT_LAYERS_MAX 8

struct kit {
    char root[80];
    struct istore *store;
};

/* Can files in memory have xattrs of users, as overlay wants them?  Since
 * Linux 6.6. */
static inline bool kit_memory_has_xattrs(void)
{
    char path[] = "/dev/shm/berth-probe-XXXXXX";
    int fd = mkstemp(path);
    bool has = fd >= 0 && fsetxattr(fd, "user.probe", "y", 1, 0) == 0;
    if (fd >= 0) {
        (void)close(fd);
        (void)unlink(path);
    }
    return has;
}

/* A folder of its own; in memory when `in_memory`, for speed. */
static inline void kit_folder(struct kit *k, bool in_memory)
{
    bool shm = in_memory && access("/dev/shm", W_OK) == 0;
    (void)snprintf(k->root, sizeof(k->root), "%s/berth-image-XXXXXX",
                   shm ? "/dev/shm" : "/tmp");
    if (mkdtemp(k->root) == NULL)
        fail_msg("no folder %s", k->root);
}

static inline void kit_open(struct kit *k)
{
    struct err e;
    if (istore_open(k->root, &k->store, &e) != 0)
        fail_msg("open: %s", e.msg);
}

static inline void kit_close(struct kit *k)
{
    char *slash = strrchr(k->root, '/');
    istore_close(k->store);
    k->store = NULL;
    *slash = '\0';
    int top = open(k->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    io_remove_tree(top, slash + 1);
    (void)close(top);
}

static inline int kit_setup(void **state)
{
    struct kit *k = calloc(1, sizeof(*k));
    kit_folder(k, false);
    kit_open(k);
    *state = k;
    return 0;
}

static inline int kit_teardown(void **state)
{
    kit_close(*state);
    free(*state);
    return 0;
}

static inline struct istore_scratch *kit_scratch(struct kit *k)
{
    struct istore_scratch *sc;
    struct err e;
    if (istore_scratch_new(k->store, &sc, &e) != 0)
        fail_msg("scratch: %s", e.msg);
    return sc;
}

static inline void kit_hash(const char *text, char hex[ISTORE_HEX])
{
    unsigned char raw[HASH_MAX];
    assert_int_equal(hash_bytes(HASH_SHA256, text, strlen(text), raw), 0);
    num_hex(raw, 32, hex);
}

/* Does the file of the store exist? */
static inline bool kit_has(const struct kit *k, const char *rel)
{
    struct stat st;
    return fstatat(istore_dirfd(k->store), rel, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/*
 * The texts of an image whose layers are numbered: the blob of layer j is
 * "layer j", its diff id the hash of "diff j".
 */
static inline void kit_layer(int j, char text[32], char blob[ISTORE_HEX],
                             char diff[ISTORE_HEX])
{
    (void)snprintf(text, 32, "diff %d", j);
    kit_hash(text, diff);
    (void)snprintf(text, 32, "layer %d", j);
    kit_hash(text, blob);
}

struct kit_image {
    int layers[KIT_LAYERS_MAX];
    int n;
    char config[2048], manifest[4096];
    char config_hex[ISTORE_HEX], manifest_hex[ISTORE_HEX];
};

/* Fill the texts and digests from `layers`; `mark` makes the image differ. */
static inline void kit_image(struct kit_image *img, int mark)
{
    char text[32], blob[ISTORE_HEX], diff[ISTORE_HEX];
    char c[sizeof(img->config)], m[sizeof(img->manifest)];
    size_t cn = sizeof(c), mn = sizeof(m);
    int cl = snprintf(c, cn, "{\"mark\":%d,\"rootfs\":{\"diff_ids\":[", mark);
    for (int i = 0; i < img->n; i++) {
        kit_layer(img->layers[i], text, blob, diff);
        cl += snprintf(c + cl, cn - (size_t)cl, "%s\"sha256:%s\"", i ? "," : "",
                       diff);
    }
    (void)snprintf(c + cl, cn - (size_t)cl, "]}}");
    kit_hash(c, img->config_hex);
    int ml = snprintf(m, mn,
                      "{\"config\":{\"digest\":\"sha256:%s\",\"size\":%zu},"
                      "\"layers\":[",
                      img->config_hex, strlen(c));
    for (int i = 0; i < img->n; i++) {
        kit_layer(img->layers[i], text, blob, diff);
        ml += snprintf(m + ml, mn - (size_t)ml,
                       "%s{\"digest\":\"sha256:%s\",\"size\":%zu}",
                       i ? "," : "", blob, strlen(text));
    }
    (void)snprintf(m + ml, mn - (size_t)ml, "]}");
    kit_hash(m, img->manifest_hex);
    memcpy(img->config, c, cn);
    memcpy(img->manifest, m, mn);
}

#endif
