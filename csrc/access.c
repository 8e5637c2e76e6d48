/* access.c - finding, holding and looking at objects that exist; views. */
#include <string.h>

#include "arena.h"
#include "holds.h"
#include "index.h"
#include "lock.h"

/* live_entry checks a handle: its entry, or NBSI_NIL when that object is over. Without the
 * lock the answer lasts only while this process holds the object. */
static uint32_t live_entry(nbs_seg *s, uint64_t obj) {
  uint32_t i = (uint32_t)obj;
  if (i >= nb_atomic_load(&s->h->entries_used, RELAXED)) return NBSI_NIL;
  uint64_t word = nb_atomic_load(&s->entries[i].word, ACQUIRE);
  if (nbsi_gen(word) != obj >> 32 || nbsi_state(word) == NBS_FREE) return NBSI_NIL;
  return i;
}

int nbs_lookup(nbs_seg *s, const uint8_t *id, uint64_t *obj) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK || (rc = nbsi_lock(s)) != NBS_OK) return rc;
  uint32_t i = nbsi_index_find(s, id);
  if (i == NBSI_NIL) {
    rc = NBS_ENOTFOUND;
  } else {
    nbsi_hold_add(s, i);
    *obj = nbsi_word(nbsi_gen(s->entries[i].word), i);
  }
  nbsi_unlock(s);
  return rc;
}

int nbs_contains(nbs_seg *s, const uint8_t *id) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK || (rc = nbsi_lock(s)) != NBS_OK) return rc;
  uint32_t i = nbsi_index_find(s, id);
  rc = i == NBSI_NIL ? 0 : (int)nbsi_state(s->entries[i].word);
  nbsi_unlock(s);
  return rc;
}

int nbs_hold(nbs_seg *s, uint64_t obj) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  uint32_t i = live_entry(s, obj);
  if (i == NBSI_NIL) return NBS_ENOTFOUND;
  if (nbsi_hold_more(s, i, (uint32_t)(obj >> 32)) == 0) return NBS_OK;
  if ((rc = nbsi_lock(s)) != NBS_OK) return rc;
  if (live_entry(s, obj) == NBSI_NIL)
    rc = NBS_ENOTFOUND;
  else
    nbsi_hold_add(s, i);
  nbsi_unlock(s);
  return rc;
}

int nbs_adopt(nbs_seg *s, uint64_t obj) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK || (rc = nbsi_lock(s)) != NBS_OK) return rc;
  uint32_t i = live_entry(s, obj);
  if (i == NBSI_NIL) {
    rc = NBS_ENOTFOUND;
  } else if (s->entries[i].transit != s->peer) {
    rc = NBS_ESTATE;
  } else {
    nbsi_hold_add(s, i); /* first the new hold: dying between the two loses nothing */
    s->entries[i].transit = 0;
  }
  nbsi_unlock(s);
  return rc;
}

int nbs_held_by(nbs_seg *s, uint64_t obj, uint64_t peer) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK || (rc = nbsi_lock(s)) != NBS_OK) return rc;
  uint32_t i = live_entry(s, obj);
  if (i == NBSI_NIL || !nbsi_slot_valid(s, peer))
    rc = NBS_ENOTFOUND;
  else
    rc = nbsi_held_by(&s->entries[i], nbsi_slot_of(peer));
  nbsi_unlock(s);
  return rc;
}

int nbs_release(nbs_seg *s, uint64_t obj) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  uint32_t i = live_entry(s, obj);
  if (i == NBSI_NIL) return NBS_ENOTFOUND;
  if (nbsi_hold_less(s, i) == 0) return 0;
  if ((rc = nbsi_lock(s)) != NBS_OK) return rc;
  if (live_entry(s, obj) == NBSI_NIL)
    rc = NBS_ENOTFOUND;
  else if (nb_atomic_load(&s->holds[i], RELAXED) == 0)
    rc = NBS_ESTATE;
  else
    rc = nbsi_hold_drop(s, i);
  nbsi_unlock(s);
  return rc;
}

/* ------------------------------------------------------------ looking at it */

uint32_t nbsi_meta(const nbsi_entry *e, uint64_t word) {
  uint32_t ours = (word & NBSI_F_LOST ? (uint32_t)NBS_META_LOST : 0u) |
                  (word & NBSI_F_SPILLED ? (uint32_t)NBS_META_SPILLED : 0u);
  return (e->meta & ~(uint32_t)(NBS_META_LOST | NBS_META_SPILLED)) | ours;
}

static void fill_info(nbs_seg *s, uint32_t i, uint64_t word, nbs_object *out) {
  const nbsi_entry *e = &s->entries[i];
  int block = (word & (NBSI_F_BLOCK | NBSI_F_SPILLED)) == NBSI_F_BLOCK;
  out->size = word & (NBSI_F_BLOCK | NBSI_F_SPILLED) ? e->size : 0;
  out->meta = nbsi_meta(e, word);
  out->state = nbsi_state(word);
  memcpy(out->id, e->id, NBS_ID_SIZE);
  out->promiser = out->size != 0 || block ? e->creator : e->promiser;
  out->data = block ? s->arena + nbsi_data_off(e) : NULL;
}

int nbs_obj_info(nbs_seg *s, uint64_t obj, nbs_object *out) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  uint32_t i = live_entry(s, obj);
  if (i == NBSI_NIL) return NBS_ENOTFOUND;
  if (nb_atomic_load(&s->holds[i], RELAXED) == 0) return NBS_ESTATE;
  uint64_t word = nb_atomic_load(&s->entries[i].word, ACQUIRE);
  /* Sealed and in memory: that may end at any time, but all of it but the pointer stays. */
  if (nbsi_state(word) == NBS_SEALED) {
    fill_info(s, i, word, out);
    return NBS_OK;
  }
  if ((rc = nbsi_lock(s)) != NBS_OK) return rc;
  fill_info(s, i, s->entries[i].word, out);
  nbsi_unlock(s);
  return NBS_OK;
}

int nbs_obj_state(nbs_seg *s, uint64_t obj) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  uint32_t i = live_entry(s, obj);
  if (i == NBSI_NIL) return NBS_ENOTFOUND;
  if (nb_atomic_load(&s->holds[i], RELAXED) == 0) return NBS_ESTATE;
  return (int)nbsi_state(nb_atomic_load(&s->entries[i].word, ACQUIRE));
}

/* -------------------------------------------------------------------- views */

void *nbs_view(nbs_seg *s, uint64_t obj) {
  uint64_t size;
  return nbs_view_sized(s, obj, &size);
}

void *nbs_view_sized(nbs_seg *s, uint64_t obj, uint64_t *size) {
  if (nbs_hold(s, obj) != NBS_OK) return NULL;
  uint32_t i = (uint32_t)obj;
  const nbsi_entry *e = &s->entries[i];
  if (nbsi_pin_more(s, i) != 0) { /* the first one: the spiller must see it in time */
    int in_memory = 0;
    if (nbsi_lock(s) == NBS_OK) {
      in_memory = (e->word & (NBSI_F_BLOCK | NBSI_F_SPILLED)) == NBSI_F_BLOCK;
      if (in_memory) nbsi_pin_add(s, i);
      nbsi_unlock(s);
    }
    if (!in_memory) {
      nbs_release(s, obj);
      return NULL;
    }
  }
  nb_atomic_add(&s->n_views, 1ull, ACQ_REL);
  *size = e->size;
  return s->arena + nbsi_data_off(e);
}

uint64_t nbs_n_views(nbs_seg *s) {
  uint64_t n = nb_atomic_load(&s->n_views, RELAXED);
  return n != 0 && nb_atomic_load(&s->gone, RELAXED) == 0 ? n - 1 : n;
}

void nbs_view_end(void *data) { nbsi_view_end(nbsi_segment_of(data), data); }

void nbsi_view_end(nbs_seg *s, void *data) {
  if (s == NULL || nb_atomic_load(&s->gone, RELAXED) == (uint32_t)NBS_EFORKED)
    return; /* the hold belongs to the parent */
  const nbsi_block *b = (const nbsi_block *)data - 1;
  if (b->magic != NBSI_BLOCK_MAGIC) return; /* not a view of ours: better a leak than harm */
  uint32_t i = (uint32_t)b->obj;
  if (live_entry(s, b->obj) == NBSI_NIL || nb_atomic_load(&s->views[i], RELAXED) == 0) return;
  int last_view = nbsi_pin_less(s, i) != 0;
  int last_hold = !last_view && nbsi_hold_less(s, i) != 0;
  if ((last_view || last_hold) && nbsi_lock(s) == NBS_OK) {
    if (last_view) nbsi_pin_drop(s, i);
    nbsi_hold_drop(s, i);
    nbsi_unlock(s);
  }
  if (nb_atomic_sub(&s->n_views, 1ull, ACQ_REL) == 1) nbsi_segment_close(s);
}
