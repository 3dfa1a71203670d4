/* Layers as they come: the rows of corpus.h, limits, damage. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "base/io.h"
#include "client/image/decode.h"
#include "client/image/tree.h"
#include "client/image/unpack.h"
#include "tests/unit/client/image/corpus.h"
#include "tests/unit/client/image/tar.h"
#include "tests/unit/client/kit.h"
#include "tests/unit/client/nosync.h"
#include "tests/unit/skip.h"

#ifdef BERTH_SANITIZED
#define ROUNDS 300
#else
#define ROUNDS 1500
#endif

/* ---- the tree ------------------------------------------------------------*/

struct text {
    char p[65536];
    size_t n;
};

static void say(struct text *t, const char *fmt, ...) printf_like(2, 3);

static void say(struct text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(t->p + t->n, sizeof(t->p) - t->n, fmt, ap);
    va_end(ap);
    assert_true(n >= 0 && (size_t)n < sizeof(t->p) - t->n);
    t->n += (size_t)n;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* d folder, o opaque folder, f file, F file with several names, l symlink,
 * c device, w whiteout. */
static char kind_of(int dir, const char *name, const struct stat *st)
{
    char value[8];
    if (S_ISLNK(st->st_mode))
        return 'l';
    if (S_ISCHR(st->st_mode))
        return st->st_rdev == 0 ? 'w' : 'c';
    if (S_ISREG(st->st_mode))
        return st->st_nlink > 1 ? 'F' : 'f';
    if (!S_ISDIR(st->st_mode))
        return '?';
    scoped_fd fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    ssize_t n = fgetxattr(fd, "user.overlay.opaque", value, sizeof(value));
    return n == 1 && value[0] == 'y' ? 'o' : 'd';
}

/* Our xattrs, as " @name=value". */
static void list_xattrs(int dir, const char *name, struct text *out)
{
    char names[1024], value[256];
    scoped_fd fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
    ssize_t n = fd >= 0 ? flistxattr(fd, names, sizeof(names)) : 0;
    for (ssize_t i = 0; i < n; i += (ssize_t)strlen(names + i) + 1) {
        /* The overlay's own, and what a labelling kernel adds. */
        if (strncmp(names + i, "user.overlay.opaque", 19) == 0 ||
            strncmp(names + i, "user.overlay.origin", 19) == 0 ||
            strncmp(names + i, "user.overlay.impure", 19) == 0)
            continue;
        ssize_t m = fgetxattr(fd, names + i, value, sizeof(value));
        say(out, " @%s=%.*s", names + i, m > 0 ? (int)m : 0, value);
    }
}

static void list_one(int dir, const char *prefix, const char *name,
                     struct text *out)
{
    struct stat st;
    char text[4096] = "";
    assert_int_equal(fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW), 0);
    char kind = kind_of(dir, name, &st);
    say(out, "%c %s%s", kind, prefix, name);
    if (kind == 'l') {
        assert_true(readlinkat(dir, name, text, sizeof(text) - 1) > 0);
        say(out, " %s", text);
    } else if (kind == 'c') {
        say(out, " %u:%u", major(st.st_rdev), minor(st.st_rdev));
    } else if (kind == 'f' || kind == 'F') {
        scoped_fd fd = openat(dir, name, O_RDONLY | O_NOFOLLOW);
        ssize_t n = read(fd, text, sizeof(text) - 1);
        if (n > 0)
            say(out, " %.*s", (int)n, text);
    }
    mode_t usual = kind == 'd' || kind == 'o' ? 0755 : 0644;
    bool is_plain = kind == 'l' || kind == 'c' || kind == 'w';
    if (!is_plain && ((st.st_mode & 07777) != usual || st.st_uid + st.st_gid))
        say(out, " 0%o", st.st_mode & 07777);
    if (st.st_uid + st.st_gid != 0)
        say(out, " %u:%u", st.st_uid, st.st_gid);
    if (!is_plain)
        list_xattrs(dir, name, out);
    say(out, "\n");
}

/* Everything below a folder, in order. */
static void list(int parent, const char *folder, const char *prefix,
                 struct text *out)
{
    char *names[200], below[512];
    size_t n = 0;
    int fd = openat(parent, folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    DIR *d = fdopendir(fd);
    assert_non_null(d);
    for (struct dirent *de; (de = readdir(d)) != NULL;) {
        if (strcmp(de->d_name, ".") != 0 && strcmp(de->d_name, "..") != 0) {
            assert_true(n < array_len(names));
            names[n++] = strdup(de->d_name);
        }
    }
    qsort(names, n, sizeof(*names), compare_names);
    for (size_t i = 0; i < n; i++) {
        struct stat st;
        list_one(fd, prefix, names[i], out);
        if (fstatat(fd, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISDIR(st.st_mode)) {
            (void)snprintf(below, sizeof(below), "%s%s/", prefix, names[i]);
            list(fd, names[i], below, out);
        }
        free(names[i]);
    }
    (void)closedir(d);
}

/* ---- running a row -------------------------------------------------------*/

struct place {
    struct kit kit;
    char victim[128];
};

/* With %V replaced. */
static const char *expand(const struct place *p, const char *text,
                          char out[1024])
{
    const char *at = text != NULL ? strstr(text, "%V") : NULL;
    if (at == NULL)
        return text;
    (void)snprintf(out, 1024, "%.*s%s%s", (int)(at - text), text, p->victim,
                   at + 2);
    return out;
}

/* The archive of the entries up to the next layer; returns how many. */
static int build(const struct place *p, const struct tar_entry *entries,
                 int max, struct tar *t)
{
    char name[1024], link[1024], pax[1024];
    int n = 0;
    for (; n < max && entries[n].type != '!'; n++) {
        struct tar_entry e = entries[n];
        if (e.name == NULL)
            break;
        e.name = expand(p, e.name, name);
        e.link = expand(p, e.link, link);
        e.pax = expand(p, e.pax, pax);
        tar_add(t, &e);
    }
    tar_end(t);
    return n;
}

static int as_file(const void *data, size_t n)
{
    int fd = memfd_create("layer", MFD_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, data, n), n);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    return fd;
}

/* Unpack bytes into the folder `name` of the kit; 0 or the error's code. */
static enum err_code unpack(struct place *p, const char *name, const void *data,
                            size_t n, const struct unpack_limits *limits,
                            struct unpack_result *r, struct err *e)
{
    struct decode *d;
    int top = istore_dirfd(p->kit.store);
    scoped_fd fd = as_file(data, n);
    io_remove_tree(top, name);
    assert_int_equal(mkdirat(top, name, 0755), 0);
    scoped_fd root = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    e->code = ERR_NONE;
    if (decode_open(fd, &d, e) != 0)
        return e->code;
    int rc = unpack_tar(d, root, false, limits, r, e);
    decode_free(d);
    return rc == 0 ? ERR_NONE : e->code;
}

static void check_victim(const struct place *p, const char *what)
{
    struct stat st;
    char path[200], text[32];
    struct text all = {.n = 0};
    (void)snprintf(path, sizeof(path), "%s/secret", p->victim);
    list(AT_FDCWD, p->victim, "", &all);
    scoped_fd fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof(text));
    if (strcmp(all.p, "f secret untouched\n") != 0 || n != 9 ||
        fstat(fd, &st) != 0 || st.st_mtime != 1000000000)
        fail_msg("%s: outside of the root: %s", what, all.p);
}

static enum err_code run_layers(struct place *p, const struct row *row,
                                struct text *tree, struct err *e)
{
    char chains[4][ISTORE_HEX], rel[128];
    size_t n = 0;
    struct istore_scratch *sc = kit_scratch(&p->kit);
    e->code = ERR_NONE;
    for (int i = 0; i < ENTRIES_MAX && e->code == ERR_NONE; i++) {
        struct tar t = {.p = NULL};
        struct layer_result r;
        i += build(p, row->entries + i, ENTRIES_MAX - i, &t);
        scoped_fd fd = as_file(t.p, t.n);
        tar_free(&t);
        if (layer_add(sc, fd, (const char(*)[ISTORE_HEX])chains, n, NULL, &r,
                      e) == 0)
            memcpy(chains[n++], r.chain, ISTORE_HEX);
        if (row->entries[i].type != '!')
            break;
    }
    istore_scratch_free(sc);
    if (e->code == ERR_NONE) {
        (void)snprintf(rel, sizeof(rel), "layers/%s/fs", chains[n - 1]);
        list(istore_dirfd(p->kit.store), rel, "", tree);
    }
    return e->code;
}

static bool has_layers(const struct row *row)
{
    for (int i = 0; i < ENTRIES_MAX; i++) {
        if (row->entries[i].type == '!')
            return true;
    }
    return false;
}

static void run_row(struct place *p, const struct row *row)
{
    struct text tree = {.n = 0};
    struct unpack_result r;
    struct err e = {.msg = ""};
    enum err_code code;
    if (has_layers(row)) {
        code = run_layers(p, row, &tree, &e);
    } else {
        struct tar t = {.p = NULL};
        (void)build(p, row->entries, ENTRIES_MAX, &t);
        code = unpack(p, "fs", t.p, t.n, NULL, &r, &e);
        tar_free(&t);
        if (code == ERR_NONE)
            list(istore_dirfd(p->kit.store), "fs", "", &tree);
    }
    check_victim(p, row->what);
    if (code != row->code)
        fail_msg("%s: %s, not %s (%s)", row->what, err_name(code),
                 err_name(row->code), code != ERR_NONE ? e.msg : "");
    if (row->tree != NULL && strcmp(tree.p, row->tree) != 0)
        fail_msg("%s: is\n%sand not\n%s", row->what, tree.p, row->tree);
}

static int setup(void **state)
{
    struct place *p = calloc(1, sizeof(*p));
    char path[200];
    const struct timespec when[2] = {{.tv_sec = 1000000000},
                                     {.tv_sec = 1000000000}};
    kit_folder(&p->kit, kit_memory_has_xattrs());
    kit_open(&p->kit);
    (void)snprintf(p->victim, sizeof(p->victim), "%.80s/victim", p->kit.root);
    (void)snprintf(path, sizeof(path), "%s/secret", p->victim);
    assert_int_equal(mkdir(p->victim, 0755), 0);
    scoped_fd fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    assert_int_equal(write(fd, "untouched", 9), 9);
    assert_int_equal(fchmod(fd, 0644), 0);
    assert_int_equal(futimens(fd, when), 0);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct place *p = *state;
    kit_close(&p->kit);
    free(p);
    return 0;
}

static void test_rows(void **state)
{
    skip_unless_root();
    for (size_t i = 0; i < array_len(rows); i++)
        run_row(*state, &rows[i]);
}

/* ---- times, xattrs -------------------------------------------------------*/

static struct stat stat_of(const struct place *p, const char *name)
{
    struct stat st;
    char rel[64];
    (void)snprintf(rel, sizeof(rel), "fs/%s", name);
    assert_int_equal(
        fstatat(istore_dirfd(p->kit.store), rel, &st, AT_SYMLINK_NOFOLLOW), 0);
    return st;
}

static void must_unpack(struct place *p, struct tar *t)
{
    struct unpack_result r;
    struct err e;
    tar_end(t);
    if (unpack(p, "fs", t->p, t->n, NULL, &r, &e) != ERR_NONE)
        fail_msg("%s", e.msg);
    tar_free(t);
}

static void test_times(void **state)
{
    struct place *p = *state;
    static const struct tar_entry entries[] = {
        {.name = "./", .type = '5', .mtime = 900000000},
        {.name = "d", .type = '5', .mtime = 1000000000},
        {.name = "d/x", .mtime = 1100000000, .data = "1"},
        {.name = "s", .type = '2', .link = "d", .mtime = 1200000000},
        {.name = "d/old", .pax = "mtime=-5"},
        {.name = "d/fine",
         .pax = "mtime=1300000000.123456789",
         .pax2 = "atime=1400000000.5"},
        {.name = "d/far", .pax = "mtime=9223372036854775807"},
    };
    struct tar t = {.p = NULL};
    skip_unless_root();
    for (size_t i = 0; i < array_len(entries); i++)
        tar_add(&t, &entries[i]);
    must_unpack(p, &t);
    /* Folders keep theirs although files were put into them later. */
    assert_int_equal(stat_of(p, ".").st_mtime, 900000000);
    assert_int_equal(stat_of(p, "d").st_mtime, 1000000000);
    assert_int_equal(stat_of(p, "d/x").st_mtime, 1100000000);
    assert_int_equal(stat_of(p, "s").st_mtime, 1200000000);
    assert_int_equal(stat_of(p, "d/old").st_mtime, -5);
    assert_int_equal(stat_of(p, "d/fine").st_mtime, 1300000000);
    assert_int_equal(stat_of(p, "d/fine").st_mtim.tv_nsec, 123456789);
    assert_int_equal(stat_of(p, "d/fine").st_atime, 1400000000);
    /* What the file system cannot keep is the nearest that it can. */
    assert_true(stat_of(p, "d/far").st_mtime > 1400000000);
    check_victim(p, "times");
}

/* Capabilities of a file: binary, and after chown, which clears them. */
static void test_file_capabilities(void **state)
{
    struct place *p = *state;
    /* Version 2, effective, CAP_NET_RAW. */
    static const unsigned char caps[20] = {1, 0, 0, 2, 0, 0x20};
    static const char key[] = "SCHILY.xattr.security.capability=";
    char record[64];
    unsigned char got[64];
    struct tar t = {.p = NULL}, inner = {.p = NULL};
    const struct tar_entry head = {.name = "PaxHeaders/x", .type = 'x'};
    const struct tar_entry file = {
        .name = "ping", .uid = 0, .gid = 5, .mode = 0755, .data = "1"};
    skip_unless_root();
    memcpy(record, key, sizeof(key) - 1);
    memcpy(record + sizeof(key) - 1, caps, sizeof(caps));
    tar_record(&inner, record, sizeof(key) - 1 + sizeof(caps));
    tar_header(&t, &head, inner.n);
    tar_bytes(&t, inner.p, inner.n);
    tar_pad(&t);
    tar_free(&inner);
    tar_add(&t, &file);
    must_unpack(p, &t);
    scoped_fd fd =
        openat(istore_dirfd(p->kit.store), "fs/ping", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fgetxattr(fd, "security.capability", got, sizeof(got)),
                     sizeof(caps));
    assert_memory_equal(got, caps, sizeof(caps));
}

static void test_xattrs_are_bounded(void **state)
{
    struct place *p = *state;
    static char record[70000];
    struct unpack_result r;
    struct err e;
    skip_unless_root();
    memset(record, 'a', sizeof(record) - 1);
    memcpy(record, "SCHILY.xattr.user.a=", 20);
    struct tar_entry file = {.name = "x", .pax = record};
    struct tar t = {.p = NULL};
    tar_add(&t, &file);
    tar_end(&t);
    assert_int_equal(unpack(p, "fs", t.p, t.n, NULL, &r, &e), ERR_TOO_LARGE);
    tar_free(&t);
}

/* ---- limits --------------------------------------------------------------*/

/* What the entries give under limits. */
static enum err_code within(struct place *p, const struct tar_entry *entries,
                            size_t n, uint64_t bytes, uint64_t count)
{
    struct unpack_limits limits = {bytes, count};
    struct unpack_result r;
    struct tar t = {.p = NULL};
    struct err e;
    for (size_t i = 0; i < n; i++)
        tar_add(&t, &entries[i]);
    tar_end(&t);
    enum err_code code = unpack(p, "fs", t.p, t.n, &limits, &r, &e);
    tar_free(&t);
    return code;
}

static void test_limits(void **state)
{
    struct place *p = *state;
    static const struct tar_entry files[] = {F("a", "12345"), F("b", "12345"),
                                             D("c")};
    static const struct tar_entry deep[] = {F("a/b/c/d/x", "")};
    skip_unless_root();
    assert_int_equal(within(p, files, 3, 10, 3), ERR_NONE);
    assert_int_equal(within(p, files, 3, 9, 3), ERR_TOO_LARGE);
    assert_int_equal(within(p, files, 3, 10, 2), ERR_TOO_LARGE);
    /* Folders that no entry speaks of count as well. */
    assert_int_equal(within(p, deep, 1, 10, 5), ERR_NONE);
    assert_int_equal(within(p, deep, 1, 10, 4), ERR_TOO_LARGE);
}

/* The whole stream is bounded too, not only what becomes files. */
static void test_an_endless_stream(void **state)
{
    struct place *p = *state;
    static char zero[1 << 20];
    struct unpack_limits limits = {1000, 100};
    struct unpack_result r;
    struct tar t = {.p = NULL};
    struct err e;
    skip_unless_root();
    tar_end(&t);
    tar_bytes(&t, zero, sizeof(zero)); /* after the end of the archive */
    assert_int_equal(unpack(p, "fs", t.p, t.n, &limits, &r, &e), ERR_TOO_LARGE);
    assert_int_equal(unpack(p, "fs", t.p, t.n, NULL, &r, &e), ERR_NONE);
    tar_free(&t);
}

static void test_depth(void **state)
{
    struct place *p = *state;
    skip_unless_root();
    for (int depth = 127; depth <= 129; depth++) {
        char record[600] = "path=";
        for (int i = 0; i < depth; i++)
            strcat(record, i + 1 < depth ? "d/" : "f");
        const struct tar_entry e = {.name = "x", .pax = record};
        assert_int_equal(within(p, &e, 1, 10, 1000),
                         depth <= TREE_MAX_DEPTH ? ERR_NONE : ERR_INVALID);
    }
}

/* A GNU sparse file of version 1.0: its map stands before its data. */
static enum err_code sparse(struct place *p, const char *size,
                            uint64_t max_bytes)
{
    char record[64], map[513] = "", data[1025];
    struct unpack_limits limits = {max_bytes, 10};
    struct tar t = {.p = NULL}, inner = {.p = NULL};
    const struct tar_entry head = {.name = "PaxHeaders/x", .type = 'x'};
    const struct tar_entry file = {.name = "GNUSparseFile.0/x"};
    struct unpack_result r;
    struct err e;
    const char *const records[] = {"GNU.sparse.major=1", "GNU.sparse.minor=0",
                                   "GNU.sparse.name=x"};
    for (size_t i = 0; i < array_len(records); i++)
        tar_record(&inner, records[i], strlen(records[i]));
    (void)snprintf(record, sizeof(record), "GNU.sparse.realsize=%s", size);
    tar_record(&inner, record, strlen(record));
    tar_header(&t, &head, inner.n);
    tar_bytes(&t, inner.p, inner.n);
    tar_pad(&t);
    tar_free(&inner);
    memset(map, '\0', sizeof(map));
    (void)snprintf(map, sizeof(map), "1\n1000000\n512\n");
    memcpy(data, map, 512);
    memset(data + 512, 'x', 512);
    tar_header(&t, &file, 1024);
    tar_bytes(&t, data, 1024);
    tar_end(&t);
    enum err_code code = unpack(p, "fs", t.p, t.n, &limits, &r, &e);
    tar_free(&t);
    return code;
}

static void test_sparse_files(void **state)
{
    struct place *p = *state;
    skip_unless_root();
    /* It counts with its whole size and takes only what it has. */
    assert_int_equal(sparse(p, "1073741824", 2ULL << 30), ERR_NONE);
    struct stat st = stat_of(p, "x");
    assert_int_equal(st.st_size, 1073741824);
    assert_true(st.st_blocks * 512 < 100000);
    assert_int_equal(sparse(p, "1073741824", 1ULL << 29), ERR_TOO_LARGE);
    assert_int_equal(sparse(p, "1099511627776", UNPACK_IMAGE_BYTES),
                     ERR_TOO_LARGE);
}

/* ---- damage --------------------------------------------------------------*/

static void build_sample(struct tar *t)
{
    static const struct tar_entry entries[] = {
        D("./"),
        D("d"),
        F("d/a", "some text"),
        S("s", "d/a"),
        H("h", "d/a"),
        {.name = "x", .pax = "path=long/name", .pax2 = "uid=7", .data = "1"},
        {.name = "dev", .type = '3', .major = 1, .minor = 3},
        {.name = "y", .pax = "SCHILY.xattr.user.a=b", .data = "22"}};
    for (size_t i = 0; i < array_len(entries); i++)
        tar_add(t, &entries[i]);
    tar_end(t);
}

/* An archive that ends early is an error, wherever; without the two blocks at
 * its end it is whole, as for tar. */
static void test_cut_archives(void **state)
{
    struct place *p = *state;
    struct unpack_result r;
    struct err e;
    struct tar t = {.p = NULL};
    skip_unless_root();
    build_sample(&t);
    size_t whole = t.n - 1024;
    for (size_t n = 100; n < whole; n += 100) {
        enum err_code code = unpack(p, "fs", t.p, n, NULL, &r, &e);
        if (n % 512 != 0)
            assert_int_equal(code, ERR_INVALID);
    }
    assert_int_equal(unpack(p, "fs", t.p, whole, NULL, &r, &e), ERR_NONE);
    assert_int_equal(r.entries, 9); /* with the folder "long" */
    check_victim(p, "cut archives");
    tar_free(&t);
}

/* Bytes changed at random, with the header's sum mended so that the change is
 * looked at: nothing outside is touched, nothing crashes. */
static void test_changed_archives(void **state)
{
    struct place *p = *state;
    struct unpack_result r;
    struct err e;
    struct tar t = {.p = NULL};
    uint64_t x = 88172645463325252U;
    int rounds = getenv("BERTH_LONG") != NULL ? 20000 : ROUNDS;
    int good = 0;
    skip_unless_root();
    build_sample(&t);
    unsigned char *copy = malloc(t.n);
    for (int i = 0; i < rounds; i++) {
        memcpy(copy, t.p, t.n);
        for (int k = 0; k < 3; k++) {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            size_t at = (size_t)((x >> 20) % t.n);
            copy[at] = (unsigned char)(x >> 12);
            if ((x >> 8) % 3 == 0) /* what means something in a name */
                copy[at] = (unsigned char)"./-0"[x >> 10 & 3];
            unsigned sum = 0;
            unsigned char *h = copy + at / 512 * 512;
            for (size_t j = 0; j < 512; j++)
                sum += j >= 148 && j < 156 ? ' ' : h[j];
            if (memcmp(h + 257, "ustar", 5) == 0)
                (void)snprintf((char *)h + 148, 8, "%06o", sum);
        }
        good += unpack(p, "fs", copy, t.n, NULL, &r, &e) == ERR_NONE;
    }
    check_victim(p, "changed archives");
    assert_true(good > rounds / 20 && good < rounds);
    free(copy);
    tar_free(&t);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_rows),
        T(test_times),
        T(test_file_capabilities),
        T(test_xattrs_are_bounded),
        T(test_limits),
        T(test_an_endless_stream),
        T(test_depth),
        T(test_sparse_files),
        T(test_cut_archives),
        T(test_changed_archives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
