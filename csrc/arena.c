/* arena.c - see arena.h. */
#include "arena.h"

#define OWN_BIN_TRIES 8 /* pieces of the exact size class looked at before larger ones */

static uint32_t *ext_next(nbs_seg *s, uint32_t ref) {
  return nbsi_ext_is_free(s, ref) ? &nbsi_fext_at(s, ref)->ext_next : &s->entries[ref].ext_next;
}

static uint32_t *ext_prev(nbs_seg *s, uint32_t ref) {
  return nbsi_ext_is_free(s, ref) ? &nbsi_fext_at(s, ref)->ext_prev : &s->entries[ref].ext_prev;
}

/* ext_put links `ref` between two neighbours (NBSI_NIL: the ends of the arena). */
static void ext_put(nbs_seg *s, uint32_t ref, uint32_t prev, uint32_t next) {
  *ext_prev(s, ref) = prev;
  *ext_next(s, ref) = next;
  if (prev == NBSI_NIL)
    s->h->ext_first = ref;
  else
    *ext_next(s, prev) = ref;
  if (next == NBSI_NIL)
    s->h->ext_last = ref;
  else
    *ext_prev(s, next) = ref;
}

static void ext_drop(nbs_seg *s, uint32_t ref) {
  uint32_t prev = *ext_prev(s, ref), next = *ext_next(s, ref);
  if (prev == NBSI_NIL)
    s->h->ext_first = next;
  else
    *ext_next(s, prev) = next;
  if (next == NBSI_NIL)
    s->h->ext_last = prev;
  else
    *ext_prev(s, next) = prev;
}

/* --------------------------------------------------------- size classes */

/* Eight classes per power of two of 64-byte units: a class holds sizes within 12 %. */
uint32_t nbsi_bin_of(uint64_t bytes) {
  uint64_t units = bytes / NBS_ALIGN;
  if (units < 8) return (uint32_t)units;
  uint32_t top = 63u - (uint32_t)__builtin_clzll(units);
  uint32_t bin = (top - 2) * 8 + (uint32_t)((units >> (top - 3)) & 7);
  return bin < NBSI_BINS ? bin : NBSI_BINS - 1;
}

static void bin_put(nbs_seg *s, uint32_t ref) {
  nbsi_fext *f = nbsi_fext_at(s, ref);
  uint32_t bin = nbsi_bin_of(f->size);
  f->bin_prev = NBSI_NIL;
  f->bin_next = s->h->bins[bin];
  if (f->bin_next != NBSI_NIL) nbsi_fext_at(s, f->bin_next)->bin_prev = ref;
  s->h->bins[bin] = ref;
  s->h->bin_map[bin / 64] |= 1ull << (bin % 64);
}

static void bin_drop(nbs_seg *s, uint32_t ref) {
  nbsi_fext *f = nbsi_fext_at(s, ref);
  uint32_t bin = nbsi_bin_of(f->size);
  if (f->bin_prev == NBSI_NIL)
    s->h->bins[bin] = f->bin_next;
  else
    nbsi_fext_at(s, f->bin_prev)->bin_next = f->bin_next;
  if (f->bin_next != NBSI_NIL) nbsi_fext_at(s, f->bin_next)->bin_prev = f->bin_prev;
  if (s->h->bins[bin] == NBSI_NIL) s->h->bin_map[bin / 64] &= ~(1ull << (bin % 64));
}

/* scan_bin takes the smallest that fits among the first `tries` pieces of a class. */
static uint32_t scan_bin(nbs_seg *s, uint32_t bin, uint64_t bytes, uint32_t tries) {
  uint32_t best = NBSI_NIL;
  for (uint32_t ref = s->h->bins[bin]; ref != NBSI_NIL && tries > 0; tries--) {
    nbsi_fext *f = nbsi_fext_at(s, ref);
    if (f->size >= bytes && (best == NBSI_NIL || f->size < nbsi_fext_at(s, best)->size)) {
      best = ref;
      if (f->size == bytes) break;
    }
    ref = f->bin_next;
  }
  return best;
}

static uint32_t next_bin(const nbsi_header *h, uint32_t from) {
  for (uint32_t w = from / 64; w < NBSI_BINS / 64; w++) {
    uint64_t bits = h->bin_map[w];
    if (w == from / 64) bits &= ~0ull << (from % 64);
    if (bits != 0) return w * 64 + (uint32_t)__builtin_ctzll(bits);
  }
  return NBSI_NIL;
}

static uint32_t find_piece(nbs_seg *s, uint64_t bytes) {
  uint32_t bin = nbsi_bin_of(bytes);
  uint32_t ref = scan_bin(s, bin, bytes, OWN_BIN_TRIES);
  if (ref != NBSI_NIL) return ref;
  if (bin + 1 < NBSI_BINS) {
    uint32_t larger = next_bin(s->h, bin + 1);
    if (larger != NBSI_NIL) return scan_bin(s, larger, bytes, OWN_BIN_TRIES);
  }
  /* Only now the rest of the own class: slow, but otherwise the store would be "full". */
  return scan_bin(s, bin, bytes, UINT32_MAX);
}

/* ------------------------------------------------------- free extents */

/* Records never run out: there is at most one free piece more than blocks in use. */
static uint32_t fext_new(nbs_seg *s, uint64_t off, uint64_t size) {
  uint32_t i = s->h->fext_free;
  if (i != NBSI_NIL)
    s->h->fext_free = s->fexts[i].bin_next;
  else
    i = s->h->fext_used++;
  s->fexts[i].off = off;
  s->fexts[i].size = size;
  return s->geo.max_entries + i;
}

static void fext_delete(nbs_seg *s, uint32_t ref) {
  nbsi_fext_at(s, ref)->bin_next = s->h->fext_free;
  s->h->fext_free = ref - s->geo.max_entries;
}

/* ------------------------------------------------------------ operations */

int nbsi_arena_alloc(nbs_seg *s, uint32_t e, uint64_t bytes, uint64_t *off) {
  uint32_t ref = find_piece(s, bytes);
  if (ref == NBSI_NIL) return -1;
  nbsi_fext *f = nbsi_fext_at(s, ref);
  *off = f->off;
  bin_drop(s, ref);
  uint32_t prev = f->ext_prev, next = f->ext_next;
  if (f->size == bytes) {
    fext_delete(s, ref);
    ext_put(s, e, prev, next);
  } else {
    f->off += bytes;
    f->size -= bytes;
    bin_put(s, ref);
    ext_put(s, e, prev, ref);
  }
  s->h->used_bytes += bytes;
  return 0;
}

void nbsi_arena_free(nbs_seg *s, uint32_t e, uint64_t off, uint64_t bytes) {
  uint32_t prev = s->entries[e].ext_prev, next = s->entries[e].ext_next;
  s->h->used_bytes -= bytes;
  if (next != NBSI_NIL && nbsi_ext_is_free(s, next)) {
    bytes += nbsi_fext_at(s, next)->size;
    bin_drop(s, next);
    ext_drop(s, next);
    fext_delete(s, next);
    next = s->entries[e].ext_next;
  }
  if (prev != NBSI_NIL && nbsi_ext_is_free(s, prev)) {
    bin_drop(s, prev);
    nbsi_fext_at(s, prev)->size += bytes;
    ext_drop(s, e);
    bin_put(s, prev);
    return;
  }
  uint32_t ref = fext_new(s, off, bytes);
  ext_put(s, ref, prev, next);
  bin_put(s, ref);
}

uint64_t nbsi_arena_tail(nbs_seg *s) {
  uint32_t last = s->h->ext_last;
  if (last == NBSI_NIL || !nbsi_ext_is_free(s, last)) return 0;
  return nbsi_fext_at(s, last)->size;
}

uint64_t nbsi_arena_missing(nbs_seg *s, uint64_t bytes) {
  uint64_t tail = nbsi_arena_tail(s);
  return bytes > tail ? bytes - tail : 0;
}

void nbsi_arena_extend(nbs_seg *s, uint64_t reserved) {
  nbsi_header *h = s->h;
  if (reserved <= h->reserved) return; /* somebody else was faster */
  uint64_t from = h->reserved, more = reserved - from;
  uint32_t last = h->ext_last;
  /* The frontier is primary, the pieces are derived: frontier first, repair does the rest. */
  h->reserved = reserved;
  NB_FAILPOINT("arena_extend");
  if (last != NBSI_NIL && nbsi_ext_is_free(s, last)) {
    bin_drop(s, last);
    nbsi_fext_at(s, last)->size += more;
    bin_put(s, last);
    return;
  }
  uint32_t ref = fext_new(s, from, more);
  ext_put(s, ref, last, NBSI_NIL);
  bin_put(s, ref);
}

uint64_t nbsi_arena_largest(nbs_seg *s) {
  for (uint32_t bin = NBSI_BINS; bin-- > 0;) {
    if ((s->h->bin_map[bin / 64] >> (bin % 64) & 1) == 0) continue;
    uint64_t largest = 0;
    for (uint32_t ref = s->h->bins[bin]; ref != NBSI_NIL; ref = nbsi_fext_at(s, ref)->bin_next)
      if (nbsi_fext_at(s, ref)->size > largest) largest = nbsi_fext_at(s, ref)->size;
    return largest;
  }
  return 0;
}

static void append_free(nbs_seg *s, uint64_t off, uint64_t size) {
  uint32_t ref = fext_new(s, off, size);
  ext_put(s, ref, s->h->ext_last, NBSI_NIL);
  bin_put(s, ref);
}

int nbsi_arena_rebuild(nbs_seg *s, uint32_t n) {
  nbsi_header *h = s->h;
  h->ext_first = h->ext_last = h->fext_free = NBSI_NIL;
  h->fext_used = 0;
  h->used_bytes = 0;
  for (uint32_t i = 0; i < NBSI_BINS; i++) h->bins[i] = NBSI_NIL;
  for (uint32_t i = 0; i < NBSI_BINS / 64; i++) h->bin_map[i] = 0;
  uint64_t at = 0;
  for (uint32_t i = 0; i < n; i++) {
    nbsi_entry *e = &s->entries[s->scratch[i]];
    if (e->off < at || e->block > h->reserved || e->off > h->reserved - e->block)
      return NBS_ECORRUPT;
    if (e->off > at) append_free(s, at, e->off - at);
    ext_put(s, s->scratch[i], h->ext_last, NBSI_NIL);
    h->used_bytes += e->block;
    at = e->off + e->block;
  }
  if (at < h->reserved) append_free(s, at, h->reserved - at);
  return NBS_OK;
}
