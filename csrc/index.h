/* index.h - object id -> entry. A chained hash table over the entries, derived from them.
 * Lock held in every function here. */
#ifndef NBS_INDEX_H
#define NBS_INDEX_H

#include "impl.h"

uint32_t nbsi_index_find(nbs_seg *s, const uint8_t *id); /* entry or NBSI_NIL */
void nbsi_index_put(nbs_seg *s, uint32_t e);             /* under entries[e].id */
void nbsi_index_drop(nbs_seg *s, uint32_t e);
void nbsi_index_clear(nbs_seg *s);
uint32_t nbsi_index_bucket(const nbs_seg *s, const uint8_t *id);

#endif
