/*
 * The system calls of the store that tests step into: the linker sends each
 * call of openat() to __wrap_openat() (WRAP in client/sources.mk), which a
 * test defines.
 */
#ifndef BERTH_TESTS_CLIENT_STORE_WRAP_H
#define BERTH_TESTS_CLIENT_STORE_WRAP_H

#include <sys/stat.h>
#include <sys/types.h>

int __real_openat(int dir, const char *path, int flags, ...);
int __wrap_openat(int dir, const char *path, int flags, ...);
int __real_mkdirat(int dir, const char *path, mode_t mode);
int __wrap_mkdirat(int dir, const char *path, mode_t mode);
int __real_renameat(int a, const char *from, int b, const char *to);
int __wrap_renameat(int a, const char *from, int b, const char *to);
int __real_renameat2(int a, const char *from, int b, const char *to,
                     unsigned flags);
int __wrap_renameat2(int a, const char *from, int b, const char *to,
                     unsigned flags);
int __real_unlinkat(int dir, const char *path, int flags);
int __wrap_unlinkat(int dir, const char *path, int flags);
int __real_fstatat(int dir, const char *path, struct stat *st, int flags);
int __wrap_fstatat(int dir, const char *path, struct stat *st, int flags);
ssize_t __real_write(int fd, const void *data, size_t n);
ssize_t __wrap_write(int fd, const void *data, size_t n);
int __real_flock(int fd, int op);
int __wrap_flock(int fd, int op);

#endif
