/* Container logs; see log.h. */
#include "client/runtime/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/io.h"

static int open_file(struct clog *l, struct err *e)
{
    struct stat st;
    l->fd =
        openat(l->dirfd, "log",
               O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (l->fd < 0 || fstat(l->fd, &st) != 0)
        return err_sys(e, errno, "open the container's log");
    l->size = st.st_size;
    return 0;
}

int clog_open(struct clog *l, int dirfd, struct err *e)
{
    l->dirfd = dirfd;
    l->part[0].n = l->part[1].n = 0;
    return open_file(l, e);
}

static void rotate(struct clog *l)
{
    struct err ignored;
    (void)renameat(l->dirfd, "log.1", l->dirfd, "log.2");
    (void)renameat(l->dirfd, "log", l->dirfd, "log.1");
    (void)close(l->fd);
    (void)open_file(l, &ignored);
}

static void put_line(struct clog *l, int stream, const char *text, size_t n)
{
    static char out[6 * CLOG_LINE_MAX + 256];
    size_t o = (size_t)snprintf(out, sizeof(out), "{\"log\":\"");
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == '"' || c == '\\') {
            out[o++] = '\\';
            out[o++] = (char)c;
        } else if (c == '\n') {
            out[o++] = '\\';
            out[o++] = 'n';
        } else if (c < 0x20 || c == 0x7f) {
            o += (size_t)snprintf(out + o, 7, "\\u%04x", c);
        } else {
            out[o++] = (char)c;
        }
    }
    struct timespec now;
    struct tm tm;
    char when[32];
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &tm);
    (void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
    o += (size_t)snprintf(out + o, 128,
                          "\",\"stream\":\"%s\",\"time\":\"%s.%09ldZ\"}\n",
                          stream == 2 ? "stderr" : "stdout", when, now.tv_nsec);
    struct err ignored;
    if (l->size > 0 && l->size + (off_t)o > CLOG_BYTES_MAX)
        rotate(l);
    if (l->fd >= 0 && io_write_all(l->fd, out, o, -1, &ignored) == 0)
        l->size += (off_t)o;
}

void clog_write(struct clog *l, int stream, const char *data, size_t n)
{
    char *text = l->part[stream - 1].text;
    size_t *have = &l->part[stream - 1].n;
    for (size_t i = 0; i < n; i++) {
        text[(*have)++] = data[i];
        if (data[i] == '\n' || *have == CLOG_LINE_MAX) {
            put_line(l, stream, text, *have);
            *have = 0;
        }
    }
}

void clog_close(struct clog *l)
{
    for (int stream = 1; stream <= 2; stream++) {
        if (l->part[stream - 1].n > 0)
            put_line(l, stream, l->part[stream - 1].text,
                     l->part[stream - 1].n);
        l->part[stream - 1].n = 0;
    }
    scope_close(&l->fd);
}
