/* repair.h - makes everything derived anew from the primary fields.
 *
 * Runs with the lock, when its last owner died holding it. Idempotent and free of hidden
 * state, so it may itself be killed anywhere and run again, also on a copy of a segment. */
#ifndef NBS_REPAIR_H
#define NBS_REPAIR_H

#include "impl.h"

int nbsi_repair(nbs_seg *s); /* NBS_OK, or NBS_ECORRUPT when the primary fields disagree */

/* nbsi_count_children adds to s->scratch[c], for each child c listed by entry i, one. */
int nbsi_count_children(nbs_seg *s, uint32_t i, uint32_t *counts);
/* nbsi_entry_sane: the primary fields of an entry that is not free are in bounds. */
int nbsi_entry_sane(const nbs_seg *s, uint32_t i);

#endif
