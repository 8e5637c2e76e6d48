/* grow.h - backs more of the segment with memory. Lock not held in any function here:
 * reserving takes milliseconds. Two processes may reserve the same range; that is harmless,
 * and the frontiers only move under the lock. */
#ifndef NBS_GROW_H
#define NBS_GROW_H

#include "impl.h"

/* nbsi_grow_arena moves the frontier by at least `missing` bytes; NBS_EFULL at the end of
 * the arena, NBS_ENOMEM when the machine has not got them. */
int nbsi_grow_arena(nbs_seg *s, uint64_t missing);
int nbsi_grow_entries(nbs_seg *s); /* NBS_ELIMIT at max_entries */
/* nbsi_grow_region backs one more step of a metadata region and moves its frontier. */
int nbsi_back_range(nbs_seg *s, uint64_t off, uint64_t bytes);

#endif
