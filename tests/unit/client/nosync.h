/*
 * For tests that make many objects and lose power in none of them: without
 * waiting for the disk, which others may keep busy.  The linker puts these in
 * place of libc's (sources.mk).
 */
#ifndef BERTH_TESTS_CLIENT_NOSYNC_H
#define BERTH_TESTS_CLIENT_NOSYNC_H

int __wrap_syncfs(int fd);
int __wrap_fsync(int fd);
int __wrap_fdatasync(int fd);

int __wrap_syncfs(int fd)
{
    (void)fd;
    return 0;
}

int __wrap_fsync(int fd)
{
    (void)fd;
    return 0;
}

int __wrap_fdatasync(int fd)
{
    (void)fd;
    return 0;
}

#endif
