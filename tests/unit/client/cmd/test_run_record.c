/* The record of a container: what the image says and what the flags change. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <string.h>

#include <cmocka.h>

#include "client/cmd/run_record.h"

static char program[] = "/bin/true";

/* The labels that run_record() makes of an image's and of flags. */
static json_t *labels_of(const char *image, const char **flags, size_t n)
{
    struct run_options o = {
        .name = "n", .network = "none", .labels = {.v = flags, .n = n}};
    char *args[] = {program, program, NULL};
    struct err e = {.msg = ""};
    json_t *config = json_loads(image, 0, NULL);
    assert_non_null(config);
    json_t *record =
        run_record(&o, config, "0123456789abcdef", "/x", args, 2, &e);
    json_decref(config);
    json_t *labels = json_incref(json_object_get(record, "labels"));
    json_decref(record);
    return labels;
}

static void test_labels_are_merged(void **state)
{
    (void)state;
    const char *flags[] = {"b=flag", "c", "b=last"};
    json_t *labels = labels_of(
        "{\"Labels\":{\"a\":\"image\",\"b\":\"image\",\"n\":7}}", flags, 3);
    json_t *want = json_pack("[s, s, s]", "a=image", "b=last", "c=");
    assert_true(json_equal(labels, want));
    json_decref(labels);
    json_decref(want);
}

static void test_odd_labels(void **state)
{
    (void)state;
    static const char *const images[] = {"{}", "{\"Labels\":null}",
                                         "{\"Labels\":[\"a=b\"]}",
                                         "{\"Labels\":{\"a\":null}}"};
    for (size_t i = 0; i < array_len(images); i++) {
        json_t *labels = labels_of(images[i], NULL, 0);
        assert_true(json_is_array(labels));
        assert_int_equal(json_array_size(labels), 0);
        json_decref(labels);
    }
    const char *flags[] = {"=x"};
    assert_null(labels_of("{}", flags, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_labels_are_merged),
                                       cmocka_unit_test(test_odd_labels)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
