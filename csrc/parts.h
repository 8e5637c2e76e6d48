/* parts.h - one piece of work done by several threads for its length. */
#ifndef NBS_PARTS_H
#define NBS_PARTS_H

#include <stddef.h>
#include <stdint.h>

#define NBSI_PARTS_MAX 8u

/* nbsi_run_parts calls run for each of n parts (at most NBSI_PARTS_MAX) of `each` bytes, the
 * first in this thread and the others in threads of their own, and returns when all are
 * done. A part whose thread cannot be started is run in this one. */
void nbsi_run_parts(void (*run)(void *part), void *parts, size_t each, uint32_t n);

#endif
