/* Capability names and the default set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/capability.h>
#include <stdio.h>
#include <string.h>

#include "client/runtime/caps.h"

static void names(void **state)
{
    static const struct {
        const char *name;
        unsigned number;
    } known[] = {{"CHOWN", CAP_CHOWN},
                 {"cap_chown", CAP_CHOWN},
                 {"CAP_NET_ADMIN", CAP_NET_ADMIN},
                 {"net_admin", CAP_NET_ADMIN},
                 {"SYS_ADMIN", CAP_SYS_ADMIN},
                 {"Sys_Ptrace", CAP_SYS_PTRACE},
                 {"SETFCAP", CAP_SETFCAP},
                 {"AUDIT_READ", CAP_AUDIT_READ},
                 {"PERFMON", CAP_PERFMON},
                 {"BPF", CAP_BPF},
                 {"CHECKPOINT_RESTORE", CAP_CHECKPOINT_RESTORE}};
    static const char *const bad[] = {"",        "CAP_",      "cap", "CAP_ALLX",
                                      "CHOWN ",  " CHOWN",    "0",   "CAP_CAP_",
                                      "NET-RAW", "CHOWN,KILL"};
    uint64_t bits;
    struct err e;
    (void)state;
    for (size_t i = 0; i < array_len(known); i++) {
        assert_int_equal(caps_parse(known[i].name, &bits, &e), 0);
        assert_true(bits == (uint64_t)1 << known[i].number);
    }
    for (size_t i = 0; i < array_len(bad); i++) {
        if (caps_parse(bad[i], &bits, &e) == 0)
            fail_msg("accepted: %s", bad[i]);
    }
    assert_int_equal(caps_parse("all", &bits, &e), 0);
    assert_true(bits == caps_all());
    assert_true(caps_all() == ((uint64_t)1 << (CAP_LAST_CAP + 1)) - 1);
}

static void every_name_is_its_own(void **state)
{
    uint64_t seen = 0, bits;
    struct err e;
    char line[64];
    (void)state;
    /* Ours beside the kernel's: a number that it knows must have a name. */
    FILE *f = fopen("/proc/sys/kernel/cap_last_cap", "r");
    unsigned last = 0;
    if (f != NULL && fgets(line, sizeof(line), f) != NULL)
        (void)sscanf(line, "%u", &last);
    if (f != NULL)
        (void)fclose(f);
    assert_true(last <= CAP_LAST_CAP);
    assert_int_equal(caps_parse("ALL", &bits, &e), 0);
    seen |= bits;
    assert_true((seen >> last & 1) == 1);
}

static void default_set(void **state)
{
    static const unsigned without[] = {
        CAP_MKNOD,     CAP_NET_RAW,    CAP_AUDIT_WRITE,     CAP_SYS_ADMIN,
        CAP_NET_ADMIN, CAP_SYS_PTRACE, CAP_DAC_READ_SEARCH, CAP_SYS_MODULE,
        CAP_BPF,       CAP_SYS_RAWIO};
    (void)state;
    assert_true(caps_default() == 0x800405fb); /* podman's eleven */
    for (size_t i = 0; i < array_len(without); i++)
        assert_true((caps_default() >> without[i] & 1) == 0);
}

static void shown(void **state)
{
    char out[CAPS_NAME_MAX];
    (void)state;
    caps_format("net_admin", out);
    assert_string_equal(out, "CAP_NET_ADMIN");
    caps_format("cap_chown", out);
    assert_string_equal(out, "CAP_CHOWN");
    caps_format("all", out);
    assert_string_equal(out, "ALL");
    caps_format("CAP_CHECKPOINT_RESTORE", out);
    assert_string_equal(out, "CAP_CHECKPOINT_RESTORE");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names), cmocka_unit_test(every_name_is_its_own),
        cmocka_unit_test(default_set), cmocka_unit_test(shown)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
