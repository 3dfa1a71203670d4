/* The list of devices and its eBPF program; see devices.h. */
#include "client/runtime/devices.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

static const struct dev_rule list[] = {
    {'c', DEVICES_ANY, DEVICES_ANY, "m"},
    {'b', DEVICES_ANY, DEVICES_ANY, "m"},
    {'c', 1, 3, "rwm"},             /* null */
    {'c', 1, 5, "rwm"},             /* zero */
    {'c', 1, 7, "rwm"},             /* full */
    {'c', 1, 8, "rwm"},             /* random */
    {'c', 1, 9, "rwm"},             /* urandom */
    {'c', 5, 0, "rwm"},             /* tty */
    {'c', 5, 1, "rwm"},             /* console */
    {'c', 5, 2, "rwm"},             /* ptmx */
    {'c', 136, DEVICES_ANY, "rwm"}, /* pts/N */
};

const struct dev_rule *devices_default(size_t *n)
{
    *n = array_len(list);
    return list;
}

void devices_format(const struct dev_rule *r, char out[32])
{
    char major[12] = "*", minor[12] = "*";
    if (r->major != DEVICES_ANY)
        (void)snprintf(major, sizeof(major), "%d", r->major);
    if (r->minor != DEVICES_ANY)
        (void)snprintf(minor, sizeof(minor), "%d", r->minor);
    (void)snprintf(out, 32, "%c %s:%s %.3s", r->type, major, minor, r->access);
}

/* ---- the program -------------------------------------------------------- */

/* r2 kind, r3 what is wanted, r4 major, r5 minor; r0 the verdict. */

static struct bpf_insn op(uint8_t code, uint8_t dst, uint8_t src, int16_t off,
                          int32_t imm)
{
    struct bpf_insn i;
    memset(&i, 0, sizeof(i));
    i.code = code;
    i.dst_reg = (uint8_t)(dst & 15);
    i.src_reg = (uint8_t)(src & 15);
    i.off = off;
    i.imm = imm;
    return i;
}

static int32_t access_bits(const char *text)
{
    return (strchr(text, 'r') ? BPF_DEVCG_ACC_READ : 0) |
           (strchr(text, 'w') ? BPF_DEVCG_ACC_WRITE : 0) |
           (strchr(text, 'm') ? BPF_DEVCG_ACC_MKNOD : 0);
}

/* "Allow if all of it fits", else fall through to the next rule. */
static size_t add_rule(const struct dev_rule *r, struct bpf_insn *out)
{
    const uint8_t unequal = BPF_JMP | BPF_JNE | BPF_K;
    struct bpf_insn test[5];
    size_t n = 0;
    test[n++] = op(unequal, 2, 0, 0,
                   r->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR);
    if (r->major != DEVICES_ANY)
        test[n++] = op(unequal, 4, 0, 0, r->major);
    if (r->minor != DEVICES_ANY)
        test[n++] = op(unequal, 5, 0, 0, r->minor);
    /* Anything wanted that the rule does not give? */
    test[n++] = op(BPF_JMP | BPF_JSET | BPF_K, 3, 0, 0,
                   ~access_bits(r->access) & 0xffff);
    for (size_t i = 0; i < n; i++) {
        test[i].off = (int16_t)(n - i + 1); /* over the two that allow */
        out[i] = test[i];
    }
    out[n++] = op(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1);
    out[n++] = op(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    return n;
}

size_t devices_program(const struct dev_rule *rules, size_t n,
                       struct bpf_insn out[DEVICES_INSNS_MAX])
{
    const uint8_t load = BPF_LDX | BPF_MEM | BPF_W;
    size_t k = 0;
    out[k++] = op(load, 2, 1, 0, 0); /* access << 16 | kind */
    out[k++] = op(load, 4, 1, 4, 0);
    out[k++] = op(load, 5, 1, 8, 0);
    out[k++] = op(BPF_ALU | BPF_MOV | BPF_X, 3, 2, 0, 0);
    out[k++] = op(BPF_ALU | BPF_RSH | BPF_K, 3, 0, 0, 16);
    out[k++] = op(BPF_ALU | BPF_AND | BPF_K, 2, 0, 0, 0xffff);
    for (size_t i = 0; i < n && i < DEVICES_RULES_MAX; i++)
        k += add_rule(&rules[i], out + k);
    out[k++] = op(BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
    out[k++] = op(BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
    return k;
}

int devices_attach(int cgroup_fd, const struct dev_rule *rules, size_t n,
                   struct err *e)
{
    struct bpf_insn insns[DEVICES_INSNS_MAX];
    static const char license[] = "Apache-2.0";
    union bpf_attr load, attach;
    if (n > DEVICES_RULES_MAX)
        return err_set(e, ERR_TOO_LARGE, "too many device rules: %zu", n);
    memset(&load, 0, sizeof(load));
    load.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
    load.insn_cnt = (uint32_t)devices_program(rules, n, insns);
    load.insns = (uint64_t)(uintptr_t)insns;
    load.license = (uint64_t)(uintptr_t)license;
    scoped_fd prog = (int)syscall(SYS_bpf, BPF_PROG_LOAD, &load, sizeof(load));
    if (prog < 0)
        return err_sys(e, errno, "load the program for the device list");
    memset(&attach, 0, sizeof(attach));
    attach.target_fd = (uint32_t)cgroup_fd;
    attach.attach_bpf_fd = (uint32_t)prog;
    attach.attach_type = BPF_CGROUP_DEVICE;
    attach.attach_flags = BPF_F_ALLOW_MULTI; /* beside that of systemd */
    if (syscall(SYS_bpf, BPF_PROG_ATTACH, &attach, sizeof(attach)) != 0)
        return err_sys(e, errno, "set the device list of a cgroup");
    return 0;
}
