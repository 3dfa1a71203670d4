/*
 * Who the client is behind proxies that are trusted to say so.
 *
 * Each proxy on the way adds the address that it was called from at the end
 * of X-Forwarded-For, or of Forwarded (RFC 7239).  What stands there is read
 * from the end: as long as an address is that of a trusted proxy, it tells
 * the truth about the one before it.  The first that is not trusted is the
 * client; what stands before it only the client said, and is not looked at.
 *
 * 1. Only one of the two headers counts, by configuration: a proxy that
 *    writes one lets the other through as the client sent it.
 * 2. What cannot be read ends the walk: the client is then the proxy that
 *    said it.  Nothing is guessed, and no request is refused for it.
 * 3. Pure, linear in the bytes.
 */
#ifndef BERTH_SERVER_HTTP_FORWARDED_H
#define BERTH_SERVER_HTTP_FORWARDED_H

#include "server/http/ip.h"

#define FORWARDED_NETS 16

struct forwarded_trust {
    struct ip_net nets[FORWARDED_NETS];
    size_t count;
    bool is_rfc7239; /* Forwarded counts, not X-Forwarded-For */
};

/* The name of the header that counts. */
const char *forwarded_header(const struct forwarded_trust *t);
bool forwarded_is_trusted(const struct forwarded_trust *t, const struct ip *ip);
/*
 * One line of that header, in which *client has spoken, a trusted proxy.
 * Sets *client to the nearest that is not trusted, or to the last that could
 * be read.  Returns true when all of the line came from trusted proxies: the
 * line before it counts too.  Lines go from the last to the first.
 */
bool forwarded_walk(const struct forwarded_trust *t, struct slice line,
                    struct ip *client);

#endif
