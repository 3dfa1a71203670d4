#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <openssl/crypto.h>

#include "base/num.h"

static bool is_memory_gone;

static void *give(size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return is_memory_gone ? NULL : malloc(n);
}

static void *give_more(void *p, size_t n, const char *file, int line)
{
    (void)file;
    (void)line;
    return is_memory_gone ? NULL : realloc(p, n);
}

static void take_back(void *p, const char *file, int line)
{
    (void)file;
    (void)line;
    free(p);
}

static void check(enum hash_alg alg, const char *text, const char *want)
{
    uint8_t raw[HASH_MAX];
    char hex[2 * HASH_MAX + 1];
    struct hash *h = hash_new(alg);

    assert_non_null(h);
    for (size_t i = 0; i < strlen(text); i++) {
        assert_int_equal(hash_peek(h, raw), 0);
        hash_update(h, text + i, 1);
    }
    assert_int_equal(hash_peek(h, raw), 0);
    num_hex(raw, hash_size(alg), hex);
    assert_string_equal(hex, want);
    assert_int_equal(hash_bytes(alg, text, strlen(text), raw), 0);
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

/* It is an error, and the stream is as it was. */
static void test_no_memory(void **state)
{
    struct hash *h = hash_new(HASH_SHA256);
    uint8_t raw[HASH_MAX], again[HASH_MAX];
    struct err e;

    (void)state;
    assert_non_null(h);
    assert_int_equal(hash_init(&e), 0);
    hash_update(h, "abc", 3);
    is_memory_gone = true;
    assert_int_equal(hash_peek(h, raw), -1);
    assert_int_equal(hash_bytes(HASH_SHA256, "abc", 3, raw), -1);
    is_memory_gone = false;
    assert_int_equal(hash_peek(h, raw), 0);
    assert_int_equal(hash_bytes(HASH_SHA256, "abc", 3, again), 0);
    assert_memory_equal(raw, again, 32);
    hash_free(h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),
        cmocka_unit_test(test_no_memory),
    };

    if (CRYPTO_set_mem_functions(give, give_more, take_back) != 1)
        return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
