/* login, logout: try a password, keep it where docker keeps it. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "client/image_cmd/image_cmd.h"
#include "client/remote/cancel.h"
#include "client/remote/remote.h"

/* "https://r.example/v2/" or "r.example" -> the domain of image names. */
static int parse_server(const char *text, char domain[256], struct err *e)
{
    struct reference r;
    char name[REFERENCE_MAX];
    const char *host = text == NULL ? "docker.io" : text;
    for (size_t i = 0; i < 2; i++) {
        const char *scheme = i == 0 ? "https://" : "http://";
        if (strncmp(host, scheme, strlen(scheme)) == 0)
            host += strlen(scheme);
    }
    size_t n = strcspn(host, "/");
    const char *rest = host + n;
    /* A name of one word is no registry in an image's name, but one here. */
    if ((rest[0] != '\0' && strcmp(rest, "/") != 0 &&
         strcmp(rest, "/v1/") != 0 && strcmp(rest, "/v2/") != 0) ||
        snprintf(name, sizeof(name), "%.*s/x", (int)n, host) >=
            (int)sizeof(name) ||
        reference_parse(name, &r, e) != 0 || strcmp(r.path, "x") != 0)
        return err_set(e, ERR_INVALID,
                       "bad registry %.100s: want HOST or HOST:PORT", text);
    memcpy(domain, r.domain, sizeof(r.domain));
    return 0;
}

/* ---- asking --------------------------------------------------------------*/

/* One line; the newline goes, a longer line is an error. */
static int read_line(FILE *f, const char *what, char *out, size_t size,
                     struct err *e)
{
    if (fgets(out, (int)size, f) == NULL)
        return err_set(e, ERR_INVALID, "no %s", what);
    size_t n = strcspn(out, "\r\n");
    if (out[n] == '\0' && n + 1 == size)
        return err_set(e, ERR_TOO_LARGE, "the %s is too long", what);
    out[n] = '\0';
    return n > 0 ? 0 : err_set(e, ERR_INVALID, "no %s", what);
}

static int ask(const char *what, bool is_secret, char *out, size_t size,
               struct err *e)
{
    struct termios old, quiet;
    if (isatty(STDIN_FILENO) != 1 || tcgetattr(STDIN_FILENO, &old) != 0)
        return err_set(e, ERR_INVALID,
                       "no terminal to ask at: give --username and "
                       "--password-stdin");
    quiet = old;
    quiet.c_lflag &= ~(tcflag_t)ECHO;
    /* Before the prompt: who answers at once is not shown, nor lost. */
    if (is_secret)
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
    (void)fprintf(stderr, "%s: ", is_secret ? "Password" : "Username");
    int rc = cancel_poll(STDIN_FILENO)
                 ? read_line(stdin, what, out, size, e)
                 : err_set(e, ERR_CANCELLED, "interrupted");
    if (is_secret)
        (void)tcsetattr(STDIN_FILENO, TCSADRAIN, &old);
    if (is_secret)
        (void)fputc('\n', stderr);
    return rc;
}

struct login {
    const char *user, *password;
    bool is_stdin;
};

static int get_credential(const struct login *l, struct credential *c,
                          struct err *e)
{
    c->is_set = true;
    if (l->is_stdin && l->password != NULL)
        return err_set(e, ERR_INVALID,
                       "--password and --password-stdin exclude each other");
    if (l->is_stdin && l->user == NULL)
        return err_set(e, ERR_INVALID, "--password-stdin needs --username");
    if (l->user != NULL && strlen(l->user) >= sizeof(c->user))
        return err_set(e, ERR_TOO_LARGE, "the user name is too long");
    if (l->user != NULL)
        (void)snprintf(c->user, sizeof(c->user), "%s", l->user);
    else if (ask("user name", false, c->user, sizeof(c->user), e) != 0)
        return -1;
    if (l->is_stdin)
        return read_line(stdin, "password on standard input", c->secret,
                         sizeof(c->secret), e);
    if (l->password == NULL)
        return ask("password", true, c->secret, sizeof(c->secret), e);
    (void)fprintf(stderr, "warning: others see a --password in the list of "
                          "processes: use --password-stdin\n");
    if (strlen(l->password) >= sizeof(c->secret))
        return err_set(e, ERR_TOO_LARGE, "the password is too long");
    (void)snprintf(c->secret, sizeof(c->secret), "%s", l->password);
    return 0;
}

/* ---- the verbs -----------------------------------------------------------*/

static int login(const struct login *l, const char *server,
                 const struct remote_options *o, struct err *e)
{
    struct credential c = {.is_set = false};
    char domain[256], where[PATH_MAX];
    bool is_asked = false;
    if (parse_server(server, domain, e) != 0)
        return -1;
    int rc = get_credential(l, &c, e);
    if (rc == 0)
        rc = remote_login(domain, o, &c, &is_asked, e);
    if (rc == 0)
        rc = credential_store(domain, &c, where, e);
    explicit_bzero(&c, sizeof(c));
    if (rc != 0)
        return err_prefix(e, "login %.100s", domain);
    if (!is_asked)
        (void)fprintf(stderr,
                      "warning: %s asks nobody for a password: it could not "
                      "be checked\n",
                      domain);
    (void)fprintf(stderr, "The password is kept in %s\n", where);
    printf("Login Succeeded\n");
    return 0;
}

int cmd_login(int argc, char **argv)
{
    struct login l = {.user = NULL};
    struct remote_options o = {.cancel = cancel_flag()};
    bool tls_verify = true;
    const struct cli_flag flags[] = {
        {"cert-dir", 0, CLI_STR, &o.cert_dir, "DIR",
         "Certificates, instead of those in /etc/containers/certs.d"},
        {"password", 'p', CLI_STR, &l.password, "TEXT", "The password"},
        {"password-stdin", 0, CLI_BOOL, &l.is_stdin, NULL,
         "Read the password from standard input"},
        {"tls-verify", 0, CLI_BOOL, &tls_verify, NULL,
         "Check certificates; =false also allows plain HTTP (default true)"},
        {"username", 'u', CLI_STR, &l.user, "NAME", "The user"},
    };
    const struct cli_verb v = {
        .name = "login",
        .synopsis = "[OPTIONS] [SERVER]",
        .help = "Keep a password for a registry (default: docker.io).",
        .flags = flags,
        .n_flags = array_len(flags),
        .max_args = 1};
    struct err e;
    char **args;
    int n;
    enum cli_result r = cli_parse(&v, argc, argv, &args, &n, &e);
    if (r != CLI_OK)
        return r == CLI_HELP ? 0 : cli_fail(125, &e);
    o.is_insecure = !tls_verify;
    /* Ctrl-C at a password must not leave a terminal without its echo. */
    cancel_catch();
    if (login(&l, n > 0 ? args[0] : NULL, &o, &e) != 0) {
        cancel_die();
        return cli_fail(1, &e);
    }
    return 0;
}

int cmd_logout(int argc, char **argv)
{
    const struct cli_verb v = {
        .name = "logout",
        .synopsis = "[SERVER]",
        .help = "Forget the password for a registry (default: docker.io).",
        .max_args = 1};
    struct err e;
    char **args, domain[256];
    int n;
    bool was_there;
    enum cli_result r = cli_parse(&v, argc, argv, &args, &n, &e);
    if (r != CLI_OK)
        return r == CLI_HELP ? 0 : cli_fail(125, &e);
    if (parse_server(n > 0 ? args[0] : NULL, domain, &e) != 0 ||
        credential_erase(domain, &was_there, &e) != 0)
        return cli_fail(1, &e);
    printf(was_there ? "Removed the password for %s\n"
                     : "Not logged in to %s\n",
           domain);
    return 0;
}
