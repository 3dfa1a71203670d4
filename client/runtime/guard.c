/* A monitor's own confinement; see guard.h. */
#include "client/runtime/guard.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client/runtime/caps.h"

#define CAP(name)     ((uint64_t)1 << CAP_##name)
#define OOM_SCORE_ADJ "-900"

static int compare(const void *a, const void *b)
{
    int x = *(const int *)a, y = *(const int *)b;
    return x < y ? -1 : x > y;
}

int guard_descriptors(int *keep, size_t n, struct err *e)
{
    unsigned from = 3;
    qsort(keep, n, sizeof(*keep), compare);
    for (size_t i = 0; i < n; i++) {
        unsigned fd = (unsigned)keep[i];
        if (keep[i] < (int)from)
            continue;
        if (fd > from && syscall(SYS_close_range, from, fd - 1, 0) != 0)
            return err_sys(e, errno, "close inherited descriptors");
        from = fd + 1;
    }
    if (syscall(SYS_close_range, from, ~0u, 0) != 0)
        return err_sys(e, errno, "close inherited descriptors");
    return 0;
}

/* What gives a process new powers or new reach.  The rest stays allowed: a
 * list of what libc needs would end with its next version. */
static const unsigned denied[] = {SYS_execve,
                                  SYS_execveat,
                                  SYS_fork,
                                  SYS_vfork,
                                  SYS_clone,
                                  SYS_clone3,
                                  SYS_ptrace,
                                  SYS_process_vm_readv,
                                  SYS_process_vm_writev,
                                  SYS_mount,
                                  SYS_umount2,
                                  SYS_pivot_root,
                                  SYS_chroot,
                                  SYS_setns,
                                  SYS_unshare,
                                  SYS_move_mount,
                                  SYS_open_tree,
                                  SYS_fsopen,
                                  SYS_fsmount,
                                  SYS_fspick,
                                  SYS_mount_setattr,
                                  SYS_socket,
                                  SYS_bind,
                                  SYS_connect,
                                  SYS_listen,
                                  SYS_bpf,
                                  SYS_perf_event_open,
                                  SYS_io_uring_setup,
                                  SYS_userfaultfd,
                                  SYS_keyctl,
                                  SYS_add_key,
                                  SYS_request_key,
                                  SYS_init_module,
                                  SYS_finit_module,
                                  SYS_delete_module,
                                  SYS_kexec_load,
                                  SYS_kexec_file_load,
                                  SYS_reboot,
                                  SYS_swapon,
                                  SYS_open_by_handle_at,
                                  SYS_iopl,
                                  SYS_ioperm,
                                  SYS_setuid,
                                  SYS_setreuid,
                                  SYS_setresuid,
                                  SYS_capset,
                                  SYS_pidfd_getfd,
                                  SYS_memfd_create,
                                  SYS_personality,
                                  SYS_settimeofday,
                                  SYS_clock_settime};

size_t guard_filter(struct sock_filter out[GUARD_INSNS_MAX])
{
    const uint32_t n = (uint32_t)array_len(denied);
    size_t k = 0;
    _Static_assert(array_len(denied) + 8 <= GUARD_INSNS_MAX, "filter");
    out[k++] = (struct sock_filter)BPF_STMT(
        BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch));
    out[k++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                            AUDIT_ARCH_X86_64, 1, 0);
    out[k++] =
        (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS);
    out[k++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                                            offsetof(struct seccomp_data, nr));
    /* The numbers of x32 lie above: the same calls by another name. */
    out[k++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K,
                                            0x40000000, (uint8_t)(n + 1), 0);
    for (uint32_t i = 0; i < n; i++)
        out[k++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                                denied[i], (uint8_t)(n - i), 0);
    out[k++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    out[k++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K,
                                            SECCOMP_RET_ERRNO | EPERM);
    return k;
}

static void stay_in_memory(void)
{
    /* Lowering it needs SYS_RESOURCE, which not every root has. */
    scoped_fd fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0)
        (void)!write(fd, OOM_SCORE_ADJ, strlen(OOM_SCORE_ADJ));
}

int guard_privileges(bool removes_files, struct err *e)
{
    struct sock_filter insns[GUARD_INSNS_MAX];
    uint64_t keep =
        CAP(KILL) | CAP(DAC_OVERRIDE) | (removes_files ? CAP(FOWNER) : 0);
    stay_in_memory();
    if (caps_bound(0, e) != 0 || caps_apply(keep, e) != 0)
        return -1;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return err_sys(e, errno, "set no-new-privileges");
    const struct sock_fprog prog = {.len = (unsigned short)guard_filter(insns),
                                    .filter = insns};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) != 0)
        return err_sys(e, errno, "load the monitor's filter");
    return 0;
}
