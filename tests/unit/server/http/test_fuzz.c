/* Replays the committed corpus of tests/fuzz/http.c, split everywhere. */
#include "tests/fuzz/http.c"

#define CORPUS "tests/fuzz/corpus/http"
#define CORPUS_SPLITS
#include "tests/fuzz/replay.h"
