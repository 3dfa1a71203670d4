/* Our init; see init.h. */
#include "client/runtime/init.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/defs.h"

static char *words;
static size_t words_len;
static volatile sig_atomic_t child;

void init_keep_words(char **argv)
{
    char *end = argv[0];
    for (size_t i = 0; argv[i] != NULL; i++)
        end = argv[i] + strlen(argv[i]) + 1;
    for (size_t i = 0; environ[i] != NULL; i++) {
        /* Strings that setenv() made lie elsewhere. */
        if (environ[i] == end)
            end = environ[i] + strlen(environ[i]) + 1;
    }
    words = argv[0];
    words_len = (size_t)(end - words);
}

static void on_signal(int sig)
{
    if (child > 0)
        (void)kill(child, sig);
}

static void catch_all(void)
{
    /* Its own faults, what it waits with, and what would stop it. */
    static const int others[] = {SIGCHLD, SIGKILL, SIGSTOP, SIGSEGV,
                                 SIGBUS,  SIGFPE,  SIGILL,  SIGTRAP,
                                 SIGSYS,  SIGTTIN, SIGTTOU};
    struct sigaction act = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    for (int i = 1; i < NSIG; i++) {
        bool is_other = false;
        for (size_t k = 0; k < array_len(others); k++)
            is_other = is_other || others[k] == i;
        if (!is_other)
            (void)sigaction(i, &act, NULL);
    }
    (void)signal(SIGTTIN, SIG_IGN);
    (void)signal(SIGTTOU, SIG_IGN);
}

static _Noreturn void reap(pid_t program)
{
    for (;;) {
        int status;
        pid_t pid = waitpid(-1, &status, 0);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid < 0)
            _exit(125);
        if (pid == program)
            _exit(WIFEXITED(status) ? WEXITSTATUS(status)
                                    : 128 + WTERMSIG(status));
    }
}

void init_split(bool is_tty, int channel)
{
    sigset_t all, old;
    /* A signal that comes before the child is known must not be lost. */
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_BLOCK, &all, &old);
    pid_t pid = fork();
    if (pid == 0) {
        /* Ctrl-C is for the program alone: pid 1 would send it again. */
        (void)setpgid(0, 0);
        (void)signal(SIGTTOU, SIG_IGN);
        if (is_tty)
            (void)tcsetpgrp(0, getpid());
        (void)sigprocmask(SIG_SETMASK, &old, NULL);
        return;
    }
    if (pid < 0)
        _exit(125);
    child = pid;
    (void)prctl(PR_SET_NAME, "berth-init", 0, 0, 0);
    if (words != NULL && words_len > 0) {
        memset(words, 0, words_len);
        (void)snprintf(words, words_len, "berth-init");
    }
    (void)close(channel);
    catch_all();
    (void)sigprocmask(SIG_UNBLOCK, &all, NULL);
    reap(pid);
}
