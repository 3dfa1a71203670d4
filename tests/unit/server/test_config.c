/* The configuration: the example documents every key, and its defaults. */
#include "server/config.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/io.h"
#include "server/oci_error.h"

static void test_example_names_every_key(void **state)
{
    struct err e = {0};
    char *text = NULL, line[80];
    size_t len;

    (void)state;
    assert_int_equal(io_read_file(AT_FDCWD, "registry.conf.example", 1 << 20,
                                  &text, &len, &e),
                     0);
    for (size_t i = 0; config_key(i); i++) {
        bool is_set, is_comment;

        snprintf(line, sizeof(line), "\n%s = ", config_key(i));
        is_set = strstr(text, line) != NULL;
        snprintf(line, sizeof(line), "\n#%s = ", config_key(i));
        is_comment = strstr(text, line) != NULL;
        if (is_set == is_comment)
            fail_msg("%s stands in the example not once", config_key(i));
    }
    free(text);
}

static void same_limits(const struct http_limits *a,
                        const struct http_limits *b)
{
#define SAME(member) assert_int_equal(a->member, b->member)
    SAME(head_bytes);
    SAME(line_bytes);
    SAME(header_bytes);
    SAME(headers);
    SAME(header_ms);
    SAME(idle_ms);
    SAME(window_ms);
    SAME(min_bps);
    SAME(body_idle_ms);
    SAME(linger_ms);
    SAME(linger_bytes);
    SAME(connections);
    SAME(per_address);
    SAME(requests);
    SAME(pipeline_bytes);
    SAME(pool_bytes);
    SAME(whole_bytes);
#undef SAME
}

static void test_example_is_the_default(void **state)
{
    struct config plain, read;
    struct err e = {0};

    (void)state;
    assert_int_equal(config_init(&plain, &e), 0);
    assert_int_equal(config_init(&read, &e), 0);
    assert_int_equal(config_read(&read, "registry.conf.example", &e), 0);
    assert_string_equal(plain.log_level, read.log_level);
    assert_int_equal(read.listen.count, 2);
    assert_null(read.root);
    assert_int_equal(plain.allow_anonymous, read.allow_anonymous);
    assert_int_equal(plain.read_only, read.read_only);
    assert_int_equal(plain.allow_delete, read.allow_delete);
    assert_int_equal(plain.delete_used, read.delete_used);
    assert_int_equal(read.sparse.count, 0);
    assert_int_equal(plain.delete_delay_s, read.delete_delay_s);
    assert_int_equal(plain.collect_grace_s, read.collect_grace_s);
    assert_int_equal(plain.upload_idle_s, read.upload_idle_s);
    assert_int_equal(plain.upload_ttl_s, read.upload_ttl_s);
    assert_int_equal(plain.takeover_ms, read.takeover_ms);
    assert_int_equal(plain.min_free_bytes, read.min_free_bytes);
    assert_int_equal(plain.drain_timeout_ms, read.drain_timeout_ms);
    same_limits(&plain.http, &read.http);
    config_free(&plain);
    config_free(&read);
}

static void test_error_bodies_fit(void **state)
{
    char body[256], lengthy[600];
    size_t n;

    (void)state;
    n = oci_error_body(OCI_NAME_UNKNOWN, "a \"b\" \x1b\xff", "[1]", body,
                       sizeof(body));
    assert_int_equal(n, strlen(body));
    assert_string_equal(body, "{\"errors\":[{\"code\":\"NAME_UNKNOWN\","
                              "\"message\":\"a \\\"b\\\" \\u001b\\u00ff\","
                              "\"detail\":[1]}]}\n");
    memset(lengthy, 'x', sizeof(lengthy) - 1);
    lengthy[sizeof(lengthy) - 1] = '\0';
    n = oci_error_body(OCI_DENIED, lengthy, NULL, body, sizeof(body));
    assert_int_equal(n, strlen(body));
    assert_string_equal(body + n - 6, "x\"}]}\n");
    n = oci_error_body(OCI_DENIED, lengthy, "[1]", body, sizeof(body));
    assert_int_equal(n, strlen(body));
    assert_string_equal(body + n - 19, "x\",\"detail\":[1]}]}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_example_names_every_key),
        cmocka_unit_test(test_example_is_the_default),
        cmocka_unit_test(test_error_bodies_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
