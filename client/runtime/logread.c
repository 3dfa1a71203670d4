/* The reader of logs; see logread.h. */
#include "client/runtime/logread.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/json.h"
#include "client/runtime/log.h"

/* Newest first. */
static const char *const names[CLOG_FILES] = {"log", "log.1", "log.2"};

static FILE *open_name(int dirfd, const char *name)
{
    int fd = openat(dirfd, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    FILE *f = fd < 0 ? NULL : fdopen(fd, "r");
    if (f == NULL)
        scope_close(&fd);
    return f;
}

static FILE *open_oldest(int dirfd)
{
    FILE *f = NULL;
    for (size_t i = CLOG_FILES; f == NULL && i > 0; i--)
        f = open_name(dirfd, names[i - 1]);
    return f;
}

void logread_open(struct logread *l, int dirfd)
{
    *l = (struct logread){.dirfd = dirfd, .file = open_oldest(dirfd)};
}

void logread_close(struct logread *l)
{
    if (l->file != NULL)
        (void)fclose(l->file);
    free(l->line);
    json_decref(l->entry);
    *l = (struct logread){.dirfd = -1};
}

/* Under which name our file is now; CLOG_FILES when under none. */
static size_t index_of(const struct logread *l)
{
    struct stat own, st;
    size_t i = 0;
    if (fstat(fileno(l->file), &own) != 0)
        return 0;
    for (; i < CLOG_FILES; i++) {
        if (fstatat(l->dirfd, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0 &&
            st.st_ino == own.st_ino && st.st_dev == own.st_dev)
            break;
    }
    return i;
}

/* At the end of a file: true when there may be more to read now. */
static bool go_on(struct logread *l)
{
    size_t i = index_of(l);
    if (i == 0)
        return false;
    if (!l->is_renamed)
        return l->is_renamed = true; /* what came before the new name */
    FILE *next = i == CLOG_FILES ? open_oldest(l->dirfd)
                                 : open_name(l->dirfd, names[i - 1]);
    if (next == NULL)
        return false; /* between the two steps of a rotation */
    (void)fclose(l->file);
    l->file = next;
    l->is_renamed = false;
    return true;
}

/* A whole line of the file into l->line; -1 at its end. */
static ssize_t whole_line(struct logread *l)
{
    off_t at = ftello(l->file);
    ssize_t n = getline(&l->line, &l->line_max, l->file);
    if (n > 0 && l->line[n - 1] == '\n')
        return n;
    /* An unfinished line waits for its rest. */
    (void)fseeko(l->file, at, SEEK_SET);
    clearerr(l->file);
    return -1;
}

static bool parse(struct logread *l, size_t n, struct logread_line *out)
{
    json_decref(l->entry);
    l->entry =
        json_loadb(l->line, n, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    const json_t *text = json_object_get(l->entry, "log");
    const char *stream = json_member_string(l->entry, "stream");
    out->when = json_member_string(l->entry, "time");
    if (!json_is_string(text) || stream == NULL || out->when == NULL)
        return false;
    out->stream = strcmp(stream, "stderr") == 0 ? 2 : 1;
    out->text = json_string_value(text);
    out->n = json_string_length(text);
    return true;
}

bool logread_next(struct logread *l, struct logread_line *out)
{
    if (l->file == NULL)
        l->file = open_oldest(l->dirfd);
    while (l->file != NULL) {
        ssize_t n = whole_line(l);
        if (n > 0 && parse(l, (size_t)n, out))
            return true;
        if (n <= 0 && !go_on(l))
            return false;
    }
    return false;
}
