/* Containers' records and folders; what runs in them is not known here. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/io.h"
#include "client/store/store.h"
#include "client/store/store_int.h"

static int container_path(const char *id, const char *file,
                          char out[ISTORE_FILE_MAX], struct err *e)
{
    if (!istore_is_hex(id))
        return err_set(e, ERR_INVALID, "no container id: %.80s", id);
    (void)snprintf(out, ISTORE_FILE_MAX, "containers/%.64s%s", id, file);
    return 0;
}

/* upper is the root folder that the container sees: it hides that of the
 * layers, owner, mode and times included. */
static int make_upper(struct istore *s, int dir, const struct istore_image *img,
                      struct err *e)
{
    scoped_fd fd =
        openat(dir, "upper", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return err_sys(e, errno, "open a container's upper folder");
    if (img->n_layers > 0)
        return istore_root_inherit(s, img->layers[img->n_layers - 1], fd, true,
                                   e);
    if (fchmod(fd, 0755) != 0)
        return err_sys(e, errno, "chmod a container's upper folder");
    return 0;
}

/* The name that a container has in the making. */
static int new_path(const char *id, char out[ISTORE_FILE_MAX], struct err *e)
{
    if (!istore_is_hex(id))
        return err_set(e, ERR_INVALID, "no container id: %.80s", id);
    (void)snprintf(out, ISTORE_FILE_MAX, "containers/" ISTORE_NEW "%.64s", id);
    return 0;
}

/* dir: the folder under its temporary name. */
static int fill_folder(int dir, struct istore *s,
                       const struct istore_image *img, struct err *e)
{
    if (io_mkdir(dir, "upper", 0700, e) != 0 || make_upper(s, dir, img, e) != 0)
        return -1;
    return io_mkdir(dir, "work", 0700, e);
}

/* Without a sync: it is worth nothing after the machine has stopped. */
static int write_passing(int dir, const json_t *record, struct err *e)
{
    scoped_free char *text = json_dumps(record, JSON_COMPACT);
    scoped_fd fd = openat(dir, "record.json",
                          O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || text == NULL)
        return err_sys(e, errno, "write a container's record");
    return io_write_all(fd, text, strlen(text), -1, e);
}

static int give_name(struct istore *s, const char *temp, const char *id,
                     bool is_passing, struct err *e)
{
    char rel[ISTORE_FILE_MAX];
    if (container_path(id, "", rel, e) != 0)
        return -1;
    if (renameat2(s->dir, temp, s->dir, rel, RENAME_NOREPLACE) != 0)
        return errno == EEXIST
                   ? err_set(e, ERR_EXISTS, "container %.12s exists", id)
                   : err_sys(e, errno, "make %s/%s", s->path, rel);
    if (is_passing)
        return 0;
    scoped_fd dir =
        openat(s->dir, "containers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = dir < 0 ? err_sys(e, errno, "open %s/containers", s->path)
                     : io_sync_dir(dir, e);
    /* Told as failed, it must not be there: the caller removes it. */
    if (rc != 0)
        (void)renameat(s->dir, rel, s->dir, temp);
    return rc;
}

int istore_container_create(struct istore *s, const char *id,
                            const struct istore_image *img, json_t *record,
                            istore_fill_fn *fill, void *arg, struct err *e)
{
    char temp[ISTORE_FILE_MAX];
    bool is_passing = json_is_true(json_object_get(record, "rm"));
    json_t *image = istore_image_to_json(img);
    if (image == NULL || json_object_set_new(record, "image", image) != 0)
        return err_set(e, ERR_NO_MEMORY, "container record: out of memory");
    if (new_path(id, temp, e) != 0)
        return -1;
    /*
     * Made under a temporary name, so that what bears an id has a record; all
     * under one hold of the lock, so that what the sweep finds under such a
     * name is a dead maker's.
     */
    scoped_fd held = istore_lock_shared(s, e);
    if (held < 0 || istore_image_check(s, img, e) != 0 ||
        io_mkdir(s->dir, temp, 0700, e) != 0)
        return -1;
    scoped_fd dir =
        openat(s->dir, temp, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    if (dir < 0)
        return err_sys(e, errno, "open %s/%s", s->path, temp);
    if (fill_folder(dir, s, img, e) == 0 &&
        (fill == NULL || fill(dir, record, arg, e) == 0) &&
        (is_passing ? write_passing(dir, record, e)
                    : istore_write_json(dir, "record.json", record, e)) == 0 &&
        give_name(s, temp, id, is_passing, e) == 0)
        return 0;
    io_remove_tree(s->dir, temp);
    return -1;
}

json_t *istore_container_read(struct istore *s, const char *id, struct err *e)
{
    char rel[ISTORE_FILE_MAX];
    struct stat st;
    if (container_path(id, "/record.json", rel, e) != 0)
        return NULL;
    json_t *record = istore_read_json(s->dir, rel, e);
    /* What a stopped machine makes of a record that was not synced. */
    if (record == NULL && fstatat(s->dir, rel, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        S_ISREG(st.st_mode) && st.st_size == 0)
        (void)err_set(e, ERR_NOT_FOUND, "container %.12s has no record", id);
    else if (record == NULL && e->code == ERR_NOT_FOUND)
        (void)err_set(e, ERR_NOT_FOUND, "no such container: %.12s", id);
    return record;
}

int istore_container_update(struct istore *s, const char *id,
                            const json_t *record, struct err *e)
{
    char rel[ISTORE_FILE_MAX];
    struct istore_image img;
    if (istore_container_image(record, &img, e) != 0)
        return -1;
    istore_image_free(&img);
    if (container_path(id, "/record.json", rel, e) != 0)
        return -1;
    scoped_fd held = istore_lock_shared(s, e);
    if (held < 0)
        return -1;
    return istore_write_json(s->dir, rel, record, e);
}

int istore_container_image(const json_t *record, struct istore_image *img,
                           struct err *e)
{
    return istore_image_from_json(json_object_get(record, "image"), img, e);
}

int istore_container_list(struct istore *s, char (**ids)[ISTORE_HEX], size_t *n,
                          struct err *e)
{
    int fd = openat(s->dir, "containers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (d == NULL)
        return err_sys(e, errno, "open %s/containers", s->path);
    char(*list)[ISTORE_HEX] = NULL;
    size_t count = 0;
    for (struct dirent *de; (de = readdir(d)) != NULL;) {
        if (!istore_is_hex(de->d_name))
            continue;
        char(*more)[ISTORE_HEX] = realloc(list, (count + 1) * sizeof(*list));
        if (more == NULL) {
            free(list);
            (void)closedir(d);
            return err_set(e, ERR_NO_MEMORY, "list containers: out of memory");
        }
        list = more;
        memcpy(list[count++], de->d_name, ISTORE_HEX);
    }
    (void)closedir(d);
    *ids = list;
    *n = count;
    return 0;
}

int istore_container_open(struct istore *s, const char *id, struct err *e)
{
    char rel[ISTORE_FILE_MAX];
    if (container_path(id, "", rel, e) != 0)
        return -1;
    int fd = openat(s->dir, rel, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
    return fd >= 0 ? fd : err_sys(e, errno, "open container %.12s", id);
}

/* Move it to trash/, where it has a random name. */
static bool take_away(struct istore *s, const char *rel,
                      char trash[ISTORE_FILE_MAX])
{
    char name[17];
    io_random_hex(name, 8);
    (void)snprintf(trash, ISTORE_FILE_MAX, "trash/%s", name);
    return renameat(s->dir, rel, s->dir, trash) == 0;
}

int istore_container_drop(struct istore *s, const char *id,
                          char trash[ISTORE_FILE_MAX], struct err *e)
{
    char rel[ISTORE_FILE_MAX], temp[ISTORE_FILE_MAX], trash2[ISTORE_FILE_MAX];
    if (container_path(id, "", rel, e) != 0 || new_path(id, temp, e) != 0)
        return -1;
    scoped_fd held = istore_lock_shared(s, e);
    if (held < 0)
        return -1;
    bool is_made = take_away(s, rel, trash);
    int error = errno;
    bool is_half = take_away(s, temp, trash2); /* its maker was killed */
    scope_close(&held);
    held = -1;
    if (is_half)
        io_remove_tree(s->dir, trash2);
    if (!is_made && !is_half)
        return err_sys(e, error, "remove container %.12s", id);
    return 0;
}

int istore_container_remove(struct istore *s, const char *id, struct err *e)
{
    char trash[ISTORE_FILE_MAX];
    if (istore_container_drop(s, id, trash, e) != 0)
        return -1;
    io_remove_tree(s->dir, trash);
    return 0;
}
