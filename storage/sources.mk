# storage: grammar, blob store, index, uploads.
STORAGE_SRC := \
	storage/digest.c \
	storage/disk.c \
	storage/index.c \
	storage/job_blob.c \
	storage/job_delete.c \
	storage/job_gone.c \
	storage/job_manifest.c \
	storage/job_sql.c \
	storage/manifest.c \
	storage/name.c \
	storage/query.c \
	storage/store.c \
	storage/upload.c \
	storage/upload_file.c \
	storage/writer.c

UNIT_TESTS += \
	tests/unit/storage/test_crash.c \
	tests/unit/storage/test_digest.c \
	tests/unit/storage/test_fault.c \
	tests/unit/storage/test_jobs.c \
	tests/unit/storage/test_manifest.c \
	tests/unit/storage/test_memory.c \
	tests/unit/storage/test_name.c \
	tests/unit/storage/test_query.c \
	tests/unit/storage/test_store.c \
	tests/unit/storage/test_upload.c
