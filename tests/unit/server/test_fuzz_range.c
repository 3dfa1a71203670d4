/* Replays the committed corpus of tests/fuzz/range.c. */
#include "tests/fuzz/range.c"

#define CORPUS "tests/fuzz/corpus/range"
#include "tests/fuzz/replay.h"
