#include "client/store/platform.h"

#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/json.h"

const char *platform_architecture(void)
{
    static const char *const names[][2] = {{"x86_64", "amd64"},
                                           {"aarch64", "arm64"},
                                           {"ppc64le", "ppc64le"},
                                           {"s390x", "s390x"},
                                           {"riscv64", "riscv64"}};
    struct utsname u;
    if (uname(&u) == 0) {
        for (size_t i = 0; i < array_len(names); i++) {
            if (strcmp(u.machine, names[i][0]) == 0)
                return names[i][1];
        }
    }
    return "amd64";
}

/* Different spellings of one platform become one. */
static void normalise(struct platform *p)
{
    static const char *const same[][2] = {{"x86_64", "amd64"},
                                          {"x86-64", "amd64"},
                                          {"aarch64", "arm64"},
                                          {"i386", "386"},
                                          {"armhf", "arm"}};
    for (size_t i = 0; i < array_len(same); i++) {
        if (strcmp(p->arch, same[i][0]) == 0)
            (void)snprintf(p->arch, sizeof(p->arch), "%s", same[i][1]);
    }
    if ((strcmp(p->arch, "arm64") == 0 && strcmp(p->variant, "v8") == 0) ||
        (strcmp(p->arch, "amd64") == 0 && strcmp(p->variant, "v1") == 0))
        p->variant[0] = '\0';
    if (strcmp(p->arch, "arm") == 0 && p->variant[0] == '\0')
        (void)snprintf(p->variant, sizeof(p->variant), "v7");
}

/* One part into out; false when it has no place or odd characters. */
static bool set_part(const char *text, size_t n, char out[PLATFORM_PART_MAX])
{
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-";
    if (n == 0 || n >= PLATFORM_PART_MAX || strspn(text, allowed) < n)
        return false;
    memcpy(out, text, n);
    out[n] = '\0';
    return true;
}

int platform_parse(const char *text, struct platform *out, struct err *e)
{
    struct platform p = {.os = "linux"};
    (void)snprintf(p.arch, sizeof(p.arch), "%s", platform_architecture());
    if (text != NULL) {
        size_t os = strcspn(text, "/");
        const char *arch = text + os + (text[os] == '/');
        size_t n = strcspn(arch, "/");
        const char *variant = arch + n + 1;
        if (!set_part(text, os, p.os) || !set_part(arch, n, p.arch) ||
            (arch[n] == '/' && !set_part(variant, strlen(variant), p.variant)))
            return err_set(e, ERR_INVALID,
                           "bad platform \"%.60s\": want "
                           "os/architecture[/variant]",
                           text);
    }
    normalise(&p);
    *out = p;
    return 0;
}

/* What an entry says; false when it does not say it whole. */
static bool of_entry(const json_t *entry, struct platform *out)
{
    const json_t *o = json_object_get(entry, "platform");
    const char *os = json_member_string(o, "os");
    const char *arch = json_member_string(o, "architecture");
    const char *variant = json_member_string(o, "variant");
    struct platform p = {.os = ""};
    if (os == NULL || arch == NULL || !set_part(os, strlen(os), p.os) ||
        !set_part(arch, strlen(arch), p.arch))
        return false;
    if (variant != NULL && variant[0] != '\0' &&
        !set_part(variant, strlen(variant), p.variant))
        return false;
    normalise(&p);
    *out = p;
    return true;
}

bool platform_matches(const struct platform *p, const json_t *entry)
{
    struct platform have;
    return of_entry(entry, &have) && strcmp(have.os, p->os) == 0 &&
           strcmp(have.arch, p->arch) == 0 &&
           strcmp(have.variant, p->variant) == 0;
}

/* "linux/amd64, linux/arm/v7"; what does not fit is left out. */
static void list_platforms(const json_t *index, char *out, size_t size)
{
    size_t i, n = 0;
    const json_t *entry;
    out[0] = '\0';
    json_array_foreach (json_object_get(index, "manifests"), i, entry) {
        struct platform p;
        /* Attestations beside the images say that they are for nobody. */
        if (!of_entry(entry, &p) || strcmp(p.os, "unknown") == 0)
            continue;
        int m = snprintf(out + n, size - n, "%s%s/%s%s%s", n > 0 ? ", " : "",
                         p.os, p.arch, p.variant[0] ? "/" : "", p.variant);
        if (m < 0 || (size_t)m >= size - n) {
            out[n] = '\0';
            return;
        }
        n += (size_t)m;
    }
}

const json_t *platform_choose(const struct platform *p, const json_t *index,
                              struct err *e)
{
    const json_t *list = json_object_get(index, "manifests");
    const json_t *entry = json_array_get(list, 0);
    char have[120];
    size_t i;
    if (json_array_size(list) == 1 &&
        json_object_get(entry, "platform") == NULL)
        return entry;
    json_array_foreach (list, i, entry) {
        if (platform_matches(p, entry))
            return entry;
    }
    list_platforms(index, have, sizeof(have));
    (void)err_set(e, ERR_NOT_FOUND, "no image for %s/%s%s%s: there is %s",
                  p->os, p->arch, p->variant[0] ? "/" : "", p->variant,
                  have[0] ? have : "none that tells its platform");
    return NULL;
}
