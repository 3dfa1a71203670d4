/*
 * Crashes, judged by a ledger: a child process pushes and writes a line into
 * a pipe for everything that the store acknowledged; it is killed with -9, or
 * the power of its file system is cut, at a random moment; after a restart
 * everything in the ledger must be there and whole.
 *
 * The power cut is FS_IOC_SHUTDOWN without a log flush on a loop-mounted ext4
 * image: everything that was not synced is lost.  A negative control (syncs
 * that do nothing) proves that the method catches what it should.
 * Both seeds are printed.
 */
#include "tests/unit/storage/store_kit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/log.h"
#include "tests/unit/skip.h"

#define FS_IOC_SHUTDOWN_ _IOR('X', 125, uint32_t)

static bool lying_syncs;

int fsync(int fd)
{
    return lying_syncs ? 0 : (int)syscall(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return lying_syncs ? 0 : (int)syscall(SYS_fdatasync, fd);
}

/* One acknowledged thing; a line in the ledger is one write of this. */
struct entry {
    enum { BLOB, PARTS, TAG, GONE } what;
    uint32_t seed;
    char id[UPLOAD_ID_LEN + 1];
};

/* ---- the child ---------------------------------------------------------- */

static void blob_text(char out[64], uint32_t seed)
{
    snprintf(out, 64, "the bytes of blob number %u, in two parts", seed);
}

static struct digest blob_digest(uint32_t seed)
{
    char text[64];

    blob_text(text, seed);
    return kit_digest(HASH_SHA256, text, strlen(text));
}

struct pusher {
    struct kit *k;
    int ledger;
    uint32_t first;
};

static void acknowledge(const struct pusher *p, const struct entry *e)
{
    if (write(p->ledger, e, sizeof(*e)) != (ssize_t)sizeof(*e))
        _exit(3);
}

/* Push one blob in two parts, its manifest and tag; delete every fourth. */
static bool push_one(const struct pusher *p, uint32_t seed)
{
    struct entry entry = {.what = PARTS, .seed = seed};
    struct digest d = blob_digest(seed), m;
    struct store_job_offset j;
    struct upload_info info;
    struct upload *u;
    struct err e = {0};
    char text[64], manifest[512], tag[32];

    blob_text(text, seed);
    if (upload_begin(p->k->store, "r", HASH_SHA256, &info, &e) < 0 ||
        upload_take(p->k->store, "r", info.id, &u, &info, &e) < 0 ||
        upload_append(p->k->store, u, text, 20, &e) < 0 ||
        upload_sync(p->k->store, u, &e) < 0)
        return false;
    store_job_offset_init(&j, u);
    if (store_run(p->k->store, &j.job) < 0)
        return false;
    memcpy(entry.id, info.id, sizeof(entry.id));
    acknowledge(p, &entry);
    if (upload_append(p->k->store, u, text + 20, strlen(text) - 20, &e) < 0 ||
        kit_commit(p->k, u, &d) != ERR_NONE)
        return false;
    entry.what = BLOB;
    acknowledge(p, &entry);
    kit_image(manifest, sizeof(manifest), &d, (int64_t)strlen(text), "");
    snprintf(tag, sizeof(tag), "t%u", seed);
    if (kit_manifest(p->k, "r", manifest, tag, NULL, &m) != ERR_NONE)
        return false;
    entry.what = TAG;
    acknowledge(p, &entry);
    if (seed % 4)
        return true;
    if (kit_delete(p->k, DELETE_MANIFEST, "r", NULL, &m) != ERR_NONE ||
        kit_delete(p->k, DELETE_BLOB, "r", NULL, &d) != ERR_NONE)
        return false;
    entry.what = GONE;
    acknowledge(p, &entry);
    return true;
}

static void *push_all(void *arg)
{
    const struct pusher *p = arg;

    for (uint32_t i = 0; push_one(p, p->first + i); i++)
        ;
    return NULL;
}

static _Noreturn void child(struct kit *k, int ledger, uint32_t round)
{
    struct pusher pushers[3];
    pthread_t threads[3];
    struct err e = {0};

    k->opts.root = k->root;
    if (store_open(&k->opts, &k->store, &e) < 0)
        _exit(2);
    for (uint32_t i = 0; i < 3; i++) {
        pushers[i] = (struct pusher){k, ledger, round * 100000 + i * 10000 + 1};
        if (pthread_create(&threads[i], NULL, push_all, &pushers[i]) != 0)
            _exit(2);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    pause(); /* the power is gone; wait for the kill */
    _exit(4);
}

/* ---- the judge ---------------------------------------------------------- */

static bool has_text(struct kit *k, uint32_t seed)
{
    struct digest d = blob_digest(seed);
    char text[64], buf[64];
    struct err e = {0};
    int64_t size;
    bool soon, ok;
    int fd = -1;

    blob_text(text, seed);
    if (store_blob_size(k->reader, "r", &d, &size, &soon, &e) < 0 ||
        store_blob_open(k->store, &d, size, &fd, &e) < 0)
        return false;
    ok = read(fd, buf, sizeof(buf)) == (ssize_t)strlen(text) &&
         memcmp(buf, text, strlen(text)) == 0;
    close(fd);
    return ok;
}

/* A session whose first part was acknowledged must go on from there. */
static bool can_resume(struct kit *k, const struct entry *entry)
{
    struct digest d = blob_digest(entry->seed);
    struct upload_info info;
    struct upload *u;
    struct err e = {0};
    char text[64];

    blob_text(text, entry->seed);
    if (upload_take(k->store, "r", entry->id, &u, &info, &e) < 0)
        return false;
    return upload_offset(u) == 20 &&
           upload_append(k->store, u, text + 20, strlen(text) - 20, &e) == 0 &&
           kit_commit(k, u, &d) == ERR_NONE && has_text(k, entry->seed);
}

static bool has_tag(struct kit *k, uint32_t seed)
{
    struct store_manifest m;
    struct err e = {0};
    char tag[32];

    snprintf(tag, sizeof(tag), "t%u", seed);
    if (store_manifest_get(k->reader, "r", tag, NULL, true, &m, &e) < 0)
        return false;
    free(m.bytes);
    return true;
}

/*
 * How many entries the store does not honour.  The last entry of a seed is
 * what holds; a delete of every fourth may have happened unacknowledged.
 */
static int count_broken(struct kit *k, const struct entry *list, size_t n)
{
    int broken = 0;

    for (size_t i = 0; i < n; i++) {
        const struct entry *last = &list[i];
        bool ok = true, is_last = true;

        for (size_t j = i + 1; j < n && is_last; j++)
            is_last = list[j].seed != last->seed;
        if (!is_last)
            continue;
        if (last->what == PARTS)
            ok = has_text(k, last->seed) || can_resume(k, last);
        if (last->what == BLOB)
            ok = has_text(k, last->seed);
        if (last->what == TAG && last->seed % 4)
            ok = has_tag(k, last->seed) && has_text(k, last->seed);
        if (last->what == GONE)
            ok = !has_tag(k, last->seed) && !has_text(k, last->seed);
        if (!ok && !lying_syncs)
            print_message("lost: entry %zu of %zu, kind %d, blob %u\n", i, n,
                          (int)last->what, last->seed);
        if (!ok && !lying_syncs)
            print_message("broken: kind %d of seed %u, upload %s\n",
                          (int)last->what, last->seed, last->id);
        broken += !ok;
    }
    return broken;
}

static size_t read_ledger(int fd, struct entry *list, size_t max)
{
    size_t n = 0;

    while (n < max && read(fd, &list[n], sizeof(*list)) == sizeof(*list))
        n++;
    return n;
}

#define MAX_ENTRIES 20000

/*
 * One round: run a child, crash it after delay_us by kill or by cut (a folder
 * of the file system), restart, judge.  Returns broken entries, -1 when the
 * store does not even open.
 */
static int crash_round(struct kit *k, uint32_t round, unsigned delay_us,
                       const char *cut, void (*remount)(void), size_t *seen)
{
    static struct entry list[MAX_ENTRIES];
    struct err e = {0};
    int pipes[2], status, broken = -1;
    pid_t pid;

    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    assert_true(fcntl(pipes[1], F_SETPIPE_SZ, 1 << 20) > 0);
    assert_int_equal(fcntl(pipes[0], F_SETFL, O_NONBLOCK), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        child(k, pipes[1], round);
    close(pipes[1]);
    usleep(delay_us);
    if (cut) {
        uint32_t no_log_flush = 2;
        int fd = open(cut, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        /*
         * What counts is what the world heard before the cut: a sync that
         * was under way may return success after it (the journal forgets an
         * aborted transaction that another thread waited for).
         */
        *seen = read_ledger(pipes[0], list, MAX_ENTRIES);
        assert_int_equal(ioctl(fd, FS_IOC_SHUTDOWN_, &no_log_flush), 0);
        close(fd);
    }
    kill(pid, SIGKILL);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) || cut);
    if (!cut)
        *seen = read_ledger(pipes[0], list, MAX_ENTRIES);
    close(pipes[0]);
    if (remount)
        remount();
    if (store_open(&k->opts, &k->store, &e) < 0 ||
        store_reader_open(k->store, &k->reader, &e) < 0) {
        print_message("after the crash: %s\n", e.msg);
    } else {
        broken = count_broken(k, list, *seen);
    }
    kit_close(k);
    return broken;
}

static uint32_t random_below(uint32_t *seed, uint32_t n)
{
    *seed = *seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)*seed * n) >> 32);
}

static uint32_t pick_seed(const char *name)
{
    const char *given = getenv("BERTH_TEST_SEED");
    uint64_t seed = (uint64_t)getpid();

    if (given && !num_parse_u64(slice_of(given), UINT32_MAX, &seed))
        fail_msg("BERTH_TEST_SEED is no number");
    print_message("%s: BERTH_TEST_SEED=%u\n", name, (unsigned)seed);
    return (uint32_t)seed;
}

/* How many rounds; BERTH_TEST_ROUNDS for the patient. */
static uint32_t pick_rounds(uint32_t usual)
{
    const char *given = getenv("BERTH_TEST_ROUNDS");
    uint64_t rounds = usual;

    if (given && !num_parse_u64(slice_of(given), 10000, &rounds))
        fail_msg("BERTH_TEST_ROUNDS is no number");
    return (uint32_t)rounds;
}

static void test_kill(void **state)
{
    struct kit *k = *state;
    uint32_t seed = pick_seed("kill -9");
    uint32_t rounds = pick_rounds(25);
    size_t seen, total = 0;

    kit_close(k);
    k->opts.reap_delay_s = -1;
    for (uint32_t round = 0; round < rounds; round++) {
        unsigned delay = 5000 + random_below(&seed, 80000);

        assert_int_equal(crash_round(k, round, delay, NULL, NULL, &seen), 0);
        total += seen;
    }
    kit_open(k);
    print_message("%u kills, %zu acknowledgements held\n", rounds, total);
    assert_true(total > 100);
}

/* ---- the power ---------------------------------------------------------- */

/*
 * The loop device is held from the first mount to the last umount: one that
 * `mount -o loop` makes is cleared some time after the umount, and the next
 * mount may pick it up just before.
 */
static char image[100], mount_dir[100], device[64];

static bool run(const char *fmt, ...) printf_like(1, 2);
static bool run(const char *fmt, ...)
{
    char cmd[256];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(cmd, sizeof(cmd), fmt, ap);
    va_end(ap);
    return system(cmd) == 0;
}

static bool mount_image(void)
{
    return mount(device, mount_dir, "ext4", MS_NOATIME, NULL) == 0;
}

static bool attach_image(void)
{
    char cmd[256];
    FILE *out;
    bool ok;

    snprintf(cmd, sizeof(cmd), "/sbin/losetup --show -f %s", image);
    out = popen(cmd, "re");
    ok = out && fgets(device, sizeof(device), out) != NULL;
    if (out)
        pclose(out);
    device[strcspn(device, "\n")] = '\0';
    return ok;
}

static void unmount_image(void)
{
    for (int i = 0; umount(mount_dir) < 0 && i < 2000; i++)
        usleep(10000);
}

static void remount_image(void)
{
    unmount_image();
    assert_true(mount_image());
}

/* A fresh ext4 of the size at mount_dir, in a mount namespace of our own. */
static bool make_image(const struct kit *k, const char *size)
{
    static bool is_private;

    if (geteuid() != 0)
        return false;
    if (!is_private && (unshare(CLONE_NEWNS) < 0 ||
                        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0))
        return false;
    is_private = true;
    snprintf(image, sizeof(image), "%s/disk", k->root);
    snprintf(mount_dir, sizeof(mount_dir), "%s/mnt", k->root);
    return run("truncate -s %s %s", size, image) &&
           run("/sbin/mkfs.ext4 -q -F -E lazy_itable_init=0 %s", image) &&
           run("mkdir -p %s", mount_dir) && attach_image() && mount_image();
}

/* The kit's store moves into the image; NULL when there can be none. */
static struct kit *kit_on_image(struct kit *k, const char *size)
{
    struct kit *inner;

    kit_close(k);
    if (!make_image(k, size)) {
        kit_open(k);
        skip_because("needs root, loop devices and mkfs.ext4");
    }
    inner = calloc(1, sizeof(*inner));
    assert_non_null(inner);
    berth_assert((size_t)snprintf(inner->root, sizeof(inner->root),
                                  "%s/mnt/data",
                                  k->root) < sizeof(inner->root));
    inner->opts = k->opts;
    inner->opts.root = inner->root;
    return inner;
}

static void leave_image(struct kit *k, struct kit *inner)
{
    free(inner);
    unmount_image();
    assert_true(run("/sbin/losetup -d %s", device));
    kit_open(k);
}

static void test_power_cut(void **state)
{
    struct kit *k = *state, *inner = kit_on_image(k, "64M");
    uint32_t seed = pick_seed("power cut");
    uint32_t rounds = pick_rounds(12);
    size_t seen, total = 0;
    int caught = 0;

    inner->opts.reap_delay_s = -1;
    for (uint32_t round = 0; round < rounds; round++) {
        unsigned delay = 60000 + random_below(&seed, 150000);

        assert_int_equal(
            crash_round(inner, round, delay, mount_dir, remount_image, &seen),
            0);
        total += seen;
    }
    print_message("%u power cuts, %zu acknowledgements held\n", rounds, total);
    assert_true(total > 20);
    /* The control: syncs that lie must be caught. */
    lying_syncs = true;
    for (uint32_t round = 20000; round < 20004; round++)
        caught += crash_round(inner, round, 200000, mount_dir, remount_image,
                              &seen) != 0;
    lying_syncs = false;
    print_message("control: %d of 4 runs without syncs were caught\n", caught);
    assert_true(caught > 0);
    leave_image(k, inner);
}

/* ---- a full disk -------------------------------------------------------- */

/* Take what is left in small steps, so that SQLite finds nothing either. */
static void fill_rest(struct upload *u, struct kit *k)
{
    struct err e = {0};
    char small[512];

    memset(small, 'y', sizeof(small));
    while (upload_append(k->store, u, small, sizeof(small), &e) == 0)
        ;
    assert_int_equal(e.code, ERR_NO_SPACE);
}

static void test_disk_full(void **state)
{
    struct kit *k = *state, *inner = kit_on_image(k, "24M");
    size_t size = 1 << 20;
    char *block = malloc(size);
    struct digest first, d;
    struct upload *u;
    struct err e = {0};
    int64_t got;
    int n = 0;

    assert_non_null(block);
    inner->opts.reap_delay_s = -1;
    inner->opts.min_free_bytes = 0;
    kit_open(inner);
    first = kit_push(inner, "r", "kept");
    u = kit_begin(inner, "r");
    memset(block, 'x', size);
    while (upload_append(inner->store, u, block, size, &e) == 0)
        assert_true(++n < 64);
    assert_int_equal(e.code, ERR_NO_SPACE);
    assert_null(store_fault(inner->store));
    got = upload_offset(u);
    assert_int_equal(got, n * (int64_t)size);
    /* Reads and deletes go on, other pushes fail cleanly. */
    kit_check_bytes(inner, "r", &first, "kept");
    fill_rest(u, inner);
    assert_int_equal(kit_delete(inner, DELETE_BLOB, "r", NULL, &first),
                     ERR_NONE);
    assert_int_equal(kit_size(inner, "r", &first), -1);
    assert_null(store_fault(inner->store));
    /* The session goes away and gives its space back. */
    upload_drop(inner->store, u);
    d = kit_push(inner, "r", "fits again");
    kit_check_bytes(inner, "r", &d, "fits again");
    kit_close(inner);
    kit_open(inner);
    kit_check_bytes(inner, "r", &d, "fits again");
    kit_close(inner);
    free(block);
    leave_image(k, inner);
}

#define T(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_kill),
        T(test_power_cut),
        T(test_disk_full),
    };
    struct err e;

    /* The faults are made here; their log lines would bury the results. */
    if (log_open("/dev/null", &e) < 0)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
