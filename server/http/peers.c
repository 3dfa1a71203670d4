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
static uint64_t address_of(const struct ip *ip)
{
    uint64_t high;
    uint32_t v4;

    if (ip_is_v4(ip)) {
        memcpy(&v4, ip->bytes + 12, sizeof(v4));
        return v4;
    }
    memcpy(&high, ip->bytes, sizeof(high));
    return high;
}

/* Pair-multiply-shift: any two addresses share a bucket by chance only. */
static struct peer **bucket(struct peers *p, uint64_t address)
{
    uint64_t a = address & UINT32_MAX, b = address >> 32;
    uint64_t h = (p->key[0] + a) * (p->key[1] + b) + p->key[2];

    return &p->buckets[(h >> 32) % PEERS_BUCKETS];
}

struct peer *peers_enter(struct peers *p, const struct ip *ip, unsigned max)
{
    uint64_t address = address_of(ip);
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
