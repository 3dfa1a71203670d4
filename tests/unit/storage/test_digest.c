#include "storage/digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define HEX64 "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"

static void test_parse(void **state)
{
    static const struct {
        const char *text;
        enum digest_form want;
    } rows[] = {
        {"sha256:" HEX64, DIGEST_OK},
        {"sha512:" HEX64 HEX64, DIGEST_OK},
        {"sha256:" HEX64 "a", DIGEST_MALFORMED},
        {"sha512:" HEX64, DIGEST_MALFORMED},
        {"sha256:44136FA355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caa"
         "ff8a",
         DIGEST_MALFORMED},
        {"sha256:baddigeststring", DIGEST_MALFORMED},
        {"sha256:", DIGEST_MALFORMED},
        {":" HEX64, DIGEST_MALFORMED},
        {"latest", DIGEST_MALFORMED},
        {"", DIGEST_MALFORMED},
        {"md5:d41d8cd98f00b204e9800998ecf8427e", DIGEST_UNSUPPORTED},
        {"blake3:" HEX64, DIGEST_UNSUPPORTED},
        {"multihash+base58:QmRZxt2b1FVZPNqd8hsiykDL3TdBDeTSPX9Kv46HmX4Gx8",
         DIGEST_UNSUPPORTED},
        {"a+:x", DIGEST_MALFORMED},
        {"A:x", DIGEST_MALFORMED},
        {"a++b:x", DIGEST_MALFORMED},
        {"a.b_c-d:x=_-Zz09", DIGEST_UNSUPPORTED},
        {"a{:x", DIGEST_MALFORMED},
        {"a`:x", DIGEST_MALFORMED},
        {"a:x{", DIGEST_MALFORMED},
        {"a:x[", DIGEST_MALFORMED},
        {"a:x@", DIGEST_MALFORMED},
        {"a:x:", DIGEST_MALFORMED},
        {"a:x/y", DIGEST_MALFORMED},
        {"sha256:" HEX64 "\n", DIGEST_MALFORMED},
    };
    struct digest d;

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++)
        assert_int_equal(digest_parse(slice_of(rows[i].text), &d),
                         rows[i].want);
}

static void test_round_trip(void **state)
{
    static const char *const texts[] = {"sha256:" HEX64, "sha512:" HEX64 HEX64};
    struct digest d[2], copy;
    char out[DIGEST_TEXT_MAX];

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(digest_parse(slice_of(texts[i]), &d[i]), DIGEST_OK);
        digest_format(&d[i], out);
        assert_string_equal(out, texts[i]);
    }
    assert_true(digest_eq(&d[0], &d[0]));
    assert_false(digest_eq(&d[0], &d[1]));
    assert_true(digest_from_key(d[1].key, digest_key_len(&d[1]), &copy));
    assert_true(digest_eq(&d[1], &copy));
    assert_false(digest_from_key(d[1].key, 33, &copy));
    assert_false(digest_from_key("\3", 1, &copy));
    assert_false(digest_from_key(NULL, 0, &copy));
    copy = digest_make(HASH_SHA512, d[1].key + 1);
    assert_true(digest_eq(&d[1], &copy));
    assert_int_equal(digest_alg(&copy), HASH_SHA512);
    copy = digest_make(HASH_SHA256, d[0].key + 1);
    assert_true(digest_eq(&d[0], &copy));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
