/* Replays the committed corpus of tests/fuzz/router.c. */
#include "tests/fuzz/router.c"

#define CORPUS "tests/fuzz/corpus/router"
#include "tests/fuzz/replay.h"
