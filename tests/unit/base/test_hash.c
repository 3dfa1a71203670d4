#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "base/num.h"

static void check(enum hash_alg alg, const char *text, const char *want)
{
    uint8_t raw[HASH_MAX];
    char hex[2 * HASH_MAX + 1];
    struct hash *h = hash_new(alg);

    assert_non_null(h);
    for (size_t i = 0; i < strlen(text); i++) {
        hash_peek(h, raw);
        hash_update(h, text + i, 1);
    }
    hash_peek(h, raw);
    num_hex(raw, hash_size(alg), hex);
    assert_string_equal(hex, want);
    hash_bytes(alg, text, strlen(text), raw);
    num_hex(raw, hash_size(alg), hex);
    assert_string_equal(hex, want);
    hash_free(h);
}

static void test_vectors(void **state)
{
    (void)state;
    check(HASH_SHA256, "",
          "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    check(HASH_SHA256, "abc",
          "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    check(HASH_SHA512, "abc",
          "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
          "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
