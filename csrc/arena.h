/* arena.h - gives out pieces of the arena by offset.
 *
 * Extents tile [0, reserved) without gaps: one per block in use (its links live in the
 * entry) and one per free piece (nbsi_fext). Free pieces hang in size classes, newest
 * first, so that memory freed last, whose pages are warm, is used first. Blocks are cut
 * from the low end of a piece: the untouched end of the arena is used last.
 *
 * All of this is derived from the entries. Lock held in every function here. */
#ifndef NBS_ARENA_H
#define NBS_ARENA_H

#include "impl.h"

/* nbsi_arena_alloc finds `bytes` (a multiple of 64) for entry `e`; its offset goes to
 * *off. 0, or -1 when no piece is large enough. */
int nbsi_arena_alloc(nbs_seg *s, uint32_t e, uint64_t bytes, uint64_t *off);
/* nbsi_arena_free gives back [off, off + bytes), the extent of entry `e`. */
void nbsi_arena_free(nbs_seg *s, uint32_t e, uint64_t off, uint64_t bytes);

uint64_t nbsi_arena_tail(nbs_seg *s); /* bytes free directly below the frontier */
/* nbsi_arena_missing tells how far the frontier must move so that `bytes` fit. */
uint64_t nbsi_arena_missing(nbs_seg *s, uint64_t bytes);
/* nbsi_arena_extend moves the frontier to `reserved`, which is backed already. */
void nbsi_arena_extend(nbs_seg *s, uint64_t reserved);

uint64_t nbsi_arena_largest(nbs_seg *s); /* bytes of the largest free piece */
uint32_t nbsi_bin_of(uint64_t bytes);    /* size class of a free piece */

/* nbsi_arena_rebuild makes all anew from the blocks of `n` entries, listed in s->scratch
 * in order of address. NBS_ECORRUPT when they overlap. */
int nbsi_arena_rebuild(nbs_seg *s, uint32_t n);

/* Extents by address, for check.c: what a reference means. */
static inline int nbsi_ext_is_free(const nbs_seg *s, uint32_t ref) {
  return ref >= s->geo.max_entries;
}
static inline nbsi_fext *nbsi_fext_at(nbs_seg *s, uint32_t ref) {
  return &s->fexts[ref - s->geo.max_entries];
}

#endif
