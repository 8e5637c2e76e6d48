/* repair.c - see repair.h. */
#include "repair.h"

#include <string.h>

#include "arena.h"
#include "holds.h"
#include "index.h"

int nbsi_entry_sane(const nbs_seg *s, uint32_t i) {
  const nbsi_entry *e = &s->entries[i];
  uint32_t state = nbsi_state(e->word);
  if (state > NBS_SEALED) return 0;
  int block = (e->word & NBSI_F_BLOCK) != 0;
  if (state == NBS_PROMISED && block) return 0;
  if (state == NBS_CREATED && !block) return 0;
  if ((e->word & NBSI_F_SPILLED) != 0 && state != NBS_SEALED) return 0;
  if (!block) return state != NBS_SEALED || (e->word & (NBSI_F_LOST | NBSI_F_SPILLED)) != 0;
  uint64_t reserved = s->h->reserved;
  if (e->off % NBS_ALIGN != 0 || e->block % NBS_ALIGN != 0) return 0;
  if (e->block > reserved || e->off > reserved - e->block) return 0;
  uint64_t head = ((uint64_t)e->n_children * 8 + 63) / 64 * 64 + sizeof(nbsi_block);
  return head <= e->block && e->size <= e->block - head;
}

int nbsi_count_children(nbs_seg *s, uint32_t i, uint32_t *counts) {
  const nbsi_entry *e = &s->entries[i];
  if ((e->word & NBSI_F_BLOCK) == 0) return NBS_OK;
  const uint64_t *children = nbsi_children(s, e);
  for (uint32_t k = 0; k < e->n_children; k++) {
    uint32_t c = (uint32_t)children[k];
    if (c >= s->h->entries_used || nbsi_gen(s->entries[c].word) != children[k] >> 32 ||
        nbsi_state(s->entries[c].word) == NBS_FREE)
      return NBS_ECORRUPT;
    counts[c]++;
  }
  return NBS_OK;
}

/* Heapsort of s->scratch[0..n) by address: in place, because a repair must not fail for
 * lack of memory, and n log n for certain. */
static void sift(nbs_seg *s, uint32_t root, uint32_t n) {
  uint32_t *a = s->scratch;
  for (;;) {
    uint32_t child = 2 * root + 1;
    if (child >= n) return;
    if (child + 1 < n && s->entries[a[child]].off < s->entries[a[child + 1]].off) child++;
    if (s->entries[a[root]].off >= s->entries[a[child]].off) return;
    uint32_t t = a[root];
    a[root] = a[child];
    a[child] = t;
    root = child;
  }
}

static void sort_by_address(nbs_seg *s, uint32_t n) {
  for (uint32_t i = n / 2; i-- > 0;) sift(s, i, n);
  for (uint32_t end = n; end > 1; end--) {
    uint32_t t = s->scratch[0];
    s->scratch[0] = s->scratch[end - 1];
    s->scratch[end - 1] = t;
    sift(s, 0, end - 1);
  }
}

static int rebuild_arena(nbs_seg *s) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < s->h->entries_used; i++)
    if (s->entries[i].word & NBSI_F_BLOCK) s->scratch[n++] = i;
  sort_by_address(s, n);
  return nbsi_arena_rebuild(s, n);
}

static int rebuild_counts(nbs_seg *s) {
  nbsi_header *h = s->h;
  h->n_objects = h->n_sealed = h->n_promised = h->n_kept = 0;
  h->n_spilled = h->spilled_bytes = 0;
  h->entry_free = h->lru_head = h->lru_tail = NBSI_NIL;
  nbsi_index_clear(s);
  for (uint32_t i = h->entries_used; i-- > 0;) {
    nbsi_entry *e = &s->entries[i];
    e->child_refs = 0;
    e->lru_prev = NBSI_NOT_IN;
    s->scratch[i] = 0;
    uint32_t state = nbsi_state(e->word);
    if (state == NBS_FREE) {
      e->hash_next = h->entry_free;
      h->entry_free = i;
      continue;
    }
    if (!nbsi_entry_sane(s, i)) return NBS_ECORRUPT;
    h->n_objects++;
    h->n_sealed += state == NBS_SEALED;
    h->n_promised += state == NBS_PROMISED;
    if ((e->word & (NBSI_F_SPILLED | NBSI_F_LOST)) == NBSI_F_SPILLED) {
      h->n_spilled++;
      h->spilled_bytes += e->size;
    }
    if ((e->word & NBSI_F_DELETED) == 0) nbsi_index_put(s, i);
  }
  for (uint32_t i = 0; i < h->entries_used; i++)
    if (nbsi_state(s->entries[i].word) != NBS_FREE &&
        nbsi_count_children(s, i, s->scratch) != NBS_OK)
      return NBS_ECORRUPT;
  for (uint32_t i = 0; i < h->entries_used; i++) s->entries[i].child_refs = s->scratch[i];
  return NBS_OK;
}

static void rebuild_slots(nbs_seg *s) {
  nbsi_header *h = s->h;
  /* A process whose counters were folded is gone; only the freeing of its slot is due. */
  uint32_t slot = (uint32_t)h->fold_word >> 1;
  if (slot < h->slots_used &&
      s->slots[slot].word == nbsi_word(h->fold_word >> 32, NBSI_SLOT_RECOVERING))
    nbsi_slot_free(s, slot);
  h->n_slots = 0;
  for (uint32_t i = 0; i < h->slots_used; i++)
    h->n_slots += nbsi_low(s->slots[i].word) != NBSI_SLOT_FREE;
}

int nbsi_repair(nbs_seg *s) {
  nbsi_header *h = s->h;
  if (h->entries_used > h->entries_backed || h->entries_backed > s->geo.max_entries ||
      h->reserved > s->geo.arena_size)
    return NBS_ECORRUPT;
  int rc = rebuild_counts(s);
  NB_FAILPOINT("repair_middle");
  if (rc == NBS_OK) rc = rebuild_arena(s);
  if (rc == NBS_OK) rc = nbsi_chans_rebuild(s);
  if (rc != NBS_OK) return rc;
  rebuild_slots(s);
  /* The dead owner may have been about to free what nothing refers to any more. */
  for (uint32_t i = 0; i < h->entries_used; i++) nbsi_settle(s, i);
  return NBS_OK;
}
