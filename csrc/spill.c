/* spill.c - objects whose value lies on disk instead of in the arena.
 *
 *   SEALED --nbs_spill_out--> spilled --nbs_restore_begin--> being read --_end(1)--> SEALED
 *                                ^----------------------------- _end(0) --'
 *                             spilled or being read --_end(-1)--> lost --nbs_repromise--> PROMISED
 *
 * The store knows no files: whoever spills keeps the bytes, and holds the children that a
 * spilled container no longer lists. An object that somebody views is never spilled. Each
 * change is one store to entry.word, under the lock. */
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "holds.h"
#include "lock.h"
#include "platform.h"
#include "room.h"

#define SLICE 4096u /* entries looked at before the lock is given to others */
#define TRIES 1000

/* live: the entry of a handle, or NBSI_NIL. Lock held. */
static uint32_t live(nbs_seg *s, uint64_t obj) {
  uint32_t i = (uint32_t)obj;
  if (i >= s->h->entries_used || nbsi_gen(s->entries[i].word) != obj >> 32 ||
      nbsi_state(s->entries[i].word) == NBS_FREE)
    return NBSI_NIL;
  return i;
}

static int in_memory(const nbsi_entry *e) {
  return nbsi_state(e->word) == NBS_SEALED &&
         (e->word & (NBSI_F_BLOCK | NBSI_F_SPILLED | NBSI_F_LOST)) == NBSI_F_BLOCK;
}

/* ------------------------------------------------------------------ choosing */

static int spillable(nbs_seg *s, uint32_t i, uint64_t smallest) {
  const nbsi_entry *e = &s->entries[i];
  return in_memory(e) && e->block >= smallest && !nbsi_pinned(e) && e->lru_prev == NBSI_NOT_IN;
}

typedef struct {
  uint32_t age;
  uint64_t obj, block;
} candidate;

static int older_first(const void *a, const void *b) {
  uint32_t x = ((const candidate *)a)->age, y = ((const candidate *)b)->age;
  return x < y ? 1 : x > y ? -1 : 0;
}

/* oldest chooses those not looked at for longest, until `bytes` are together. */
static int64_t oldest(nbs_seg *s, uint64_t bytes, uint64_t smallest, uint64_t *out, uint32_t max) {
  candidate *all = NULL;
  uint32_t n = 0, room = 0;
  for (uint32_t from = 0;;) {
    int rc = nbsi_lock(s);
    if (rc != NBS_OK) {
      free(all);
      return rc;
    }
    uint32_t used = s->h->entries_used, to = used - from < SLICE ? used : from + SLICE;
    for (; from < to; from++) {
      if (!spillable(s, from, smallest)) continue;
      if (n == room) break; /* more memory is made without the lock */
      const nbsi_entry *e = &s->entries[from];
      all[n++] = (candidate){s->h->clock - e->stamp, nbsi_word(nbsi_gen(e->word), from), e->block};
    }
    nbsi_unlock(s);
    if (from >= used) break;
    if (n == room) {
      room = room == 0 ? 1024 : room * 2;
      candidate *more = realloc(all, room * sizeof *all);
      if (more == NULL) break; /* those found so far will do */
      all = more;
    }
  }
  if (n > 0) qsort(all, n, sizeof *all, older_first);
  uint32_t chosen = 0;
  for (uint64_t sum = 0; chosen < n && chosen < max && sum < bytes; chosen++) {
    sum += all[chosen].block;
    out[chosen] = all[chosen].obj;
  }
  free(all);
  return chosen;
}

static uint32_t next_extent(nbs_seg *s, uint32_t ref) {
  return nbsi_ext_is_free(s, ref) ? nbsi_fext_at(s, ref)->ext_next : s->entries[ref].ext_next;
}

static uint64_t extent_bytes(nbs_seg *s, uint32_t ref) {
  return nbsi_ext_is_free(s, ref) ? nbsi_fext_at(s, ref)->size : s->entries[ref].block;
}

/* window finds the run of neighbours, free or fit to be spilled, that holds `bytes` and
 * costs the fewest bytes to write: two ends that move over the extents by address. */
static int64_t window(nbs_seg *s, uint64_t bytes, uint64_t *out, uint32_t max) {
  uint64_t available = nbs_memory_available(NULL, 0);
  int rc = nbsi_lock(s);
  if (rc != NBS_OK) return rc;
  /* What is not backed yet is free as well, behind the last extent, if it can be had. */
  uint64_t beyond = s->geo.arena_size - s->h->reserved;
  if (beyond > available / 2) beyond = available / 2;
  uint32_t first = s->h->ext_first, best_first = NBSI_NIL, best_end = NBSI_NIL;
  uint64_t total = 0, cost = 0, best = UINT64_MAX;
  for (uint32_t at = first;; at = next_extent(s, at)) {
    uint64_t size = at == NBSI_NIL ? beyond : extent_bytes(s, at);
    int is_free = at == NBSI_NIL || nbsi_ext_is_free(s, at) ||
                  s->entries[at].lru_prev != NBSI_NOT_IN; /* evictable: the creator does it */
    if (!is_free && !spillable(s, at, 0)) {
      total = cost = 0;
      first = next_extent(s, at);
      continue;
    }
    total += size;
    if (!is_free) cost += size;
    while (first != at && first != NBSI_NIL && total - extent_bytes(s, first) >= bytes) {
      uint64_t less = extent_bytes(s, first);
      total -= less;
      if (!nbsi_ext_is_free(s, first) && s->entries[first].lru_prev == NBSI_NOT_IN) cost -= less;
      first = next_extent(s, first);
    }
    if (total >= bytes && cost < best) {
      best = cost;
      best_first = first;
      best_end = at == NBSI_NIL ? NBSI_NIL : next_extent(s, at);
    }
    if (at == NBSI_NIL) break;
  }
  int64_t n = best == UINT64_MAX ? NBS_EFULL : 0;
  for (uint32_t at = best_first; n >= 0 && n < max && at != best_end && at != NBSI_NIL;
       at = next_extent(s, at))
    if (!nbsi_ext_is_free(s, at) && s->entries[at].lru_prev == NBSI_NOT_IN)
      out[n++] = nbsi_word(nbsi_gen(s->entries[at].word), at);
  nbsi_unlock(s);
  return n;
}

int64_t nbs_spill_victims(nbs_seg *s, uint64_t room_for, uint64_t bytes, uint64_t smallest,
                          uint64_t *out, uint32_t max) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  if (room_for == 0) return oldest(s, bytes, smallest, out, max);
  nbsi_room r;
  if ((rc = nbsi_room_want(s, &r, room_for, NULL, 0)) != NBS_OK) return rc;
  return window(s, r.block, out, max);
}

int64_t nbs_obj_children(nbs_seg *s, uint64_t obj, uint64_t *out, uint32_t max) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK || (rc = nbsi_lock(s)) != NBS_OK) return rc;
  int64_t n = NBS_ENOTFOUND;
  uint32_t i = live(s, obj);
  if (i != NBSI_NIL && (s->entries[i].word & NBSI_F_BLOCK) != 0) {
    n = s->entries[i].n_children;
    memcpy(out, nbsi_children(s, &s->entries[i]), (size_t)(n < max ? n : max) * 8);
  }
  nbsi_unlock(s);
  return n;
}

/* ---------------------------------------------------------------- out and in */

int nbs_spill_out(nbs_seg *s, uint64_t obj) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK || (rc = nbsi_lock(s)) != NBS_OK) return rc;
  uint32_t i = live(s, obj);
  if (i == NBSI_NIL)
    rc = NBS_ENOTFOUND;
  else if (!in_memory(&s->entries[i]))
    rc = NBS_ESTATE;
  else if (nbsi_pinned(&s->entries[i]))
    rc = NBS_EAGAIN;
  if (rc == NBS_OK) {
    nbsi_entry *e = &s->entries[i];
    uint64_t word = e->word;
    NB_FAILPOINT("spill");
    nb_atomic_store(&e->word, (word & ~(uint64_t)NBSI_F_BLOCK) | NBSI_F_SPILLED, RELEASE);
    NB_FAILPOINT("spill_done");
    s->h->n_spilled++;
    s->h->spilled_bytes += e->size;
    s->h->n_spilled_total++;
    nbsi_block_drop(s, i, word);
  }
  nbsi_unlock(s);
  return rc;
}

static int begin_locked(nbs_seg *s, uint64_t obj, nbsi_room *r) {
  uint32_t i = live(s, obj);
  if (i == NBSI_NIL) return NBS_ENOTFOUND;
  nbsi_entry *e = &s->entries[i];
  if (in_memory(e)) return NBS_EEXISTS;
  if ((e->word & (NBSI_F_SPILLED | NBSI_F_LOST | NBSI_F_BLOCK)) != NBSI_F_SPILLED)
    return NBS_ESTATE;
  /* While it is read nobody else may free it. */
  if (nb_atomic_load(&s->holds[i], RELAXED) == 0) return NBS_ESTATE;
  if (!nbsi_children_live(s, r)) return NBS_ENOTFOUND;
  uint64_t off;
  nbsi_children_keep(s, r);
  int rc = nbsi_room_find(s, r, i, &off);
  if (rc != NBS_OK) {
    nbsi_children_drop(s, r);
    return rc;
  }
  e->loader = s->peer;
  nbsi_room_fill(s, r, i, off);
  NB_FAILPOINT("restore");
  nb_atomic_store(&e->word, e->word | NBSI_F_BLOCK, RELEASE);
  NB_FAILPOINT("restore_begun");
  return NBS_OK;
}

int nbs_restore_begin(nbs_seg *s, uint64_t obj, const uint64_t *children, uint32_t n_children,
                      void **data) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK || (rc = nbsi_lock(s)) != NBS_OK) return rc;
  uint32_t i = live(s, obj);
  uint64_t size = i == NBSI_NIL ? 0 : s->entries[i].size;
  nbsi_unlock(s);
  if (i == NBSI_NIL) return NBS_ENOTFOUND;
  nbsi_room r;
  if ((rc = nbsi_room_want(s, &r, size, children, n_children)) != NBS_OK) return rc;
  for (int t = 0; t < TRIES; t++) {
    if ((rc = nbsi_lock(s)) != NBS_OK) return rc;
    rc = begin_locked(s, obj, &r);
    if (rc == NBS_OK) *data = s->arena + nbsi_data_off(&s->entries[i]);
    nbsi_unlock(s);
    if (rc <= 0) return rc;
    if ((rc = nbsi_room_back(s, &r, rc)) != NBS_OK) return rc;
  }
  return NBS_EFULL;
}

int nbs_restore_end(nbs_seg *s, uint64_t obj, int outcome) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK || (rc = nbsi_lock(s)) != NBS_OK) return rc;
  uint32_t i = live(s, obj);
  nbsi_entry *e = i == NBSI_NIL ? NULL : &s->entries[i];
  uint64_t word = e == NULL ? 0 : e->word;
  int reading = (word & NBSI_F_BLOCK) != 0;
  if (e == NULL)
    rc = NBS_ENOTFOUND;
  else if ((word & (NBSI_F_SPILLED | NBSI_F_LOST)) != NBSI_F_SPILLED ||
           (reading && e->loader != s->peer) || (!reading && outcome >= 0))
    rc = NBS_ESTATE;
  if (rc == NBS_OK && outcome > 0) {
    NB_FAILPOINT("restored");
    nb_atomic_store(&e->word, word & ~(uint64_t)NBSI_F_SPILLED, RELEASE);
    NB_FAILPOINT("restored_done");
    e->stamp = ++s->h->clock;
    s->h->n_restored_total++;
  } else if (rc == NBS_OK) {
    uint64_t lost = outcome < 0 ? NBSI_F_LOST : 0;
    nb_atomic_store(&e->word, (word & ~(uint64_t)NBSI_F_BLOCK) | lost, RELEASE);
    NB_FAILPOINT("restore_failed");
    s->h->n_lost_total += outcome < 0;
    nbsi_block_drop(s, i, word);
  }
  if (rc == NBS_OK && outcome != 0) {
    s->h->n_spilled--;
    s->h->spilled_bytes -= e->size;
    nb_atomic_add(&s->h->seal_gen, 1ull, SEQ_CST);
  }
  nbsi_unlock(s);
  if (rc == NBS_OK && outcome != 0) nbsi_notify_seal(s);
  return rc;
}

void nbsi_restore_drop(nbs_seg *s, uint32_t i, uint64_t peer) {
  nbsi_entry *e = &s->entries[i];
  uint64_t word = e->word;
  if ((word & (NBSI_F_SPILLED | NBSI_F_BLOCK)) != (NBSI_F_SPILLED | NBSI_F_BLOCK) ||
      e->loader != peer)
    return;
  nb_atomic_store(&e->word, word & ~(uint64_t)NBSI_F_BLOCK, RELEASE);
  NB_FAILPOINT("restore_drop");
  nbsi_block_drop(s, i, word);
}

int nbs_repromise(nbs_seg *s, uint64_t obj) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK || (rc = nbsi_lock(s)) != NBS_OK) return rc;
  uint32_t i = live(s, obj);
  if (i == NBSI_NIL) {
    rc = NBS_ENOTFOUND;
  } else if ((s->entries[i].word & NBSI_F_LOST) == 0 ||
             nb_atomic_load(&s->holds[i], RELAXED) == 0) {
    rc = NBS_ESTATE;
  } else {
    nbsi_entry *e = &s->entries[i];
    e->promiser = s->peer;
    uint64_t flags = e->word & ~(uint64_t)(0xffu | NBSI_F_LOST | NBSI_F_SPILLED);
    nb_atomic_store(&e->word, flags | NBS_PROMISED, RELEASE);
    NB_FAILPOINT("repromise");
    s->h->n_sealed--;
    s->h->n_promised++;
  }
  nbsi_unlock(s);
  return rc;
}

/* -------------------------------------------------------------------- figures */

int64_t nbs_live_many(nbs_seg *s, const uint64_t *objs, uint32_t n, uint8_t *alive) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  uint32_t used = nb_atomic_load(&s->h->entries_used, ACQUIRE);
  int64_t over = 0;
  for (uint32_t k = 0; k < n; k++) {
    uint32_t i = (uint32_t)objs[k];
    uint64_t word = i < used ? nb_atomic_load(&s->entries[i].word, ACQUIRE) : 0;
    /* A lost object's bytes are of no use any more; it may become another value. */
    alive[k] = nbsi_gen(word) == objs[k] >> 32 && nbsi_state(word) == NBS_SEALED &&
               (word & NBSI_F_LOST) == 0;
    over += !alive[k];
  }
  return over;
}

int nbs_punch_hole(int fd, uint64_t off, uint64_t len) {
  return nbsi_fd_punch(fd, off, len) == 0 ? NBS_OK : NBS_ESYS;
}

int nbs_spill_note(nbs_seg *s, uint32_t blocked) {
  int rc = nbsi_enter(s);
  if (rc == NBS_OK) nb_atomic_store(&s->h->spill_blocked, blocked, RELEASE);
  return rc;
}
