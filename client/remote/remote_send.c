/*
 * One exchange with the registry or with whom it names: what that one may
 * see, what its words mean, and whether to ask it again.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/io.h"
#include "base/json.h"
#include "base/log.h"
#include "client/remote/remote_int.h"

#define TRIES_MAX  6
#define WAIT_MS    500
#define WAIT_MAX_S 60
#define SLICE_MS   50

/* An address that is written as such needs no name server to be judged. */
static bool may_dial(const struct remote *rm, const struct origin *o)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    const struct sockaddr *sa = NULL;
    if (inet_pton(AF_INET, o->host, &v4.sin_addr) == 1)
        sa = (const struct sockaddr *)&v4;
    else if (inet_pton(AF_INET6, o->host, &v6.sin6_addr) == 1)
        sa = (const struct sockaddr *)&v6;
    return sa == NULL || origin_may_reach(rm->reach, origin_reach(sa));
}

int remote_send(struct remote *rm, const char *url, const char *auth,
                struct transfer *t, struct err *e)
{
    struct origin o;
    t->fault = TRANSFER_FINAL;
    t->status = 0;
    if (origin_parse(url, &o, e) != 0)
        return -1;
    struct transfer_route route = {
        .certs = &rm->certs,
        .cancel = rm->opts.cancel,
        .is_unverified = rm->opts.is_insecure,
        .is_foreign = !origin_same_host(&rm->origin, &o),
        .registry = rm->reach,
        .is_direct = reference_is_loopback(&rm->ref) &&
                     origin_same_host(&rm->origin, &o),
    };
    /* Behind a proxy the address that is dialled is the proxy's. */
    if (route.is_foreign && !may_dial(rm, &o))
        return err_set(e, ERR_DENIED,
                       "refused to follow the registry to %.100s: that is an "
                       "internal address",
                       o.host);
    return transfer_run(rm->curl, &route, url, auth, t, e);
}

int remote_answer_error(const struct transfer *t, struct err *e)
{
    long status = t->status;
    char message[200] = "", code[40] = "", text[140] = "";
    struct err quiet;
    json_t *o = json_load_object(t->text, t->text_len, &quiet);
    const json_t *first = json_array_get(json_object_get(o, "errors"), 0);
    const char *c = json_member_string(first, "code");
    const char *m = json_member_string(first, "message");
    /* A token server may write {"error":..} or {"details":..} instead. */
    if (m == NULL && c == NULL)
        m = json_member_string(o, "details");
    if (m == NULL && c == NULL)
        m = json_member_string(o, "error");
    if (c != NULL)
        (void)log_escape(code, sizeof(code), c, strlen(c));
    if (m != NULL)
        (void)log_escape(text, sizeof(text), m, strlen(m));
    json_decref(o);
    if (code[0] != '\0' || text[0] != '\0')
        (void)snprintf(message, sizeof(message), ": %s%s%s", code,
                       code[0] != '\0' && text[0] != '\0' ? ": " : "", text);
    if (status == 404)
        return err_set(e, ERR_NOT_FOUND, "not found%s", message);
    if (status == 401 || status == 403)
        return err_set(e, ERR_DENIED, "access denied (%ld)%s", status, message);
    return err_set(e, ERR_PROTOCOL, "the registry answers %ld%s", status,
                   message);
}

/* ---- asking again --------------------------------------------------------*/

static bool may_help(const struct transfer *t)
{
    static const long passing[] = {408, 429, 500, 502, 503, 504};
    if (t->fault == TRANSFER_BROKEN || t->fault == TRANSFER_CONNECT)
        return true;
    for (size_t i = 0; t->fault == TRANSFER_OK && i < array_len(passing); i++) {
        if (t->status == passing[i])
            return true;
    }
    return false;
}

static bool is_cancelled(const struct remote *rm)
{
    return rm->opts.cancel != NULL && atomic_load(rm->opts.cancel);
}

bool remote_wait(struct remote *rm, const struct transfer *t, int *tries)
{
    unsigned char spread;
    if (!may_help(t) || ++*tries >= TRIES_MAX || t->retry_after_s > WAIT_MAX_S)
        return false;
    io_random(&spread, 1); /* so that many clients do not come back at once */
    int64_t wait = (int64_t)WAIT_MS << (*tries - 1);
    wait += wait * spread / 1024;
    if (t->fault == TRANSFER_OK && t->retry_after_s > 0)
        wait = 1000L * t->retry_after_s;
    int64_t end = clock_mono_ms() + wait;
    while (!is_cancelled(rm) && clock_mono_ms() < end) {
        struct timespec slice = {0, SLICE_MS * 1000000L};
        (void)nanosleep(&slice, NULL);
    }
    return !is_cancelled(rm);
}
