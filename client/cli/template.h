/*
 * The part of docker's --format templates that scripts use: fields of a JSON
 * value, in text.
 */
#ifndef BERTH_CLIENT_CLI_TEMPLATE_H
#define BERTH_CLIENT_CLI_TEMPLATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"

/*
 * Print format with its {{...}} filled in, and a newline.  Known: {{.A.B}},
 * {{json .A}}, {{index .A "key"}} and {{index .A 0}}; blanks inside the
 * braces are free.  Lists and objects are printed as Go does.
 * Errors: ERR_INVALID for other templates and for fields that o has not;
 *         then nothing is printed.
 */
must_check int template_print(const char *format, const json_t *o, FILE *out,
                              struct err *e);

/*
 * A --format value: NULL, "", "table" -> false; "json" or "{{json .}}" ->
 * true; else ERR_UNSUPPORTED.
 */
must_check int template_as_json(const char *format, bool *as_json,
                                struct err *e);

#endif
