/*
 * berthd: start, signals, stop.
 *
 * Order of start: configuration, store (which takes the lock), workers,
 * lanes, listening sockets, ready line.  Order of stop is the reverse: the
 * HTTP server ends first, while workers and the index writer still run what
 * its exchanges wait for; then lanes, workers, store.
 */
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <event2/thread.h>

#include "base/hash.h"
#include "base/log.h"
#include "server/access_log.h"
#include "server/api.h"
#include "server/options.h"

enum { MAX_LANES = 64, EXPIRE_INTERVAL_S = 3600 };

struct daemon {
    struct config config;
    char *root;
    struct store *store;
    struct workq *workq;
    struct lane *lanes[MAX_LANES];
    size_t lane_count;
    struct api_opts api;
    struct http_server *http;
};

/* Tell systemd; silent when nobody listens. man sd_notify(3). */
static void notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t n = path ? strlen(path) : 0;
    int fd;

    if (n == 0 || n >= sizeof(to.sun_path))
        return;
    memcpy(to.sun_path, path, n);
    if (path[0] == '@')
        to.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    sendto(fd, text, strlen(text), MSG_NOSIGNAL, (struct sockaddr *)&to,
           (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n));
    close(fd);
}

static void harden(void)
{
    const struct rlimit none = {0, 0};
    struct rlimit files;

    umask(0077);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
#ifndef BERTH_SANITIZED
    /* Keys and client data belong in no core file. */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
    setrlimit(RLIMIT_CORE, &none);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
}

static int check_listen(const struct config *c, struct err *e)
{
    for (size_t i = 0; i < c->listen.count; i++) {
        bool is_loopback;

        if (http_address_check(c->listen.at[i], &is_loopback, e) < 0)
            return -1;
        if (!is_loopback && !c->allow_anonymous)
            return err_set(e, ERR_DENIED,
                           "%s is not a loopback address and there are no "
                           "users: everybody who reaches it could read and "
                           "write everything; give --allow-anonymous if that "
                           "is what you want",
                           c->listen.at[i]);
    }
    return 0;
}

static int start_store(struct daemon *d, struct err *e)
{
    struct store_opts opts = {
        .root = d->root,
        .grace_s = d->config.collect_grace_s,
        .upload_idle_s = d->config.upload_idle_s,
        .upload_ttl_s = d->config.upload_ttl_s,
        .min_free_bytes = d->config.min_free_bytes,
        .reap_delay_s =
            d->config.delete_delay_s ? d->config.delete_delay_s : -1,
    };

    if (store_open(&opts, &d->store, e) < 0)
        return -1;
    /* Before anybody can ask for a session, which would be a use of it. */
    store_expire_uploads(d->store);
    return 0;
}

static int start_threads(struct daemon *d, struct err *e)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int lanes = cores < 1 ? 1 : cores > MAX_LANES ? MAX_LANES : (int)cores;
    struct workq_opts opts = {
        .limit =
            {[WORK_BODY] = lanes + 2, [WORK_READ] = lanes + 2, [WORK_SLOW] = 4},
        .init = api_worker_init,
        .fini = api_worker_fini,
        .arg = d->store,
    };

    if (workq_new(&opts, &d->workq, e) < 0)
        return -1;
    for (int i = 0; i < lanes; i++) {
        char name[32];

        snprintf(name, sizeof(name), "lane-%d", i);
        if (lane_start(name, &d->lanes[d->lane_count], e) < 0)
            return -1;
        d->lane_count++;
    }
    return 0;
}

static void say_if_lowered(unsigned wanted)
{
    unsigned most = http_connections_possible(wanted);

    if (most < wanted)
        log_line(LOG_LEVEL_WARN,
                 "max-connections is %u, not %u: the limit of open files "
                 "(LimitNOFILE, ulimit -n) allows no more",
                 most, wanted);
}

static int start_http(struct daemon *d, const char *const *listen, size_t n,
                      struct err *e)
{
    struct http_server_opts opts = {
        .listen = listen,
        .listen_count = n,
        .lanes = d->lanes,
        .lane_count = d->lane_count,
        .app = {.ctx = &d->api,
                .on_request = api_on_request,
                .on_done = access_log_done,
                .error_body = api_error_body,
                .common_headers = API_COMMON_HEADERS},
    };

    opts.limits = d->config.http;
    say_if_lowered(opts.limits.connections);
    opts.trust = &d->config.trust;
    d->api = (struct api_opts){
        .store = d->store,
        .workq = d->workq,
        .takeover_ms = (unsigned)d->config.takeover_ms,
        .policy = {.is_read_only = d->config.read_only,
                   .allows_delete = d->config.allow_delete,
                   .deletes_used = d->config.delete_used,
                   .sparse = (const char *const *)d->config.sparse.at,
                   .sparse_count = d->config.sparse.count},
    };
    return http_server_start(&opts, &d->http, e);
}

/* The configured addresses, or both loopbacks; a host without IPv6 is fine. */
static int listen_all(struct daemon *d, struct err *e)
{
    static const char *const both[] = {"127.0.0.1:5000", "[::1]:5000"};
    struct err first = {0};

    if (d->config.listen.count > 0)
        return start_http(d, (const char *const *)d->config.listen.at,
                          d->config.listen.count, e);
    if (start_http(d, both, 2, &first) == 0)
        return 0;
    if (first.sys == EADDRNOTAVAIL || first.sys == EAFNOSUPPORT)
        return start_http(d, both, 1, e);
    *e = first;
    return -1;
}

static void say_ready(const struct daemon *d)
{
    char addresses[1024] = "";
    const char *one;

    for (size_t i = 0; (one = http_server_address(d->http, i)); i++) {
        size_t used = strlen(addresses);

        snprintf(addresses + used, sizeof(addresses) - used, "%s%s",
                 used ? ", " : "", one);
    }
    fprintf(stderr, "berthd %s ready: listening on %s; data in %s\n",
            BERTH_VERSION, addresses, d->root);
    notify("READY=1");
}

/* Wait for signals until one says stop; hourly house keeping meanwhile. */
static void run(struct daemon *d, const sigset_t *signals)
{
    const struct timespec hour = {.tv_sec = EXPIRE_INTERVAL_S};
    struct err e = {0};

    for (;;) {
        int sig;

        store_expire_uploads(d->store);
        do {
            sig = sigtimedwait(signals, NULL, &hour);
        } while (sig < 0 && errno == EINTR);
        if (sig == SIGHUP && log_reopen(&e) < 0)
            log_line(LOG_LEVEL_ERROR, "%s", e.msg);
        if (sig == SIGTERM || sig == SIGINT)
            return;
    }
}

static void stop(struct daemon *d)
{
    if (d->http &&
        !http_server_drain(d->http, (unsigned)d->config.drain_timeout_ms))
        log_line(LOG_LEVEL_WARN, "requests were cut at the stop");
    http_server_stop(d->http);
    for (size_t i = 0; i < d->lane_count; i++)
        lane_stop(d->lanes[i]);
    workq_free(d->workq);
    store_close(d->store);
    free(d->root);
    config_free(&d->config);
}

static int start(struct daemon *d, struct err *e)
{
    enum log_level level = LOG_LEVEL_INFO;

    if (log_level_parse(d->config.log_level, &level) < 0)
        return err_set(e, ERR_INVALID,
                       "log-level %.40s is not error, warn, info or debug",
                       d->config.log_level);
    log_set_level(level);
    if (d->config.log_file && log_open(d->config.log_file, e) < 0)
        return -1;
    if (check_listen(&d->config, e) < 0 || hash_init(e) < 0)
        return -1;
    d->root = options_root(&d->config, e);
    if (!d->root || start_store(d, e) < 0 || start_threads(d, e) < 0)
        return -1;
    return listen_all(d, e);
}

static int serve(struct daemon *d)
{
    struct err e = {0};
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGHUP);
    /* Blocked before any thread starts, so that only run() takes them. */
    pthread_sigmask(SIG_BLOCK, &signals, NULL);
    evthread_use_pthreads();
    harden();
    if (start(d, &e) < 0) {
        fprintf(stderr, "berthd: %s\n", e.msg);
        stop(d);
        return 1;
    }
    say_ready(d);
    run(d, &signals);
    notify("STOPPING=1");
    log_line(LOG_LEVEL_INFO, "stopping");
    stop(d);
    return 0;
}

int main(int argc, char **argv)
{
    struct daemon d = {0};
    struct err e = {0};
    enum verb verb;

    if (options_parse(argc, argv, &verb, &d.config, &e) < 0) {
        fprintf(stderr, "berthd: %s\n", e.msg);
        config_free(&d.config);
        return 2;
    }
    if (verb == VERB_SERVE)
        return serve(&d);
    if (verb == VERB_HELP)
        options_help();
    else if (verb == VERB_VERSION)
        options_version();
    else
        printf("%s: ok\n", argv[2]);
    config_free(&d.config);
    return 0;
}
