/* import: a root file system tar becomes an image of one layer. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "client/cli/cli.h"
#include "client/image/image.h"
#include "client/image/layer.h"
#include "client/image/pack.h"
#include "client/image_cmd/image_cmd.h"
#include "client/store/platform.h"

#define SWEEP_WAIT_MS 5000

/* ---- --change ------------------------------------------------------------*/

static json_t *words_of(const char *text)
{
    json_t *a = json_loads(text, 0, NULL);
    if (json_is_array(a))
        return a;
    json_decref(a);
    return json_pack("[s, s, s]", "/bin/sh", "-c", text);
}

static int change(json_t *config, const char *text, struct err *e)
{
    static const char *const plain[][2] = {{"USER", "User"},
                                           {"WORKDIR", "WorkingDir"},
                                           {"STOPSIGNAL", "StopSignal"}};
    static const char *const sets[][2] = {{"EXPOSE", "ExposedPorts"},
                                          {"VOLUME", "Volumes"}};
    size_t n = strcspn(text, " \t");
    char verb[16];
    const char *arg = text + n + strspn(text + n, " \t");
    if (n >= sizeof(verb) || *arg == '\0')
        return err_set(e, ERR_INVALID, "bad --change: \"%.100s\"", text);
    for (size_t i = 0; i < n; i++)
        verb[i] = (char)toupper((unsigned char)text[i]);
    verb[n] = '\0';
    if (strcmp(verb, "CMD") == 0)
        return json_object_set_new(config, "Cmd", words_of(arg));
    if (strcmp(verb, "ENTRYPOINT") == 0)
        return json_object_set_new(config, "Entrypoint", words_of(arg));
    for (size_t i = 0; i < array_len(plain); i++) {
        if (strcmp(verb, plain[i][0]) == 0)
            return json_object_set_new(config, plain[i][1], json_string(arg));
    }
    for (size_t i = 0; i < array_len(sets); i++) {
        if (strcmp(verb, sets[i][0]) != 0)
            continue;
        if (json_object_get(config, sets[i][1]) == NULL)
            (void)json_object_set_new(config, sets[i][1], json_object());
        return json_object_set_new(json_object_get(config, sets[i][1]), arg,
                                   json_object());
    }
    const char *eq = strchr(arg, '=');
    if (eq != NULL && eq != arg && strcmp(verb, "ENV") == 0)
        return json_array_append_new(json_object_get(config, "Env"),
                                     json_string(arg));
    if (eq != NULL && eq != arg && strcmp(verb, "LABEL") == 0) {
        if (json_object_get(config, "Labels") == NULL)
            (void)json_object_set_new(config, "Labels", json_object());
        return json_object_setn_new(json_object_get(config, "Labels"), arg,
                                    (size_t)(eq - arg), json_string(eq + 1));
    }
    return err_set(e, ERR_INVALID, "bad --change: \"%.100s\"", text);
}

static json_t *make_config(const char *diff_id, const struct cli_list *changes,
                           const char *message, struct err *e)
{
    char when[32], digest[72];
    image_time((int64_t)time(NULL), when);
    (void)snprintf(digest, sizeof(digest), "sha256:%.64s", diff_id);
    json_t *c = json_pack(
        "{s:s, s:s, s:s, s:{s:[s]}, s:{s:s, s:[s]}, s:[{s:s, s:s, s:s}]}",
        "created", when, "architecture", platform_architecture(), "os", "linux",
        "config", "Env",
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "rootfs", "type", "layers", "diff_ids", digest, "history", "created",
        when, "created_by", "berth import", "comment", message);
    if (c == NULL) {
        (void)err_set(e, ERR_NO_MEMORY, "config: out of memory");
        return NULL;
    }
    for (size_t i = 0; i < changes->n; i++) {
        if (change(json_object_get(c, "config"), changes->v[i], e) != 0) {
            json_decref(c);
            return NULL;
        }
    }
    return c;
}

static int make_image(struct istore_scratch *sc, int fd, const char *name,
                      const struct cli_list *changes, const char *message,
                      char config_hex[ISTORE_HEX], struct err *e)
{
    struct istore *s = istore_scratch_store(sc);
    char layer[ISTORE_HEX], manifest[ISTORE_HEX];
    struct layer_result r;
    size_t len;
    if (pack_layer(sc, fd, layer, e) != 0)
        return -1;
    scoped_fd blob = istore_blob_open(s, layer, e);
    if (blob < 0)
        return -1;
    if (layer_add(sc, blob, NULL, 0, NULL, &r, e) != 0)
        return -1;
    json_t *c = make_config(r.diff_id, changes, message, e);
    int rc = c == NULL ? -1 : pack_json(sc, c, config_hex, &len, e);
    json_decref(c);
    if (rc != 0)
        return -1;
    off_t size = lseek(blob, 0, SEEK_END);
    json_t *m = json_pack(
        "{s:i, s:s, s:o, s:[o]}", "schemaVersion", 2, "mediaType",
        IMAGE_TYPE_MANIFEST, "config",
        pack_descriptor(IMAGE_TYPE_CONFIG, config_hex, (int64_t)len), "layers",
        pack_descriptor(pack_layer_type(blob), layer, (int64_t)size));
    rc = m == NULL ? err_set(e, ERR_NO_MEMORY, "import: out of memory")
                   : pack_json(sc, m, manifest, &len, e);
    json_decref(m);
    return rc == 0 ? image_adopt(sc, manifest, name, NULL, NULL, NULL, e) : -1;
}

static int import(const char *file, const char *text,
                  const struct cli_list *changes, const char *message,
                  struct err *e)
{
    struct reference r;
    char name[REFERENCE_MAX], config[ISTORE_HEX];
    struct istore *s;
    struct istore_scratch *sc;
    struct err quiet;
    if (reference_parse(text, &r, e) != 0)
        return -1;
    reference_format(&r, name);
    scoped_fd fd = strcmp(file, "-") == 0 ? dup(STDIN_FILENO)
                                          : open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(e, errno, "open %.100s", file);
    if (istore_open(NULL, &s, e) != 0)
        return -1;
    int rc = istore_scratch_new(s, &sc, e);
    if (rc == 0) {
        rc = make_image(sc, fd, name, changes, message, config, e);
        istore_scratch_free(sc);
        /* Nobody will ask for the blob again. */
        if (rc != 0)
            (void)!istore_sweep(s, SWEEP_WAIT_MS, NULL, &quiet);
    }
    istore_close(s);
    if (rc == 0)
        printf("sha256:%s\n", config);
    return rc;
}

int cmd_import(int argc, char **argv)
{
    struct cli_list changes = {.n = 0};
    const char *message = "";
    const struct cli_flag flags[] = {
        {"change", 'c', CLI_LIST, &changes, "INSTRUCTION",
         "CMD, ENTRYPOINT, ENV, USER, WORKDIR, EXPOSE, LABEL, VOLUME or "
         "STOPSIGNAL, as in a Dockerfile"},
        {"message", 'm', CLI_STR, &message, "TEXT", "Comment in the history"},
    };
    const struct cli_verb v = {
        .name = "import",
        .synopsis = "[OPTIONS] FILE|- NAME",
        .help = "Make an image from a root file system tar (plain, gzip or "
                "zstd).",
        .flags = flags,
        .n_flags = array_len(flags),
        .min_args = 2,
        .max_args = 2};
    struct err e = {.msg = "out of memory"};
    char **args;
    int n;
    enum cli_result r = cli_parse(&v, argc, argv, &args, &n, &e);
    if (r != CLI_OK)
        return r == CLI_HELP ? 0 : cli_fail(125, &e);
    int rc = import(args[0], args[1], &changes, message, &e);
    cli_list_free(&changes);
    return rc == 0 ? 0 : cli_fail(1, &e);
}
