#include "server/http/ip.h"

#include <arpa/inet.h>
#include <string.h>

static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

static struct ip of_v4(const void *bytes)
{
    struct ip ip;

    memcpy(ip.bytes, mapped, sizeof(mapped));
    memcpy(ip.bytes + sizeof(mapped), bytes, 4);
    return ip;
}

struct ip ip_of(const struct sockaddr *sa)
{
    const struct sockaddr_in6 *v6 = (const void *)sa;
    const struct sockaddr_in *v4 = (const void *)sa;
    struct ip ip = {{0}};

    if (sa->sa_family == AF_INET)
        ip = of_v4(&v4->sin_addr);
    else if (sa->sa_family == AF_INET6)
        memcpy(ip.bytes, &v6->sin6_addr, sizeof(ip.bytes));
    return ip;
}

bool ip_parse(struct slice text, struct ip *out)
{
    char copy[IP_TEXT];
    struct in_addr v4;

    if (text.n >= sizeof(copy) || memchr(text.p, 0, text.n))
        return false;
    memcpy(copy, text.p, text.n);
    copy[text.n] = 0;
    if (inet_pton(AF_INET, copy, &v4) == 1) {
        *out = of_v4(&v4);
        return true;
    }
    return inet_pton(AF_INET6, copy, out->bytes) == 1;
}

bool ip_is_v4(const struct ip *ip)
{
    return memcmp(ip->bytes, mapped, sizeof(mapped)) == 0;
}

void ip_format(const struct ip *ip, char out[IP_TEXT])
{
    if (ip_is_v4(ip))
        inet_ntop(AF_INET, ip->bytes + sizeof(mapped), out, IP_TEXT);
    else
        inet_ntop(AF_INET6, ip->bytes, out, IP_TEXT);
}

bool ip_is_loopback(const struct ip *ip)
{
    static const struct ip v6 = {{[15] = 1}};

    if (ip_is_v4(ip))
        return ip->bytes[sizeof(mapped)] == 127;
    return memcmp(ip, &v6, sizeof(v6)) == 0;
}

/* Byte i of the mask that has so many leading bits. */
static uint8_t mask(unsigned bits, unsigned i)
{
    if (bits >= 8 * (i + 1))
        return 0xff;
    if (bits <= 8 * i)
        return 0;
    return (uint8_t)(0xff00U >> (bits - 8 * i));
}

bool ip_net_parse(struct slice text, struct ip_net *out)
{
    const char *slash = memchr(text.p, '/', text.n);
    size_t n = slash ? (size_t)(slash - text.p) : text.n;
    bool is_v6 = memchr(text.p, ':', n) != NULL;
    uint64_t bits = is_v6 ? 128 : 32;

    if (!ip_parse((struct slice){text.p, n}, &out->first))
        return false;
    if (slash &&
        !num_parse_u64((struct slice){slash + 1, text.n - n - 1}, bits, &bits))
        return false;
    out->bits = (unsigned)bits + (is_v6 ? 0 : 96);
    for (unsigned i = 0; i < 16; i++)
        if (out->first.bytes[i] & (uint8_t)~mask(out->bits, i))
            return false;
    return true;
}

bool ip_net_has(const struct ip_net *net, const struct ip *ip)
{
    for (unsigned i = 0; i < 16; i++)
        if ((net->first.bytes[i] ^ ip->bytes[i]) & mask(net->bits, i))
            return false;
    return true;
}
