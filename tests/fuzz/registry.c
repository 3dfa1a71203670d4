/*
 * libFuzzer target for what a registry tells its clients, and for the files
 * that say who we are: challenges, addresses, credentials.
 *
 * Input: the first byte chooses ('c', 'l', 'j'), the rest is the text.
 * Checked: no control byte comes through; who follows a redirect from TLS
 * stays in TLS; a resolved address resolves to itself; a password that was
 * read is read again from what we write.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "auth/challenge.h"
#include "base/json.h"
#include "client/remote/credential.h"
#include "client/remote/credhelper.h"
#include "client/remote/origin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct challenge list[CHALLENGE_MAX];
static char url[ORIGIN_URL_MAX], again[ORIGIN_URL_MAX];

static void check_text(const char *text, size_t size)
{
    berth_assert(strnlen(text, size) < size);
    for (; *text != '\0'; text++)
        berth_assert((unsigned char)*text >= 0x20 || *text == '\t');
}

static void check_challenge(struct slice value)
{
    int n = challenge_parse(value, list, CHALLENGE_MAX);
    berth_assert(n >= -1 && n <= CHALLENGE_MAX);
    for (int i = 0; i < n; i++) {
        check_text(list[i].realm, sizeof(list[i].realm));
        check_text(list[i].service, sizeof(list[i].service));
        check_text(list[i].scope, sizeof(list[i].scope));
        check_text(list[i].error, sizeof(list[i].error));
    }
    const struct challenge *best =
        challenge_choose(list, n > 0 ? (size_t)n : 0);
    berth_assert(best == NULL || best->scheme != CHALLENGE_OTHER);
    berth_assert(best == NULL || best->scheme != CHALLENGE_BEARER ||
                 best->realm[0] != '\0');
}

static void check_location(const char *text)
{
    static const char base[] = "https://r.example/v2/a/blobs/uploads/";
    struct redirect r = {.method = "GET", .from = base, .to = text};
    struct origin o;
    struct err e;
    if (origin_resolve(base, text, url, &e) == 0) {
        berth_assert(origin_parse(url, &o, &e) == 0 && o.host[0] != '\0');
        berth_assert(strpbrk(url, " \t\r\n#") == NULL);
        check_text(url, sizeof(url));
        berth_assert(origin_resolve(base, url, again, &e) == 0);
        berth_assert(strcmp(url, again) == 0);
    } else {
        check_text(e.msg, sizeof(e.msg));
    }
    if (origin_redirect(&r, url, &e) == 0)
        berth_assert(origin_parse(url, &o, &e) == 0 && o.is_tls);
    else
        check_text(e.msg, sizeof(e.msg));
}

/* As credential_store() writes it. */
static void check_again(const struct credential *c)
{
    char basic[4 * CREDENTIAL_SECRET_MAX], helper[CREDENTIAL_HELPER_MAX];
    struct credential copy;
    struct err e;
    berth_assert(credential_basic(c, basic, sizeof(basic)));
    json_t *o = json_pack("{s:{s:{s:s}}}", "auths", "r", "auth", basic);
    berth_assert(o != NULL);
    berth_assert(credential_from_config(o, "r", NULL, &copy, helper, &e) == 0);
    berth_assert(copy.is_set && strcmp(copy.user, c->user) == 0 &&
                 strcmp(copy.secret, c->secret) == 0);
    json_decref(o);
}

static void check_config(const char *text, size_t n)
{
    char helper[CREDENTIAL_HELPER_MAX];
    struct credential c;
    struct err e;
    json_t *o = json_load_object(text, n, &e);
    if (o == NULL)
        return;
    if (credential_from_config(o, "r", "a/b", &c, helper, &e) != 0) {
        check_text(e.msg, sizeof(e.msg));
    } else {
        berth_assert(helper[0] == '\0' || credhelper_is_name(helper));
        berth_assert(!c.is_set || helper[0] == '\0');
        if (c.is_set && !c.is_identity && strchr(c.user, ':') == NULL)
            check_again(&c);
    }
    json_decref(o);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    /* Of its own size, so that a read behind the end is seen. */
    size_t n = size - 1;
    char *text = malloc(n + 1);
    berth_assert(text);
    memcpy(text, data + 1, n);
    text[n] = '\0';
    if (data[0] == 'l') {
        check_location(text);
    } else if (data[0] == 'j') {
        check_config(text, n);
    } else {
        char *whole = realloc(text, n + (n == 0));
        berth_assert(whole);
        text = whole;
        check_challenge((struct slice){text, n});
    }
    free(text);
    return 0;
}
