#include "server/http/peers.h"

#include <stdlib.h>
#include <string.h>

#include "base/io.h"

void peers_init(struct peers *p)
{
    memset(p->buckets, 0, sizeof(p->buckets));
    pthread_mutex_init(&p->lock, NULL);
    io_random(p->key, sizeof(p->key));
}

void peers_free(struct peers *p)
{
    for (size_t i = 0; i < PEERS_BUCKETS; i++)
        berth_assert(!p->buckets[i]);
    pthread_mutex_destroy(&p->lock);
}

/* The /64 of an IPv6 address; an IPv4 one, also a mapped one, is distinct. */
static uint64_t address_of(const struct sockaddr *sa)
{
    const struct sockaddr_in6 *v6 = (const void *)sa;
    const struct sockaddr_in *v4 = (const void *)sa;
    uint64_t high;
    uint32_t low;

    if (sa->sa_family != AF_INET6)
        return v4->sin_addr.s_addr;
    if (IN6_IS_ADDR_V4MAPPED(&v6->sin6_addr)) {
        memcpy(&low, v6->sin6_addr.s6_addr + 12, sizeof(low));
        return low;
    }
    memcpy(&high, v6->sin6_addr.s6_addr, sizeof(high));
    return high;
}

/* Pair-multiply-shift: any two addresses share a bucket by chance only. */
static struct peer **bucket(struct peers *p, uint64_t address)
{
    uint64_t a = address & UINT32_MAX, b = address >> 32;
    uint64_t h = (p->key[0] + a) * (p->key[1] + b) + p->key[2];

    return &p->buckets[(h >> 32) % PEERS_BUCKETS];
}

struct peer *peers_enter(struct peers *p, const struct sockaddr *sa,
                         unsigned max)
{
    uint64_t address = address_of(sa);
    struct peer **head, *peer;

    pthread_mutex_lock(&p->lock);
    head = bucket(p, address);
    for (peer = *head; peer && peer->address != address;)
        peer = peer->next;
    if (!peer) {
        peer = calloc(1, sizeof(*peer));
        if (peer) {
            peer->address = address;
            peer->next = *head;
            *head = peer;
        }
    }
    if (peer && peer->count >= max)
        peer = NULL;
    if (peer)
        peer->count++;
    pthread_mutex_unlock(&p->lock);
    return peer;
}

void peers_leave(struct peers *p, struct peer *peer)
{
    struct peer **at;

    if (!peer)
        return;
    pthread_mutex_lock(&p->lock);
    if (--peer->count == 0) {
        at = bucket(p, peer->address);
        while (*at != peer)
            at = &(*at)->next;
        *at = peer->next;
        free(peer);
    }
    pthread_mutex_unlock(&p->lock);
}
