/*
 * IP addresses without a port, and networks of them.
 *
 * Both families in one form of 16 bytes: an IPv4 address is its mapped IPv6
 * one (::ffff:a.b.c.d), so that a client is the same by whichever socket it
 * came.
 */
#ifndef BERTH_SERVER_HTTP_IP_H
#define BERTH_SERVER_HTTP_IP_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/num.h"

#define IP_TEXT INET6_ADDRSTRLEN /* with its NUL */

struct ip {
    uint8_t bytes[16];
};

struct ip_net {
    struct ip first;
    unsigned bits; /* of the 128 that decide */
};

/* The address of a socket; all zero for another family than IP. */
struct ip ip_of(const struct sockaddr *sa);
/* An address in numbers, and nothing else: no port, no zone, no blank. */
must_check bool ip_parse(struct slice text, struct ip *out);
/* Without brackets; a mapped address as the IPv4 one. */
void ip_format(const struct ip *ip, char out[IP_TEXT]);
bool ip_is_v4(const struct ip *ip);
bool ip_is_loopback(const struct ip *ip);

/*
 * "192.0.2.0/24", "2001:db8::/32", or one address.  false for everything
 * else, also when bits behind the prefix are set: that is a typing error.
 */
must_check bool ip_net_parse(struct slice text, struct ip_net *out);
bool ip_net_has(const struct ip_net *net, const struct ip *ip);

#endif
