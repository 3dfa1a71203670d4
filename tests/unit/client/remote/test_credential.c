/* Credential files and helpers: docker's and podman's shapes, and damage. */
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/io.h"
#include "base/json.h"
#include "client/remote/credential.h"
#include "client/remote/credhelper.h"

static char folder[] = "/tmp/berth-credential-XXXXXX";
static struct credential c;
static struct err e;

/* 0: found, 1: a helper, 2: nothing, -1: refused. */
static int ask(const char *config, const char *domain, const char *path,
               char helper[CREDENTIAL_HELPER_MAX])
{
    json_t *o = json_load_object(config, strlen(config), &e);
    assert_non_null(o);
    int rc = credential_from_config(o, domain, path, &c, helper, &e);
    json_decref(o);
    return rc != 0 ? -1 : c.is_set ? 0 : helper[0] != '\0' ? 1 : 2;
}

static void test_keys(void **state)
{
    /* "dTpw" is u:p, "dTpx" u:q. */
    static const struct {
        const char *key, *domain, *path;
        bool is_found;
    } cases[] = {
        {"r.example:5000", "r.example:5000", "a/b", true},
        {"https://r.example:5000", "r.example:5000", NULL, true},
        {"https://r.example/v1/", "r.example", NULL, true},
        {"http://r.example/v2/", "r.example", NULL, true},
        {"r.example/", "r.example", NULL, true},
        {"r.example/a", "r.example", "a/b", true},
        {"r.example/a/b", "r.example", "a/b", true},
        {"https://index.docker.io/v1/", "docker.io", "library/x", true},
        {"index.docker.io", "docker.io", NULL, true},
        {"docker.io", "docker.io", NULL, true},
        {"docker.io/library", "docker.io", "library/x", true},
        {"r.example", "r.example:5000", NULL, false},
        {"r.example:5000", "r.example", NULL, false},
        {"r.example.evil", "r.example", NULL, false},
        {"evil.r.example", "r.example", NULL, false},
        {"r.example/a", "r.example", "ab", false},
        {"r.example/a/b", "r.example", "a", false},
        {"r.example/a", "r.example", NULL, false},
        {"https://r.example/a", "r.example", "a", false},
        {"index.docker.io", "index.docker.io.evil", NULL, false},
    };
    char text[256], helper[CREDENTIAL_HELPER_MAX];
    (void)state;
    for (size_t i = 0; i < array_len(cases); i++) {
        (void)snprintf(text, sizeof(text),
                       "{\"auths\":{\"%s\":{\"auth\":\"dTpw\"}}}",
                       cases[i].key);
        int got = ask(text, cases[i].domain, cases[i].path, helper);
        if (got != (cases[i].is_found ? 0 : 2))
            fail_msg("%s for %s: %d", cases[i].key, cases[i].domain, got);
    }
}

static void test_the_longest_key_wins(void **state)
{
    static const char config[] =
        "{\"auths\":{\"r\":{\"auth\":\"dTpw\"},\"r/a\":{\"auth\":\"dTpx\"}}}";
    char helper[CREDENTIAL_HELPER_MAX];
    (void)state;
    assert_int_equal(ask(config, "r", "a/b", helper), 0);
    assert_string_equal(c.secret, "q");
    assert_int_equal(ask(config, "r", "b", helper), 0);
    assert_string_equal(c.user, "u");
    assert_string_equal(c.secret, "p");
}

static void test_entries(void **state)
{
    static const struct {
        const char *entry;
        int result;
        const char *user, *secret;
    } cases[] = {
        {"{\"auth\":\"dTpwOnE=\"}", 0, "u", "p:q"},
        {"{\"auth\":\"dTpwAAAA\"}", 0, "u", "p"},
        {"{\"auth\":\"dTo=\"}", 0, "u", ""},
        {"{\"username\":\"u\",\"password\":\"p\"}", 0, "u", "p"},
        {"{\"auth\":\"dTo=\",\"identitytoken\":\"t\"}", 0, "", "t"},
        {"{}", 2, NULL, NULL},
        {"{\"auth\":\"\"}", 2, NULL, NULL},
        {"{\"auth\":\"dXA=\"}", -1, NULL, NULL},
        {"{\"auth\":\"dTpw=\"}", -1, NULL, NULL},
        {"{\"auth\":\"dT pw\"}", -1, NULL, NULL},
        {"{\"auth\":\"====\"}", -1, NULL, NULL},
        {"{\"auth\":\"dQA6cA==\"}", -1, NULL, NULL},
        {"\"dTpw\"", -1, NULL, NULL},
    };
    char text[256], helper[CREDENTIAL_HELPER_MAX];
    (void)state;
    for (size_t i = 0; i < array_len(cases); i++) {
        (void)snprintf(text, sizeof(text), "{\"auths\":{\"r\":%s}}",
                       cases[i].entry);
        if (ask(text, "r", NULL, helper) != cases[i].result)
            fail_msg("%s", cases[i].entry);
        if (cases[i].result == 0) {
            assert_string_equal(c.user, cases[i].user);
            assert_string_equal(c.secret, cases[i].secret);
            assert_int_equal(c.is_identity, i == 4);
        }
    }
}

static void test_helpers_are_named(void **state)
{
    static const char *const bad[] = {
        "",   "../x", "a/b",  "a b",       "-x",
        ".x", "a;b",  "$(x)", "a\\u001bb", "a\\nb",
    };
    char text[512], helper[CREDENTIAL_HELPER_MAX], longer[80];
    (void)state;
    assert_int_equal(ask("{\"credHelpers\":{\"r\":\"ecr-login\"},"
                         "\"auths\":{\"r\":{\"auth\":\"dTpw\"}}}",
                         "r", NULL, helper),
                     1);
    assert_string_equal(helper, "ecr-login");
    assert_int_equal(ask("{\"credHelpers\":{\"r\":\"ecr-login\"},"
                         "\"credsStore\":\"pass\"}",
                         "q", NULL, helper),
                     1);
    assert_string_equal(helper, "pass");
    assert_int_equal(ask("{\"credsStore\":\"\"}", "q", NULL, helper), 2);
    for (size_t i = 0; i < array_len(bad); i++) {
        (void)snprintf(text, sizeof(text), "{\"credHelpers\":{\"r\":\"%s\"}}",
                       bad[i]);
        if (ask(text, "r", NULL, helper) != -1)
            fail_msg("accepted: %s", bad[i]);
        assert_null(strchr(e.msg, 0x1b));
    }
    memset(longer, 'a', sizeof(longer));
    longer[CREDENTIAL_HELPER_MAX] = '\0';
    assert_false(credhelper_is_name(longer));
    longer[CREDENTIAL_HELPER_MAX - 1] = '\0';
    assert_true(credhelper_is_name(longer));
}

/* ---- files ---------------------------------------------------------------*/

static void path_of(const char *name, char out[PATH_MAX])
{
    (void)snprintf(out, PATH_MAX, "%s/%s", folder, name);
}

static void put(const char *name, const char *text, mode_t mode)
{
    char path[PATH_MAX];
    path_of(name, path);
    assert_int_equal(
        io_replace_file(AT_FDCWD, path, text, strlen(text), mode, &e), 0);
}

static void test_store_find_erase(void **state)
{
    struct credential mine = {
        .user = "u", .secret = "s:\xc3\xa4\"", .is_set = 1};
    char where[PATH_MAX], path[PATH_MAX];
    struct stat st;
    bool was_there;
    (void)state;
    path_of("new", path);
    assert_int_equal(setenv("DOCKER_CONFIG", path, 1), 0);
    assert_int_equal(credential_find("r.example", NULL, &c, &e), 0);
    assert_false(c.is_set);
    assert_int_equal(credential_store("r.example", &mine, where, &e), 0);
    assert_int_equal(credential_store("docker.io", &mine, where, &e), 0);
    path_of("new/config.json", path);
    assert_string_equal(where, path);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(credential_find("r.example", "a", &c, &e), 0);
    assert_true(c.is_set);
    assert_string_equal(c.user, "u");
    assert_string_equal(c.secret, mine.secret);
    assert_int_equal(credential_erase("r.example", &was_there, &e), 0);
    assert_true(was_there);
    assert_int_equal(credential_erase("r.example", &was_there, &e), 0);
    assert_false(was_there);
    assert_int_equal(credential_find("r.example", NULL, &c, &e), 0);
    assert_false(c.is_set);
    assert_int_equal(credential_find("docker.io", NULL, &c, &e), 0);
    assert_true(c.is_set);
}

static void test_what_others_wrote_stays(void **state)
{
    static const char config[] = "{\"proxies\":{\"default\":{\"x\":\"y\"}},"
                                 "\"auths\":{\"other\":{\"auth\":\"dTpx\"}}}";
    struct credential mine = {.user = "u", .secret = "p", .is_set = true};
    scoped_free char *text = NULL;
    char where[PATH_MAX];
    size_t len;
    bool was_there;
    (void)state;
    put("config.json", config, 0600);
    assert_int_equal(setenv("DOCKER_CONFIG", folder, 1), 0);
    assert_int_equal(credential_store("r", &mine, where, &e), 0);
    assert_int_equal(credential_erase("r", &was_there, &e), 0);
    assert_int_equal(io_read_file(AT_FDCWD, where, 4096, &text, &len, &e), 0);
    json_t *o = json_load_object(text, len, &e);
    json_t *want = json_load_object(config, strlen(config), &e);
    assert_non_null(want);
    assert_true(json_equal(o, want));
    json_decref(o);
    json_decref(want);
}

/* Damage, a FIFO and a folder are errors that name the file, and no hang. */
static void test_bad_files(void **state)
{
    static const char *const bad[] = {"{", "[]",
                                      "{\"auths\":{\"r\":{\"auth\":\"*\"}}}",
                                      "{\"auths\":{},\"auths\":{}}"};
    char path[PATH_MAX];
    (void)state;
    assert_int_equal(setenv("DOCKER_CONFIG", folder, 1), 0);
    path_of("config.json", path);
    for (size_t i = 0; i < array_len(bad); i++) {
        put("config.json", bad[i], 0600);
        assert_int_equal(credential_find("r", NULL, &c, &e), -1);
        assert_non_null(strstr(e.msg, path));
    }
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(credential_find("r", NULL, &c, &e), -1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0700), 0);
    assert_int_equal(credential_find("r", NULL, &c, &e), -1);
    assert_int_equal(rmdir(path), 0);
}

static void test_given_file_is_the_only_one(void **state)
{
    char path[PATH_MAX];
    (void)state;
    put("config.json", "{\"auths\":{\"r\":{\"auth\":\"dTpw\"}}}", 0600);
    put("given.json", "{\"auths\":{\"q\":{\"auth\":\"dTpx\"}}}", 0600);
    assert_int_equal(setenv("DOCKER_CONFIG", folder, 1), 0);
    path_of("given.json", path);
    assert_int_equal(setenv("REGISTRY_AUTH_FILE", path, 1), 0);
    assert_int_equal(credential_find("r", NULL, &c, &e), 0);
    assert_false(c.is_set);
    assert_int_equal(credential_find("q", NULL, &c, &e), 0);
    assert_true(c.is_set);
    assert_int_equal(unsetenv("REGISTRY_AUTH_FILE"), 0);
}

static void test_bad_users(void **state)
{
    struct credential mine = {.secret = "p", .is_set = true};
    static const char *const bad[] = {"", "a:b", "a\nb"};
    char where[PATH_MAX];
    (void)state;
    for (size_t i = 0; i < array_len(bad); i++) {
        (void)snprintf(mine.user, sizeof(mine.user), "%s", bad[i]);
        assert_int_equal(credential_store("r", &mine, where, &e), -1);
        assert_int_equal(e.code, ERR_INVALID);
    }
}

/* ---- helpers -------------------------------------------------------------*/

static void helper_says(const char *script)
{
    char text[1024];
    (void)snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", script);
    put("docker-credential-unit", text, 0700);
    put("config.json", "{\"credsStore\":\"unit\"}", 0600);
    assert_int_equal(setenv("DOCKER_CONFIG", folder, 1), 0);
    (void)snprintf(text, sizeof(text), "relative::%s:/bin:/usr/bin", folder);
    assert_int_equal(setenv("PATH", text, 1), 0);
}

static void test_helper_answers(void **state)
{
    (void)state;
    helper_says("[ $1 = get ] && read s; echo "
                "\"{\\\"Username\\\":\\\"$s\\\",\\\"Secret\\\":\\\"p\\\"}\"");
    assert_int_equal(credential_find("r:1", NULL, &c, &e), 0);
    assert_true(c.is_set);
    assert_string_equal(c.user, "r:1");
    assert_int_equal(credential_find("docker.io", NULL, &c, &e), 0);
    assert_string_equal(c.user, "https://index.docker.io/v1/");
    helper_says("echo '{\"Username\":\"<token>\",\"Secret\":\"t\"}'");
    assert_int_equal(credential_find("r", NULL, &c, &e), 0);
    assert_true(c.is_identity);
    assert_string_equal(c.secret, "t");
    helper_says("echo credentials not found in native keychain; exit 1");
    assert_int_equal(credential_find("r", NULL, &c, &e), 0);
    assert_false(c.is_set);
}

static void test_helper_fails(void **state)
{
    static const char *const bad[] = {
        "printf 'locked\\033[31m\\nsecond'; exit 1",
        "kill -9 $$",
        "echo '{\"Username\":\"u\"}'",
        "echo nothing",
        "head -c 70000 /dev/zero | tr '\\0' x",
        "exit 0",
    };
    (void)state;
    for (size_t i = 0; i < array_len(bad); i++) {
        helper_says(bad[i]);
        if (credential_find("r", NULL, &c, &e) != -1)
            fail_msg("accepted: %s", bad[i]);
        assert_non_null(strstr(e.msg, "docker-credential-unit"));
        assert_null(strchr(e.msg, 0x1b));
    }
    put("config.json", "{\"credsStore\":\"absent\"}", 0600);
    assert_int_equal(credential_find("r", NULL, &c, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
}

static void test_helper_keeps(void **state)
{
    struct credential mine = {.user = "u", .secret = "p\"q", .is_set = true};
    scoped_free char *text = NULL;
    char where[PATH_MAX], path[PATH_MAX];
    size_t len;
    bool was_there;
    (void)state;
    helper_says("cd \"${0%/*}\"; case $1 in store) cat >kept;; get) cat kept;;"
                "erase) rm kept;; esac");
    assert_int_equal(credential_store("r", &mine, where, &e), 0);
    assert_string_equal(where, "docker-credential-unit");
    path_of("config.json", path);
    assert_int_equal(io_read_file(AT_FDCWD, path, 4096, &text, &len, &e), 0);
    assert_null(strstr(text, "auth"));
    assert_int_equal(credential_find("r", NULL, &c, &e), 0);
    assert_string_equal(c.secret, "p\"q");
    assert_int_equal(credential_erase("r", &was_there, &e), 0);
    assert_true(was_there);
    path_of("kept", path);
    assert_int_equal(access(path, F_OK), -1);
}

static int set_up(void **state)
{
    (void)state;
    (void)unsetenv("REGISTRY_AUTH_FILE");
    return mkdtemp(folder) == NULL || setenv("XDG_RUNTIME_DIR", folder, 1) != 0;
}

static int tear_down(void **state)
{
    (void)state;
    io_remove_tree(AT_FDCWD, folder);
    return 0;
}

int main(void)
{
    /* As berth-image does: a helper may end before it has read anything. */
    (void)signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_the_longest_key_wins),
        cmocka_unit_test(test_entries),
        cmocka_unit_test(test_helpers_are_named),
        cmocka_unit_test(test_store_find_erase),
        cmocka_unit_test(test_what_others_wrote_stays),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_given_file_is_the_only_one),
        cmocka_unit_test(test_bad_users),
        cmocka_unit_test(test_helper_answers),
        cmocka_unit_test(test_helper_fails),
        cmocka_unit_test(test_helper_keeps),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
