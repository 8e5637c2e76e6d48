/* check.c - walks every invariant of the segment. Changes nothing but s->scratch. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "arena.h"
#include "holds.h"
#include "index.h"
#include "lock.h"
#include "repair.h"

typedef struct {
  nbs_seg *s;
  char *why;
  size_t why_len;
} walk;

__attribute__((format(printf, 2, 3))) static int bad(walk *w, const char *format, ...) {
  va_list args;
  va_start(args, format);
  vsnprintf(w->why, w->why_len, format, args);
  va_end(args);
  return NBS_ECORRUPT;
}

/* attached: `peer` has a slot; it may be dead, and be recovered right now. */
static int attached(const nbs_seg *s, uint64_t peer) {
  uint32_t slot = nbsi_slot_of(peer);
  if (slot >= s->h->slots_used) return 0;
  uint64_t word = s->slots[slot].word;
  return nbsi_gen(word) == peer >> 32 && nbsi_low(word) != NBSI_SLOT_FREE;
}

/* Frontiers: what is in use was backed, and what is backed lies in its region. */
static int check_frontiers(walk *w) {
  const nbsi_header *h = w->s->h;
  const nbsi_geometry *g = &w->s->geo;
  if (h->reserved > g->arena_size || h->entries_used > h->entries_backed ||
      h->entries_backed > g->max_entries || h->slots_used > h->slots_backed ||
      h->slots_backed > NBS_MAX_SLOTS || h->chans_used > NBS_MAX_CHANNELS ||
      h->rings_backed > NBSI_RING_UNITS || h->fext_used > h->entries_backed + 2)
    return bad(w, "more is in use than was backed, or backed than there is");
  return NBS_OK;
}

/* The evictable objects hang in one list, from the oldest to the newest. */
static int check_lru(walk *w) {
  nbs_seg *s = w->s;
  uint64_t n = 0;
  uint32_t prev = NBSI_NIL, i = s->h->lru_head;
  for (; i != NBSI_NIL; n++) {
    if (i >= s->h->entries_used || n >= s->h->n_kept || s->entries[i].lru_prev != prev)
      return bad(w, "the list of evictable objects is broken at entry %u", i);
    prev = i;
    i = s->entries[i].lru_next;
  }
  if (n != s->h->n_kept || prev != s->h->lru_tail)
    return bad(w, "the list of evictable objects ends after %llu of %llu", (unsigned long long)n,
               (unsigned long long)s->h->n_kept);
  return NBS_OK;
}

/* Blocks and free pieces tile [0, reserved) exactly; free ones are not neighbours and
 * hang in their size class. */
static int check_extents(walk *w) {
  nbs_seg *s = w->s;
  uint64_t at = 0, used = 0, n_free = 0;
  uint32_t prev = NBSI_NIL, ref = s->h->ext_first;
  while (ref != NBSI_NIL) {
    int is_free = nbsi_ext_is_free(s, ref);
    if (is_free && ref - s->geo.max_entries >= s->h->fext_used)
      return bad(w, "extent list names free extent %u", ref - s->geo.max_entries);
    uint64_t off = is_free ? nbsi_fext_at(s, ref)->off : s->entries[ref].off;
    uint64_t size = is_free ? nbsi_fext_at(s, ref)->size : s->entries[ref].block;
    uint32_t back = is_free ? nbsi_fext_at(s, ref)->ext_prev : s->entries[ref].ext_prev;
    if (off != at)
      return bad(w, "extent %u at %llu, not %llu", ref, (unsigned long long)off,
                 (unsigned long long)at);
    if (size == 0 || size > s->h->reserved - at) return bad(w, "extent %u has a bad size", ref);
    if (back != prev) return bad(w, "extent %u has a wrong predecessor", ref);
    if (is_free && prev != NBSI_NIL && nbsi_ext_is_free(s, prev))
      return bad(w, "free extents %u and %u are neighbours", prev, ref);
    if (!is_free && (s->entries[ref].word & NBSI_F_BLOCK) == 0)
      return bad(w, "entry %u is in the extent list without a block", ref);
    if (!is_free) used += size;
    n_free += (uint64_t)is_free;
    at += size;
    prev = ref;
    ref = is_free ? nbsi_fext_at(s, ref)->ext_next : s->entries[ref].ext_next;
  }
  if (at != s->h->reserved || prev != s->h->ext_last) return bad(w, "extents end too early");
  if (n_free > s->h->fext_used) return bad(w, "more free extents than records of them");
  const uint32_t in_use = (uint32_t)n_free;
  if (used != s->h->used_bytes)
    return bad(w, "used_bytes %llu, blocks %llu", (unsigned long long)s->h->used_bytes,
               (unsigned long long)used);
  for (uint32_t b = 0; b < NBSI_BINS; b++) {
    int empty = s->h->bins[b] == NBSI_NIL;
    if (empty != ((s->h->bin_map[b / 64] >> (b % 64) & 1) == 0))
      return bad(w, "bin %u and its bit differ", b);
    uint32_t before = NBSI_NIL;
    for (ref = s->h->bins[b]; ref != NBSI_NIL; ref = nbsi_fext_at(s, ref)->bin_next) {
      if (ref - s->geo.max_entries >= s->h->fext_used || n_free == 0)
        return bad(w, "bin %u is broken", b);
      if (nbsi_bin_of(nbsi_fext_at(s, ref)->size) != b || nbsi_fext_at(s, ref)->bin_prev != before)
        return bad(w, "bin %u holds a piece of another size", b);
      before = ref;
      n_free--;
    }
  }
  if (n_free != 0) return bad(w, "%llu free extents are in no bin", (unsigned long long)n_free);
  uint32_t spare = s->h->fext_used - in_use;
  for (ref = s->h->fext_free; ref != NBSI_NIL && spare > 0; spare--) {
    if (ref >= s->h->fext_used) return bad(w, "the list of spare extent records names %u", ref);
    ref = s->fexts[ref].bin_next;
  }
  return ref == NBSI_NIL && spare == 0 ? NBS_OK
                                       : bad(w, "the list of spare extent records is not complete");
}

static int check_one_entry(walk *w, uint32_t i) {
  nbs_seg *s = w->s;
  const nbsi_entry *e = &s->entries[i];
  if (!nbsi_entry_sane(s, i)) return bad(w, "entry %u has fields out of bounds", i);
  uint32_t state = nbsi_state(e->word);
  if (state == NBS_PROMISED && !attached(s, e->promiser))
    return bad(w, "entry %u was promised by a process that is gone", i);
  if (state == NBS_CREATED && !attached(s, e->creator))
    return bad(w, "entry %u is being written by a process that is gone", i);
  if ((e->word & (NBSI_F_SPILLED | NBSI_F_BLOCK)) == (NBSI_F_SPILLED | NBSI_F_BLOCK) &&
      !attached(s, e->loader))
    return bad(w, "entry %u is being read from disk by a process that is gone", i);
  if (e->transit != 0 && !attached(s, e->transit))
    return bad(w, "entry %u has a hold for a process that is gone", i);
  if (e->child_refs != s->scratch[i])
    return bad(w, "entry %u: child_refs %u, listed %u times", i, e->child_refs, s->scratch[i]);
  if ((e->word & NBSI_F_DELETED) == 0 && nbsi_index_find(s, e->id) != i)
    return bad(w, "entry %u is not found by its id", i);
  int evictable = nbsi_evictable(s, i);
  if (evictable != (e->lru_prev != NBSI_NOT_IN))
    return bad(w, "entry %u: evictable %d, but listed %d", i, evictable, !evictable);
  if (!evictable && !nbsi_referenced(s, i)) return bad(w, "entry %u is kept by nothing", i);
  for (uint32_t slot = 0; slot < NBS_MAX_SLOTS; slot++) {
    if (e->holders[slot / 64] == 0)
      slot |= 63;
    else if (nbsi_held_by(e, slot) &&
             (slot >= s->h->slots_used || nbsi_low(s->slots[slot].word) == NBSI_SLOT_FREE))
      return bad(w, "entry %u is held by slot %u, which is free", i, slot);
  }
  if (nbsi_held_by(e, s->slot) != (nb_atomic_load(&s->holds[i], RELAXED) != 0))
    return bad(w, "entry %u: this process's bit and count differ", i);
  uint64_t stray = 0;
  for (uint32_t k = 0; k < NBSI_SLOT_WORDS; k++) stray |= e->pins[k] & ~e->holders[k];
  if (stray != 0) return bad(w, "entry %u is viewed by a process that does not hold it", i);
  if ((e->pins[s->slot / 64] >> (s->slot % 64) & 1) != (nb_atomic_load(&s->views[i], RELAXED) != 0))
    return bad(w, "entry %u: this process's pin and count of views differ", i);
  if (nbsi_pinned(e) && (e->word & (NBSI_F_BLOCK | NBSI_F_SPILLED)) != NBSI_F_BLOCK)
    return bad(w, "entry %u is viewed, but not in memory", i);
  if (e->word & NBSI_F_BLOCK) {
    const nbsi_block *b =
        (const nbsi_block *)(const void *)(s->arena + nbsi_data_off(e) - sizeof *b);
    if (b->magic != NBSI_BLOCK_MAGIC || b->obj != nbsi_word(nbsi_gen(e->word), i))
      return bad(w, "entry %u: its block header was overwritten", i);
  }
  return NBS_OK;
}

static int check_entries(walk *w) {
  nbs_seg *s = w->s;
  uint64_t n = 0, sealed = 0, promised = 0, free_n = 0, kept = 0, blocks = 0, named = 0;
  uint64_t spilled = 0, spilled_bytes = 0;
  uint32_t used = s->h->entries_used;
  if (used > s->h->entries_backed) return bad(w, "entries in use beyond the backed ones");
  memset(s->scratch, 0, sizeof(uint32_t) * used);
  for (uint32_t i = 0; i < used; i++)
    if (nbsi_state(s->entries[i].word) != NBS_FREE &&
        (!nbsi_entry_sane(s, i) || nbsi_count_children(s, i, s->scratch) != NBS_OK))
      return bad(w, "entry %u lists children that are not there", i);
  for (uint32_t i = 0; i < used; i++) {
    const nbsi_entry *e = &s->entries[i];
    uint32_t state = nbsi_state(e->word);
    if (state == NBS_FREE) {
      free_n++;
      if (nb_atomic_load(&s->holds[i], RELAXED) != 0)
        return bad(w, "entry %u is free, but this process counts holds", i);
      continue;
    }
    int rc = check_one_entry(w, i);
    if (rc != NBS_OK) return rc;
    n++;
    sealed += state == NBS_SEALED;
    promised += state == NBS_PROMISED;
    kept += e->lru_prev != NBSI_NOT_IN;
    blocks += (e->word & NBSI_F_BLOCK) != 0;
    named += (e->word & NBSI_F_DELETED) == 0;
    int out = (e->word & (NBSI_F_SPILLED | NBSI_F_LOST)) == NBSI_F_SPILLED;
    spilled += (uint64_t)out;
    spilled_bytes += out ? e->size : 0;
  }
  uint32_t at = s->h->entry_free;
  for (; at != NBSI_NIL && free_n > 0; free_n--) {
    if (at >= used || nbsi_state(s->entries[at].word) != NBS_FREE)
      return bad(w, "entry %u is in the free list, but in use", at);
    at = s->entries[at].hash_next;
  }
  if (at != NBSI_NIL || free_n != 0) return bad(w, "the list of free entries is not complete");
  if (n != s->h->n_objects || sealed != s->h->n_sealed || promised != s->h->n_promised ||
      kept != s->h->n_kept)
    return bad(w, "object counts: %llu of %llu, sealed %llu of %llu", (unsigned long long)n,
               (unsigned long long)s->h->n_objects, (unsigned long long)sealed,
               (unsigned long long)s->h->n_sealed);
  if (spilled != s->h->n_spilled || spilled_bytes != s->h->spilled_bytes)
    return bad(w, "spilled objects: %llu counted, %llu found", (unsigned long long)s->h->n_spilled,
               (unsigned long long)spilled);
  uint64_t in_index = 0;
  for (uint32_t b = 0; b < s->geo.n_buckets; b++)
    for (uint32_t i = s->buckets[b]; i != NBSI_NIL; i = s->entries[i].hash_next)
      if (i >= used || ++in_index > named) return bad(w, "bucket %u is broken", b);
  if (in_index != named) return bad(w, "the index lacks entries");
  uint64_t in_list = 0;
  for (uint32_t i = s->h->ext_first; i != NBSI_NIL && in_list <= blocks;)
    if (nbsi_ext_is_free(s, i)) {
      i = nbsi_fext_at(s, i)->ext_next;
    } else {
      in_list++;
      i = s->entries[i].ext_next;
    }
  return in_list == blocks ? NBS_OK : bad(w, "blocks and extents differ in number");
}

/* Positions move without the lock, and only forward: what is read between two looks at the
 * other one must lie between them. */
static int check_ring(walk *w, const nbsi_ring *r, uint32_t bytes, uint32_t i) {
  uint64_t head = nb_atomic_load(&r->head, ACQUIRE), tail = nb_atomic_load(&r->tail, ACQUIRE);
  uint64_t later = nb_atomic_load(&r->head, ACQUIRE);
  if (head > tail || (later < tail && tail - later > bytes) || (head | tail) % 8 != 0)
    return bad(w, "channel %u: a ring of %u bytes from %llu to %llu", i, bytes,
               (unsigned long long)head, (unsigned long long)tail);
  return NBS_OK;
}

static int check_channels(walk *w) {
  nbs_seg *s = w->s;
  uint64_t n = 0, slots = 0, units = 0, mapped = 0;
  for (uint32_t i = 0; i < s->h->chans_used; i++) {
    const nbsi_chan *c = &s->chans[i];
    if (nbsi_low(c->word) == 0) continue;
    n++;
    uint32_t m = 2 * c->ring_bytes / NBSI_RING_UNIT;
    if (m == 0 || c->ring_unit > s->h->rings_backed || m > s->h->rings_backed - c->ring_unit)
      return bad(w, "channel %u has rings out of bounds", i);
    if ((c->ring_bytes & (c->ring_bytes - 1)) != 0)
      return bad(w, "channel %u: %u bytes are no power of two", i, c->ring_bytes);
    if (((c->word & NBSI_CHAN_OWNER_GONE) == 0 && !attached(s, c->owner)) ||
        ((c->word & NBSI_CHAN_WORKER_GONE) == 0 && !attached(s, c->worker)))
      return bad(w, "channel %u waits for a process that is gone", i);
    int rc = check_ring(w, &c->down, c->ring_bytes, i);
    if (rc == NBS_OK) rc = check_ring(w, &c->up, c->ring_bytes, i);
    if (rc != NBS_OK) return rc;
    for (uint32_t u = c->ring_unit; u < c->ring_unit + m; u++)
      if ((s->h->ring_map[u / 64] >> (u % 64) & 1) == 0)
        return bad(w, "channel %u: ring unit %u is marked free", i, u);
    units += m;
  }
  for (uint32_t i = 0; i < NBSI_RING_UNITS / 64; i++)
    mapped += (uint64_t)__builtin_popcountll(s->h->ring_map[i]);
  if (mapped != units)
    return bad(w, "ring memory: %llu units marked, %llu in use", (unsigned long long)mapped,
               (unsigned long long)units);
  for (uint32_t i = 0; i < s->h->slots_used; i++)
    slots += nbsi_low(s->slots[i].word) != NBSI_SLOT_FREE;
  if (n != s->h->n_channels || slots != s->h->n_slots)
    return bad(w, "counts of channels or slots do not agree");
  return NBS_OK;
}

int nbs_check(nbs_seg *s, char *why, size_t why_len) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  walk w = {s, why, why_len};
  if ((rc = nbsi_lock(s)) != NBS_OK) return rc;
  if (why_len > 0) why[0] = 0;
  rc = check_frontiers(&w);
  if (rc == NBS_OK) rc = check_extents(&w);
  if (rc == NBS_OK) rc = check_entries(&w);
  if (rc == NBS_OK) rc = check_lru(&w);
  if (rc == NBS_OK) rc = check_channels(&w);
  nbsi_unlock(s);
  return rc;
}
