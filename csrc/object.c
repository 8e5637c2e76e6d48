/* object.c - objects come to life and change state.
 *
 *   (none) --promise--> PROMISED --create--> CREATED --seal--> SEALED
 *   (none) --create--> CREATED          CREATED --abort, creator dead--> PROMISED | lost
 *   PROMISED --promiser dead--> lost    (lost = SEALED with NBS_META_LOST, no data)
 *
 * Each change is one store to entry.word, under the lock. Freeing is in holds.c. */
#include <string.h>

#include "arena.h"
#include "grow.h"
#include "holds.h"
#include "index.h"
#include "lock.h"

/* Answers of the locked half that the unlocked half acts on. */
enum { NEED_ENTRY = 1, NEED_MEMORY = 2 };
#define TRIES 1000 /* others may take what we grew; not for ever */

/* entry_pick finds a free entry without taking it; NEED_ENTRY when there is none. */
static int entry_pick(nbs_seg *s, uint32_t *e) {
  nbsi_header *h = s->h;
  if (h->entry_free != NBSI_NIL)
    *e = h->entry_free;
  else if (h->entries_used < h->entries_backed)
    *e = h->entries_used;
  else
    return NEED_ENTRY;
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
  e->meta = 0;
  e->size = e->block = e->off = 0;
  e->promiser = e->creator = e->transit = 0;
  e->n_children = e->child_refs = 0;
  e->lru_prev = NBSI_NOT_IN;
  return e;
}

static uint64_t live_word(const nbsi_entry *e, uint32_t low) {
  uint32_t gen = nbsi_gen(e->word);
  return nbsi_word(gen == 0 ? 1 : gen, low); /* 0: so that no handle is 0 */
}

static uint64_t handle(nbs_seg *s, uint32_t i) {
  return nbsi_word(nbsi_gen(s->entries[i].word), i);
}

/* back_up does without the lock what the locked half asked for. */
static int back_up(nbs_seg *s, int need, uint64_t missing, int *may_grow) {
  if (need == NEED_ENTRY) return nbsi_grow_entries(s);
  int rc = nbsi_grow_arena(s, missing);
  if (rc == NBS_ENOMEM || rc == NBS_EFULL) {
    *may_grow = rc; /* the locked half then evicts, or answers this */
    return NBS_OK;
  }
  return rc;
}

/* ------------------------------------------------------------------ promise */

static int promise_locked(nbs_seg *s, const uint8_t *id, uint64_t *obj) {
  uint32_t i = nbsi_index_find(s, id);
  int rc = NBS_EEXISTS;
  if (i == NBSI_NIL) {
    if (entry_pick(s, &i) != 0) return NEED_ENTRY;
    nbsi_entry *e = entry_take(s, i, id);
    e->promiser = s->peer;
    NB_FAILPOINT("promise");
    nb_atomic_store(&e->word, live_word(e, NBS_PROMISED), RELEASE);
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
    if (rc != NEED_ENTRY) return rc;
    rc = nbsi_grow_entries(s);
    if (rc != NBS_OK) return rc;
  }
  return NBS_ELIMIT;
}

/* ------------------------------------------------------------------- create */

typedef struct {
  const uint8_t *id;
  uint64_t size, block, hold_for, missing;
  const uint64_t *children;
  uint32_t n_children, meta;
  int may_grow; /* 1, or the status that growing ended with */
} creation;

static int children_live(nbs_seg *s, const creation *c) {
  for (uint32_t k = 0; k < c->n_children; k++) {
    uint32_t i = (uint32_t)c->children[k];
    if (i >= s->h->entries_used || nbsi_gen(s->entries[i].word) != c->children[k] >> 32 ||
        nbsi_state(s->entries[i].word) == NBS_FREE)
      return 0;
  }
  return 1;
}

/* children_keep refers to the children before we look for room, so that eviction does not
 * take them; children_drop undoes it. Derived counts: dying between them does no harm. */
static void children_keep(nbs_seg *s, const creation *c) {
  for (uint32_t k = 0; k < c->n_children; k++) {
    s->entries[(uint32_t)c->children[k]].child_refs++;
    nbsi_lru_drop(s, (uint32_t)c->children[k]);
  }
}

static void children_drop(nbs_seg *s, const creation *c) {
  for (uint32_t k = 0; k < c->n_children; k++) s->entries[(uint32_t)c->children[k]].child_refs--;
  for (uint32_t k = 0; k < c->n_children; k++) nbsi_settle(s, (uint32_t)c->children[k]);
}

/* find_room allocates the block, evicting where the arena cannot grow any more. */
static int find_room(nbs_seg *s, creation *c, uint32_t i, uint64_t *off) {
  while (nbsi_arena_alloc(s, i, c->block, off) != 0) {
    c->missing = nbsi_arena_missing(s, c->block);
    if (c->may_grow == 1 && c->missing <= s->geo.arena_size - s->h->reserved) return NEED_MEMORY;
    uint32_t victim = s->h->lru_head;
    if (victim == NBSI_NIL) return c->may_grow == NBS_ENOMEM ? NBS_ENOMEM : NBS_EFULL;
    nbsi_entry_free(s, victim);
    s->h->n_evicted_total++;
  }
  return NBS_OK;
}

/* write_block writes what stands in front of the data: the children and the header. */
static void write_block(nbs_seg *s, const creation *c, nbsi_entry *e, uint32_t i) {
  if (c->n_children > 0) memcpy(s->arena + e->off, c->children, (size_t)c->n_children * 8);
  nbsi_block *b = (nbsi_block *)(void *)(s->arena + nbsi_data_off(e) - sizeof(nbsi_block));
  memset(b, 0, sizeof *b);
  b->magic = NBSI_BLOCK_MAGIC;
  b->obj = nbsi_word(nbsi_gen(live_word(e, 0)), i);
  b->size = e->size;
}

static int create_locked(nbs_seg *s, creation *c, uint64_t *obj, uint32_t *index) {
  uint32_t i = nbsi_index_find(s, c->id), found = i;
  if (found != NBSI_NIL && nbsi_state(s->entries[i].word) != NBS_PROMISED) {
    nbsi_hold_add(s, i);
    *obj = handle(s, i);
    *index = i;
    return NBS_EEXISTS;
  }
  if (c->hold_for != 0 && !nbsi_slot_valid(s, c->hold_for)) return NBS_EDEAD;
  if (!children_live(s, c)) return NBS_ENOTFOUND;
  if (found == NBSI_NIL && entry_pick(s, &i) != 0) return NEED_ENTRY;
  uint64_t off;
  /* Taken before we look for room: eviction pushes entries onto the free list. */
  nbsi_entry *e = found == NBSI_NIL ? entry_take(s, i, c->id) : &s->entries[i];
  children_keep(s, c);
  int rc = find_room(s, c, i, &off);
  if (rc != NBS_OK) {
    children_drop(s, c);
    if (found == NBSI_NIL) {
      e->hash_next = s->h->entry_free;
      s->h->entry_free = i;
    }
    return rc;
  }
  e->off = off;
  e->block = c->block;
  e->size = c->size;
  e->n_children = c->n_children;
  e->meta = c->meta;
  e->creator = s->peer;
  e->transit = c->hold_for;
  write_block(s, c, e, i);
  NB_FAILPOINT("create");
  uint32_t flags = nbsi_low(e->word) & ~0xffu;
  nb_atomic_store(&e->word, live_word(e, flags | NBSI_F_BLOCK | NBS_CREATED), RELEASE);
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
  uint64_t head = ((uint64_t)n_children * 8 + 63) / 64 * 64 + sizeof(nbsi_block);
  if (head > s->geo.arena_size || size > s->geo.arena_size - head) return NBS_ETOOBIG;
  uint64_t block = head + (size + NBS_ALIGN - 1) / NBS_ALIGN * NBS_ALIGN;
  if (block > s->geo.arena_size) return NBS_ETOOBIG;
  creation c = {id, size, block, hold_for, 0, children, n_children, meta & ~(uint32_t)NBS_META_LOST,
                1};
  for (int t = 0; t < TRIES; t++) {
    uint32_t i = 0;
    rc = nbsi_lock(s);
    if (rc != NBS_OK) return rc;
    rc = create_locked(s, &c, obj, &i);
    if (data != NULL && (rc == NBS_OK || rc == NBS_EEXISTS))
      *data = s->entries[i].word & NBSI_F_BLOCK ? s->arena + nbsi_data_off(&s->entries[i]) : NULL;
    nbsi_unlock(s);
    if (rc <= 0) return rc;
    rc = back_up(s, rc, c.missing, &c.may_grow);
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
    s->h->n_sealed++;
    nb_atomic_add(&s->h->seal_gen, 1ull, SEQ_CST);
  }
  nbsi_unlock(s);
  if (rc == NBS_OK) nbsi_notify_seal(s);
  return rc;
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
