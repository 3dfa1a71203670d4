/* Replays the committed corpus of tests/fuzz/registry.c. */
#include "tests/fuzz/registry.c"

#define CORPUS "tests/fuzz/corpus/registry"
#include "tests/fuzz/replay.h"
