/* Replays the committed corpus of tests/fuzz/manifest.c. */
#include "tests/fuzz/manifest.c"

#define CORPUS "tests/fuzz/corpus/manifest"
#include "tests/fuzz/replay.h"
