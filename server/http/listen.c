/*
 * Addresses: reading them, listening on them, printing them.
 *
 * Only numeric addresses: a name could resolve to something else tomorrow,
 * and what is listened on decides who may come in.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "server/http/http_int.h"

#define BACKLOG 1024

union address {
    struct sockaddr sa;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static int bad_address(const char *text, struct err *e)
{
    return err_set(e, ERR_INVALID,
                   "listen address '%.80s': want ADDR:PORT with a numeric "
                   "address, such as 127.0.0.1:5000 or [::1]:5000",
                   text);
}

static int parse_address(const char *text, union address *out, socklen_t *len,
                         struct err *e)
{
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN];
    size_t n = colon ? (size_t)(colon - text) : 0;
    bool is_v6 = n >= 2 && text[0] == '[' && text[n - 1] == ']';
    const char *from = is_v6 ? text + 1 : text;
    uint64_t port;

    if (is_v6)
        n -= 2;
    if (n == 0 || n >= sizeof(host) ||
        !num_parse_u64(slice_of(colon + 1), 65535, &port))
        return bad_address(text, e);
    memcpy(host, from, n);
    host[n] = 0;
    memset(out, 0, sizeof(*out));
    if (is_v6) {
        out->v6.sin6_family = AF_INET6;
        out->v6.sin6_port = htons((uint16_t)port);
        *len = sizeof(out->v6);
        if (inet_pton(AF_INET6, host, &out->v6.sin6_addr) == 1)
            return 0;
    } else {
        out->v4.sin_family = AF_INET;
        out->v4.sin_port = htons((uint16_t)port);
        *len = sizeof(out->v4);
        if (inet_pton(AF_INET, host, &out->v4.sin_addr) == 1)
            return 0;
    }
    return bad_address(text, e);
}

void listen_format(const struct sockaddr *sa, char out[HTTP_PEER_SIZE],
                   bool *is_loopback)
{
    char host[INET6_ADDRSTRLEN] = "?";
    bool is_local = false;
    union address a;

    out[0] = 0;
    if (sa->sa_family == AF_INET6) {
        memcpy(&a.v6, sa, sizeof(a.v6));
        inet_ntop(AF_INET6, &a.v6.sin6_addr, host, sizeof(host));
        is_local = IN6_IS_ADDR_LOOPBACK(&a.v6.sin6_addr);
        snprintf(out, HTTP_PEER_SIZE, "[%s]:%u", host, ntohs(a.v6.sin6_port));
    } else if (sa->sa_family == AF_INET) {
        memcpy(&a.v4, sa, sizeof(a.v4));
        inet_ntop(AF_INET, &a.v4.sin_addr, host, sizeof(host));
        is_local = ntohl(a.v4.sin_addr.s_addr) >> 24 == 127;
        snprintf(out, HTTP_PEER_SIZE, "%s:%u", host, ntohs(a.v4.sin_port));
    }
    if (is_loopback)
        *is_loopback = is_local;
}

int http_address_check(const char *text, bool *is_loopback, struct err *e)
{
    char out[HTTP_PEER_SIZE];
    union address a;
    socklen_t len;

    if (parse_address(text, &a, &len, e) < 0)
        return -1;
    listen_format(&a.sa, out, is_loopback);
    return 0;
}

int listen_open(const char *text, struct listener *out, struct err *e)
{
    union address a;
    socklen_t len;
    int one = 1;
    int fd;

    if (parse_address(text, &a, &len, e) < 0)
        return -1;
    fd = socket(a.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return err_sys(e, errno, "listen on %s", text);
    /* Restart at once although old connections are in TIME_WAIT; two servers
     * on one port stay impossible. */
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (a.sa.sa_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (bind(fd, &a.sa, len) < 0 || listen(fd, BACKLOG) < 0) {
        int sys = errno;

        close(fd);
        if (sys == EADDRINUSE) {
            err_set(e, ERR_BUSY,
                    "listen on %s: the port is in use by another process; "
                    "stop it or choose another port",
                    text);
            e->sys = sys;
            return -1;
        }
        return err_sys(e, sys, "listen on %s", text);
    }
    if (getsockname(fd, &a.sa, &len) < 0) {
        int sys = errno;

        close(fd);
        return err_sys(e, sys, "listen on %s", text);
    }
    out->fd = fd;
    listen_format(&a.sa, out->text, NULL);
    return 0;
}
