/* Clocks: monotonic for durations and deadlines, wall for rows and logs. */
#ifndef BERTH_BASE_CLOCK_H
#define BERTH_BASE_CLOCK_H

#include <stdint.h>

int64_t clock_mono_ms(void); /* CLOCK_MONOTONIC, milliseconds */
int64_t clock_wall_s(void);  /* CLOCK_REALTIME, seconds since 1970 */

#endif
