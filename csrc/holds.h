/* holds.h - who holds which object, and the end of objects that nobody holds.
 *
 * A *view* is a hold with a pin: a second bit per slot, set while s->views is above zero,
 * says that the slot's process has pointers into the block, which therefore stays.
 *
 * Primary: one bit per slot in the entry, `transit` (a hold on its way to a peer), and
 * the children that containers list in their blocks. Process-private: how often this
 * process holds it (s->holds). The bit is set when that count leaves 0 and cleared when it
 * comes back to 0, both under the lock; between 1 and more no lock is needed.
 *
 * Lock held in every function here, but for nbsi_hold_more and nbsi_hold_less. */
#ifndef NBS_HOLDS_H
#define NBS_HOLDS_H

#include "impl.h"

/* nbsi_hold_more adds a hold to an object that this process holds already; -1 when it
 * does not (then take the lock and nbsi_hold_add). No lock. */
int nbsi_hold_more(nbs_seg *s, uint32_t e, uint32_t gen);
/* nbsi_hold_less gives back one of several holds; -1 when it may be the last. No lock. */
int nbsi_hold_less(nbs_seg *s, uint32_t e);

void nbsi_hold_add(nbs_seg *s, uint32_t e);
/* nbsi_hold_drop gives back one hold of this process; 1 when that freed the object. */
int nbsi_hold_drop(nbs_seg *s, uint32_t e);
/* nbsi_hold_clear takes away all that `peer` holds of an entry; 1 when that freed it. */
int nbsi_hold_clear(nbs_seg *s, uint32_t e, uint64_t peer);

/* nbsi_settle looks at an entry that lost a holder, container or name: frees it or puts
 * it among the evictable objects where nothing keeps it. 1 when it was freed. */
int nbsi_settle(nbs_seg *s, uint32_t e);
void nbsi_entry_free(nbs_seg *s, uint32_t e);

/* nbsi_give_up ends what `peer` left unsealed: an object it created becomes promised again
 * when its promiser lives, else lost; one it promised becomes lost. 1 when it is lost now:
 * the caller settles the entry and, without the lock, calls nbsi_notify_seal. */
int nbsi_give_up(nbs_seg *s, uint32_t e, uint64_t peer);

int nbsi_referenced(const nbs_seg *s, uint32_t e); /* held, in transit or listed */
int nbsi_held_by(const nbsi_entry *e, uint32_t slot);
int nbsi_pinned(const nbsi_entry *e);
/* nbsi_pin_more and nbsi_pin_less: as hold_more and hold_less, for views. No lock. */
int nbsi_pin_more(nbs_seg *s, uint32_t e);
int nbsi_pin_less(nbs_seg *s, uint32_t e);
void nbsi_pin_add(nbs_seg *s, uint32_t e);
void nbsi_pin_drop(nbs_seg *s, uint32_t e);

/* nbsi_block_drop gives back the block that entry `e` had under `word`, its old word. */
void nbsi_block_drop(nbs_seg *s, uint32_t e, uint64_t word);
/* spill.c: what `peer` was reading from disk stays there. */
void nbsi_restore_drop(nbs_seg *s, uint32_t e, uint64_t peer);
uint32_t nbsi_n_holders(const nbsi_entry *e);

/* nbsi_evictable: sealed, NBS_META_KEEP, still named, and nothing refers to it. */
int nbsi_evictable(const nbs_seg *s, uint32_t e);
void nbsi_lru_put(nbs_seg *s, uint32_t e);
void nbsi_lru_drop(nbs_seg *s, uint32_t e);

/* The children listed in the block of an entry. */
static inline const uint64_t *nbsi_children(const nbs_seg *s, const nbsi_entry *e) {
  return (const uint64_t *)(const void *)(s->arena + e->off);
}
static inline uint64_t nbsi_data_off(const nbsi_entry *e) {
  return e->off + ((uint64_t)e->n_children * 8 + 63) / 64 * 64 + sizeof(nbsi_block);
}

#endif
