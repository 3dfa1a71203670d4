#include "storage/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define HEX "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
#define CONFIG                                                     \
    "{\"mediaType\":\"application/vnd.oci.image.config.v1+json\"," \
    "\"digest\":\"sha256:" HEX "\",\"size\":2}"
#define LAYER_OF(type, digest, size) \
    "{\"mediaType\":\"" type "\",\"digest\":\"" digest "\",\"size\":" size "}"
#define LAYER \
    LAYER_OF("application/vnd.oci.image.layer.v1.tar", "sha256:" HEX, "7")
#define IMAGE(extra)                                                         \
    "{\"schemaVersion\":2," extra "\"config\":" CONFIG ",\"layers\":[" LAYER \
    "]}"
#define WITH_LAYER(layer) \
    "{\"schemaVersion\":2,\"config\":" CONFIG ",\"layers\":[" layer "]}"
#define INDEX(extra)              \
    "{\"schemaVersion\":2," extra \
    "\"manifests\":[" LAYER_OF(TYPE_OCI_MANIFEST, "sha256:" HEX, "9") "]}"
#define SUBJECT(body) IMAGE("\"subject\":" body ",")
#define DOCKER        "application/vnd.docker.distribution.manifest.v2+json"

struct row {
    const char *name, *type, *body;
    enum err_code want;
};

static const struct row rows[] = {
    {"oci image", TYPE_OCI_MANIFEST, IMAGE(""), ERR_NONE},
    {"docker image", DOCKER, IMAGE("\"mediaType\":\"" DOCKER "\","), ERR_NONE},
    {"oci index", TYPE_OCI_INDEX, INDEX(""), ERR_NONE},
    {"unknown field", TYPE_OCI_MANIFEST, IMAGE("\"x\":[{}],"), ERR_NONE},
    {"no layers at all", TYPE_OCI_MANIFEST, WITH_LAYER(""), ERR_NONE},
    {"empty index", TYPE_OCI_INDEX, "{\"schemaVersion\":2,\"manifests\":[]}",
     ERR_NONE},
    {"blanks around", TYPE_OCI_MANIFEST, "\n " IMAGE("") " \n", ERR_NONE},
    /* 50: not one JSON object */
    {"empty", TYPE_OCI_MANIFEST, "", ERR_INVALID},
    {"text", TYPE_OCI_MANIFEST, "hello", ERR_INVALID},
    {"array", TYPE_OCI_MANIFEST, "[]", ERR_INVALID},
    {"trailing", TYPE_OCI_MANIFEST, IMAGE("") "x", ERR_INVALID},
    {"twice", TYPE_OCI_MANIFEST, IMAGE("") IMAGE(""), ERR_INVALID},
    {"duplicate key", TYPE_OCI_MANIFEST, IMAGE("\"schemaVersion\":2,"),
     ERR_INVALID},
    {"bom", TYPE_OCI_MANIFEST, "\xef\xbb\xbf" IMAGE(""), ERR_INVALID},
    {"utf-8", TYPE_OCI_MANIFEST, IMAGE("\"x\":\"\xff\","), ERR_INVALID},
    /* 51: schemaVersion */
    {"v1", TYPE_OCI_MANIFEST, "{\"schemaVersion\":1}", ERR_INVALID},
    {"no version", TYPE_OCI_MANIFEST, "{\"config\":" CONFIG ",\"layers\":[]}",
     ERR_INVALID},
    {"version text", TYPE_OCI_MANIFEST,
     "{\"schemaVersion\":\"2\",\"config\":" CONFIG ",\"layers\":[]}",
     ERR_INVALID},
    /* 52-55: the type */
    {"other field", TYPE_OCI_MANIFEST, IMAGE("\"mediaType\":\"" DOCKER "\","),
     ERR_INVALID},
    {"no header", "", IMAGE("\"mediaType\":\"" DOCKER "\","), ERR_NONE},
    {"by shape", "", IMAGE(""), ERR_NONE},
    {"index by shape", "", INDEX(""), ERR_NONE},
    {"no shape", "", "{\"schemaVersion\":2}", ERR_INVALID},
    {"parameter", TYPE_OCI_MANIFEST "; charset=utf-8", IMAGE(""), ERR_NONE},
    {"field is a number", TYPE_OCI_MANIFEST, IMAGE("\"mediaType\":2,"),
     ERR_INVALID},
    {"unknown type", "text/plain", IMAGE(""), ERR_INVALID},
    {"schema 1", "application/vnd.docker.distribution.manifest.v1+prettyjws",
     IMAGE(""), ERR_INVALID},
    {"index header, image body", TYPE_OCI_INDEX, IMAGE(""), ERR_INVALID},
    {"image header, index body", TYPE_OCI_MANIFEST, INDEX(""), ERR_INVALID},
    /* 56 */
    {"both", TYPE_OCI_MANIFEST, IMAGE("\"manifests\":[],"), ERR_INVALID},
    {"layers and manifests", TYPE_OCI_INDEX, INDEX("\"layers\":[],"),
     ERR_INVALID},
    /* 58, 59: descriptors */
    {"no config", TYPE_OCI_MANIFEST, "{\"schemaVersion\":2,\"layers\":[]}",
     ERR_INVALID},
    {"no layers key", TYPE_OCI_MANIFEST,
     "{\"schemaVersion\":2,\"config\":" CONFIG "}", ERR_INVALID},
    {"layer is text", TYPE_OCI_MANIFEST, WITH_LAYER("\"x\""), ERR_INVALID},
    {"negative", TYPE_OCI_MANIFEST,
     WITH_LAYER(LAYER_OF("a/b", "sha256:" HEX, "-1")), ERR_INVALID},
    {"float", TYPE_OCI_MANIFEST,
     WITH_LAYER(LAYER_OF("a/b", "sha256:" HEX, "2.0")), ERR_INVALID},
    {"1e30", TYPE_OCI_MANIFEST,
     WITH_LAYER(LAYER_OF("a/b", "sha256:" HEX, "1e30")), ERR_INVALID},
    {"huge", TYPE_OCI_MANIFEST,
     WITH_LAYER(LAYER_OF("a/b", "sha256:" HEX, "99999999999999999999")),
     ERR_INVALID},
    {"size text", TYPE_OCI_MANIFEST,
     WITH_LAYER(LAYER_OF("a/b", "sha256:" HEX, "\"2\"")), ERR_INVALID},
    {"no type", TYPE_OCI_MANIFEST,
     WITH_LAYER("{\"digest\":\"sha256:" HEX "\",\"size\":1}"), ERR_INVALID},
    {"bad type", TYPE_OCI_MANIFEST,
     WITH_LAYER(LAYER_OF("nothing", "sha256:" HEX, "1")), ERR_INVALID},
    {"bad digest", TYPE_OCI_MANIFEST,
     WITH_LAYER(LAYER_OF("a/b", "sha256:abc", "1")), ERR_INVALID},
    {"other algorithm", TYPE_OCI_MANIFEST,
     WITH_LAYER(LAYER_OF("a/b", "blake3:" HEX, "1")), ERR_NONE},
    /* 60, 61: subject */
    {"subject", TYPE_OCI_MANIFEST, SUBJECT(CONFIG), ERR_NONE},
    {"subject digest", TYPE_OCI_MANIFEST,
     SUBJECT(LAYER_OF("a/b", "sha256:x", "1")), ERR_INVALID},
    {"subject type", TYPE_OCI_MANIFEST,
     SUBJECT("{\"digest\":\"sha256:" HEX "\",\"size\":1}"), ERR_INVALID},
    {"subject size", TYPE_OCI_MANIFEST,
     SUBJECT(LAYER_OF("a/b", "sha256:" HEX, "-1")), ERR_INVALID},
    {"subject is text", TYPE_OCI_MANIFEST, SUBJECT("\"sha256:" HEX "\""),
     ERR_INVALID},
    {"annotations", TYPE_OCI_MANIFEST, IMAGE("\"annotations\":{\"a\":1},"),
     ERR_INVALID},
    {"artifactType", TYPE_OCI_MANIFEST, IMAGE("\"artifactType\":1,"),
     ERR_INVALID},
};

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < array_len(rows); i++) {
        struct manifest m;
        struct err e = {ERR_NONE, 0, ""};

        if (manifest_parse(rows[i].body, strlen(rows[i].body),
                           slice_of(rows[i].type), &m, &e) == 0)
            manifest_free(&m);
        if (e.code != rows[i].want)
            fail_msg("%s: got %s (%s)", rows[i].name, err_name(e.code), e.msg);
    }
}

static void test_result(void **state)
{
    static const char body[] = IMAGE("\"annotations\":{\"k\":\"v\"},"
                                     "\"subject\":" CONFIG ",");
    static const char typed[] = INDEX("\"artifactType\":\"a/b\",");
    static const char foreign[] = WITH_LAYER(
        LAYER_OF("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
                 "sha256:" HEX, "1"));
    struct manifest m;
    struct err e;

    (void)state;
    assert_int_equal(manifest_parse(body, sizeof(body) - 1,
                                    slice_of(TYPE_OCI_MANIFEST ";x=y"), &m, &e),
                     0);
    assert_string_equal(m.media_type, TYPE_OCI_MANIFEST);
    assert_string_equal(m.artifact_type,
                        "application/vnd.oci.image.config.v1+json");
    assert_string_equal(m.annotations, "{\"k\":\"v\"}");
    assert_true(m.has_subject);
    assert_int_equal(m.ref_count, 2);
    assert_int_equal(m.refs[1].size, 7);
    assert_false(m.refs[1].is_optional);
    manifest_free(&m);
    assert_int_equal(
        manifest_parse(typed, sizeof(typed) - 1, slice_of(""), &m, &e), 0);
    assert_string_equal(m.media_type, TYPE_OCI_INDEX);
    assert_string_equal(m.artifact_type, "a/b");
    assert_int_equal(m.refs[0].kind, REF_CHILD);
    manifest_free(&m);
    assert_int_equal(
        manifest_parse(foreign, sizeof(foreign) - 1, slice_of(""), &m, &e), 0);
    assert_true(m.refs[1].is_optional);
    manifest_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_result),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
