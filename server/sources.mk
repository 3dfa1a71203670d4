# server: the registry's HTTP face.
SERVER_SRC :=
