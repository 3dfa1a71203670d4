#include "base/json.h"

#include <stdlib.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

static int countdown; /* the malloc that fails; 0: none */

void *__real_malloc(size_t n);
void *__wrap_malloc(size_t n);

void *__wrap_malloc(size_t n)
{
    if (countdown > 0 && --countdown == 0)
        return NULL;
    return __real_malloc(n);
}

static enum err_code code_of(const char *p, size_t n)
{
    struct err e = {ERR_NONE, 0, ""};
    json_t *j = json_load_object(p, n, &e);

    json_decref(j);
    return e.code;
}

static void test_table(void **state)
{
    static const struct {
        const char *text;
        enum err_code want;
    } rows[] = {
        {"{}", ERR_NONE},
        {" {\"a\":[1, \"a\\\"]\", null]} ", ERR_NONE},
        {"[]", ERR_INVALID},
        {"null", ERR_INVALID},
        {"", ERR_INVALID},
        {"{\"a\":1,\"a\":2}", ERR_INVALID},
        {"{\"a\":1,\"\\u0061\":2}", ERR_INVALID},
        {"{} x", ERR_INVALID},
        {"\xef\xbb\xbf{}", ERR_INVALID},
        {"{\"a\":\"\xff\"}", ERR_INVALID},
        {"{\"a\":\"\\u0000\"}", ERR_INVALID},
        {"{\"a\":[1", ERR_INVALID},
        {"{\"a\":\"open", ERR_INVALID},
    };

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++)
        assert_int_equal(code_of(rows[i].text, strlen(rows[i].text)),
                         rows[i].want);
}

/* {"a":[[...]]} with n brackets of each kind, the object's included. */
static size_t nested(char *out, size_t n)
{
    memcpy(out, "{\"a\":", 5);
    memset(out + 5, '[', n - 1);
    memset(out + 4 + n, ']', n - 1);
    out[3 + 2 * n] = '}';
    return 4 + 2 * n;
}

static void test_limits(void **state)
{
    static char deep[100], wide[200010];
    size_t n = 6;

    (void)state;
    assert_int_equal(code_of(deep, nested(deep, 32)), ERR_NONE);
    assert_int_equal(code_of(deep, nested(deep, 33)), ERR_INVALID);
    memcpy(wide, "{\"a\":[", 6);
    while (n < sizeof(wide) - 4) {
        memcpy(wide + n, "1,", 2);
        n += 2;
    }
    memcpy(wide + n, "1]}", 3);
    assert_int_equal(code_of(wide, n + 3), ERR_INVALID);
    /* Half as many pass. */
    memcpy(wide + n / 2 / 2 * 2, "1]}", 3);
    assert_int_equal(code_of(wide, n / 2 / 2 * 2 + 3), ERR_NONE);
}

static void test_string(void **state)
{
    struct err e;
    json_t *j = json_load_object("{\"a\":\"b\",\"c\":1}", 15, &e);

    (void)state;
    assert_non_null(j);
    assert_string_equal(json_member_string(j, "a"), "b");
    assert_null(json_member_string(j, "x"));
    assert_null(json_member_string(j, "c"));
    json_decref(j);
}

static void test_array(void **state)
{
    struct err e = {ERR_NONE, 0, ""};
    json_t *j = json_load_array("[{\"a\":1}]", 9, &e);

    (void)state;
    assert_int_equal(json_array_size(j), 1);
    json_decref(j);
    assert_null(json_load_array("{}", 2, &e));
    assert_string_equal(e.msg, "JSON is no array");
    assert_null(json_load_array("[{\"a\":1,\"a\":2}]", 15, &e));
}

/* Wherever memory goes amid a text: that is no fault of the text. */
static void test_no_memory(void **state)
{
    static const char text[] =
        "{\"list\":[1, 2.5, true, null, \"\\u00e4 string\"], \"a\":{\"b\":{}}}";
    enum err_code code = ERR_NO_MEMORY;
    int n = 0;

    (void)state;
    while (code == ERR_NO_MEMORY) {
        countdown = ++n;
        code = code_of(text, sizeof(text) - 1);
    }
    assert_int_equal(code, ERR_NONE);
    assert_true(countdown > 0);
    countdown = 0;
    assert_true(n > 10);
    assert_int_equal(code_of("{\"a\":x}", 7), ERR_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),     cmocka_unit_test(test_limits),
        cmocka_unit_test(test_string),    cmocka_unit_test(test_array),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
