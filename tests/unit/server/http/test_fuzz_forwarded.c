/* Replays the committed corpus of tests/fuzz/forwarded.c. */
#include "tests/fuzz/forwarded.c"

#define CORPUS "tests/fuzz/corpus/forwarded"
#include "tests/fuzz/replay.h"
