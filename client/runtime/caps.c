/* Capabilities by capset(2) and prctl(2); see caps.h. */
#include "client/runtime/caps.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Index = number in <linux/capability.h>. */
static const char *const names[] = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};

static uint64_t bit(unsigned cap)
{
    return (uint64_t)1 << cap;
}

uint64_t caps_default(void)
{
    return bit(CAP_CHOWN) | bit(CAP_DAC_OVERRIDE) | bit(CAP_FSETID) |
           bit(CAP_FOWNER) | bit(CAP_SETGID) | bit(CAP_SETUID) |
           bit(CAP_SETFCAP) | bit(CAP_SETPCAP) | bit(CAP_NET_BIND_SERVICE) |
           bit(CAP_SYS_CHROOT) | bit(CAP_KILL);
}

uint64_t caps_all(void)
{
    return bit(array_len(names)) - 1;
}

void caps_format(const char *name, char out[CAPS_NAME_MAX])
{
    const char *n = strncasecmp(name, "CAP_", 4) == 0 ? name + 4 : name;
    (void)snprintf(out, CAPS_NAME_MAX, "%s%s",
                   strcasecmp(n, "ALL") == 0 ? "" : "CAP_", n);
    for (char *p = out; *p != '\0'; p++) {
        if (*p >= 'a' && *p <= 'z')
            *p = (char)(*p - 'a' + 'A');
    }
}

int caps_parse(const char *name, uint64_t *bits, struct err *e)
{
    const char *n = strncasecmp(name, "CAP_", 4) == 0 ? name + 4 : name;
    if (strcasecmp(n, "ALL") == 0) {
        *bits = caps_all();
        return 0;
    }
    for (unsigned i = 0; i < array_len(names); i++) {
        if (strcasecmp(n, names[i]) == 0) {
            *bits = bit(i);
            return 0;
        }
    }
    return err_set(e, ERR_INVALID, "unknown capability: %s", name);
}

int caps_bound(uint64_t keep, struct err *e)
{
    /* The kernel may know more than our table: go on until it says EINVAL. */
    for (unsigned i = 0; i < 64; i++) {
        if ((keep & bit(i)) != 0)
            continue;
        if (prctl(PR_CAPBSET_DROP, i, 0, 0, 0) == 0)
            continue;
        if (errno == EINVAL)
            return 0;
        return err_sys(e, errno, "drop capability %u", i);
    }
    return 0;
}

int caps_apply(uint64_t keep, struct err *e)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct now[2], set[2];
    if (syscall(SYS_capget, &head, now) != 0)
        return err_sys(e, errno, "read capabilities");
    for (unsigned i = 0; i < 2; i++) {
        /* What berth itself does not have it cannot give. */
        uint32_t want = (uint32_t)(keep >> (32 * i)) & now[i].permitted;
        set[i] = (struct __user_cap_data_struct){want, want, 0};
    }
    if (syscall(SYS_capset, &head, set) != 0)
        return err_sys(e, errno, "set capabilities");
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
        return err_sys(e, errno, "clear ambient capabilities");
    return 0;
}
