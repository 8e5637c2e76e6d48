/* slots.h - one slot per attached process: its name, and giving back all that hangs on it. */
#ifndef NBS_SLOTS_H
#define NBS_SLOTS_H

#include "impl.h"

int nbsi_slot_take(nbs_seg *s); /* for this process; sets s->slot, s->peer, s->me */
/* nbsi_slot_leave ends all that this process does, but for the holds of living views. */
void nbsi_slot_leave(nbs_seg *s);
/* nbsi_slot_reclaim gives back everything of `peer` and frees its slot. Idempotent. */
int nbsi_slot_reclaim(nbs_seg *s, uint64_t peer);

#endif
