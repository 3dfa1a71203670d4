/* Bytes and times as docker's users write and read them. */
#ifndef BERTH_CLIENT_CLI_AMOUNT_H
#define BERTH_CLIENT_CLI_AMOUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/defs.h"

/*
 * "64m", "1.5GiB", "10kb" -> bytes, powers of 1024; a bare number counts
 * bytes.
 */
must_check bool amount_parse_size(const char *text, uint64_t *out);
/* Bytes as docker prints them ("4.26MB", powers of 1000). */
void amount_format_size(uint64_t bytes, char out[32]);
/* Seconds as docker prints them: "5 minutes", "About an hour", "2 days". */
void amount_format_age(int64_t seconds, char out[32]);

#endif
