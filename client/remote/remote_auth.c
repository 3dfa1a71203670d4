/*
 * Who asks: Basic, and tokens as docker's registries issue them.
 *
 * The address of the token server comes from the registry, and what is sent
 * there is the user's password.  So it goes to the registry's own host, to
 * hosts that are known for this registry, and to nobody else; others are
 * asked without it, as anonymous, and never followed to a third.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/log.h"
#include "client/remote/remote_int.h"

#define TOKEN_BODY_MAX 65536
#define TOKEN_MIN_S    60
#define TOKEN_MAX_S    86400
#define HOSTS_VARIABLE "BERTH_TOKEN_HOSTS"

/* ---- whom to trust -------------------------------------------------------*/

/* Is "domain=host" among the blank-separated words of text? */
static bool is_listed(const char *text, const char *domain, const char *host)
{
    size_t n = strlen(domain);
    for (const char *p = text + strspn(text, " ,"); *p != '\0';
         p += strspn(p, " ,")) {
        size_t len = strcspn(p, " ,");
        if (len == n + 1 + strlen(host) && strncasecmp(p, domain, n) == 0 &&
            p[n] == '=' && strncasecmp(p + n + 1, host, strlen(host)) == 0)
            return true;
        p += len;
    }
    return false;
}

static bool realm_is_trusted(const struct remote *rm, const struct origin *o)
{
    static const char known[] = "docker.io=auth.docker.io "
                                "registry.gitlab.com=gitlab.com";
    const char *more = getenv(HOSTS_VARIABLE);
    return origin_same_host(&rm->origin, o) ||
           is_listed(known, rm->ref.domain, o->host) ||
           (more != NULL && is_listed(more, rm->ref.domain, o->host));
}

/* ---- asking for a token --------------------------------------------------*/

struct words { /* a query or a form under construction */
    char text[ORIGIN_URL_MAX];
    size_t n;
    bool is_full;
    char glue;
};

static void put(struct remote *rm, struct words *w, const char *key,
                const char *value)
{
    char *v = curl_easy_escape(rm->curl, value, 0);
    int n = v == NULL ? -1
                      : snprintf(w->text + w->n, sizeof(w->text) - w->n,
                                 "%c%s=%s", w->glue, key, v);
    if (n < 0 || (size_t)n >= sizeof(w->text) - w->n)
        w->is_full = true;
    else
        w->n += (size_t)n;
    w->glue = '&';
    curl_free(v);
}

static void put_scopes(struct remote *rm, struct words *w)
{
    char scope[300];
    if (rm->ref.path[0] == '\0')
        return;
    (void)snprintf(scope, sizeof(scope), "repository:%s:%s", rm->ref.path,
                   rm->opts.is_push ? "pull,push" : "pull");
    put(rm, w, "scope", scope);
    for (size_t i = 0; i < rm->n_sources; i++) {
        (void)snprintf(scope, sizeof(scope), "repository:%s:pull",
                       rm->sources[i]);
        put(rm, w, "scope", scope);
    }
}

struct reply {
    char text[TOKEN_BODY_MAX];
    size_t n;
};

static int on_reply(void *arg, const void *data, size_t n, struct err *e)
{
    struct reply *r = arg;
    if (n > sizeof(r->text) - r->n)
        return err_set(e, ERR_TOO_LARGE, "the token is over %d bytes",
                       TOKEN_BODY_MAX);
    memcpy(r->text + r->n, data, n);
    r->n += n;
    return 0;
}

/* A token is one word of visible characters. */
static bool is_token(const char *text)
{
    size_t n = 0;
    for (; text[n] != '\0'; n++) {
        if ((unsigned char)text[n] <= 0x20 || (unsigned char)text[n] >= 0x7f)
            return false;
    }
    return n > 0 && n < REMOTE_AUTH_MAX - 16;
}

static int take_token(struct remote *rm, const struct reply *r, int64_t asked,
                      struct err *e)
{
    json_t *o = json_load_object(r->text, r->n, e);
    if (o == NULL)
        return -1;
    const char *token = json_member_string(o, "token");
    if (token == NULL || token[0] == '\0')
        token = json_member_string(o, "access_token");
    int64_t s = json_integer_value(json_object_get(o, "expires_in"));
    int rc = 0;
    if (token == NULL || !is_token(token))
        rc = err_set(e, ERR_PROTOCOL, "the token server gave no token");
    else
        (void)snprintf(rm->auth, sizeof(rm->auth), "Bearer %s", token);
    s = s < TOKEN_MIN_S ? TOKEN_MIN_S : s > TOKEN_MAX_S ? TOKEN_MAX_S : s;
    /* A tenth early: a request may wait in a queue before it is checked. */
    rm->auth_until_ms = asked + s * 900;
    json_decref(o);
    return rc;
}

/* The form of an identity token, or the query of everybody else. */
static int ask(struct remote *rm, const char *realm, bool is_trusted,
               struct reply *r, struct transfer *t, struct err *e)
{
    bool is_form = rm->cred.is_set && rm->cred.is_identity && is_trusted;
    struct words w = {.n = 0};
    char auth[REMOTE_AUTH_MAX] = "";
    if (!is_form) {
        w.n = (size_t)snprintf(w.text, sizeof(w.text), "%s", realm);
        w.glue = strchr(realm, '?') != NULL ? '&' : '?';
    }
    put(rm, &w, "service", rm->challenge.service);
    put_scopes(rm, &w);
    t->sink = on_reply;
    t->sink_arg = r;
    if (is_form) {
        put(rm, &w, "grant_type", "refresh_token");
        put(rm, &w, "client_id", "berth");
        put(rm, &w, "refresh_token", rm->cred.secret);
        t->method = "POST";
        t->type = "application/x-www-form-urlencoded";
        t->body = w.text + 1; /* no glue before the first */
        t->body_len = w.n - 1;
    } else if (rm->cred.is_set && is_trusted && !rm->cred.is_identity) {
        put(rm, &w, "account", rm->cred.user);
        memcpy(auth, "Basic ", 7);
        w.is_full |= !credential_basic(&rm->cred, auth + 6, sizeof(auth) - 6);
    }
    if (w.is_full)
        return err_set(e, ERR_TOO_LARGE, "the request for a token is too long");
    int rc = remote_send(rm, is_form ? realm : w.text, auth, t, e);
    explicit_bzero(auth, sizeof(auth));
    explicit_bzero(&w, sizeof(w));
    return rc;
}

/* What a token server's status means. */
static int token_error(const struct remote *rm, const struct origin *o,
                       bool is_trusted, const struct transfer *t, struct err *e)
{
    if (t->status >= 300 && t->status < 400)
        return err_set(e, ERR_PROTOCOL,
                       "the token server %.80s redirects: that is not followed",
                       o->host);
    (void)remote_answer_error(t, e);
    if (t->status != 401)
        return err_prefix(e, "token server %.80s", o->host);
    if (rm->cred.is_set && !is_trusted)
        return err_set(
            e, ERR_DENIED,
            "%.60s asks for a token of %.60s, and the password of "
            "one is not sent to the other (%s=%.40s=%.40s allows it)",
            rm->ref.domain, o->host, HOSTS_VARIABLE, rm->ref.domain, o->host);
    return remote_refused(rm, t, e);
}

static int get_token(struct remote *rm, struct err *e)
{
    struct transfer t = {.method = "GET", .body_fd = -1};
    struct origin o;
    int64_t asked = clock_mono_ms();
    char realm[ORIGIN_URL_MAX];
    if (origin_resolve(rm->base, rm->challenge.realm, realm, e) != 0 ||
        origin_parse(realm, &o, e) != 0)
        return err_prefix(e, "token server");
    if (rm->origin.is_tls && !o.is_tls)
        return err_set(e, ERR_PROTOCOL,
                       "the token server %.80s speaks no TLS: refused", o.host);
    bool is_trusted = realm_is_trusted(rm, &o);
    struct reply *r = calloc(1, sizeof(*r));
    if (r == NULL)
        return err_set(e, ERR_NO_MEMORY, "token: out of memory");
    int rc, tries = 0;
    do {
        r->n = 0;
        rc = ask(rm, realm, is_trusted, r, &t, e);
    } while ((rc != 0 || t.status != 200) && remote_wait(rm, &t, &tries));
    if (rc != 0)
        rc = err_prefix(e, "token server");
    else if (t.status != 200)
        rc = token_error(rm, &o, is_trusted, &t, e);
    else if ((rc = take_token(rm, r, asked, e)) != 0)
        rc = err_prefix(e, "token server %.80s", o.host);
    explicit_bzero(r, sizeof(*r));
    free(r);
    return rc;
}

/* ---- answering -----------------------------------------------------------*/

static int answer_basic(struct remote *rm, struct err *e)
{
    if (!rm->cred.is_set || rm->cred.is_identity)
        return err_set(e, ERR_DENIED,
                       "%.100s wants a user and a password: berth login %.100s",
                       rm->ref.domain, rm->ref.domain);
    memcpy(rm->auth, "Basic ", 7);
    rm->auth_until_ms = 0;
    return credential_basic(&rm->cred, rm->auth + 6, sizeof(rm->auth) - 6)
               ? 0
               : err_set(e, ERR_TOO_LARGE, "the password is too long");
}

int remote_authenticate(struct remote *rm, const char *challenges,
                        struct err *e)
{
    struct challenge list[CHALLENGE_MAX];
    int n = challenge_parse(slice_of(challenges), list, CHALLENGE_MAX);
    const struct challenge *ch =
        n > 0 ? challenge_choose(list, (size_t)n) : NULL;
    rm->auth[0] = '\0';
    rm->has_challenge = ch != NULL;
    if (ch == NULL)
        return err_set(e, ERR_DENIED,
                       "%.100s wants to know who asks, in a way that is not "
                       "understood (neither Basic nor Bearer)",
                       rm->ref.domain);
    rm->challenge = *ch;
    return ch->scheme == CHALLENGE_BEARER ? get_token(rm, e)
                                          : answer_basic(rm, e);
}

int remote_refresh(struct remote *rm, struct err *e)
{
    if (!rm->has_challenge || rm->challenge.scheme != CHALLENGE_BEARER ||
        rm->auth_until_ms == 0 || clock_mono_ms() < rm->auth_until_ms)
        return 0;
    return get_token(rm, e);
}

int remote_refused(const struct remote *rm, const struct transfer *t,
                   struct err *e)
{
    char user[80];
    struct err words;
    (void)remote_answer_error(t, &words);
    const char *text = strstr(words.msg, ": ");
    text = text != NULL ? text : "";
    if (!rm->cred.is_set)
        return err_set(e, ERR_DENIED,
                       "access denied without a user: try berth login %.80s%s",
                       rm->ref.domain, text);
    if (rm->cred.is_identity)
        return err_set(e, ERR_DENIED,
                       "%.80s refuses the kept token: try berth login again%s",
                       rm->ref.domain, text);
    return err_set(
        e, ERR_DENIED, "%.80s refuses the user %s: wrong password?%s",
        rm->ref.domain,
        log_escape(user, sizeof(user), rm->cred.user, strlen(rm->cred.user)),
        text);
}

void remote_add_source(struct remote *rm, const char *path)
{
    for (size_t i = 0; i < rm->n_sources; i++) {
        if (strcmp(rm->sources[i], path) == 0)
            return;
    }
    if (rm->n_sources == REMOTE_SOURCES_MAX)
        return;
    (void)snprintf(rm->sources[rm->n_sources++], sizeof(rm->sources[0]), "%s",
                   path);
    /* The next request asks for a token with this scope too. */
    if (rm->auth_until_ms != 0)
        rm->auth_until_ms = 1;
}
