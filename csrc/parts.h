/* parts.h - one piece of work done by several threads for its length. */
#ifndef NBS_PARTS_H
#define NBS_PARTS_H

#include <stdint.h>

#define NBSI_PARTS_THREADS 8u /* at most */

/* nbsi_run_parts calls run(work, i) for each i below n, in this thread and in up to
 * threads - 1 others, and returns when all are done. Each takes the next part when it has done
 * one, so that a thread that comes late, or never, costs no more than what it would have done. */
void nbsi_run_parts(void (*run)(void *work, uint32_t part), void *work, uint32_t n,
                    uint32_t threads);

#endif
