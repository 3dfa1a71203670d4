#include "client/remote/origin.h"

#include <ctype.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/num.h"

static int bad(const char *url, struct err *e)
{
    char shown[128];
    return err_set(e, ERR_PROTOCOL, "bad address from the registry: %s",
                   log_escape(shown, sizeof(shown), url, strlen(url)));
}

/* curl's parser lets blanks and control bytes through in places. */
static bool is_clean(const char *url)
{
    size_t n = 0;
    for (; url[n] != '\0'; n++) {
        if ((unsigned char)url[n] <= 0x20 || (unsigned char)url[n] >= 0x7f)
            return false;
    }
    return n > 0 && n < ORIGIN_URL_MAX;
}

/* ---- URLs ----------------------------------------------------------------*/

static bool get_part(CURLU *u, CURLUPart part, char *out, size_t size)
{
    char *text = NULL;
    bool ok = curl_url_get(u, part, &text, CURLU_DEFAULT_PORT) == CURLUE_OK &&
              strlen(text) < size;
    if (ok)
        memcpy(out, text, strlen(text) + 1);
    curl_free(text);
    return ok;
}

static bool set_host(const char *host, struct origin *o)
{
    size_t n = strlen(host);
    if (n >= 2 && host[0] == '[' && host[n - 1] == ']') {
        host++;
        n -= 2;
    }
    for (size_t i = 0; i < n; i++)
        o->host[i] = (char)tolower((unsigned char)host[i]);
    o->host[n] = '\0';
    return n > 0;
}

/* location as seen from base (NULL: it stands alone), in normal form. */
static bool normalise(const char *base, const char *location,
                      char out[ORIGIN_URL_MAX])
{
    char *full = NULL;
    CURLU *u = curl_url();
    bool ok = u != NULL &&
              (base == NULL ||
               curl_url_set(u, CURLUPART_URL, base, 0) == CURLUE_OK) &&
              curl_url_set(u, CURLUPART_URL, location, 0) == CURLUE_OK &&
              curl_url_set(u, CURLUPART_FRAGMENT, NULL, 0) == CURLUE_OK &&
              curl_url_get(u, CURLUPART_URL, &full, 0) == CURLUE_OK &&
              strlen(full) < ORIGIN_URL_MAX;
    if (ok)
        memcpy(out, full, strlen(full) + 1);
    curl_free(full);
    curl_url_cleanup(u);
    return ok;
}

/*
 * Escapes in a host are decoded when it is read: 0x7%66.1 becomes 0x7f.1, and
 * read once more 127.0.0.1.  Nothing may be one host when it is checked and
 * another when it is connected to.
 */
static bool is_final(const char *url)
{
    char once[ORIGIN_URL_MAX], twice[ORIGIN_URL_MAX];
    return normalise(NULL, url, once) && normalise(NULL, once, twice) &&
           strcmp(once, twice) == 0;
}

int origin_parse(const char *url, struct origin *out, struct err *e)
{
    char scheme[16], host[256], port[8], none[256];
    struct origin o = {.is_tls = false};
    uint64_t number;
    if (!is_clean(url) || !is_final(url))
        return bad(url, e);
    CURLU *u = curl_url();
    if (u == NULL)
        return err_set(e, ERR_NO_MEMORY, "address: out of memory");
    bool ok =
        curl_url_set(u, CURLUPART_URL, url, CURLU_DISALLOW_USER) == CURLUE_OK &&
        get_part(u, CURLUPART_SCHEME, scheme, sizeof(scheme)) &&
        get_part(u, CURLUPART_HOST, host, sizeof(host)) &&
        get_part(u, CURLUPART_PORT, port, sizeof(port)) &&
        !get_part(u, CURLUPART_USER, none, sizeof(none)) &&
        !get_part(u, CURLUPART_ZONEID, none, sizeof(none));
    curl_url_cleanup(u);
    if (!ok || !num_parse_u64(slice_of(port), 65535, &number) || number == 0 ||
        !set_host(host, &o))
        return bad(url, e);
    if (strcmp(scheme, "https") == 0)
        o.is_tls = true;
    else if (strcmp(scheme, "http") != 0)
        return bad(url, e);
    o.port = (uint16_t)number;
    *out = o;
    return 0;
}

bool origin_same_host(const struct origin *a, const struct origin *b)
{
    return strcmp(a->host, b->host) == 0;
}

bool origin_same(const struct origin *a, const struct origin *b)
{
    return a->is_tls == b->is_tls && a->port == b->port &&
           origin_same_host(a, b);
}

int origin_resolve(const char *base, const char *location,
                   char out[ORIGIN_URL_MAX], struct err *e)
{
    char again[ORIGIN_URL_MAX];
    struct origin o;
    if (!is_clean(location) || !normalise(base, location, out) ||
        !normalise(NULL, out, again) || strcmp(out, again) != 0)
        return bad(location, e);
    return origin_parse(out, &o, e);
}

/* ---- addresses -----------------------------------------------------------*/

static enum reach reach4(const unsigned char *a)
{
    static const struct {
        unsigned char net[4];
        int bits;
        enum reach reach;
    } table[] = {
        {{127, 0, 0, 0}, 8, REACH_HOST},
        {{0, 0, 0, 0}, 8, REACH_HOST},
        {{169, 254, 0, 0}, 16, REACH_NEVER},
        {{100, 100, 100, 200}, 32, REACH_NEVER}, /* a cloud's metadata */
        {{10, 0, 0, 0}, 8, REACH_PRIVATE},
        {{172, 16, 0, 0}, 12, REACH_PRIVATE},
        {{192, 168, 0, 0}, 16, REACH_PRIVATE},
        {{100, 64, 0, 0}, 10, REACH_PRIVATE},
        {{198, 18, 0, 0}, 15, REACH_PRIVATE},
        {{192, 0, 0, 0}, 24, REACH_NEVER},
        {{224, 0, 0, 0}, 3, REACH_NEVER}, /* multicast, reserved */
    };
    uint32_t ip = (uint32_t)a[0] << 24 | (uint32_t)a[1] << 16 |
                  (uint32_t)a[2] << 8 | a[3];
    for (size_t i = 0; i < array_len(table); i++) {
        const unsigned char *n = table[i].net;
        uint32_t net = (uint32_t)n[0] << 24 | (uint32_t)n[1] << 16 |
                       (uint32_t)n[2] << 8 | n[3];
        if (((ip ^ net) >> (32 - table[i].bits)) == 0)
            return table[i].reach;
    }
    return REACH_PUBLIC;
}

static bool starts(const unsigned char *a, const char *prefix, size_t n)
{
    return memcmp(a, prefix, n) == 0;
}

static enum reach reach6(const unsigned char *a)
{
    static const char zero[16];
    if (starts(a, "\0\0\0\0\0\0\0\0\0\0\xff\xff", 12) ||
        starts(a, "\0\x64\xff\x9b\0\0\0\0\0\0\0\0", 12))
        return reach4(a + 12);
    if (starts(a, "\x20\x02", 2))
        return reach4(a + 2);
    if (starts(a, zero, 15) && a[15] <= 1)
        return REACH_HOST;
    if (starts(a, "\xfd\x00\x0e\xc2", 4)) /* a cloud's metadata */
        return REACH_NEVER;
    if ((a[0] & 0xfe) == 0xfc)
        return REACH_PRIVATE;
    /* Only 2000::/3 is handed out. */
    return (a[0] & 0xe0) == 0x20 ? REACH_PUBLIC : REACH_NEVER;
}

enum reach origin_reach(const struct sockaddr *sa)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    unsigned char a[16];
    if (sa->sa_family == AF_INET) {
        memcpy(&v4, sa, sizeof(v4));
        memcpy(a, &v4.sin_addr, 4);
        return reach4(a);
    }
    if (sa->sa_family == AF_INET6) {
        memcpy(&v6, sa, sizeof(v6));
        memcpy(a, &v6.sin6_addr, 16);
        return reach6(a);
    }
    return REACH_NEVER;
}

bool origin_may_reach(enum reach registry, enum reach target)
{
    return target != REACH_NEVER && target <= registry;
}

/* ---- redirects -----------------------------------------------------------*/

int origin_redirect(const struct redirect *r, char out[ORIGIN_URL_MAX],
                    struct err *e)
{
    struct origin from, to;
    if (strcmp(r->method, "GET") != 0 && strcmp(r->method, "HEAD") != 0)
        return err_set(e, ERR_PROTOCOL, "the registry redirects a %s",
                       r->method);
    if (r->n >= ORIGIN_REDIRECTS_MAX)
        return err_set(e, ERR_PROTOCOL, "more than %d redirects",
                       ORIGIN_REDIRECTS_MAX);
    if (r->to[0] == '\0')
        return err_set(e, ERR_PROTOCOL, "a redirect without a Location");
    if (origin_resolve(r->from, r->to, out, e) != 0 ||
        origin_parse(r->from, &from, e) != 0 || origin_parse(out, &to, e) != 0)
        return -1;
    if (from.is_tls && !to.is_tls)
        return err_set(e, ERR_PROTOCOL,
                       "refused a redirect from TLS to plain HTTP, at %.100s",
                       to.host);
    return 0;
}
