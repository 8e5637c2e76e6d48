/* reduce.h - element-wise reduction of arrays: what a collective computes. */
#ifndef NBS_REDUCE_H
#define NBS_REDUCE_H

#include <stdint.h>

#include "nbs.h"

/* nbsi_element_size: bytes of one element, 0 when there is no such type. */
uint32_t nbsi_element_size(uint32_t type);

/* nbsi_reducible: 1 when `op` is defined for `type` (no minimum of complex numbers, no
 * average of whole ones). */
int nbsi_reducible(uint32_t type, uint32_t op);

/* nbsi_reduce sets dst = a op b, element by element; AVERAGE adds. `dst` may be `a` or `b`.
 * Nothing need be aligned; `bytes` is a whole number of elements. */
void nbsi_reduce(void *dst, const void *a, const void *b, uint64_t bytes, uint32_t type,
                 uint32_t op);

/* nbsi_average divides by `n` what was added up. */
void nbsi_average(void *dst, uint64_t bytes, uint32_t type, uint32_t n);

#endif
