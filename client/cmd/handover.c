/* Hands verbs over to berth-image, which links what needs many libraries. */
#include "client/cmd/cmd.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/cli/cli.h"

/* The two places where berth-image may lie, tried in order. */
static int find_image(char out[PATH_MAX], struct err *e)
{
    static const char *const places[] = {"berth-image",
                                         "../libexec/berth/berth-image"};
    char self[PATH_MAX - 64];
    const char *kept = getenv("BERTH_EXE_DIR");
    ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (n <= 0)
        return err_sys(e, errno, "read /proc/self/exe");
    self[n] = '\0';
    /* A program out of reach has no folder; rt_seal_self() kept the name. */
    bool is_sealed = strcmp(self, "/") == 0 || strncmp(self, "/memfd:", 7) == 0;
    if (is_sealed && kept != NULL)
        (void)snprintf(self, sizeof(self), "%s/berth", kept);
    char *slash = strrchr(self, '/');
    if (slash == NULL)
        return err_set(e, ERR_NOT_FOUND, "no folder in %s", self);
    *slash = '\0';
    for (size_t i = 0; i < array_len(places); i++) {
        (void)snprintf(out, PATH_MAX, "%s/%s", self, places[i]);
        if (access(out, X_OK) == 0)
            return 0;
    }
    return err_set(e, ERR_NOT_FOUND,
                   "berth-image is not installed beside %s/berth nor in "
                   "../libexec/berth",
                   self);
}

int cmd_exec_image(char **argv)
{
    struct err e;
    char path[PATH_MAX];
    if (find_image(path, &e) != 0)
        return cli_fail(125, &e);
    execve(path, argv, environ);
    (void)err_sys(&e, errno, "execute %s", path);
    return cli_fail(125, &e);
}

int cmd_run_image(char *const *argv)
{
    char name[] = "berth", *copy[16] = {name};
    size_t n = 1;
    for (; argv[n - 1] != NULL && n < array_len(copy) - 1; n++)
        copy[n] = argv[n - 1];
    copy[n] = NULL;
    (void)fflush(NULL);
    pid_t parent = getpid(), pid = fork();
    if (pid == 0) {
        /* Nobody waits for the image of a run that was killed. */
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
        if (getppid() != parent)
            _exit(125);
        (void)dup2(STDERR_FILENO, STDOUT_FILENO);
        _exit(cmd_exec_image(copy));
    }
    int status;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status))
        return 125;
    return WEXITSTATUS(status);
}
