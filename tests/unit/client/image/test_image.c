/* Blobs that are checked as they come, and manifests that become images. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>

#include "tests/unit/client/image/tar.h"
#include "tests/unit/client/kit.h"
#include "tests/unit/client/nosync.h"
#include "tests/unit/skip.h"

#define NAME "docker.io/library/x:latest"

static enum err_code write_blob(struct istore_scratch *sc, const char *text,
                                const char *want, int64_t size,
                                char hex[ISTORE_HEX])
{
    struct blobw *w;
    struct err e;
    assert_int_equal(blobw_new(sc, &w, &e), 0);
    for (const char *p = text; *p != '\0'; p++)
        assert_int_equal(blobw_write(w, p, 1, &e), 0);
    return blobw_finish(w, want, size, hex, &e) == 0 ? ERR_NONE : e.code;
}

static void test_blobs(void **state)
{
    struct kit *k = *state;
    struct istore_scratch *sc = kit_scratch(k);
    char want[ISTORE_HEX], hex[ISTORE_HEX];
    kit_hash("text", want);
    /* Not what was promised: it gets no name, not even its own. */
    assert_int_equal(write_blob(sc, "text", want, 5, hex), ERR_DIGEST);
    assert_int_equal(write_blob(sc, "test", want, 4, hex), ERR_DIGEST);
    assert_false(istore_has_blob(k->store, want));
    kit_hash("test", hex);
    assert_false(istore_has_blob(k->store, hex));
    assert_int_equal(write_blob(sc, "text", want, 4, hex), ERR_NONE);
    assert_string_equal(hex, want);
    assert_true(istore_has_blob(k->store, want));
    assert_int_equal(write_blob(sc, "", NULL, -1, hex), ERR_NONE);
    istore_scratch_free(sc);
}

static void test_digests(void **state)
{
    char hex[ISTORE_HEX];
    static const char *const bad[] = {
        "",
        "sha256:",
        "sha256:ab",
        "sha512:ab",
        "sha256:"
        "E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855",
        "SHA256:"
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "sha256:../../../../../../../../../../../../../../../../../../../../../"
        "x",
        "sha256:"
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85",
        "sha256:"
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b8555",
        "sha256:"
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b85 ",
    };
    (void)state;
    assert_false(image_digest_hex(NULL, hex));
    for (size_t i = 0; i < array_len(bad); i++)
        assert_false(image_digest_hex(bad[i], hex));
    assert_true(image_digest_hex(
        "sha256:"
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        hex));
    assert_int_equal(strlen(hex), 64);
}

/* ---- manifests -----------------------------------------------------------*/

/* A layer of one file, stored; its digests. */
static void put_layer(struct istore_scratch *sc, char blob[ISTORE_HEX],
                      size_t *size)
{
    const struct tar_entry file = {.name = "x", .data = "1"};
    struct tar t = {.p = NULL};
    struct err e;
    tar_add(&t, &file);
    tar_end(&t);
    assert_int_equal(blobw_put(sc, t.p, t.n, blob, &e), 0);
    *size = t.n;
    tar_free(&t);
}

struct parts {
    char layer[ISTORE_HEX]; /* not compressed: its diff id as well */
    char config[ISTORE_HEX];
    size_t layer_size, config_size;
};

/* Store the manifest and adopt it; 0 or the error's code. */
static enum err_code adopt(struct istore_scratch *sc, const char *manifest)
{
    char hex[ISTORE_HEX];
    struct err e;
    assert_int_equal(blobw_put(sc, manifest, strlen(manifest), hex, &e), 0);
    return image_adopt(sc, hex, NAME, NULL, NULL, NULL, &e) == 0 ? ERR_NONE
                                                                 : e.code;
}

static void put_config(struct istore_scratch *sc, struct parts *p,
                       const char *diff_ids)
{
    char text[512];
    struct err e;
    (void)snprintf(text, sizeof(text), "{\"rootfs\":{\"diff_ids\":[%s]}}",
                   diff_ids);
    assert_int_equal(blobw_put(sc, text, strlen(text), p->config, &e), 0);
    p->config_size = strlen(text);
}

static enum err_code adopt_layers(struct istore_scratch *sc,
                                  const struct parts *p, const char *layers)
{
    char text[1024];
    (void)snprintf(text, sizeof(text),
                   "{\"config\":{\"digest\":\"sha256:%s\",\"size\":%zu},"
                   "\"layers\":%s}",
                   p->config, p->config_size, layers);
    return adopt(sc, text);
}

static void test_manifests(void **state)
{
    struct kit *k = *state;
    struct istore_scratch *sc = kit_scratch(k);
    struct parts p;
    struct istore_image img;
    struct err e;
    char good[256], ids[100], other[ISTORE_HEX], text[256];
    skip_unless_root();
    put_layer(sc, p.layer, &p.layer_size);
    (void)snprintf(good, sizeof(good),
                   "[{\"digest\":\"sha256:%s\",\"size\":%zu}]", p.layer,
                   p.layer_size);
    (void)snprintf(ids, sizeof(ids), "\"sha256:%s\"", p.layer);
    static const char *const broken[] = {"",
                                         "[]",
                                         "{",
                                         "{}",
                                         "{\"config\":1}",
                                         "{\"config\":{\"digest\":\"x\"}}",
                                         "{\"config\":{},\"config\":{}}"};
    for (size_t i = 0; i < array_len(broken); i++)
        assert_int_equal(adopt(sc, broken[i]), ERR_INVALID);
    put_config(sc, &p, ids);
    /* Layers and diff ids must be of one number. */
    assert_int_equal(adopt_layers(sc, &p, "[]"), ERR_INVALID);
    assert_int_equal(adopt_layers(sc, &p, "{}"), ERR_INVALID);
    assert_int_equal(adopt_layers(sc, &p, "[{\"digest\":\"sha256:../x\"}]"),
                     ERR_INVALID);
    /* A layer that never came. */
    kit_hash("other", other);
    (void)snprintf(text, sizeof(text),
                   "[{\"digest\":\"sha256:%s\",\"size\":5}]", other);
    assert_int_equal(adopt_layers(sc, &p, text), ERR_NOT_FOUND);
    assert_int_equal(istore_ref_read(k->store, NAME, &img, &e), -1);
    assert_int_equal(e.code, ERR_NOT_FOUND);
    assert_int_equal(adopt_layers(sc, &p, good), ERR_NONE);
    assert_int_equal(istore_ref_read(k->store, NAME, &img, &e), 0);
    assert_int_equal(img.n_layers, 1);
    assert_string_equal(img.layers[0], p.layer);
    assert_int_equal(img.size, 1);
    istore_image_free(&img);
    istore_scratch_free(sc);
}

/* The config's word on the content counts, layer by layer. */
static void test_another_content(void **state)
{
    struct kit *k = *state;
    struct istore_scratch *sc = kit_scratch(k);
    struct parts p;
    struct istore_image img;
    struct err e;
    char layers[256], ids[100], other[ISTORE_HEX];
    skip_unless_root();
    put_layer(sc, p.layer, &p.layer_size);
    kit_hash("other", other);
    (void)snprintf(layers, sizeof(layers),
                   "[{\"digest\":\"sha256:%s\",\"size\":%zu}]", p.layer,
                   p.layer_size);
    (void)snprintf(ids, sizeof(ids), "\"sha256:%s\"", other);
    put_config(sc, &p, ids);
    assert_int_equal(adopt_layers(sc, &p, layers), ERR_DIGEST);
    assert_int_equal(istore_ref_read(k->store, NAME, &img, &e), -1);
    assert_false(istore_has_layer(k->store, other));
    istore_scratch_free(sc);
}

static void test_too_many_layers(void **state)
{
    struct kit *k = *state;
    struct istore_scratch *sc = kit_scratch(k);
    struct parts p;
    struct err e;
    static char text[IMAGE_LAYERS_MAX * 100 + 300];
    size_t n = 0;
    char hex[ISTORE_HEX];
    put_layer(sc, p.layer, &p.layer_size);
    n = (size_t)snprintf(text, sizeof(text), "{\"rootfs\":{\"diff_ids\":[");
    for (int i = 0; i <= IMAGE_LAYERS_MAX; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n, "%s\"sha256:%s\"",
                              i ? "," : "", p.layer);
    n += (size_t)snprintf(text + n, sizeof(text) - n, "]}}");
    assert_int_equal(blobw_put(sc, text, n, p.config, &e), 0);
    n = (size_t)snprintf(text, sizeof(text),
                         "{\"config\":{\"digest\":\"sha256:%s\",\"size\":%zu},"
                         "\"layers\":[",
                         p.config, n);
    for (int i = 0; i <= IMAGE_LAYERS_MAX; i++)
        n += (size_t)snprintf(text + n, sizeof(text) - n,
                              "%s{\"digest\":\"sha256:%s\",\"size\":1}",
                              i ? "," : "", p.layer);
    n += (size_t)snprintf(text + n, sizeof(text) - n, "]}");
    assert_true(n < sizeof(text));
    assert_int_equal(blobw_put(sc, text, n, hex, &e), 0);
    assert_int_equal(image_adopt(sc, hex, NAME, NULL, NULL, NULL, &e), -1);
    assert_int_equal(e.code, ERR_TOO_LARGE);
    istore_scratch_free(sc);
}

#define T(f) cmocka_unit_test_setup_teardown(f, kit_setup, kit_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_blobs),           T(test_digests),         T(test_manifests),
        T(test_another_content), T(test_too_many_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
