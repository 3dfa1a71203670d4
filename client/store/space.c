#include "client/store/space.h"

#include <errno.h>
#include <stdio.h>
#include <sys/statfs.h>

static void print_bytes(uint64_t n, char out[32])
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t unit = 0;
    uint64_t tenth = 0;
    while (n >= 1024 && unit + 1 < array_len(units)) {
        tenth = n % 1024 * 10 / 1024;
        n /= 1024;
        unit++;
    }
    (void)snprintf(out, 32, "%llu.%llu %s", (unsigned long long)n,
                   (unsigned long long)tenth, units[unit]);
}

int space_check(int fd, uint64_t need, struct err *e)
{
    struct statfs f;
    char a[32], b[32], c[32];
    if (fstatfs(fd, &f) != 0)
        return err_sys(e, errno, "look for space on the store's disk");
    uint64_t block = (uint64_t)f.f_bsize;
    uint64_t keep = f.f_blocks * block / SPACE_KEEP_PART;
    uint64_t free_bytes = f.f_bavail * block;
    if (keep > SPACE_KEEP_BYTES)
        keep = SPACE_KEEP_BYTES;
    /* Some file systems make inodes as they go and count none. */
    if (f.f_files > 0 && f.f_ffree == 0)
        return err_set(e, ERR_NO_SPACE,
                       "no space left on the store's disk: it has no inodes");
    if (free_bytes >= keep && free_bytes - keep >= need)
        return 0;
    print_bytes(need, a);
    print_bytes(free_bytes, b);
    print_bytes(keep, c);
    return err_set(e, ERR_NO_SPACE,
                   "no space left on the store's disk: %s needed, %s free, of "
                   "which %s must stay free",
                   a, b, c);
}
