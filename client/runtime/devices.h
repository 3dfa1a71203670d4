/*
 * Which devices a container may open: one list, written to the device
 * controller of v1, or translated to a small eBPF program for v2.
 *
 * 1. What is not in the list is denied; the list cannot be widened from
 *    inside, whatever capabilities there are.
 * 2. On v2 the program lives as long as the cgroup; nothing holds it open.
 */
#ifndef BERTH_CLIENT_RUNTIME_DEVICES_H
#define BERTH_CLIENT_RUNTIME_DEVICES_H

#include <linux/bpf.h>
#include <stddef.h>

#include "base/err.h"

#define DEVICES_ANY       (-1)
#define DEVICES_RULES_MAX 64
/* Per rule at most 8 instructions, and 8 around them. */
#define DEVICES_INSNS_MAX (DEVICES_RULES_MAX * 8 + 8)

struct dev_rule {
    char type;          /* 'c' or 'b' */
    int major, minor;   /* or DEVICES_ANY */
    const char *access; /* of "rwm": read, write, mknod */
};

/* Nodes may be made, but only the harmless ones opened. */
const struct dev_rule *devices_default(size_t *n);
/* A rule as v1 takes it: "c 1:3 rwm". */
void devices_format(const struct dev_rule *rule, char out[32]);
/* The program for v2; returns the number of instructions. */
size_t devices_program(const struct dev_rule *rules, size_t n,
                       struct bpf_insn out[DEVICES_INSNS_MAX]);
/* Load the program and bind it to a cgroup, a descriptor of its folder. */
must_check int devices_attach(int cgroup_fd, const struct dev_rule *rules,
                              size_t n, struct err *e);

#endif
