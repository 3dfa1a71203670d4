# storage: grammar, blob store, index, uploads.
STORAGE_SRC := \
	storage/digest.c \
	storage/index.c \
	storage/jobs.c \
	storage/manifest.c \
	storage/name.c \
	storage/query.c \
	storage/store.c \
	storage/upload.c \
	storage/writer.c
