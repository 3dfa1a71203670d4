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

/* A killed monitor may have left half a line: the next one begins afresh. */
static void end_line(struct clog *l)
{
    struct err ignored;
    char last = '\n';
    scoped_fd fd = openat(l->dirfd, "log", O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (l->size == 0 || pread(fd, &last, 1, l->size - 1) != 1 || last == '\n')
        return;
    if (io_write_all(l->fd, "\n", 1, -1, &ignored) == 0)
        l->size++;
}

int clog_open(struct clog *l, int dirfd, struct err *e)
{
    l->dirfd = dirfd;
    l->part[0].n = l->part[1].n = 0;
    if (open_file(l, e) != 0)
        return -1;
    end_line(l);
    return 0;
}

static void rotate(struct clog *l)
{
    struct err ignored;
    (void)renameat(l->dirfd, "log.1", l->dirfd, "log.2");
    (void)renameat(l->dirfd, "log", l->dirfd, "log.1");
    (void)close(l->fd);
    (void)open_file(l, &ignored);
}

/* Bytes of the valid UTF-8 sequence at p, 0 when it is none. */
static size_t utf8(const unsigned char *p, size_t n)
{
    static const struct {
        unsigned char lead_min, lead_max, next_min, next_max, size;
    } rows[] = {{0x00, 0x7f, 0x80, 0xbf, 1}, {0xc2, 0xdf, 0x80, 0xbf, 2},
                {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
                {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
                {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4},
                {0xf4, 0xf4, 0x80, 0x8f, 4}};
    for (size_t i = 0; i < array_len(rows); i++) {
        if (*p < rows[i].lead_min || *p > rows[i].lead_max)
            continue;
        if (n < rows[i].size)
            return 0;
        for (size_t k = 1; k < rows[i].size; k++) {
            if (p[k] < (k == 1 ? rows[i].next_min : 0x80) ||
                p[k] > (k == 1 ? rows[i].next_max : 0xbf))
                return 0;
        }
        return rows[i].size;
    }
    return 0;
}

/* JSON's escapes; what is no UTF-8 becomes U+FFFD, as in docker's logs. */
static size_t escape(char *out, const char *text, size_t n)
{
    size_t o = 0, step;
    for (size_t i = 0; i < n; i += step) {
        const unsigned char *p = (const unsigned char *)text + i;
        step = utf8(p, n - i);
        if (step == 0) {
            o += (size_t)sprintf(out + o, "\\ufffd");
            step = 1;
        } else if (*p == '"' || *p == '\\') {
            out[o++] = '\\';
            out[o++] = (char)*p;
        } else if (*p == '\n') {
            out[o++] = '\\';
            out[o++] = 'n';
        } else if (*p < 0x20 || *p == 0x7f) {
            o += (size_t)sprintf(out + o, "\\u%04x", *p);
        } else {
            memcpy(out + o, p, step);
            o += step;
        }
    }
    return o;
}

static void put_line(struct clog *l, int stream, const char *text, size_t n)
{
    static char out[6 * CLOG_LINE_MAX + 256];
    size_t o = (size_t)snprintf(out, sizeof(out), "{\"log\":\"");
    o += escape(out + o, text, n);
    struct timespec now;
    struct tm tm;
    char when[32];
    struct err ignored;
    (void)clock_gettime(CLOCK_REALTIME, &now);
    (void)gmtime_r(&now.tv_sec, &tm);
    (void)strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S", &tm);
    o += (size_t)snprintf(out + o, 128,
                          "\",\"stream\":\"%s\",\"time\":\"%s.%09ldZ\"}\n",
                          stream == 2 ? "stderr" : "stdout", when, now.tv_nsec);
    if (l->size > 0 && l->size + (off_t)o > CLOG_BYTES_MAX)
        rotate(l);
    if (l->fd < 0)
        (void)!open_file(l, &ignored); /* a rotation that failed */
    if (l->fd < 0)
        return;
    if (io_write_all(l->fd, out, o, -1, &ignored) == 0)
        l->size += (off_t)o;
    else /* a full disk: no half line, which would spoil the next one */
        (void)!ftruncate(l->fd, l->size);
}

/* How much of a full buffer can go without cutting a character in two. */
static size_t whole_chars(const char *text, size_t n)
{
    for (size_t back = 1; back < 4; back++) {
        unsigned char c = (unsigned char)text[n - back];
        if ((c & 0xc0) == 0x80)
            continue;
        size_t size = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
        return size > back ? n - back : n;
    }
    return n;
}

void clog_write(struct clog *l, int stream, const char *data, size_t n)
{
    char *text = l->part[stream - 1].text;
    size_t *have = &l->part[stream - 1].n;
    for (size_t i = 0; i < n; i++) {
        text[(*have)++] = data[i];
        if (data[i] != '\n' && *have < CLOG_LINE_MAX)
            continue;
        size_t cut = data[i] == '\n' ? *have : whole_chars(text, *have);
        put_line(l, stream, text, cut);
        *have -= cut;
        memmove(text, text + cut, *have);
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
