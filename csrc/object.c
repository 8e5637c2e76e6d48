/* object.c - objects come to life and change state.
 *
 *   (none) --promise--> PROMISED --create--> CREATED --seal--> SEALED
 *   (none) --create--> CREATED          CREATED --abort, creator dead--> PROMISED | lost
 *   PROMISED --promiser dead--> lost    (lost = SEALED with NBS_META_LOST, no data)
 *
 * Each change is one store to entry.word, under the lock. Freeing is in holds.c. */
#include <string.h>

#include "grow.h"
#include "holds.h"
#include "index.h"
#include "lock.h"
#include "room.h"

#define TRIES 1000 /* others may take what we grew; not for ever */

/* entry_pick finds a free entry without taking it; NBSI_NEED_ENTRY when there is none. */
static int entry_pick(nbs_seg *s, uint32_t *e) {
  nbsi_header *h = s->h;
  if (h->entry_free != NBSI_NIL)
    *e = h->entry_free;
  else if (h->entries_used < h->entries_backed)
    *e = h->entries_used;
  else
    return NBSI_NEED_ENTRY;
  return 0;
}

/* entry_take takes the entry that entry_pick named and fills in what all states share. */
static nbsi_entry *entry_take(nbs_seg *s, uint32_t i, const uint8_t *id) {
  nbsi_entry *e = &s->entries[i];
  if (i == s->h->entry_free)
    s->h->entry_free = e->hash_next;
  else
    nb_atomic_store(&s->h->entries_used, i + 1, RELEASE); /* read without the lock */
  memcpy(e->id, id, NBS_ID_SIZE);
  memset(e->holders, 0, sizeof e->holders);
  memset(e->pins, 0, sizeof e->pins);
  e->meta = 0;
  e->size = e->block = e->off = 0;
  e->promiser = e->creator = e->transit = e->loader = 0;
  e->n_children = e->child_refs = 0;
  e->lru_prev = NBSI_NOT_IN;
  return e;
}

static uint64_t handle(nbs_seg *s, uint32_t i) {
  return nbsi_word(nbsi_gen(s->entries[i].word), i);
}

/* ------------------------------------------------------------------ promise */

static int promise_locked(nbs_seg *s, const uint8_t *id, uint64_t *obj) {
  uint32_t i = nbsi_index_find(s, id);
  int rc = NBS_EEXISTS;
  if (i == NBSI_NIL) {
    if (entry_pick(s, &i) != 0) return NBSI_NEED_ENTRY;
    nbsi_entry *e = entry_take(s, i, id);
    e->promiser = s->peer;
    NB_FAILPOINT("promise");
    nb_atomic_store(&e->word, nbsi_live_word(e, NBS_PROMISED), RELEASE);
    NB_FAILPOINT("promise_done");
    nbsi_index_put(s, i);
    s->h->n_objects++;
    s->h->n_promised++;
    rc = NBS_OK;
  }
  nbsi_hold_add(s, i);
  *obj = handle(s, i);
  return rc;
}

int nbs_promise(nbs_seg *s, const uint8_t *id, uint64_t *obj) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  for (int i = 0; i < TRIES; i++) {
    rc = nbsi_lock(s);
    if (rc != NBS_OK) return rc;
    rc = promise_locked(s, id, obj);
    nbsi_unlock(s);
    if (rc != NBSI_NEED_ENTRY) return rc;
    rc = nbsi_grow_entries(s);
    if (rc != NBS_OK) return rc;
  }
  return NBS_ELIMIT;
}

/* ------------------------------------------------------------------- create */

typedef struct {
  const uint8_t *id;
  uint64_t size, hold_for;
  uint32_t meta;
  nbsi_room room;
} creation;

static int create_locked(nbs_seg *s, creation *c, uint64_t *obj, uint32_t *index) {
  uint32_t i = nbsi_index_find(s, c->id), found = i;
  if (found != NBSI_NIL && nbsi_state(s->entries[i].word) != NBS_PROMISED) {
    nbsi_hold_add(s, i);
    *obj = handle(s, i);
    *index = i;
    return NBS_EEXISTS;
  }
  if (c->hold_for != 0 && !nbsi_slot_valid(s, c->hold_for)) return NBS_EDEAD;
  if (!nbsi_children_live(s, &c->room)) return NBS_ENOTFOUND;
  if (found == NBSI_NIL && entry_pick(s, &i) != 0) return NBSI_NEED_ENTRY;
  uint64_t off;
  /* Taken before we look for room: eviction pushes entries onto the free list. */
  nbsi_entry *e = found == NBSI_NIL ? entry_take(s, i, c->id) : &s->entries[i];
  nbsi_children_keep(s, &c->room);
  int rc = nbsi_room_find(s, &c->room, i, &off);
  if (rc != NBS_OK) {
    nbsi_children_drop(s, &c->room);
    if (found == NBSI_NIL) {
      e->hash_next = s->h->entry_free;
      s->h->entry_free = i;
    }
    return rc;
  }
  e->size = c->size;
  e->meta = c->meta;
  e->creator = s->peer;
  e->transit = c->hold_for;
  nbsi_room_fill(s, &c->room, i, off);
  NB_FAILPOINT("create");
  uint32_t flags = nbsi_low(e->word) & ~0xffu;
  nb_atomic_store(&e->word, nbsi_live_word(e, flags | NBSI_F_BLOCK | NBS_CREATED), RELEASE);
  NB_FAILPOINT("create_done");
  if (found == NBSI_NIL) {
    nbsi_index_put(s, i);
    s->h->n_objects++;
  } else {
    s->h->n_promised--;
  }
  s->h->n_created_total++;
  nbsi_hold_add(s, i);
  *obj = handle(s, i);
  *index = i;
  return NBS_OK;
}

int nbs_obj_create(nbs_seg *s, const uint8_t *id, uint64_t size, uint32_t meta, uint64_t hold_for,
                   const uint64_t *children, uint32_t n_children, uint64_t *obj, void **data) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  creation c = {id, size, hold_for, meta & ~(uint32_t)(NBS_META_LOST | NBS_META_SPILLED), {0}};
  rc = nbsi_room_want(s, &c.room, size, children, n_children);
  if (rc != NBS_OK) return rc;
  for (int t = 0; t < TRIES; t++) {
    uint32_t i = 0;
    rc = nbsi_lock(s);
    if (rc != NBS_OK) return rc;
    rc = create_locked(s, &c, obj, &i);
    if (data != NULL && (rc == NBS_OK || rc == NBS_EEXISTS))
      *data = s->entries[i].word & NBSI_F_BLOCK ? s->arena + nbsi_data_off(&s->entries[i]) : NULL;
    nbsi_unlock(s);
    if (rc <= 0) return rc;
    rc = nbsi_room_back(s, &c.room, rc);
    if (rc != NBS_OK) return rc;
  }
  return NBS_EFULL;
}

/* ----------------------------------------------------- seal, abort, delete */

/* own_unsealed: the entry of a handle that this process created and has not sealed. */
static int own_unsealed(nbs_seg *s, uint64_t obj, uint32_t *i) {
  *i = (uint32_t)obj;
  if (*i >= s->h->entries_used) return NBS_ENOTFOUND;
  const nbsi_entry *e = &s->entries[*i];
  if (nbsi_gen(e->word) != obj >> 32) return NBS_ENOTFOUND;
  if (nbsi_state(e->word) != NBS_CREATED || e->creator != s->peer) return NBS_ESTATE;
  return NBS_OK;
}

int nbs_obj_seal(nbs_seg *s, uint64_t obj) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK || (rc = nbsi_lock(s)) != NBS_OK) return rc;
  uint32_t i;
  rc = own_unsealed(s, obj, &i);
  if (rc == NBS_OK) {
    nbsi_entry *e = &s->entries[i];
    NB_FAILPOINT("seal");
    nb_atomic_store(&e->word, (e->word & ~(uint64_t)0xff) | NBS_SEALED, RELEASE);
    NB_FAILPOINT("seal_done");
    e->stamp = ++s->h->clock;
    s->h->n_sealed++;
    nb_atomic_add(&s->h->seal_gen, 1ull, SEQ_CST);
  }
  nbsi_unlock(s);
  if (rc == NBS_OK) nbsi_notify_seal(s);
  return rc;
}

int nbs_obj_label(nbs_seg *s, uint64_t obj, const char *label) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  uint32_t i;
  if ((rc = own_unsealed(s, obj, &i)) != NBS_OK) return rc;
  /* Nobody but its creator changes a created object, so no lock is needed. */
  nbsi_block *b = (nbsi_block *)(void *)(s->arena + nbsi_data_off(&s->entries[i])) - 1;
  strncpy(b->label, label, NBS_LABEL_SIZE - 1);
  return NBS_OK;
}

int nbs_obj_abort(nbs_seg *s, uint64_t obj) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK || (rc = nbsi_lock(s)) != NBS_OK) return rc;
  uint32_t i;
  int lost = 0;
  rc = own_unsealed(s, obj, &i);
  if (rc == NBS_OK && nb_atomic_load(&s->holds[i], RELAXED) == 0) rc = NBS_ESTATE;
  if (rc == NBS_OK) {
    lost = nbsi_give_up(s, i, s->peer);
    /* The hold that was made for somebody was a hold on the value that never came. */
    s->entries[i].transit = 0;
    nbsi_hold_drop(s, i);
  }
  nbsi_unlock(s);
  if (lost) nbsi_notify_seal(s);
  return rc;
}

int nbs_delete(nbs_seg *s, const uint8_t *id) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK || (rc = nbsi_lock(s)) != NBS_OK) return rc;
  uint32_t i = nbsi_index_find(s, id);
  if (i == NBSI_NIL) {
    rc = NBS_ENOTFOUND;
  } else {
    nbsi_entry *e = &s->entries[i];
    nbsi_lru_drop(s, i);
    nb_atomic_store(&e->word, e->word | NBSI_F_DELETED, RELEASE);
    NB_FAILPOINT("delete");
    nbsi_index_drop(s, i);
    nbsi_settle(s, i);
  }
  nbsi_unlock(s);
  return rc;
}
