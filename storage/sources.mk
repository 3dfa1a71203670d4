# storage: grammar, blob store, index, uploads.
STORAGE_SRC :=
