/* stats.c - figures and lists; eviction on demand. Reads all, decides nothing. */
#include <string.h>

#include "arena.h"
#include "holds.h"
#include "lock.h"

#define LIST_SLICE 4096u /* entries looked at before the lock is given to others */

int nbs_get_stats(nbs_seg *s, nbs_stats *out) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK || (rc = nbsi_lock(s)) != NBS_OK) return rc;
  const nbsi_header *h = s->h;
  memset(out, 0, sizeof *out);
  out->capacity = s->geo.capacity;
  /* Only one object of `capacity` bytes takes more, by its block header. */
  out->used = h->used_bytes < s->geo.capacity ? h->used_bytes : s->geo.capacity;
  out->reserved = h->reserved;
  /* What is not backed yet counts as free: it is joined with the last free piece. */
  uint64_t largest = nbsi_arena_largest(s);
  uint64_t tail = s->geo.arena_size - h->reserved + nbsi_arena_tail(s);
  if (tail > largest) largest = tail;
  out->largest_free = largest > sizeof(nbsi_block) ? largest - sizeof(nbsi_block) : 0;
  if (out->largest_free > s->geo.capacity) out->largest_free = s->geo.capacity;
  out->n_objects = h->n_objects;
  out->n_sealed = h->n_sealed;
  out->n_promised = h->n_promised;
  out->n_kept = h->n_kept;
  out->n_created_total = h->n_created_total;
  out->n_evicted_total = h->n_evicted_total;
  out->n_slots = h->n_slots;
  out->n_channels = h->n_channels;
  out->n_repairs = h->n_repairs;
  out->n_spilled = h->n_spilled;
  out->spilled_bytes = h->spilled_bytes;
  out->n_spilled_total = h->n_spilled_total;
  out->n_restored_total = h->n_restored_total;
  out->n_lost_total = h->n_lost_total;
  out->spill_blocked = nb_atomic_load(&h->spill_blocked, ACQUIRE);
  nbsi_unlock(s);
  return NBS_OK;
}

static void fill_holders(const nbs_seg *s, const nbsi_entry *e, nbs_list_item *out) {
  uint32_t n = 0, max = sizeof out->holders / sizeof out->holders[0];
  memset(out->holders, 0, sizeof out->holders);
  out->n_pinned = 0;
  for (uint32_t w = 0; w < NBSI_SLOT_WORDS; w++)
    out->n_pinned += (uint32_t)__builtin_popcountll(e->pins[w]);
  for (int views = 1; views >= 0; views--)
    for (uint32_t slot = 0; slot < s->h->slots_used && n < max; slot++) {
      uint64_t bits = views ? e->pins[slot / 64] : e->holders[slot / 64] & ~e->pins[slot / 64];
      if (bits >> (slot % 64) & 1)
        out->holders[n++] = nbsi_word(nbsi_gen(s->slots[slot].word), slot);
    }
}

static void fill_item(const nbs_seg *s, uint32_t i, nbs_list_item *out) {
  const nbsi_entry *e = &s->entries[i];
  memcpy(out->id, e->id, NBS_ID_SIZE);
  int block = (e->word & NBSI_F_BLOCK) != 0;
  out->meta = nbsi_meta(e, e->word);
  out->state = nbsi_state(e->word);
  out->n_holders = nbsi_n_holders(e);
  out->size = block || (e->word & NBSI_F_SPILLED) != 0 ? e->size : 0;
  fill_holders(s, e, out);
  memset(out->label, 0, sizeof out->label);
  if (block) {
    const nbsi_block *b = (const nbsi_block *)(const void *)(s->arena + nbsi_data_off(e)) - 1;
    memcpy(out->label, b->label, sizeof out->label - 1);
  }
  out->promiser = block ? e->creator : e->promiser;
  out->obj = nbsi_word(nbsi_gen(e->word), i);
}

int64_t nbs_list(nbs_seg *s, nbs_list_item *out, uint32_t max) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  int64_t n = 0;
  for (uint32_t from = 0;;) {
    if ((rc = nbsi_lock(s)) != NBS_OK) return rc;
    uint32_t used = s->h->entries_used, to = used - from < LIST_SLICE ? used : from + LIST_SLICE;
    for (; from < to; from++) {
      if (nbsi_state(s->entries[from].word) == NBS_FREE) continue;
      if (n < (int64_t)max) fill_item(s, from, &out[n]);
      n++;
    }
    nbsi_unlock(s);
    if (from >= used) return n;
  }
}

uint64_t nbs_evict(nbs_seg *s, uint64_t bytes) {
  uint64_t freed = 0;
  if (nbsi_enter(s) != NBS_OK) return 0;
  while (freed < bytes) {
    if (nbsi_lock(s) != NBS_OK) return freed;
    uint64_t before = s->h->used_bytes;
    int n = 0;
    for (; n < 256 && freed + before - s->h->used_bytes < bytes; n++) {
      if (s->h->lru_head == NBSI_NIL) break;
      nbsi_entry_free(s, s->h->lru_head);
      s->h->n_evicted_total++;
    }
    freed += before - s->h->used_bytes;
    nbsi_unlock(s);
    if (n == 0) break;
  }
  return freed;
}
