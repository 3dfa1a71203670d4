/* Reads of lists: referrers, tags, repositories, page by page. */
#include "tests/unit/storage/store_kit.h"

#include <sqlite3.h>

/* A page of one type is found by index, in order, without a look at others. */
static void test_referrers_of_a_type_have_an_index(void **state)
{
    struct kit *k = *state;
    sqlite3_stmt *st = NULL;
    char path[128], plan[1024] = "";
    sqlite3 *db = NULL;

    snprintf(path, sizeof(path), "%s/index.db", k->root);
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READONLY, NULL),
                     SQLITE_OK);
    assert_int_equal(
        sqlite3_prepare_v2(db,
                           "EXPLAIN QUERY PLAN SELECT m.id FROM repo r"
                           " JOIN manifest m ON m.repo=r.id AND m.subject=?2"
                           " AND m.artifact_type=?5 AND m.id>?3"
                           " WHERE r.name=?1 ORDER BY m.id LIMIT ?4",
                           -1, &st, NULL),
        SQLITE_OK);
    while (sqlite3_step(st) == SQLITE_ROW)
        snprintf(plan + strlen(plan), sizeof(plan) - strlen(plan), "%s\n",
                 (const char *)sqlite3_column_text(st, 3));
    sqlite3_finalize(st);
    sqlite3_close(db);
    assert_non_null(strstr(plan, "manifest_subject_type (repo=? AND subject=?"
                                 " AND artifact_type=? AND id>?)"));
    assert_null(strstr(plan, "TEMP B-TREE"));
    assert_null(strstr(plan, "SCAN"));
}

static void test_referrers(void **state)
{
    struct kit *k = *state;
    struct digest c = kit_push(k, "r", "config"), subject, d[3];
    const char *types[] = {"t/1"};
    struct store_referrers list;
    char text[512], extra[300], name[DIGEST_TEXT_MAX];
    struct err e = {0};

    /* The subject is not there: that is legal. */
    subject = kit_digest(HASH_SHA256, "none", 4);
    for (int i = 0; i < 3; i++) {
        snprintf(extra, sizeof(extra),
                 "\"artifactType\":\"t/%d\",\"annotations\":{\"n\":\"%d\"},"
                 "\"subject\":{\"mediaType\":\"a/b\",\"digest\":\"%s\","
                 "\"size\":4},",
                 i, i, digest_format(&subject, name));
        kit_image(text, sizeof(text), &c, 6, extra);
        assert_int_equal(kit_manifest(k, "r", text, NULL, NULL, &d[i]),
                         ERR_NONE);
    }
    assert_int_equal(
        store_referrers(k->reader, "r", &subject, NULL, 0, 0, 2, &list, &e), 0);
    assert_int_equal(list.count, 2);
    assert_true(list.has_more);
    assert_true(digest_eq(&list.list[0].digest, &d[0]));
    assert_string_equal(list.list[1].annotations, "{\"n\":\"1\"}");
    int64_t after = list.list[1].id;
    store_referrers_free(&list);
    assert_int_equal(
        store_referrers(k->reader, "r", &subject, NULL, 0, after, 2, &list, &e),
        0);
    assert_int_equal(list.count, 1);
    assert_false(list.has_more);
    store_referrers_free(&list);
    assert_int_equal(
        store_referrers(k->reader, "r", &subject, types, 1, 0, 9, &list, &e),
        0);
    assert_int_equal(list.count, 1);
    assert_string_equal(list.list[0].artifact_type, "t/1");
    store_referrers_free(&list);
    assert_int_equal(
        store_referrers(k->reader, "no", &subject, NULL, 0, 0, 9, &list, &e),
        0);
    assert_int_equal(list.count, 0);
    store_referrers_free(&list);
}

static void test_pages(void **state)
{
    static const char *const tags[] = {"B", "_x", "a", "b", "1"};
    static const char *const sorted[] = {"1", "B", "_x", "a", "b"};
    struct kit *k = *state;
    struct digest c = kit_push(k, "r", "config"), d;
    struct store_page page;
    const char *last = NULL;
    char text[512], seen[64] = "";
    struct err e = {0};
    size_t n = 0;

    kit_image(text, sizeof(text), &c, 6, "");
    for (size_t i = 0; i < array_len(tags); i++)
        assert_int_equal(kit_manifest(k, "r", text, tags[i], NULL, &d),
                         ERR_NONE);
    do {
        assert_int_equal(store_tags(k->reader, "r", last, 2, &page, &e), 0);
        for (size_t i = 0; i < page.count; i++)
            assert_string_equal(page.names[i], sorted[n++]);
        snprintf(seen, sizeof(seen), "%s", page.names[page.count - 1]);
        last = seen;
        if (!page.has_more)
            last = NULL;
        store_page_free(&page);
    } while (last);
    assert_int_equal(n, 5);
    assert_int_equal(store_tags(k->reader, "r", "C", 9, &page, &e), 0);
    assert_int_equal(page.count, 3);
    store_page_free(&page);
    assert_int_equal(store_tags(k->reader, "r", NULL, 0, &page, &e), 0);
    assert_int_equal(page.count, 0);
    store_page_free(&page);
    kit_push(k, "a/x", "y");
    kit_push(k, "a-x", "y");
    assert_int_equal(store_repositories(k->reader, "", 2, &page, &e), 0);
    assert_int_equal(page.count, 2);
    assert_true(page.has_more);
    assert_string_equal(page.names[0], "a-x");
    assert_string_equal(page.names[1], "a/x");
    store_page_free(&page);
}

#define T(name) cmocka_unit_test_setup_teardown(name, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_referrers_of_a_type_have_an_index),
        T(test_referrers),
        T(test_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
