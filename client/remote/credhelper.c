#include "client/remote/credhelper.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"

#define ANSWER_MAX 65536
#define WAIT_MS    60000
#define NOT_FOUND  "credentials not found"

struct answer {
    char text[ANSWER_MAX + 1];
    size_t n;
    int status; /* as of waitpid */
};

bool credhelper_is_name(const char *name)
{
    size_t n = strlen(name);
    if (n == 0 || n >= CREDENTIAL_HELPER_MAX ||
        !isalnum((unsigned char)name[0]))
        return false;
    for (size_t i = 0; i < n; i++) {
        if (!isalnum((unsigned char)name[i]) && strchr("._-", name[i]) == NULL)
            return false;
    }
    return true;
}

/* The program in $PATH; relative folders are nobody's intention here. */
static int find_program(const char *name, char out[PATH_MAX], struct err *e)
{
    const char *path = getenv("PATH");
    if (!credhelper_is_name(name)) {
        char shown[80];
        return err_set(e, ERR_INVALID, "bad name of a credential helper: %s",
                       log_escape(shown, sizeof(shown), name, strlen(name)));
    }
    for (const char *p = path != NULL ? path : "/usr/local/bin:/usr/bin:/bin";
         *p != '\0';) {
        size_t n = strcspn(p, ":");
        if (n > 0 && *p == '/' &&
            snprintf(out, PATH_MAX, "%.*s/docker-credential-%s", (int)n, p,
                     name) < PATH_MAX &&
            access(out, X_OK) == 0)
            return 0;
        p += n + (p[n] == ':');
    }
    return err_set(e, ERR_NOT_FOUND,
                   "the credential helper docker-credential-%s is not in PATH",
                   name);
}

/* ---- running it ----------------------------------------------------------*/

static _Noreturn void child(const char *program, const char *action, int in,
                            int out)
{
    char *argv[] = {(char *)(uintptr_t)program, (char *)(uintptr_t)action,
                    NULL};
    (void)signal(SIGPIPE, SIG_DFL);
    if (dup2(in, STDIN_FILENO) < 0 || dup2(out, STDOUT_FILENO) < 0)
        _exit(126);
    (void)execv(program, argv);
    _exit(126);
}

/* Write all of the request, then read up to the end or the bound. */
static int talk(int in, int out, const char *request, struct answer *a,
                struct err *e)
{
    int64_t end = clock_mono_ms() + WAIT_MS;
    size_t len = strlen(request);
    /* A request is smaller than a pipe, so this write never blocks; a helper
     * that does not read it may still answer. */
    if (write(in, request, len) != (ssize_t)len && errno != EPIPE)
        return err_sys(e, errno, "write to a credential helper");
    (void)close(in);
    for (;;) {
        struct pollfd p = {.fd = out, .events = POLLIN};
        int64_t left = end - clock_mono_ms();
        int rc = left > 0 ? poll(&p, 1, (int)left) : 0;
        if (rc < 0 && errno == EINTR)
            continue;
        if (rc <= 0)
            return err_set(e, ERR_IO, "the credential helper does not answer");
        ssize_t n = read(out, a->text + a->n, ANSWER_MAX - a->n);
        if (n < 0)
            return err_sys(e, errno, "read from a credential helper");
        if (n == 0)
            return 0;
        a->n += (size_t)n;
        if (a->n == ANSWER_MAX)
            return err_set(e, ERR_TOO_LARGE,
                           "the credential helper says too much");
    }
}

static int run(const char *name, const char *action, const char *request,
               struct answer *a, struct err *e)
{
    char program[PATH_MAX];
    int to[2], from[2];
    if (strlen(request) > PIPE_BUF * 8 || find_program(name, program, e) != 0)
        return -1;
    if (pipe2(to, O_CLOEXEC) != 0)
        return err_sys(e, errno, "pipe");
    if (pipe2(from, O_CLOEXEC) != 0) {
        (void)close(to[0]);
        (void)close(to[1]);
        return err_sys(e, errno, "pipe");
    }
    (void)fflush(NULL);
    pid_t pid = fork();
    if (pid == 0)
        child(program, action, to[0], from[1]);
    (void)close(to[0]);
    (void)close(from[1]);
    int rc;
    if (pid < 0) {
        rc = err_sys(e, errno, "fork");
        (void)close(to[1]);
    } else {
        rc = talk(to[1], from[0], request, a, e);
        if (rc != 0)
            (void)kill(pid, SIGKILL);
        while (waitpid(pid, &a->status, 0) < 0 && errno == EINTR)
            ;
    }
    (void)close(from[0]);
    a->text[a->n] = '\0';
    return rc == 0 ? 0 : err_prefix(e, "docker-credential-%s", name);
}

static bool has_failed(const struct answer *a)
{
    return !WIFEXITED(a->status) || WEXITSTATUS(a->status) != 0;
}

static int failure(const char *name, const struct answer *a, struct err *e)
{
    char shown[128];
    size_t n = strcspn(a->text, "\r\n");
    return err_set(e, ERR_IO, "docker-credential-%s failed: %s", name,
                   log_escape(shown, sizeof(shown), a->text, n));
}

/* ---- the three actions ---------------------------------------------------*/

static int take(const char *name, const struct answer *a,
                struct credential *out, struct err *e)
{
    struct credential c = {.is_set = true};
    json_t *o = json_load_object(a->text, a->n, e);
    const char *user = json_member_string(o, "Username");
    const char *secret = json_member_string(o, "Secret");
    int rc = 0;
    if (o == NULL)
        return err_prefix(e, "docker-credential-%s", name);
    if (user == NULL || secret == NULL || strlen(user) >= sizeof(c.user) ||
        strlen(secret) >= sizeof(c.secret)) {
        rc = err_set(e, ERR_INVALID,
                     "docker-credential-%s gave no user or secret", name);
    } else {
        c.is_identity = strcmp(user, "<token>") == 0;
        memcpy(c.user, c.is_identity ? "" : user,
               c.is_identity ? 1 : strlen(user) + 1);
        memcpy(c.secret, secret, strlen(secret) + 1);
        *out = c;
    }
    json_decref(o);
    return rc;
}

int credhelper_get(const char *name, const char *server, struct credential *out,
                   struct err *e)
{
    struct answer *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return err_set(e, ERR_NO_MEMORY, "credential helper: out of memory");
    int rc = run(name, "get", server, a, e);
    if (rc == 0 && !has_failed(a))
        rc = take(name, a, out, e);
    else if (rc == 0 && strncmp(a->text, NOT_FOUND, strlen(NOT_FOUND)) == 0)
        out->is_set = false;
    else if (rc == 0)
        rc = failure(name, a, e);
    explicit_bzero(a, sizeof(*a));
    free(a);
    return rc;
}

static int tell(const char *name, const char *action, const char *request,
                struct err *e)
{
    struct answer *a = calloc(1, sizeof(*a));
    if (a == NULL)
        return err_set(e, ERR_NO_MEMORY, "credential helper: out of memory");
    int rc = run(name, action, request, a, e);
    if (rc == 0 && has_failed(a) &&
        strncmp(a->text, NOT_FOUND, strlen(NOT_FOUND)) != 0)
        rc = failure(name, a, e);
    free(a);
    return rc;
}

int credhelper_store(const char *name, const char *server,
                     const struct credential *c, struct err *e)
{
    json_t *o =
        json_pack("{s:s, s:s, s:s}", "ServerURL", server, "Username",
                  c->is_identity ? "<token>" : c->user, "Secret", c->secret);
    char *text = o != NULL ? json_dumps(o, JSON_COMPACT) : NULL;
    int rc = text != NULL ? tell(name, "store", text, e)
                          : err_set(e, ERR_INVALID,
                                    "the user or the password is not UTF-8");
    free(text);
    json_decref(o);
    return rc;
}

int credhelper_erase(const char *name, const char *server, struct err *e)
{
    return tell(name, "erase", server, e);
}
