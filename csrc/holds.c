/* holds.c - see holds.h. */
#include "holds.h"

#include "arena.h"
#include "index.h"
#include "lock.h"

int nbsi_hold_more(nbs_seg *s, uint32_t e, uint32_t gen) {
  uint32_t n = nb_atomic_load(&s->holds[e], RELAXED);
  while (n > 0 && n < UINT32_MAX)
    if (nb_atomic_cas(&s->holds[e], &n, n + 1, ACQ_REL)) {
      /* Between the caller's look and now the entry may have become another object; a
       * handle that is over must not gain a hold on that one. */
      if (nbsi_gen(nb_atomic_load(&s->entries[e].word, ACQUIRE)) == gen) return 0;
      if (nbsi_hold_less(s, e) != 0 && nbsi_lock(s) == NBS_OK) {
        nbsi_hold_drop(s, e);
        nbsi_unlock(s);
      }
      return -1;
    }
  return -1;
}

int nbsi_hold_less(nbs_seg *s, uint32_t e) {
  uint32_t n = nb_atomic_load(&s->holds[e], RELAXED);
  while (n > 1)
    if (nb_atomic_cas(&s->holds[e], &n, n - 1, ACQ_REL)) return 0;
  return -1;
}

/* A pin is counted in s->views as a hold is in s->holds; 0 <-> 1 only under the lock. */
int nbsi_pin_more(nbs_seg *s, uint32_t e) {
  uint32_t n = nb_atomic_load(&s->views[e], RELAXED);
  while (n > 0 && n < UINT32_MAX)
    if (nb_atomic_cas(&s->views[e], &n, n + 1, ACQ_REL)) return 0;
  return -1;
}

int nbsi_pin_less(nbs_seg *s, uint32_t e) {
  uint32_t n = nb_atomic_load(&s->views[e], RELAXED);
  while (n > 1)
    if (nb_atomic_cas(&s->views[e], &n, n - 1, ACQ_REL)) return 0;
  return -1;
}

void nbsi_pin_add(nbs_seg *s, uint32_t e) {
  if (nb_atomic_add(&s->views[e], 1u, ACQ_REL) != 0) return;
  s->entries[e].pins[s->slot / 64] |= 1ull << (s->slot % 64);
  NB_FAILPOINT("pin_add");
}

void nbsi_pin_drop(nbs_seg *s, uint32_t e) {
  if (nb_atomic_sub(&s->views[e], 1u, ACQ_REL) != 1) return;
  s->entries[e].pins[s->slot / 64] &= ~(1ull << (s->slot % 64));
  s->entries[e].stamp = ++s->h->clock;
  NB_FAILPOINT("pin_drop");
}

int nbsi_pinned(const nbsi_entry *e) {
  uint64_t any = 0;
  for (uint32_t w = 0; w < NBSI_SLOT_WORDS; w++) any |= e->pins[w];
  return any != 0;
}

int nbsi_held_by(const nbsi_entry *e, uint32_t slot) {
  return (int)(e->holders[slot / 64] >> (slot % 64) & 1);
}

uint32_t nbsi_n_holders(const nbsi_entry *e) {
  uint32_t n = 0;
  for (uint32_t i = 0; i < NBSI_SLOT_WORDS; i++) n += (uint32_t)__builtin_popcountll(e->holders[i]);
  return n;
}

int nbsi_referenced(const nbs_seg *s, uint32_t i) {
  const nbsi_entry *e = &s->entries[i];
  if (e->child_refs != 0 || e->transit != 0) return 1;
  uint64_t any = 0;
  for (uint32_t w = 0; w < NBSI_SLOT_WORDS; w++) any |= e->holders[w];
  return any != 0;
}

/* ------------------------------------------------------ evictable objects */

int nbsi_evictable(const nbs_seg *s, uint32_t i) {
  const nbsi_entry *e = &s->entries[i];
  return nbsi_state(e->word) == NBS_SEALED && (e->meta & NBS_META_KEEP) != 0 &&
         (e->word & (NBSI_F_DELETED | NBSI_F_LOST)) == 0 && !nbsi_referenced(s, i);
}

void nbsi_lru_put(nbs_seg *s, uint32_t i) {
  nbsi_entry *e = &s->entries[i];
  if (e->lru_prev != NBSI_NOT_IN) return;
  e->lru_prev = s->h->lru_tail;
  e->lru_next = NBSI_NIL;
  if (e->lru_prev == NBSI_NIL)
    s->h->lru_head = i;
  else
    s->entries[e->lru_prev].lru_next = i;
  s->h->lru_tail = i;
  s->h->n_kept++;
}

void nbsi_lru_drop(nbs_seg *s, uint32_t i) {
  nbsi_entry *e = &s->entries[i];
  if (e->lru_prev == NBSI_NOT_IN) return;
  if (e->lru_prev == NBSI_NIL)
    s->h->lru_head = e->lru_next;
  else
    s->entries[e->lru_prev].lru_next = e->lru_next;
  if (e->lru_next == NBSI_NIL)
    s->h->lru_tail = e->lru_prev;
  else
    s->entries[e->lru_next].lru_prev = e->lru_prev;
  e->lru_prev = NBSI_NOT_IN;
  s->h->n_kept--;
}

/* -------------------------------------------------------------------- holds */

void nbsi_hold_add(nbs_seg *s, uint32_t e) {
  uint32_t n = nb_atomic_load(&s->holds[e], RELAXED);
  if (n == 0) {
    nbsi_lru_drop(s, e);
    s->entries[e].holders[s->slot / 64] |= 1ull << (s->slot % 64);
    NB_FAILPOINT("hold_add");
  }
  nb_atomic_add(&s->holds[e], 1u, ACQ_REL);
}

int nbsi_hold_drop(nbs_seg *s, uint32_t e) {
  /* Another thread may add to a count above 0 without the lock, never to one of 0. */
  if (nb_atomic_sub(&s->holds[e], 1u, ACQ_REL) != 1) return 0;
  s->entries[e].holders[s->slot / 64] &= ~(1ull << (s->slot % 64));
  NB_FAILPOINT("hold_drop");
  return nbsi_settle(s, e);
}

int nbsi_hold_clear(nbs_seg *s, uint32_t i, uint64_t peer) {
  nbsi_entry *e = &s->entries[i];
  uint32_t slot = nbsi_slot_of(peer);
  int had = nbsi_held_by(e, slot) || e->transit == peer;
  if (!had) return 0;
  e->pins[slot / 64] &= ~(1ull << (slot % 64));
  e->holders[slot / 64] &= ~(1ull << (slot % 64));
  if (e->transit == peer) e->transit = 0;
  NB_FAILPOINT("hold_clear");
  return nbsi_settle(s, i);
}

int nbsi_settle(nbs_seg *s, uint32_t i) {
  if (nbsi_state(s->entries[i].word) == NBS_FREE || nbsi_referenced(s, i)) return 0;
  if (nbsi_evictable(s, i)) {
    nbsi_lru_put(s, i);
    return 0;
  }
  nbsi_entry_free(s, i);
  return 1;
}

/* drop_block gives an entry's block back; `word` is its old word, the new one is written
 * already. Children that nothing refers to any more go onto the chain `todo` (through
 * lru_next), so that deep containers need no recursion. */
static uint32_t drop_block(nbs_seg *s, uint32_t i, uint64_t word, uint32_t todo) {
  nbsi_entry *e = &s->entries[i];
  if ((word & NBSI_F_BLOCK) == 0) return todo;
  const uint64_t *children = nbsi_children(s, e);
  for (uint32_t k = 0; k < e->n_children; k++) {
    uint32_t c = (uint32_t)children[k];
    if (c >= s->h->entries_used || nbsi_gen(s->entries[c].word) != children[k] >> 32) continue;
    if (--s->entries[c].child_refs != 0 || nbsi_referenced(s, c)) continue;
    if (nbsi_evictable(s, c)) {
      nbsi_lru_put(s, c);
    } else {
      s->entries[c].lru_next = todo;
      todo = c;
    }
  }
  nbsi_arena_free(s, i, e->off, e->block);
  return todo;
}

static uint32_t free_one(nbs_seg *s, uint32_t i, uint32_t todo) {
  nbsi_entry *e = &s->entries[i];
  nbsi_header *h = s->h;
  uint64_t word = e->word;
  nbsi_lru_drop(s, i);
  /* From here on the object is gone, whatever happens to us: the rest is derived. */
  nb_atomic_store(&e->word, nbsi_word(nbsi_gen(word) + 1ull, NBS_FREE), RELEASE);
  NB_FAILPOINT("entry_free");
  if ((word & NBSI_F_DELETED) == 0) nbsi_index_drop(s, i);
  h->n_objects--;
  if (nbsi_state(word) == NBS_SEALED) h->n_sealed--;
  if (nbsi_state(word) == NBS_PROMISED) h->n_promised--;
  if ((word & (NBSI_F_SPILLED | NBSI_F_LOST)) == NBSI_F_SPILLED) {
    h->n_spilled--;
    h->spilled_bytes -= e->size;
  }
  todo = drop_block(s, i, word, todo);
  e->hash_next = h->entry_free;
  h->entry_free = i;
  return todo;
}

static void free_chain(nbs_seg *s, uint32_t todo) {
  while (todo != NBSI_NIL) {
    uint32_t next = s->entries[todo].lru_next;
    todo = free_one(s, todo, next);
  }
}

void nbsi_block_drop(nbs_seg *s, uint32_t i, uint64_t word) {
  free_chain(s, drop_block(s, i, word, NBSI_NIL));
}

void nbsi_entry_free(nbs_seg *s, uint32_t i) { free_chain(s, free_one(s, i, NBSI_NIL)); }

int nbsi_give_up(nbs_seg *s, uint32_t i, uint64_t peer) {
  nbsi_entry *e = &s->entries[i];
  uint64_t word = e->word;
  uint32_t state = nbsi_state(word);
  if (state == NBS_CREATED ? e->creator != peer : state != NBS_PROMISED || e->promiser != peer)
    return 0;
  uint64_t keep = word & ~(uint64_t)(0xffu | NBSI_F_BLOCK);
  int lost = state == NBS_PROMISED || !nbsi_slot_valid(s, e->promiser);
  uint64_t next = lost ? keep | NBSI_F_LOST | NBS_SEALED : keep | NBS_PROMISED;
  nb_atomic_store(&e->word, next, RELEASE);
  NB_FAILPOINT("give_up");
  s->h->n_promised -= state == NBS_PROMISED;
  s->h->n_promised += !lost;
  s->h->n_sealed += (uint64_t)lost;
  nbsi_block_drop(s, i, word);
  if (lost) nb_atomic_add(&s->h->seal_gen, 1ull, SEQ_CST);
  return lost;
}
