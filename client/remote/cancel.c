#include "client/remote/cancel.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>

#include "base/defs.h"

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
static atomic_bool is_asked;
static atomic_int last;

static void on_signal(int sig)
{
    atomic_store(&last, sig);
    atomic_store(&is_asked, true);
}

void cancel_catch(void)
{
    /* RESETHAND: the second signal finds the default. */
    struct sigaction sa = {.sa_handler = on_signal,
                           .sa_flags = (int)SA_RESETHAND};
    for (size_t i = 0; i < array_len(signals); i++) {
        struct sigaction old;
        /* Who started us with a signal ignored (nohup) wants it ignored. */
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            (void)sigaction(signals[i], &sa, NULL);
    }
}

void cancel_release(void)
{
    for (size_t i = 0; i < array_len(signals); i++) {
        struct sigaction old;
        if (sigaction(signals[i], NULL, &old) == 0 &&
            old.sa_handler == on_signal)
            (void)signal(signals[i], SIG_DFL);
    }
}

const atomic_bool *cancel_flag(void)
{
    return &is_asked;
}

bool cancel_poll(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    sigset_t caught, old;
    int rc;
    (void)sigemptyset(&caught);
    for (size_t i = 0; i < array_len(signals); i++)
        (void)sigaddset(&caught, signals[i]);
    /* Only while ppoll() sleeps: none comes between the look and the sleep. */
    (void)sigprocmask(SIG_BLOCK, &caught, &old);
    do {
        rc = atomic_load(&is_asked) ? 0 : ppoll(&p, 1, NULL, &old);
    } while (rc < 0 && errno == EINTR);
    (void)sigprocmask(SIG_SETMASK, &old, NULL);
    return rc > 0;
}

void cancel_die(void)
{
    if (!atomic_load(&is_asked))
        return;
    int sig = atomic_load(&last);
    (void)signal(sig, SIG_DFL);
    (void)raise(sig);
}
