#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static _Atomic int max_level = LOG_LEVEL_INFO;
static pthread_mutex_t file_lock = PTHREAD_MUTEX_INITIALIZER;
static int file_fd = -1;
static char file_path[512];

int log_level_parse(const char *word, enum log_level *out)
{
    static const char *const words[] = {"error", "warn", "info", "debug"};

    for (size_t i = 0; i < array_len(words); i++) {
        if (strcmp(word, words[i]) == 0) {
            *out = (enum log_level)i;
            return 0;
        }
    }
    return -1;
}

void log_set_level(enum log_level level)
{
    atomic_store(&max_level, (int)level);
}

int log_open(const char *path, struct err *e)
{
    int fd = -1;

    if (path) {
        fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
        if (fd < 0)
            return err_sys(e, errno, "open log %s", path);
    }
    pthread_mutex_lock(&file_lock);
    if (file_fd >= 0)
        close(file_fd);
    file_fd = fd;
    if (path != file_path)
        snprintf(file_path, sizeof(file_path), "%s", path ? path : "");
    pthread_mutex_unlock(&file_lock);
    return 0;
}

int log_reopen(struct err *e)
{
    return file_path[0] ? log_open(file_path, e) : 0;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    static const char *const words[] = {"error", "warn", "info", "debug"};
    char line[4096];
    struct timespec now;
    struct tm tm;
    size_t used;
    va_list ap;
    ssize_t rc;

    if ((int)level > atomic_load(&max_level))
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    used = strftime(line, sizeof(line), "%Y-%m-%dT%H:%M:%S", &tm);
    used += (size_t)snprintf(line + used, sizeof(line) - used, ".%03ldZ %s ",
                             now.tv_nsec / 1000000, words[level]);
    va_start(ap, fmt);
    vsnprintf(line + used, sizeof(line) - used - 1, fmt, ap);
    va_end(ap);
    used = strlen(line);
    line[used++] = '\n';
    pthread_mutex_lock(&file_lock);
    do
        rc = write(file_fd >= 0 ? file_fd : STDERR_FILENO, line, used);
    while (rc < 0 && errno == EINTR);
    pthread_mutex_unlock(&file_lock);
}

char *log_escape(char *out, size_t size, const char *p, size_t n)
{
    size_t o = 0;

    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)p[i];
        bool plain = c >= 0x20 && c < 0x7f && c != '"' && c != '\\';

        if (o + 8 > size) {
            o += (size_t)snprintf(out + o, size - o, "...");
            break;
        }
        if (plain)
            out[o++] = (char)c;
        else
            o += (size_t)snprintf(out + o, size - o, "\\x%02x", c);
    }
    out[o < size ? o : size - 1] = '\0';
    return out;
}
