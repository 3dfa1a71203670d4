/* Replays the committed corpus of tests/fuzz/http.c, split everywhere. */
#include "tests/fuzz/http.c"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/io.h"

#define CORPUS "tests/fuzz/corpus/http"

static void replay(int dir, const char *name)
{
    struct err e;
    size_t len;
    char *data;

    if (io_read_file(dir, name, 1024 * 1024, &data, &len, &e) < 0)
        fail_msg("%s", e.msg);
    for (size_t at = 0; len >= 2 && at < len && at < 2000; at++) {
        data[0] = (char)(at >> 8);
        data[1] = (char)(at & 255);
        LLVMFuzzerTestOneInput((const uint8_t *)data, len);
    }
    free(data);
}

static void test_corpus(void **state)
{
    DIR *d = opendir(CORPUS);
    struct dirent *entry;
    int count = 0;

    (void)state;
    if (!d)
        fail_msg("%s is not here: run from the top of the tree", CORPUS);
    while ((entry = readdir(d)) != NULL) {
        if (entry->d_name[0] == '.')
            continue;
        replay(dirfd(d), entry->d_name);
        count++;
    }
    closedir(d);
    assert_true(count >= 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
