# storage: grammar, blob store, index, uploads.
STORAGE_SRC := \
	storage/digest.c \
	storage/index.c \
	storage/manifest.c \
	storage/name.c \
	storage/store.c \
	storage/upload.c \
	storage/writer.c
