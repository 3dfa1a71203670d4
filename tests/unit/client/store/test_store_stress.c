/*
 * The store under stress: many processes pull, tag, run, remove and sweep, and
 * are killed between any two system calls of the store.
 *
 * The real functions run, image_adopt() included; only unpacking is replaced
 * by a maker of small folders.  System calls of the store are wrapped at link
 * time (sources.mk): each is a step, at which a process may yield or die.
 *
 * What must hold, always:
 * 1. What a ref or a record names is there, whole.
 * 2. A pull that pinned its objects never loses one, and never fails.
 * And at the end, when all are dead and one sweep has run:
 * 3. Nothing is in the store that no name needs.
 *
 * Mutants break one rule of the store each; each must be caught.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>

#include "base/io.h"
#include "base/json.h"
#include "client/store/store_int.h"
#include "tests/unit/client/kit.h"
#include "tests/unit/client/store/wrap.h"

#define WORKERS   14
#define IMAGES    6
#define TAGS      2
#define OPS       40  /* of one process that is not killed */
#define STEPS_MAX 600 /* a process dies before so many system calls */
#define CHECK_MS  10
#define SWEEP_MS  45 /* a sweep waits for the lock */
#define PULL_NAME "docker.io/stress/i%d:t%d"

enum mutant {
    M_NONE,
    M_NO_PINS,
    M_LOOK_BEFORE_PIN,
    M_SWEEP_SHARED,
    M_NAME_UNSEEN,
    M_NO_LIFE_SIGN,
    M_LAYER_NOT_WHOLE,
};

/* Seen by all processes. */
struct shared {
    atomic_int pulls, sweeps, freed, kills, stop, violations;
    char message[320];
};

static struct shared *shared;
static struct kit_image images[IMAGES];
static enum mutant mutant;

/* Of one process. */
static struct {
    bool armed;
    bool in_ref_write;
    uint64_t random;
    long steps, kill_at;
    struct istore_scratch *queued_for;
    char queued[64][ISTORE_HEX];
    size_t n_queued;
} me;

static void violation(const char *what, const char *detail)
{
    if (atomic_fetch_add(&shared->violations, 1) == 0)
        (void)snprintf(shared->message, sizeof(shared->message), "%s: %s", what,
                       detail);
    atomic_store(&shared->stop, 1);
}

static unsigned next(unsigned below)
{
    me.random ^= me.random << 13;
    me.random ^= me.random >> 7;
    me.random ^= me.random << 17;
    return (unsigned)((me.random >> 16) % below);
}

/* ---- steps ---------------------------------------------------------------*/

static void step(void)
{
    const struct timespec pause = {.tv_nsec = 100000};
    if (!me.armed)
        return;
    if (++me.steps == me.kill_at) {
        atomic_fetch_add(&shared->kills, 1);
        (void)kill(getpid(), SIGKILL);
    }
    switch (next(16)) {
    case 0:
        (void)nanosleep(&pause, NULL);
        break;
    case 1:
    case 2:
        (void)sched_yield();
        break;
    default:
        break;
    }
}

int __wrap_openat(int dir, const char *path, int flags, ...)
{
    va_list ap;
    va_start(ap, flags);
    mode_t mode = (flags & O_CREAT) != 0 ? va_arg(ap, mode_t) : 0;
    va_end(ap);
    step();
    return __real_openat(dir, path, flags, mode);
}

int __wrap_mkdirat(int dir, const char *path, mode_t mode)
{
    step();
    return __real_mkdirat(dir, path, mode);
}

int __wrap_renameat(int a, const char *from, int b, const char *to)
{
    step();
    return __real_renameat(a, from, b, to);
}

int __wrap_renameat2(int a, const char *from, int b, const char *to,
                     unsigned flags)
{
    step();
    return __real_renameat2(a, from, b, to, flags);
}

int __wrap_unlinkat(int dir, const char *path, int flags)
{
    step();
    return __real_unlinkat(dir, path, flags);
}

int __wrap_fstatat(int dir, const char *path, struct stat *st, int flags)
{
    step();
    return __real_fstatat(dir, path, st, flags);
}

ssize_t __wrap_write(int fd, const void *data, size_t n)
{
    step();
    return __real_write(fd, data, n);
}

/* Is fd the life sign of a scratch folder, not the lock of the store? */
static bool is_life_sign(int fd)
{
    char link[64], path[PATH_MAX];
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof(path) - 1);
    path[len > 0 ? len : 0] = '\0';
    return strstr(path, "/scratch/") != NULL;
}

int __wrap_flock(int fd, int op)
{
    bool tries = op == (LOCK_EX | LOCK_NB) && me.armed;
    step();
    if (mutant == M_SWEEP_SHARED && tries && !is_life_sign(fd))
        op = LOCK_SH | LOCK_NB;
    int rc = __real_flock(fd, op);
    if (mutant == M_NO_LIFE_SIGN && tries && is_life_sign(fd))
        return 0;
    return rc;
}

/* ---- mutants, and the maker of layers ------------------------------------*/

int __real_istore_scratch_pin(struct istore_scratch *sc,
                              const char (*hex)[ISTORE_HEX], size_t n,
                              struct err *e);
int __wrap_istore_scratch_pin(struct istore_scratch *sc,
                              const char (*hex)[ISTORE_HEX], size_t n,
                              struct err *e);
bool __real_istore_has_blob(struct istore *s, const char *hex);
bool __wrap_istore_has_blob(struct istore *s, const char *hex);
bool __real_istore_has_layer(struct istore *s, const char *chain);
bool __wrap_istore_has_layer(struct istore *s, const char *chain);
int __real_istore_ref_write(struct istore *s, const struct istore_image *img,
                            struct err *e);
int __wrap_istore_ref_write(struct istore *s, const struct istore_image *img,
                            struct err *e);

int __wrap_istore_scratch_pin(struct istore_scratch *sc,
                              const char (*hex)[ISTORE_HEX], size_t n,
                              struct err *e)
{
    if (mutant == M_NO_PINS)
        return 0;
    if (mutant != M_LOOK_BEFORE_PIN || n > array_len(me.queued))
        return __real_istore_scratch_pin(sc, hex, n, e);
    me.queued_for = sc;
    me.n_queued = n;
    memcpy(me.queued, hex, n * ISTORE_HEX);
    return 0;
}

static void pin_what_was_queued(void)
{
    struct err e;
    size_t n = me.n_queued;
    me.n_queued = 0;
    if (n > 0 && __real_istore_scratch_pin(me.queued_for,
                                           (const char(*)[ISTORE_HEX])me.queued,
                                           n, &e) != 0)
        violation("pin", e.msg);
}

bool __wrap_istore_has_blob(struct istore *s, const char *hex)
{
    if (mutant == M_NAME_UNSEEN && me.in_ref_write)
        return true;
    bool has = __real_istore_has_blob(s, hex);
    pin_what_was_queued();
    return has;
}

bool __wrap_istore_has_layer(struct istore *s, const char *chain)
{
    if (mutant == M_NAME_UNSEEN && me.in_ref_write)
        return true;
    bool has = __real_istore_has_layer(s, chain);
    pin_what_was_queued();
    return has;
}

int __wrap_istore_ref_write(struct istore *s, const struct istore_image *img,
                            struct err *e)
{
    me.in_ref_write = true;
    int rc = __real_istore_ref_write(s, img, e);
    me.in_ref_write = false;
    return rc;
}

int __wrap_layer_add(struct istore_scratch *sc, int blob,
                     const char (*lower)[ISTORE_HEX], size_t n_lower,
                     const char *diff_id, struct layer_result *out,
                     struct err *e);

/* fs/data says which layer it is; meta.json comes last, and tells the blob. */
static int fill_layer(int dir, const char *folder, const char *chain, int blob,
                      struct err *e)
{
    char rel[128], text[32] = "", hex[ISTORE_HEX], meta[128];
    if (pread(blob, text, sizeof(text) - 1, 0) < 0)
        return err_set(e, ERR_IO, "read the blob of a layer");
    kit_hash(text, hex);
    int n = snprintf(meta, sizeof(meta), "{\"size\":64,\"blob\":\"%s\"}", hex);
    (void)snprintf(rel, sizeof(rel), "%.80s/fs", folder);
    if (io_mkdir(dir, folder, 0700, e) != 0 || io_mkdir(dir, rel, 0755, e) != 0)
        return -1;
    (void)snprintf(rel, sizeof(rel), "%.80s/fs/data", folder);
    if (io_replace_file(dir, rel, chain, strlen(chain), 0600, e) != 0)
        return -1;
    (void)snprintf(rel, sizeof(rel), "%.80s/meta.json", folder);
    return io_replace_file(dir, rel, meta, (size_t)n, 0600, e);
}

int __wrap_layer_add(struct istore_scratch *sc, int blob,
                     const char (*lower)[ISTORE_HEX], size_t n_lower,
                     const char *diff_id, struct layer_result *out,
                     struct err *e)
{
    char folder[32] = "l-", rel[96];
    io_random_hex(folder + 2, 8);
    memset(out, 0, sizeof(*out));
    layer_chain(n_lower > 0 ? lower[n_lower - 1] : NULL, diff_id, out->chain);
    if (mutant == M_LAYER_NOT_WHOLE) {
        if (next(4) == 0) /* more often here than by chance */
            me.kill_at = me.steps + 1 + next(10);
        (void)snprintf(rel, sizeof(rel), "layers/%s", out->chain);
        return fill_layer(istore_dirfd(istore_scratch_store(sc)), rel,
                          out->chain, blob, e);
    }
    if (fill_layer(istore_scratch_dirfd(sc), folder, out->chain, blob, e) != 0)
        return -1;
    return istore_layer_add(sc, folder, out->chain, e);
}

/* ---- what a process does -------------------------------------------------*/

static int get_blob(struct istore_scratch *sc, const char *text,
                    const char *want, struct err *e)
{
    char pin[1][ISTORE_HEX], hex[ISTORE_HEX];
    struct istore *s = istore_scratch_store(sc);
    struct blobw *w;
    memcpy(pin[0], want, ISTORE_HEX);
    if (istore_scratch_pin(sc, (const char(*)[ISTORE_HEX])pin, 1, e) != 0)
        return -1;
    scoped_fd busy = istore_digest_lock(s, want, e);
    if (busy < 0)
        return -1;
    if (istore_has_blob(s, want))
        return 0;
    if (blobw_new(sc, &w, e) != 0)
        return -1;
    if (blobw_write(w, text, strlen(text), e) != 0) {
        blobw_free(w);
        return -1;
    }
    return blobw_finish(w, want, (int64_t)strlen(text), hex, e);
}

static int pull(struct istore_scratch *sc, const struct kit_image *img,
                const char *name, struct err *e)
{
    char text[32], blob[ISTORE_HEX], diff[ISTORE_HEX], hex[ISTORE_HEX];
    if (blobw_put(sc, img->manifest, strlen(img->manifest), hex, e) != 0 ||
        get_blob(sc, img->config, img->config_hex, e) != 0)
        return -1;
    for (int i = 0; i < img->n; i++) {
        kit_layer(img->layers[i], text, blob, diff);
        if (get_blob(sc, text, blob, e) != 0)
            return -1;
    }
    return image_adopt(sc, hex, name, NULL, NULL, NULL, e);
}

static void do_pull(struct istore *s)
{
    struct istore_scratch *sc;
    struct err e = {.msg = ""};
    char name[64];
    unsigned i = next(IMAGES);
    (void)snprintf(name, sizeof(name), PULL_NAME, (int)i, (int)next(TAGS));
    if (istore_scratch_new(s, &sc, &e) != 0) {
        violation("scratch", e.msg);
        return;
    }
    if (pull(sc, &images[i], name, &e) != 0)
        violation("a pull failed", e.msg);
    else
        atomic_fetch_add(&shared->pulls, 1);
    istore_scratch_free(sc);
}

static void some_name(char name[64])
{
    (void)snprintf(name, 64, PULL_NAME, (int)next(IMAGES), (int)next(TAGS));
}

static void do_tag(struct istore *s)
{
    const struct timespec pause = {.tv_nsec = 1000000L * next(8)};
    char name[64];
    struct istore_image img;
    struct err e;
    some_name(name);
    if (istore_ref_read(s, name, &img, &e) != 0) {
        if (e.code != ERR_NOT_FOUND)
            violation("read a ref", e.msg);
        return;
    }
    some_name(img.name);
    (void)nanosleep(&pause, NULL); /* time for others to take the image */
    if (istore_ref_write(s, &img, &e) != 0 && e.code != ERR_MISSING)
        violation("tag", e.msg);
    istore_image_free(&img);
}

static void do_sweep(struct istore *s)
{
    size_t freed;
    struct err e;
    if (istore_sweep(s, SWEEP_MS, &freed, &e) != 0)
        violation("sweep", e.msg);
    atomic_fetch_add(&shared->sweeps, 1);
    atomic_fetch_add(&shared->freed, (int)freed);
}

/* All names of an image, so that the sweep finds something. */
static void do_remove(struct istore *s)
{
    char name[64];
    struct err e;
    unsigned image = next(IMAGES);
    for (int t = 0; t < TAGS; t++) {
        (void)snprintf(name, sizeof(name), PULL_NAME, (int)image, t);
        if (istore_ref_remove(s, name, &e) != 0 && e.code != ERR_NOT_FOUND)
            violation("rmi", e.msg);
    }
    do_sweep(s);
}

static void do_create(struct istore *s)
{
    char name[64], id[ISTORE_HEX];
    unsigned char raw[32];
    struct istore_image img;
    struct err e;
    some_name(name);
    if (istore_ref_read(s, name, &img, &e) != 0)
        return;
    io_random(raw, sizeof(raw));
    num_hex(raw, sizeof(raw), id);
    json_t *record = json_object();
    if (istore_container_create(s, id, &img, record, NULL, NULL, &e) != 0) {
        if (e.code != ERR_MISSING)
            violation("create", e.msg);
    } else if (istore_container_update(s, id, record, &e) != 0 &&
               e.code != ERR_NOT_FOUND) {
        violation("update", e.msg);
    }
    json_decref(record);
    istore_image_free(&img);
}

static void do_rm(struct istore *s)
{
    char(*ids)[ISTORE_HEX];
    size_t n;
    struct err e;
    if (istore_container_list(s, &ids, &n, &e) != 0) {
        violation("list", e.msg);
        return;
    }
    for (size_t i = 0; i < n && n > 1; i++) {
        if (next(2) == 0 && istore_container_remove(s, ids[i], &e) != 0 &&
            e.code != ERR_NOT_FOUND)
            violation("rm", e.msg);
    }
    free(ids);
}

static _Noreturn void work(const char *root, uint64_t seed)
{
    struct istore *s;
    struct err e;
    me.random = seed;
    (void)next(2);
    me.kill_at = next(4) == 0 ? -1 : (long)next(STEPS_MAX) + 1;
    me.armed = true;
    if (istore_open(root, &s, &e) != 0) {
        violation("open", e.msg);
        _exit(1);
    }
    for (int i = 0; i < OPS && atomic_load(&shared->stop) == 0; i++) {
        unsigned what = next(16);
        if (what < 6)
            do_pull(s);
        else if (what < 8)
            do_tag(s);
        else if (what < 12)
            do_remove(s);
        else if (what < 13)
            do_create(s);
        else if (what < 15)
            do_rm(s);
        else
            do_sweep(s);
    }
    _exit(0);
}

/* ---- the checker ---------------------------------------------------------*/

static void check_blob(struct istore *s, const char *hex)
{
    scoped_free char *text = NULL;
    size_t len;
    struct err e;
    char got[ISTORE_HEX] = "";
    if (istore_blob_read(s, hex, 8192, &text, &len, &e) != 0) {
        violation("a named blob is gone", e.msg);
        return;
    }
    kit_hash(text, got);
    if (strcmp(got, hex) != 0)
        violation("a named blob is damaged", hex);
}

static void check_layer(struct istore *s, const char *chain)
{
    char rel[128];
    scoped_free char *text = NULL;
    size_t len;
    struct istore_layer layer;
    struct err e;
    (void)snprintf(rel, sizeof(rel), "layers/%s/fs/data", chain);
    istore_layer_read(s, chain, &layer);
    if (layer.size != 64)
        violation("a named layer is not whole", chain);
    else if (io_read_file(istore_dirfd(s), rel, 100, &text, &len, &e) != 0)
        violation("a named layer is not whole", e.msg);
    else if (strcmp(text, chain) != 0)
        violation("a named layer is another", chain);
}

/* Also counts what is named, for the look for leaks: `named` may be NULL. */
static void check_image(struct istore *s, const struct istore_image *img,
                        json_t *named)
{
    check_blob(s, img->manifest);
    check_blob(s, img->config);
    (void)json_object_set_new(named, img->manifest, json_true());
    (void)json_object_set_new(named, img->config, json_true());
    for (size_t i = 0; i < img->n_layers; i++) {
        check_blob(s, img->blobs[i]);
        check_layer(s, img->layers[i]);
        (void)json_object_set_new(named, img->blobs[i], json_true());
        (void)json_object_set_new(named, img->layers[i], json_true());
    }
}

static void check_container(struct istore *s, const char *id, json_t *named)
{
    struct istore_image img;
    struct err e;
    json_t *record = istore_container_read(s, id, &e);
    if (record == NULL) {
        violation("a container without a record", e.msg);
        return;
    }
    if (istore_container_image(record, &img, &e) != 0) {
        violation("a record", e.msg);
    } else {
        check_image(s, &img, named);
        istore_image_free(&img);
    }
    json_decref(record);
}

/* With the lock held exclusively nothing moves. */
static void check_names(struct istore *s, json_t *named)
{
    struct istore_image *list;
    char(*ids)[ISTORE_HEX];
    size_t n;
    struct err e;
    scoped_fd held = istore_lock_exclusive(s, 5000, &e);
    if (held < 0)
        return;
    if (istore_ref_list(s, &list, &n, &e) != 0) {
        violation("list refs", e.msg);
        return;
    }
    for (size_t i = 0; i < n; i++)
        check_image(s, &list[i], named);
    istore_ref_list_free(list, n);
    if (istore_container_list(s, &ids, &n, &e) != 0) {
        violation("list containers", e.msg);
        return;
    }
    for (size_t i = 0; i < n; i++)
        check_container(s, ids[i], named);
    free(ids);
}

/* Everything below rel must be allowed: named objects, or `fixed` names. */
static void check_folder(struct istore *s, const char *rel, bool is_nested,
                         const char *fixed, json_t *named)
{
    char text[PATH_MAX];
    int fd = openat(istore_dirfd(s), rel, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *d = fdopendir(fd);
    assert_non_null(d);
    for (struct dirent *de; (de = readdir(d)) != NULL;) {
        const char *name = de->d_name;
        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
            continue;
        (void)snprintf(text, sizeof(text), "%s/%s", rel, name);
        if (is_nested) {
            check_folder(s, text, false, fixed, named);
            continue;
        }
        size_t n = strlen(name);
        bool known = json_object_get(named, name) != NULL ||
                     (strcmp(fixed, ".json") == 0 && n > 5 &&
                      strcmp(name + n - 5, ".json") == 0);
        (void)snprintf(text, sizeof(text), " %s ", name);
        if (!known && strstr(fixed, text) == NULL) {
            (void)snprintf(text, sizeof(text), "%s/%s", rel, name);
            violation("left over", text);
        }
    }
    (void)closedir(d);
}

static void check_leaks(struct istore *s)
{
    size_t freed;
    struct err e;
    json_t *named = json_object();
    if (istore_sweep(s, 5000, &freed, &e) != 0)
        violation("the last sweep", e.msg);
    check_names(s, named);
    check_folder(s, ".", false,
                 " format lock busy blobs layers refs containers scratch "
                 "trash ",
                 named);
    check_folder(s, "blobs/sha256", true, "", named);
    check_folder(s, "layers", false, "", named);
    check_folder(s, "refs", false, ".json", named);
    check_folder(s, "containers", true, " record.json upper work ", named);
    check_folder(s, "scratch", false, "", named);
    check_folder(s, "trash", false, "", named);
    json_decref(named);
}

/* ---- rounds --------------------------------------------------------------*/

static int64_t now_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void make_images(void)
{
    static const int layers[IMAGES][4] = {{0, 1, 2, -1}, {0, 1, 3, -1},
                                          {0, -1, 0, 0}, {0, 4, 5, 6},
                                          {0, 4, 5, -1}, {7, 2, -1, 0}};
    for (int i = 0; i < IMAGES; i++) {
        images[i].n = 0;
        for (int j = 0; j < 4 && layers[i][j] >= 0; j++)
            images[i].layers[images[i].n++] = layers[i][j];
        kit_image(&images[i], i);
    }
}

static pid_t spawn(const char *root, uint64_t *seed)
{
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    pid_t pid = fork();
    if (pid == 0)
        work(root, *seed | 1);
    return pid;
}

/* Run until the time is over or something is violated. */
static void run(enum mutant m, uint64_t seed, int64_t ms, struct kit *k)
{
    pid_t pids[WORKERS];
    int64_t end = now_ms() + ms, check = 0;
    struct err e;
    mutant = m;
    kit_folder(k, true);
    for (int i = 0; i < WORKERS; i++)
        pids[i] = spawn(k->root, &seed);
    while (istore_open(k->root, &k->store, &e) != 0)
        violation("open", e.msg);
    while (now_ms() < end && atomic_load(&shared->stop) == 0) {
        const struct timespec pause = {.tv_nsec = 1000000};
        for (int i = 0; i < WORKERS; i++) {
            int status;
            if (waitpid(pids[i], &status, WNOHANG) == pids[i])
                pids[i] = spawn(k->root, &seed);
        }
        if (now_ms() >= check) {
            check_names(k->store, NULL);
            check = now_ms() + CHECK_MS;
        }
        (void)nanosleep(&pause, NULL);
    }
    atomic_store(&shared->stop, 1);
    for (int i = 0; i < WORKERS; i++)
        (void)waitpid(pids[i], NULL, 0);
}

static uint64_t a_seed(void)
{
    const char *given = getenv("BERTH_SEED");
    uint64_t seed = given != NULL ? strtoull(given, NULL, 0) : 0;
    if (given == NULL)
        io_random(&seed, sizeof(seed));
    print_message("BERTH_SEED=0x%llx\n", (unsigned long long)seed);
    return seed;
}

static int setup(void **state)
{
    (void)state;
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    make_images();
    return shared == MAP_FAILED ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    return munmap(shared, sizeof(*shared));
}

static void test_the_rules_hold(void **state)
{
    (void)state;
    struct kit k;
    const char *is_long = getenv("BERTH_LONG");
    run(M_NONE, a_seed(), is_long != NULL ? 180000 : 4000, &k);
    if (atomic_load(&shared->violations) == 0)
        check_leaks(k.store);
    print_message("%d pulls, %d sweeps took %d objects, %d kills\n",
                  atomic_load(&shared->pulls), atomic_load(&shared->sweeps),
                  atomic_load(&shared->freed), atomic_load(&shared->kills));
    kit_close(&k);
    if (atomic_load(&shared->violations) != 0)
        fail_msg("%s", shared->message);
    assert_true(atomic_load(&shared->pulls) > 20);
    assert_true(atomic_load(&shared->sweeps) > 20);
    assert_true(atomic_load(&shared->freed) > 20);
    assert_true(atomic_load(&shared->kills) > 20);
}

static void must_be_caught(enum mutant m)
{
    struct kit k;
    run(m, a_seed(), 60000, &k);
    kit_close(&k);
    print_message("after %d pulls: %s\n", atomic_load(&shared->pulls),
                  shared->message);
    assert_true(atomic_load(&shared->violations) > 0);
}

static void test_mutant_no_pins(void **state)
{
    (void)state;
    must_be_caught(M_NO_PINS);
}

static void test_mutant_look_before_pin(void **state)
{
    (void)state;
    must_be_caught(M_LOOK_BEFORE_PIN);
}

static void test_mutant_shared_sweep(void **state)
{
    (void)state;
    must_be_caught(M_SWEEP_SHARED);
}

static void test_mutant_name_unseen(void **state)
{
    (void)state;
    must_be_caught(M_NAME_UNSEEN);
}

static void test_mutant_no_life_sign(void **state)
{
    (void)state;
    must_be_caught(M_NO_LIFE_SIGN);
}

static void test_mutant_layer_not_whole(void **state)
{
    (void)state;
    must_be_caught(M_LAYER_NOT_WHOLE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_rules_hold, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mutant_no_pins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_mutant_look_before_pin, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_mutant_shared_sweep, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_mutant_name_unseen, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_mutant_no_life_sign, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(test_mutant_layer_not_whole, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
