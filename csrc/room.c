/* room.c - see room.h. */
#include "room.h"

#include <string.h>

#include "arena.h"
#include "grow.h"
#include "holds.h"

int nbsi_room_want(nbs_seg *s, nbsi_room *r, uint64_t size, const uint64_t *children,
                   uint32_t n_children) {
  uint64_t head = ((uint64_t)n_children * 8 + 63) / 64 * 64 + sizeof(nbsi_block);
  if (size > s->geo.capacity) return NBS_ETOOBIG; /* the arena is rounded up */
  if (head > s->geo.arena_size || size > s->geo.arena_size - head) return NBS_ETOOBIG;
  uint64_t block = head + (size + NBS_ALIGN - 1) / NBS_ALIGN * NBS_ALIGN;
  if (block > s->geo.arena_size) return NBS_ETOOBIG;
  *r = (nbsi_room){size, block, 0, children, n_children, 1};
  return NBS_OK;
}

int nbsi_children_live(nbs_seg *s, const nbsi_room *r) {
  for (uint32_t k = 0; k < r->n_children; k++) {
    uint32_t i = (uint32_t)r->children[k];
    if (i >= s->h->entries_used || nbsi_gen(s->entries[i].word) != r->children[k] >> 32 ||
        nbsi_state(s->entries[i].word) == NBS_FREE)
      return 0;
  }
  return 1;
}

void nbsi_children_keep(nbs_seg *s, const nbsi_room *r) {
  for (uint32_t k = 0; k < r->n_children; k++) {
    s->entries[(uint32_t)r->children[k]].child_refs++;
    nbsi_lru_drop(s, (uint32_t)r->children[k]);
  }
}

void nbsi_children_drop(nbs_seg *s, const nbsi_room *r) {
  for (uint32_t k = 0; k < r->n_children; k++) s->entries[(uint32_t)r->children[k]].child_refs--;
  for (uint32_t k = 0; k < r->n_children; k++) nbsi_settle(s, (uint32_t)r->children[k]);
}

int nbsi_room_find(nbs_seg *s, nbsi_room *r, uint32_t i, uint64_t *off) {
  while (nbsi_arena_alloc(s, i, r->block, off) != 0) {
    r->missing = nbsi_arena_missing(s, r->block);
    if (r->may_grow == 1 && r->missing <= s->geo.arena_size - s->h->reserved)
      return NBSI_NEED_MEMORY;
    uint32_t victim = s->h->lru_head;
    if (victim == NBSI_NIL) return r->may_grow == NBS_ENOMEM ? NBS_ENOMEM : NBS_EFULL;
    nbsi_entry_free(s, victim);
    s->h->n_evicted_total++;
  }
  return NBS_OK;
}

void nbsi_room_fill(nbs_seg *s, const nbsi_room *r, uint32_t i, uint64_t off) {
  nbsi_entry *e = &s->entries[i];
  e->off = off;
  e->block = r->block;
  e->n_children = r->n_children;
  if (r->n_children > 0) memcpy(s->arena + off, r->children, (size_t)r->n_children * 8);
  nbsi_block *b = (nbsi_block *)(void *)(s->arena + nbsi_data_off(e)) - 1;
  memset(b, 0, sizeof *b);
  b->magic = NBSI_BLOCK_MAGIC;
  b->obj = nbsi_word(nbsi_gen(nbsi_live_word(e, 0)), i);
  b->size = r->size;
}

int nbsi_room_back(nbs_seg *s, nbsi_room *r, int need) {
  if (need == NBSI_NEED_ENTRY) return nbsi_grow_entries(s);
  int rc = nbsi_grow_arena(s, r->missing);
  if (rc == NBS_ENOMEM || rc == NBS_EFULL) {
    r->may_grow = rc; /* the locked half then evicts, or answers this */
    return NBS_OK;
  }
  return rc;
}
