/* WWW-Authenticate: what registries write, what RFC 9110 allows, and worse. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "auth/challenge.h"

static struct challenge list[CHALLENGE_MAX];

static int parse(const char *text)
{
    return challenge_parse(slice_of(text), list, CHALLENGE_MAX);
}

static void test_bearer(void **state)
{
    (void)state;
    assert_int_equal(parse("Bearer realm=\"https://r.example/token\","
                           "service=\"r.example\","
                           "scope=\"repository:a/b:pull,push\""),
                     1);
    assert_int_equal(list[0].scheme, CHALLENGE_BEARER);
    assert_string_equal(list[0].realm, "https://r.example/token");
    assert_string_equal(list[0].service, "r.example");
    assert_string_equal(list[0].scope, "repository:a/b:pull,push");
    assert_string_equal(list[0].error, "");
}

static void test_blanks_cases_and_escapes(void **state)
{
    (void)state;
    assert_int_equal(parse(" ,, bEARER  REALM =\t\"a\\\"b\\\\c\" , error"
                           " = invalid_token,,other=\"x,y\""),
                     1);
    assert_string_equal(list[0].realm, "a\"b\\c");
    assert_string_equal(list[0].error, "invalid_token");
}

static void test_several(void **state)
{
    (void)state;
    assert_int_equal(parse("Negotiate, Digest realm=\"d\", nonce=\"Basic\", "
                           "NTLM abc==, Basic realm=\"b, c\", "
                           "Bearer realm=\"t\",service=s"),
                     5);
    assert_int_equal(list[0].scheme, CHALLENGE_OTHER);
    assert_string_equal(list[1].realm, "d");
    assert_string_equal(list[3].realm, "b, c");
    const struct challenge *best = challenge_choose(list, 5);
    assert_ptr_equal(best, &list[4]);
    assert_string_equal(best->service, "s");
    assert_ptr_equal(challenge_choose(list, 4), &list[3]);
    assert_null(challenge_choose(list, 3));
}

static void test_basic_alone(void **state)
{
    (void)state;
    assert_int_equal(parse("Basic"), 1);
    assert_int_equal(list[0].scheme, CHALLENGE_BASIC);
    assert_int_equal(parse("Basic realm=\"\""), 1);
    assert_non_null(challenge_choose(list, 1));
}

/* A bearer without an address cannot be answered. */
static void test_bearer_without_realm(void **state)
{
    (void)state;
    assert_int_equal(parse("Bearer service=\"x\""), 1);
    assert_null(challenge_choose(list, 1));
    /* "realm=" is a token68 by the grammar, no realm. */
    assert_int_equal(parse("Bearer realm=,service=\"x\""), -1);
    assert_int_equal(parse("Bearer realm=, Bearer x"), 2);
    assert_null(challenge_choose(list, 2));
    assert_int_equal(parse(""), 0);
    assert_null(challenge_choose(list, 0));
}

static void test_refused(void **state)
{
    static const char *const bad[] = {
        "Bearer realm=\"open",
        "Bearer realm=\"x\\",
        "Bearer realm=\"a\nb\"",
        "Bearer realm=\"a\x7f\"",
        "Bearer realm=\"a\" service=\"b\"",
        "Bearer realm=\"a\"x",
        "Bearer realm=\"a\",service=",
        "Bearer realm=https://unquoted/",
        "Bearer =x",
        "Bearer \"x\"",
        "Bearer realm=\"a\",realm=\"b\"",
        "Bearer realm=\"a\",Realm=\"b\"",
        "Bearer service=\"a\",service=\"a\"",
        "Bearer\trealm=\"a\"",
        "\"Bearer\" realm=\"a\"",
        "Bearer realm=\"a\", \x01",
        "=",
        "a,b,c,d,e,f,g,h,i",
    };
    (void)state;
    for (size_t i = 0; i < array_len(bad); i++) {
        if (parse(bad[i]) != -1)
            fail_msg("accepted: %s", bad[i]);
    }
}

/* Too long is refused as a whole, at the exact bound. */
static void test_long_values(void **state)
{
    static const struct {
        const char *key;
        size_t max;
    } fields[] = {{"realm", 1023}, {"service", 255}, {"scope", 1023}};
    char text[2048];
    (void)state;
    for (size_t i = 0; i < array_len(fields); i++) {
        for (size_t more = 0; more <= 1; more++) {
            size_t n = strlen("Bearer ") + strlen(fields[i].key) + 2;
            memcpy(text, "Bearer ", 7);
            memcpy(text + 7, fields[i].key, strlen(fields[i].key));
            memcpy(text + n - 2, "=\"", 2);
            memset(text + n, 'x', fields[i].max + more);
            memcpy(text + n + fields[i].max + more, "\"", 2);
            assert_int_equal(parse(text), more ? -1 : 1);
        }
    }
}

/* Every prefix of a good header, in memory of its exact size. */
static void test_every_prefix(void **state)
{
    static const char text[] = "Basic abc=, Digest a=b,c=\"\\\"d\", Bearer "
                               "realm = \"https://x/\" , error=e";
    (void)state;
    for (size_t n = 0; n < sizeof(text); n++) {
        char *copy = malloc(n + (n == 0));
        assert_non_null(copy);
        memcpy(copy, text, n);
        struct slice s = {copy, n};
        assert_true(challenge_parse(s, list, CHALLENGE_MAX) <= 4);
        free(copy);
    }
    assert_int_equal(parse(text), 3);
    struct slice nul = {"Bearer realm=\"a\0b\"", 17};
    assert_int_equal(challenge_parse(nul, list, CHALLENGE_MAX), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bearer),
        cmocka_unit_test(test_blanks_cases_and_escapes),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_basic_alone),
        cmocka_unit_test(test_bearer_without_realm),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_long_values),
        cmocka_unit_test(test_every_prefix),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
