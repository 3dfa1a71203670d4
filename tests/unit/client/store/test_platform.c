/* Platforms: spellings, and the entry of an index that is meant. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "client/store/platform.h"

static const struct {
    const char *text, *os, *arch, *variant;
} good[] = {
    {"linux/amd64", "linux", "amd64", ""},
    {"linux/x86_64", "linux", "amd64", ""},
    {"linux/arm64/v8", "linux", "arm64", ""},
    {"linux/aarch64", "linux", "arm64", ""},
    {"linux/arm", "linux", "arm", "v7"},
    {"linux/arm/v6", "linux", "arm", "v6"},
    {"windows/amd64", "windows", "amd64", ""},
};

static void test_spellings(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(good); i++) {
        struct platform p;
        struct err e;
        assert_int_equal(platform_parse(good[i].text, &p, &e), 0);
        assert_string_equal(p.os, good[i].os);
        assert_string_equal(p.arch, good[i].arch);
        assert_string_equal(p.variant, good[i].variant);
    }
}

static const char *const bad[] = {
    "",
    "linux",
    "/amd64",
    "linux/",
    "a//v1",
    "linux/arm/",
    "linux/a/b/c",
    "linux/a b",
    "l\n/x",
    "linux/amd64 ",
    "linux/a/\033",
    "linux/aaaaaaaaaaaaaaaaaaaaaaaaa"
    "aaaaaaaaaaaaaaaa",
};

static void test_bad(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(bad); i++) {
        struct platform p;
        struct err e;
        if (platform_parse(bad[i], &p, &e) == 0)
            fail_msg("accepted: %s", bad[i]);
        assert_int_equal(e.code, ERR_INVALID);
    }
}

#define P(os, arch, rest) \
    "{\"platform\":{\"os\":\"" os "\",\"architecture\":\"" arch "\"" rest "}}"
#define V(v) ",\"variant\":\"" v "\""

static const struct {
    const char *platform, *entries;
    int want;            /* index of the entry, -1: none */
    const char *message; /* then */
} choices[] = {
    {"linux/amd64", P("linux", "arm64", "") "," P("linux", "amd64", ""), 1,
     NULL},
    {"linux/arm64", P("linux", "arm64", V("v8")), 0, NULL},
    {"linux/arm/v6", P("linux", "arm", V("v7")) "," P("linux", "arm", V("v6")),
     1, NULL},
    {"linux/amd64",
     P("linux", "amd64", V("v3")) "," P("windows", "amd64",
                                        "") "," P("unknown", "unknown", ""),
     -1, "no image for linux/amd64: there is linux/amd64/v3, windows/amd64"},
    {"linux/s390x", "{\"digest\":\"only\"}", 0, NULL},
    {"linux/s390x", P("linux", "amd64", ""), -1,
     "no image for linux/s390x: there is linux/amd64"},
    {"linux/amd64", "{\"digest\":\"a\"},{\"digest\":\"b\"}", -1,
     "no image for linux/amd64: there is none that tells its platform"},
    {"linux/amd64", "", -1,
     "no image for linux/amd64: there is none that tells its platform"},
    {"linux/amd64", "1,[],{\"platform\":7}," P("linux", "amd64", ""), 3, NULL},
};

static void test_choices(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(choices); i++) {
        struct platform p;
        struct err e = {.msg = ""};
        char text[1000];
        (void)snprintf(text, sizeof(text), "{\"manifests\":[%s]}",
                       choices[i].entries);
        json_t *index = json_loads(text, 0, NULL);
        assert_non_null(index);
        const json_t *list = json_object_get(index, "manifests");
        assert_int_equal(platform_parse(choices[i].platform, &p, &e), 0);
        const json_t *entry = platform_choose(&p, index, &e);
        if (choices[i].want >= 0) {
            assert_ptr_equal(entry,
                             json_array_get(list, (size_t)choices[i].want));
            assert_non_null(entry);
        } else {
            assert_null(entry);
            assert_string_equal(e.msg, choices[i].message);
        }
        json_decref(index);
    }
}

/* A list of platforms that is longer than a message. */
static void test_long_list(void **state)
{
    (void)state;
    struct platform p;
    struct err e;
    json_t *list = json_array(), *index = json_pack("{s:O}", "manifests", list);
    for (int i = 0; i < 1000; i++)
        (void)json_array_append_new(
            list, json_pack("{s:{s:s, s:s}}", "platform", "os", "linux",
                            "architecture", "an-architecture-of-31-letters.."));
    assert_int_equal(platform_parse("linux/amd64", &p, &e), 0);
    assert_null(platform_choose(&p, index, &e));
    assert_non_null(strstr(e.msg, "an-architecture"));
    assert_true(strlen(e.msg) < sizeof(e.msg) - 1);
    json_decref(list);
    json_decref(index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spellings), cmocka_unit_test(test_bad),
        cmocka_unit_test(test_choices), cmocka_unit_test(test_long_list)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
