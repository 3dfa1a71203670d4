/*
 * How many connections each source address has open, and requests under way
 * through trusted proxies.
 *
 * One host must not use up all connections, whatever it does with them.  An
 * address is an IPv4 address, or the /64 of an IPv6 one: whoever has one
 * address of it has them all.
 *
 * 1. An address is in the table exactly while it has any.
 * 2. Clients choose their addresses to some degree, so the buckets are chosen
 *    by a hash with a random key.
 */
#ifndef BERTH_SERVER_HTTP_PEERS_H
#define BERTH_SERVER_HTTP_PEERS_H

#include <pthread.h>
#include <stdint.h>

#include "server/http/ip.h"

#define PEERS_BUCKETS 4096

struct peer {
    struct peer *next;
    uint64_t address;
    unsigned count; /* under the table's lock */
};

struct peers {
    pthread_mutex_t lock;
    uint64_t key[3];
    struct peer *buckets[PEERS_BUCKETS];
};

void peers_init(struct peers *p);
/* Every connection must have left. */
void peers_free(struct peers *p);
/*
 * Count one more of this address; NULL when it has max already, or
 * memory is out.  Thread: any.
 */
struct peer *peers_enter(struct peers *p, const struct ip *ip, unsigned max);
/* Owns: peer may be freed.  NULL is fine.  Thread: any. */
void peers_leave(struct peers *p, struct peer *peer);

#endif
