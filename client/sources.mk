# client: two programs, each a main file over folders.  berth is static and
# links only jansson and libc; berth-image has the many libraries, and may use
# what berth consists of.
CLIENT_SRC := \
	client/cli/amount.c \
	client/cli/cli.c \
	client/cli/table.c \
	client/cli/template.c \
	client/cli/value.c \
	client/cli/value_mount.c \
	client/cli/value_time.c \
	client/store/platform.c \
	client/store/reference.c \
	client/store/space.c \
	client/store/store.c \
	client/store/store_container.c \
	client/store/store_object.c \
	client/store/store_ref.c \
	client/store/store_scratch.c \
	client/store/store_sweep.c \
	client/runtime/attach.c \
	client/runtime/caps.c \
	client/runtime/cgroup.c \
	client/runtime/container.c \
	client/runtime/container_spec.c \
	client/runtime/container_state.c \
	client/runtime/copyup.c \
	client/runtime/devices.c \
	client/runtime/guard.c \
	client/runtime/init.c \
	client/runtime/life.c \
	client/runtime/log.c \
	client/runtime/logread.c \
	client/runtime/monitor.c \
	client/runtime/rootfs.c \
	client/runtime/rootfs_dev.c \
	client/runtime/rootfs_mount.c \
	client/runtime/rootfs_user.c \
	client/runtime/seal.c \
	client/runtime/seccomp.c \
	client/runtime/start.c \
	client/runtime/user.c \
	client/cmd/cmd.c \
	client/cmd/exec.c \
	client/cmd/handover.c \
	client/cmd/inspect.c \
	client/cmd/inspect_container.c \
	client/cmd/inspect_image.c \
	client/cmd/logs.c \
	client/cmd/ps.c \
	client/cmd/run.c \
	client/cmd/run_env.c \
	client/cmd/run_json.c \
	client/cmd/run_mounts.c \
	client/cmd/run_record.c \
	client/cmd/start.c \
	client/cmd/stop.c
CLIENT_MAIN := client/main.c
IMAGE_SRC := \
	client/image/blobw.c \
	client/image/child.c \
	client/image/confine.c \
	client/image/decode.c \
	client/image/image.c \
	client/image/layer.c \
	client/image/pack.c \
	client/image/tree.c \
	client/image/unpack.c \
	client/archive/layout.c \
	client/archive/load.c \
	client/archive/load_docker.c \
	client/archive/load_oci.c \
	client/archive/save.c \
	client/archive/save_docker.c \
	client/archive/save_oci.c \
	client/archive/spool.c \
	client/archive/spool_dir.c \
	client/archive/spool_tar.c \
	client/remote/cancel.c \
	client/remote/certs.c \
	client/remote/credential.c \
	client/remote/credhelper.c \
	client/remote/fetch.c \
	client/remote/jobs.c \
	client/remote/origin.c \
	client/remote/progress.c \
	client/remote/remote.c \
	client/remote/remote_auth.c \
	client/remote/remote_send.c \
	client/remote/transfer.c \
	client/remote/upload.c \
	client/image_cmd/import.c \
	client/image_cmd/list.c \
	client/image_cmd/load.c \
	client/image_cmd/login.c \
	client/image_cmd/pull.c \
	client/image_cmd/push.c \
	client/image_cmd/save.c
IMAGE_MAIN := client/image_main.c

UNIT_TESTS += $(addprefix tests/unit/client/cli/, \
	test_amount.c \
	test_cli.c \
	test_template.c \
	test_value.c)
UNIT_TESTS += $(addprefix tests/unit/client/store/, \
	test_platform.c \
	test_reference.c \
	test_store.c \
	test_store_fault.c \
	test_store_stress.c)
UNIT_TESTS += $(addprefix tests/unit/client/runtime/, \
	test_caps.c \
	test_cgroup.c \
	test_devices.c \
	test_guard.c \
	test_log.c \
	test_seccomp.c \
	test_user.c)
UNIT_TESTS += tests/unit/client/cmd/test_run_record.c
UNIT_TESTS += $(addprefix tests/unit/client/image/, \
	test_confine.c \
	test_decode.c \
	test_image.c \
	test_layer.c \
	test_unpack.c)
UNIT_TESTS += tests/unit/client/archive/test_spool.c
UNIT_TESTS += $(addprefix tests/unit/client/remote/, \
	test_credential.c \
	test_fuzz_registry.c \
	test_jobs.c \
	test_origin.c)

# The stress steps into every system call of the store and breaks its rules.
$(OUT)/tests/unit/client/store/test_store_stress: WRAP := \
	$(addprefix -Wl$(comma)--wrap=,openat mkdirat renameat renameat2 unlinkat \
	fstatat write flock istore_scratch_pin istore_has_blob istore_has_layer \
	istore_ref_write layer_add)
# What the unpacking process may do is tried in its place.
$(OUT)/tests/unit/client/image/test_confine: WRAP := \
	-Wl,--wrap=unpack_tar,--wrap=syscall
$(addprefix $(OUT)/tests/unit/client/,image/test_image image/test_layer \
	image/test_unpack store/test_store): \
	WRAP := $(addprefix -Wl$(comma)--wrap=,fdatasync fsync syncfs)
# What is believed of the process that reads an archive.
$(OUT)/tests/unit/client/archive/test_spool: WRAP := -Wl,--wrap=child_run
$(OUT)/tests/unit/client/store/test_store_fault: WRAP := \
	$(addprefix -Wl$(comma)--wrap=,openat mkdirat renameat renameat2 unlinkat \
	fstatat write flock fsync fdatasync)
