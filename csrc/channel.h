/* channel.h - finding a channel by number. */
#ifndef NBS_CHANNEL_H
#define NBS_CHANNEL_H

#include "impl.h"

static inline uint32_t nbsi_chan_number(uint64_t word, uint32_t index) {
  return nbsi_gen(word) << NBSI_CHAN_BITS | index;
}

/* nbsi_chan_find: the channel of a number, and the flags of its word; NULL when it is over. */
static inline nbsi_chan *nbsi_chan_find(nbs_seg *s, uint32_t number, uint32_t *flags) {
  uint32_t index = number & (NBS_MAX_CHANNELS - 1);
  if (index >= nb_atomic_load(&s->h->chans_used, ACQUIRE)) return NULL;
  nbsi_chan *c = &s->chans[index];
  uint64_t word = nb_atomic_load(&c->word, SEQ_CST);
  *flags = nbsi_low(word);
  return *flags != 0 && nbsi_chan_number(word, index) == number ? c : NULL;
}

/* The memory of the two rings. */
static inline uint8_t *nbsi_ring_down(const nbs_seg *s, const nbsi_chan *c) {
  return s->rings + (uint64_t)c->ring_unit * NBSI_RING_UNIT;
}
static inline uint8_t *nbsi_ring_up(const nbs_seg *s, const nbsi_chan *c) {
  return nbsi_ring_down(s, c) + c->ring_bytes;
}

/* The largest payload: two records, one of them wrapped, always fit. */
static inline uint32_t nbsi_max_payload(const nbsi_chan *c) {
  return c->ring_bytes / 2 - (uint32_t)sizeof(nbsi_record);
}

#endif
