/*
 * Replays a committed corpus as a unit test: include a target first, define
 * CORPUS (its folder) and, if the input's first two bytes say where to split
 * it, CORPUS_SPLITS.
 */
#ifndef BERTH_TESTS_REPLAY_H
#define BERTH_TESTS_REPLAY_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <stdio.h>
#include <unistd.h>

#include "base/io.h"

#define CORPUS_LEAST 10 /* files */

static unsigned long executions;

static void run_once(const char *data, size_t len)
{
    LLVMFuzzerTestOneInput((const uint8_t *)data, len);
    executions++;
}

static void replay_file(int dir, const char *name)
{
    struct err e;
    size_t len;
    char *data;

    if (io_read_file(dir, name, 8 * 1024 * 1024, &data, &len, &e) < 0)
        fail_msg("%s", e.msg);
    run_once(data, len);
#ifdef CORPUS_SPLITS
    for (size_t at = 0; len >= 2 && at < len && at < 2000; at++) {
        data[0] = (char)(at >> 8);
        data[1] = (char)(at & 255);
        run_once(data, len);
    }
#endif
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
        replay_file(dirfd(d), entry->d_name);
        count++;
    }
    closedir(d);
    assert_true(count >= CORPUS_LEAST);
    /* For tests/run, which adds them up. */
    printf("[  FIGURE  ] fuzz corpora: 1 targets\n");
    printf("[  FIGURE  ] fuzz corpora: %d inputs\n", count);
    printf("[  FIGURE  ] fuzz corpora: %lu executions\n", executions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
