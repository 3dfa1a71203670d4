/*
 * libFuzzer target for what proxies say of their clients.
 *
 * Input: a byte that chooses the header, one that says where to cut; before
 * the cut is what a client sent, behind it what the trusted proxy added.
 * Checked besides memory errors: nothing that a client sends before changes
 * whom the proxy named; an address that is told reads as the same one again.
 */
#include <string.h>

#include "server/http/forwarded.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define LINE_MAX_BYTES 4096

static struct forwarded_trust trust(bool is_rfc7239)
{
    struct forwarded_trust t = {.count = 2, .is_rfc7239 = is_rfc7239};

    berth_assert(ip_net_parse(slice_of("10.0.0.0/8"), &t.nets[0]));
    berth_assert(ip_net_parse(slice_of("fd00::/8"), &t.nets[1]));
    return t;
}

static void check_text(const struct ip *ip)
{
    char text[IP_TEXT];
    struct ip again;

    ip_format(ip, text);
    berth_assert(ip_parse(slice_of(text), &again));
    berth_assert(memcmp(ip, &again, sizeof(again)) == 0);
}

static void check_network(struct slice s)
{
    struct ip_net net;

    if (ip_net_parse(s, &net)) {
        berth_assert(net.bits <= 128);
        berth_assert(ip_net_has(&net, &net.first));
        check_text(&net.first);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char line[LINE_MAX_BYTES + 1];
    struct ip proxy, alone, behind;
    struct forwarded_trust t;
    size_t cut, n;
    bool goes_on;

    if (size < 2 || size - 2 > LINE_MAX_BYTES)
        return 0;
    t = trust(data[0] & 1);
    n = size - 2;
    cut = n ? data[1] % n : 0;
    memcpy(line, data + 2, cut);
    line[cut] = ',';
    memcpy(line + cut + 1, data + 2 + cut, n - cut);
    berth_assert(ip_parse(slice_of("10.0.0.1"), &proxy));
    alone = behind = proxy;
    goes_on =
        forwarded_walk(&t, (struct slice){line + cut + 1, n - cut}, &alone);
    check_text(&alone);
    check_network((struct slice){line + cut + 1, n - cut});
    berth_assert(!goes_on || forwarded_is_trusted(&t, &alone));
    if (!forwarded_is_trusted(&t, &alone)) {
        berth_assert(!forwarded_walk(&t, (struct slice){line, n + 1}, &behind));
        berth_assert(memcmp(&alone, &behind, sizeof(alone)) == 0);
    }
    return 0;
}
