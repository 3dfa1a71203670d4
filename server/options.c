#include "server/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <sqlite3.h>

#include "base/log.h"

void options_help(void)
{
    puts("Usage: berthd [serve] [OPTION]...\n"
         "       berthd check-config FILE\n"
         "\n"
         "A private OCI image registry. Without any argument it serves on\n"
         "both loopback addresses, port 5000.\n"
         "\n"
         "  --config FILE       read FILE (see registry.conf.example)\n"
         "  --listen ADDR:PORT  listen here; may be given several times;\n"
         "                      port 0 picks a free one\n"
         "  --root DIR          data folder (root: /var/lib/berthd, else\n"
         "                      $XDG_DATA_HOME/berthd)\n"
         "  --allow-anonymous   let everybody in who can reach an address\n"
         "                      that is not a loopback one\n"
         "  --read-only         refuse pushes and deletes\n"
         "  --log-level LEVEL   error, warn, info (default) or debug\n"
         "  --version           versions of berthd and its libraries\n"
         "  --help              this text\n"
         "\n"
         "SIGTERM stops: running requests are finished first. SIGHUP opens\n"
         "the log file again.");
}

void options_version(void)
{
    printf("berthd %s\nlibevent %s\nOpenSSL %s\nSQLite %s\njansson %s\n",
           BERTH_VERSION, event_get_version(),
           OpenSSL_version(OPENSSL_VERSION_STRING), sqlite3_libversion(),
           JANSSON_VERSION);
}

char *options_root(const struct config *c, struct err *e)
{
    const char *data = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    char *out = NULL;
    int n;

    if (c->root)
        n = asprintf(&out, "%s", c->root);
    else if (geteuid() == 0)
        n = asprintf(&out, "/var/lib/berthd");
    else if (data && data[0] == '/')
        n = asprintf(&out, "%s/berthd", data);
    else if (home && home[0] == '/')
        n = asprintf(&out, "%s/.local/share/berthd", home);
    else {
        err_set(e, ERR_INVALID, "no data folder: set HOME or give --root DIR");
        return NULL;
    }
    if (n < 0) {
        err_set(e, ERR_NO_MEMORY, "data folder: out of memory");
        return NULL;
    }
    return out;
}

static int set_string(char **at, const char *value, struct err *e)
{
    char *copy = strdup(value);

    if (!copy)
        return err_set(e, ERR_NO_MEMORY, "command line: out of memory");
    free(*at);
    *at = copy;
    return 0;
}

/* The first --listen replaces the file's list. */
static int add_listen(struct config *c, const char *value, bool *is_first,
                      struct err *e)
{
    if (*is_first)
        config_list_clear(&c->listen);
    *is_first = false;
    return config_list_add(&c->listen, value, e) < 0 ? err_prefix(e, "--listen")
                                                     : 0;
}

/*
 * The value of option name at argv[*i], as "--name value" or "--name=value";
 * NULL when argv[*i] is another option.  A missing value sets *e.
 */
static const char *value_of(const char *name, int argc, char **argv, int *i,
                            struct err *e)
{
    size_t n = strlen(name);

    if (strncmp(argv[*i], name, n) != 0)
        return NULL;
    if (argv[*i][n] == '=')
        return argv[*i] + n + 1;
    if (argv[*i][n])
        return NULL;
    if (*i + 1 == argc) {
        err_set(e, ERR_INVALID, "%s needs a value", name);
        return NULL;
    }
    return argv[++*i];
}

/* One option of serve at argv[*i]; 0, or -1 with *e. */
static int parse_one(int argc, char **argv, int *i, struct config *c,
                     bool *is_first, struct err *e)
{
    enum log_level level;
    const char *value;

    e->code = ERR_NONE;
    if (strcmp(argv[*i], "--allow-anonymous") == 0) {
        c->allow_anonymous = true;
        return 0;
    }
    if (strcmp(argv[*i], "--read-only") == 0) {
        c->read_only = true;
        return 0;
    }
    if ((value = value_of("--config", argc, argv, i, e)))
        return 0; /* was read before */
    if ((value = value_of("--listen", argc, argv, i, e)))
        return add_listen(c, value, is_first, e);
    if ((value = value_of("--root", argc, argv, i, e)))
        return set_string(&c->root, value, e);
    if ((value = value_of("--log-level", argc, argv, i, e))) {
        if (log_level_parse(value, &level) < 0)
            return err_set(e, ERR_INVALID,
                           "log level %.40s is not error, warn, info or debug",
                           value);
        return set_string(&c->log_level, value, e);
    }
    if (e->code != ERR_NONE)
        return -1;
    return err_set(e, ERR_INVALID, "unknown option %.80s: see berthd --help",
                   argv[*i]);
}

static int check_file(int argc, char **argv, struct config *c, struct err *e)
{
    if (argc != 3)
        return err_set(e, ERR_INVALID, "usage: berthd check-config FILE");
    return config_read(c, argv[2], e);
}

int options_parse(int argc, char **argv, enum verb *verb, struct config *c,
                  struct err *e)
{
    bool is_first = true;
    int start = 1;

    *verb = VERB_SERVE;
    if (config_init(c, e) < 0)
        return -1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            *verb = VERB_HELP;
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0) {
            *verb = VERB_VERSION;
            return 0;
        }
    }
    if (argc > 1 && strcmp(argv[1], "check-config") == 0) {
        *verb = VERB_CHECK_CONFIG;
        return check_file(argc, argv, c, e);
    }
    if (argc > 1 && argv[1][0] != '-') {
        if (strcmp(argv[1], "serve") != 0)
            return err_set(e, ERR_INVALID,
                           "unknown command %.80s: see berthd --help", argv[1]);
        start = 2;
    }
    for (int i = start; i < argc; i++) {
        struct err missing = {0};
        const char *file = value_of("--config", argc, argv, &i, &missing);

        if (missing.code != ERR_NONE) {
            *e = missing;
            return -1;
        }
        if (file && config_read(c, file, e) < 0)
            return -1;
    }
    for (int i = start; i < argc; i++) {
        struct err one = {0};

        if (parse_one(argc, argv, &i, c, &is_first, &one) < 0) {
            *e = one;
            return -1;
        }
    }
    return 0;
}
