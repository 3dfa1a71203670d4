/* Lists of entity tags. */
#include "server/etag.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

/* The list as text: "a", "W/a" and "*" in a row, "!" where it breaks. */
static void read_list(const char *text, char *out, size_t cap)
{
    struct slice rest = slice_of(text);
    size_t used = 0;
    struct etag tag;
    int rc;

    out[0] = '\0';
    while ((rc = etag_next(&rest, &tag)) == 1) {
        used += (size_t)snprintf(out + used, cap - used, "[%s%.*s%s]",
                                 tag.is_weak ? "W/" : "", (int)tag.text.n,
                                 tag.text.n ? tag.text.p : "",
                                 tag.is_any ? "*" : "");
        assert_true(used < cap);
    }
    snprintf(out + used, cap - used, "%s", rc < 0 ? "!" : "");
}

static void test_lists(void **state)
{
    static const struct {
        const char *text, *want;
    } rows[] = {
        {"", ""},
        {"\"a\"", "[a]"},
        {"\"a\", W/\"b\"", "[a][W/b]"},
        {"*", "[*]"},
        {" \"a\"\t,,\"b\" , ", "[a][b]"},
        {"\"\"", "[]"},
        {"\"a,b\"", "[a,b]"},
        {"\"sha256:ab\"", "[sha256:ab]"},
        {"a", "!"},
        {"\"a", "!"},
        {"\"a\"b", "!"},
        {"\"a\" \"b\"", "!"},
        {"W/a", "!"},
        {"W/", "!"},
        {"w/\"a\"", "!"},
        {"*a", "!"},
        {"Sat, 01 Jan 2000 00:00:00 GMT", "!"},
    };
    char got[128];

    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        read_list(rows[i].text, got, sizeof(got));
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("%s: %s, not %s", rows[i].text, got, rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
