#include "client/remote/progress.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client/cli/amount.h"

#define BAR_MAX   50
#define BARS_MAX  8
#define TEXT_MAX  112
#define LINE_REST 62 /* columns of a line without its bar */

struct line {
    char name[16];
    const char *what; /* NULL: waits; a static text */
    char last[TEXT_MAX];
    uint64_t done, total;
    bool is_done, is_printed;
};

struct progress {
    pthread_mutex_t mutex;
    bool is_quiet, is_terminal;
    size_t n;
    size_t drawn; /* bars on the screen now */
    struct line lines[];
};

int progress_new(size_t n, bool is_quiet, struct progress **out, struct err *e)
{
    struct progress *p = calloc(1, sizeof(*p) + n * sizeof(p->lines[0]));
    if (p == NULL)
        return err_set(e, ERR_NO_MEMORY, "progress: out of memory");
    (void)pthread_mutex_init(&p->mutex, NULL);
    p->n = n;
    p->is_quiet = is_quiet;
    p->is_terminal = isatty(STDERR_FILENO) == 1;
    *out = p;
    return 0;
}

void progress_free(struct progress *p)
{
    if (p == NULL)
        return;
    (void)pthread_mutex_destroy(&p->mutex);
    free(p);
}

void progress_name(struct progress *p, size_t i, const char *hex,
                   uint64_t total)
{
    (void)pthread_mutex_lock(&p->mutex);
    (void)snprintf(p->lines[i].name, sizeof(p->lines[i].name), "%.12s", hex);
    p->lines[i].total = total;
    (void)pthread_mutex_unlock(&p->mutex);
}

void progress_move(struct progress *p, size_t i, const char *what,
                   uint64_t done)
{
    (void)pthread_mutex_lock(&p->mutex);
    p->lines[i].what = what;
    p->lines[i].done = done;
    (void)pthread_mutex_unlock(&p->mutex);
}

void progress_done(struct progress *p, size_t i, const char *what)
{
    (void)pthread_mutex_lock(&p->mutex);
    (void)snprintf(p->lines[i].last, sizeof(p->lines[i].last), "%.100s", what);
    p->lines[i].is_done = true;
    (void)pthread_mutex_unlock(&p->mutex);
}

static int bar_columns(void)
{
    struct winsize w;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) != 0 || w.ws_col == 0)
        return 20;
    int room = w.ws_col - LINE_REST;
    return room < 0 ? 0 : room > BAR_MAX ? BAR_MAX : room;
}

static void draw_bar(const struct line *l, int columns)
{
    static const char bar[] =
        "==================================================";
    char done[32], total[32];
    double part = l->total > 0 ? (double)l->done / (double)l->total : 1;
    int full = (int)((part > 1 ? 1 : part) * columns);
    amount_format_size(l->done, done);
    amount_format_size(l->total, total);
    (void)fprintf(stderr, "%s: %-16s [%-*.*s] %s/%s\033[K\n", l->name, l->what,
                  columns, full, bar, done, total);
}

/* Up over our own bars, and away with them. */
static void wipe(struct progress *p)
{
    if (p->drawn > 0)
        (void)fprintf(stderr, "\033[%zuA\r\033[J", p->drawn);
    p->drawn = 0;
}

static void print_done(struct progress *p)
{
    for (size_t i = 0; i < p->n; i++) {
        struct line *l = &p->lines[i];
        if (l->is_done && !l->is_printed)
            (void)fprintf(stderr, "%s: %s\n", l->name, l->last);
        l->is_printed = l->is_done;
    }
}

void progress_draw(struct progress *p)
{
    if (p->is_quiet)
        return;
    (void)pthread_mutex_lock(&p->mutex);
    int columns = p->is_terminal ? bar_columns() : 0;
    wipe(p);
    print_done(p);
    for (size_t i = 0; p->is_terminal && i < p->n && p->drawn < BARS_MAX; i++) {
        if (p->lines[i].what != NULL && !p->lines[i].is_done) {
            draw_bar(&p->lines[i], columns);
            p->drawn++;
        }
    }
    (void)fflush(stderr);
    (void)pthread_mutex_unlock(&p->mutex);
}

void progress_clear(struct progress *p)
{
    if (p->is_quiet)
        return;
    (void)pthread_mutex_lock(&p->mutex);
    wipe(p);
    print_done(p);
    (void)fflush(stderr);
    (void)pthread_mutex_unlock(&p->mutex);
}
