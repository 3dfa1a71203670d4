/* Inside the store: its struct, the lock, JSON files. */
#ifndef BERTH_CLIENT_STORE_STORE_INT_H
#define BERTH_CLIENT_STORE_STORE_INT_H

#include "client/store/store.h"

#define ISTORE_JSON_MAX (4U << 20)
#define ISTORE_NEW      "new-" /* begins the name of a container in the making */

struct istore {
    int dir;
    char path[PATH_MAX - 256];
};

struct istore_scratch {
    struct istore *store;
    int dir;
    int lock; /* held exclusively: the life sign */
    char name[17];
    char path[PATH_MAX];
    char *pins; /* the text of the file so far */
    size_t pins_len;
};

/* Take the store's lock; returns a descriptor whose close releases it. */
must_check int istore_lock_shared(struct istore *s, struct err *e);
/* As above, exclusive; ERR_BUSY when it stays taken for wait_ms. */
must_check int istore_lock_exclusive(struct istore *s, unsigned wait_ms,
                                     struct err *e);
bool istore_is_hex(const char *text);
/* Is everything that img names here?  Call under the lock. */
must_check int istore_image_check(struct istore *s,
                                  const struct istore_image *img,
                                  struct err *e);
json_t *istore_image_to_json(const struct istore_image *img);
must_check int istore_image_from_json(const json_t *o, struct istore_image *img,
                                      struct err *e);
must_check json_t *istore_read_json(int dirfd, const char *path, struct err *e);
must_check int istore_write_json(int dirfd, const char *path, const json_t *o,
                                 struct err *e);

#endif
