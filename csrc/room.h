/* room.h - a block in the arena for an object that comes to life or comes back from disk.
 *
 * Used in rounds: the locked half (find) says what is missing, the unlocked half (back)
 * gets it, then again. Lock held in every function here but nbsi_room_want and _back. */
#ifndef NBS_ROOM_H
#define NBS_ROOM_H

#include "impl.h"

/* Answers of the locked half that the unlocked half acts on. */
enum { NBSI_NEED_ENTRY = 1, NBSI_NEED_MEMORY = 2 };

typedef struct {
  uint64_t size, block, missing;
  const uint64_t *children;
  uint32_t n_children;
  int may_grow; /* 1, or the status that growing ended with */
} nbsi_room;

/* nbsi_room_want computes the block; NBS_ETOOBIG when the arena can never hold it. */
int nbsi_room_want(nbs_seg *s, nbsi_room *r, uint64_t size, const uint64_t *children,
                   uint32_t n_children);
/* nbsi_room_find allocates the block for entry i, evicting where the arena cannot grow any
 * more: NBS_OK, NBSI_NEED_MEMORY, NBS_EFULL or NBS_ENOMEM. */
int nbsi_room_find(nbs_seg *s, nbsi_room *r, uint32_t i, uint64_t *off);
/* nbsi_room_fill notes the block in the entry and writes what stands in front of the data. */
void nbsi_room_fill(nbs_seg *s, const nbsi_room *r, uint32_t i, uint64_t off);
int nbsi_room_back(nbs_seg *s, nbsi_room *r, int need);

int nbsi_children_live(nbs_seg *s, const nbsi_room *r);
/* nbsi_children_keep refers to the children before we look for room, so that eviction does
 * not take them; _drop undoes it. Derived counts: dying between them does no harm. */
void nbsi_children_keep(nbs_seg *s, const nbsi_room *r);
void nbsi_children_drop(nbs_seg *s, const nbsi_room *r);

/* nbsi_live_word is the entry's next word while it is in use. */
static inline uint64_t nbsi_live_word(const nbsi_entry *e, uint32_t low) {
  uint32_t gen = nbsi_gen(e->word);
  return nbsi_word(gen == 0 ? 1 : gen, low); /* 0: so that no handle is 0 */
}

#endif
