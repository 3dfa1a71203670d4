/*
 * Grammars of flag values, as docker's users write them.  Pure: nothing here
 * looks at the machine, the store or the clock.
 *
 * Errors: ERR_INVALID or ERR_RANGE; the message names the flag and the value.
 */
#ifndef BERTH_CLIENT_CLI_VALUE_H
#define BERTH_CLIENT_CLI_VALUE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <time.h>

#include "base/err.h"

#define VALUE_CPUS_MAX 8192 /* CPU numbers are below this */

/* "1.5" -> nanoseconds of CPU time per second; 0.01 at least, or 0: none. */
must_check int value_cpus(const char *text, uint64_t *nano, struct err *e);

struct value_cpuset {
    unsigned char bits[VALUE_CPUS_MAX / 8];
};
/* "0-2,5"; `flag` is for messages. */
must_check int value_cpuset(const char *flag, const char *text,
                            struct value_cpuset *out, struct err *e);
bool value_cpuset_within(const struct value_cpuset *inner,
                         const struct value_cpuset *outer);

/*
 * --memory-swap beside a memory limit (0: none): -1 no limit, 0 or NULL the
 * default, else bytes, at least the memory limit, which must be given then.
 */
must_check int value_swap(const char *text, uint64_t memory, int64_t *swap,
                          struct err *e);

/*
 * "nofile=1024:2048" -> RLIMIT_NOFILE and its limits; -1 is no limit; one
 * number is both.
 */
must_check int value_ulimit(const char *text, int *resource, struct rlimit *out,
                            struct err *e);
/* RLIMIT_NOFILE -> "nofile"; NULL when it has no name. */
const char *value_ulimit_name(int resource);

/* "KILL", "SIGKILL", "RTMIN+3" or "9" -> its number; -1 when unknown. */
int value_signal(const char *name);

/* A mount point: absolute, without "..", below "/"; made clean. */
bool value_target(const char *text, size_t n, char out[PATH_MAX]);

struct value_volume {
    char source[PATH_MAX]; /* absolute, or "" for an anonymous volume */
    char target[PATH_MAX]; /* absolute, clean, not "/" */
    char mode[32];         /* as written: "ro", "" ... */
    bool is_read_only;
};
/*
 * "[/SOURCE:]/TARGET[:MODE]"; a source "./x" or "../x" is below cwd.  MODE is
 * a comma list of ro, rw, z, Z, private and rprivate.
 */
must_check int value_volume(const char *text, const char *cwd,
                            struct value_volume *out, struct err *e);

#define VALUE_TMPFS_OPTIONS 8
struct value_tmpfs {
    char target[PATH_MAX];
    char text[256]; /* the words below, separated by NULs */
    const char *option[VALUE_TMPFS_OPTIONS][2]; /* of the file system */
    size_t n;
    bool is_read_only, has_exec, has_suid, has_dev, has_mode;
};
/* "/TARGET[:OPTIONS]", for example "/tmp:size=64m,mode=1777,exec". */
must_check int value_tmpfs(const char *text, struct value_tmpfs *out,
                           struct err *e);

/*
 * A moment: RFC 3339 or its beginning from the day on (local time unless it
 * names a zone), seconds since 1970 with or without a fraction, or how long
 * before `now` ("90s", "1h30m", "1.5h").
 */
must_check int value_time(const char *flag, const char *text,
                          struct timespec now, struct timespec *out,
                          struct err *e);

/*
 * One line of an --env-file: *name_len is 0 when it sets nothing.  `line` is
 * moved over leading blanks; "NAME" alone is for the caller to look up.
 */
must_check int value_env_line(const char **line, size_t *name_len,
                              struct err *e);

#endif
