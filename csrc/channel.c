/* channel.c - opening and closing channels, and where their rings lie.
 *
 * A channel lives until both ends have left it: the owner by nbs_chan_close or death, the
 * worker by seeing that the owner left (nbs_take) or by death. So neither end ever has
 * its rings taken away under it, and what a dead worker sent can still be read. */
#include "channel.h"

#include <string.h>

#include "grow.h"
#include "lock.h"

enum { NEED_RINGS = 1, NEED_CHAN = 2 };

/* ------------------------------------------------------------- ring memory */

static void map_units(nbsi_header *h, uint32_t unit, uint32_t n, int used) {
  for (uint32_t u = unit; u < unit + n; u++) {
    uint64_t bit = 1ull << (u % 64);
    if (used)
      h->ring_map[u / 64] |= bit;
    else
      h->ring_map[u / 64] &= ~bit;
  }
}

/* find_units: the first free run of `n` units, or NBSI_NIL. First fit keeps rings at the
 * low end, so that memory backed once is used again. */
static uint32_t find_units(const nbsi_header *h, uint32_t n) {
  uint32_t run = 0;
  for (uint32_t u = 0; u < NBSI_RING_UNITS; u++) {
    if (run == 0 && u % 64 == 0 && h->ring_map[u / 64] == ~0ull) {
      u += 63;
      continue;
    }
    run = h->ring_map[u / 64] >> (u % 64) & 1 ? 0 : run + 1;
    if (run == n) return u + 1 - n;
  }
  return NBSI_NIL;
}

static uint32_t units_of(const nbsi_chan *c) { return 2 * c->ring_bytes / NBSI_RING_UNIT; }

int nbsi_chans_rebuild(nbs_seg *s) {
  nbsi_header *h = s->h;
  memset(h->ring_map, 0, sizeof h->ring_map);
  h->n_channels = 0;
  for (uint32_t i = 0; i < h->chans_used; i++) {
    const nbsi_chan *c = &s->chans[i];
    if (nbsi_low(c->word) == 0) continue;
    if (c->ring_unit > NBSI_RING_UNITS || units_of(c) > NBSI_RING_UNITS - c->ring_unit)
      return NBS_ECORRUPT;
    map_units(h, c->ring_unit, units_of(c), 1);
    h->n_channels++;
  }
  return NBS_OK;
}

/* -------------------------------------------------------------- open, close */

static int back_rings(nbs_seg *s, uint32_t need_units) {
  int rc = nbsi_lock(s);
  if (rc != NBS_OK) return rc;
  uint32_t from = s->h->rings_backed;
  nbsi_unlock(s);
  if (need_units > NBSI_RING_UNITS) return NBS_ELIMIT;
  if (from >= need_units) return NBS_OK;
  rc = nbsi_back_range(s, s->geo.off_rings + (uint64_t)from * NBSI_RING_UNIT,
                       (uint64_t)(need_units - from) * NBSI_RING_UNIT);
  if (rc != NBS_OK || (rc = nbsi_lock(s)) != NBS_OK) return rc;
  if (s->h->rings_backed < need_units) s->h->rings_backed = need_units;
  nbsi_unlock(s);
  return NBS_OK;
}

static int open_locked(nbs_seg *s, uint64_t worker, uint32_t bytes, uint32_t *chan,
                       uint32_t *need) {
  nbsi_header *h = s->h;
  if (!nbsi_slot_valid(s, worker)) return NBS_EDEAD;
  uint32_t units = 2 * bytes / NBSI_RING_UNIT, i = 0;
  uint32_t unit = find_units(h, units);
  if (unit == NBSI_NIL) return NBS_ELIMIT;
  if (unit + units > h->rings_backed) {
    *need = unit + units;
    return NEED_RINGS;
  }
  while (i < h->chans_used && nbsi_low(s->chans[i].word) != 0) i++;
  if (i == NBS_MAX_CHANNELS) return NBS_ELIMIT;
  if (i == h->chans_used) {
    if (*need <= i) { /* the caller backs the record first, and says so by *need */
      *need = i;
      return NEED_CHAN;
    }
    nb_atomic_store(&h->chans_used, i + 1, RELEASE);
  }
  nbsi_chan *c = &s->chans[i];
  uint64_t gen = nbsi_gen(c->word);
  const size_t kept = offsetof(nbsi_chan, ring_unit);
  memset((uint8_t *)c + kept, 0, sizeof *c - kept);
  /* Atomic, as somebody with an old ready bit may look whether the channel is his. */
  nb_atomic_store(&c->owner, s->peer, RELAXED);
  nb_atomic_store(&c->worker, worker, RELAXED);
  c->ring_unit = unit;
  c->ring_bytes = bytes;
  NB_FAILPOINT("chan_open");
  /* 20 bits of generation fit into a channel number; 0 is skipped, so no number is 0. */
  gen = (gen & 0xfffff) == 0 ? 1 : gen & 0xfffff;
  nb_atomic_store(&c->word, nbsi_word(gen, NBSI_CHAN_OPEN), RELEASE);
  NB_FAILPOINT("chan_opened");
  map_units(h, unit, units, 1);
  h->n_channels++;
  *chan = nbsi_chan_number(c->word, i);
  return NBS_OK;
}

int nbs_chan_open(nbs_seg *s, uint64_t worker, uint32_t ring_bytes, uint32_t *chan) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  if (ring_bytes == 0) ring_bytes = NBSI_RING_DEFAULT;
  if (ring_bytes > NBSI_RING_MAX) return NBS_EINVAL;
  uint32_t bytes = NBSI_RING_UNIT;
  while (bytes < ring_bytes) bytes *= 2;
  uint32_t need = 0;
  for (int tries = 0; tries < 100; tries++) {
    if ((rc = nbsi_lock(s)) != NBS_OK) return rc;
    rc = open_locked(s, worker, bytes, chan, &need);
    nbsi_unlock(s);
    if (rc == NEED_RINGS) {
      rc = back_rings(s, need);
      need = 0;
    } else if (rc == NEED_CHAN) {
      rc = nbsi_back_range(s, s->geo.off_chans + (uint64_t)need * sizeof(nbsi_chan),
                           sizeof(nbsi_chan));
      need++;
    } else {
      return rc;
    }
    if (rc != NBS_OK) return rc;
  }
  return NBS_ELIMIT;
}

void nbsi_chan_leave(nbs_seg *s, uint32_t index, uint32_t side) {
  nbsi_chan *c = &s->chans[index];
  uint64_t word = c->word;
  if (nbsi_low(word) == 0 || (word & side) != 0) return;
  const uint32_t both = NBSI_CHAN_OWNER_GONE | NBSI_CHAN_WORKER_GONE;
  if (((word | side) & both) == both) {
    nb_atomic_store(&c->word, nbsi_word(nbsi_gen(word) + 1ull, 0), RELEASE);
    NB_FAILPOINT("chan_free");
    map_units(s->h, c->ring_unit, units_of(c), 0);
    s->h->n_channels--;
    return;
  }
  nb_atomic_store(&c->word, word | side, SEQ_CST);
  NB_FAILPOINT("chan_leave");
  /* The other end is to notice soon: the owner finds NBS_EDEAD, the worker lets go. */
  if (side == NBSI_CHAN_WORKER_GONE) {
    nb_atomic_store(&c->run_start, 0ull, RELEASE);
    nbsi_notify_chan(s, nbsi_slot_of(c->owner), NBS_READY_OWNED, index);
  } else {
    nbsi_notify_chan(s, nbsi_slot_of(c->worker), NBS_READY_SERVED, index);
  }
}

void nbsi_chans_leave(nbs_seg *s, uint64_t peer) {
  for (uint32_t i = 0; i < s->h->chans_used; i++) {
    if (nbsi_low(s->chans[i].word) == 0) continue;
    uint64_t owner = s->chans[i].owner, worker = s->chans[i].worker;
    if (owner == peer) nbsi_chan_leave(s, i, NBSI_CHAN_OWNER_GONE);
    if (worker == peer) nbsi_chan_leave(s, i, NBSI_CHAN_WORKER_GONE);
  }
}

int nbs_chan_close(nbs_seg *s, uint32_t chan) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  pthread_mutex_lock(&s->recv_lock); /* another thread may be draining it */
  if ((rc = nbsi_lock(s)) != NBS_OK) {
    pthread_mutex_unlock(&s->recv_lock);
    return rc;
  }
  uint32_t flags;
  nbsi_chan *c = nbsi_chan_find(s, chan, &flags);
  if (c == NULL || (flags & NBSI_CHAN_OWNER_GONE) != 0)
    rc = NBS_ENOTFOUND;
  else if (c->owner != s->peer)
    rc = NBS_ESTATE;
  else
    nbsi_chan_leave(s, chan & (NBS_MAX_CHANNELS - 1), NBSI_CHAN_OWNER_GONE);
  nbsi_unlock(s);
  pthread_mutex_unlock(&s->recv_lock);
  return rc;
}

/* --------------------------------------------------------------- questions */

uint64_t nbs_chan_peer(nbs_seg *s, uint32_t chan) {
  uint32_t flags;
  if (nbsi_enter(s) != NBS_OK) return 0;
  const nbsi_chan *c = nbsi_chan_find(s, chan, &flags);
  if (c == NULL || (flags & ~(uint32_t)NBSI_CHAN_OPEN) != 0) return 0;
  return c->owner == s->peer ? c->worker : c->owner;
}

uint32_t nbs_chan_max_payload(nbs_seg *s, uint32_t chan) {
  uint32_t flags;
  if (nbsi_enter(s) != NBS_OK) return 0;
  const nbsi_chan *c = nbsi_chan_find(s, chan, &flags);
  return c == NULL ? 0 : nbsi_max_payload(c);
}

/* runs reads what a channel's worker runs: 1 and the task, or 0. */
static int runs(const nbsi_chan *c, uint64_t *seq, uint64_t *start_ns) {
  for (int tries = 0; tries < 100; tries++) {
    uint64_t start = nb_atomic_load(&c->run_start, ACQUIRE);
    uint64_t number = nb_atomic_load(&c->run_seq, ACQUIRE);
    if (start != nb_atomic_load(&c->run_start, ACQUIRE)) continue; /* it moved on */
    if (start == 0) return 0;
    if (seq != NULL) *seq = number;
    if (start_ns != NULL) *start_ns = start;
    return 1;
  }
  return 0;
}

int nbs_running(nbs_seg *s, uint32_t chan, uint64_t *seq, uint64_t *start_ns) {
  uint32_t flags;
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  const nbsi_chan *c = nbsi_chan_find(s, chan, &flags);
  return c == NULL ? NBS_ENOTFOUND : runs(c, seq, start_ns);
}

int64_t nbs_running_list(nbs_seg *s, nbs_running_task *out, uint64_t max) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  uint64_t n = 0;
  uint32_t used = nb_atomic_load(&s->h->chans_used, ACQUIRE);
  if (used > NBS_MAX_CHANNELS) used = NBS_MAX_CHANNELS;
  for (uint32_t i = 0; i < used && n < max; i++) {
    const nbsi_chan *c = &s->chans[i];
    nbs_running_task *at = &out[n];
    uint64_t word = nb_atomic_load(&c->word, ACQUIRE);
    if ((nbsi_low(word) & NBSI_CHAN_OPEN) == 0) continue;
    at->owner = nb_atomic_load(&c->owner, RELAXED);
    at->worker = nb_atomic_load(&c->worker, RELAXED);
    uint32_t what = nb_atomic_load(&c->run_what, RELAXED);
    at->flags = what & 255u;
    at->a = what >> 8;
    if (runs(c, &at->seq, &at->start_ns) == 1 && nb_atomic_load(&c->word, ACQUIRE) == word) n++;
  }
  return (int64_t)n;
}

int nbs_cancel_running(nbs_seg *s, uint32_t chan, uint64_t seq, int signo) {
  uint64_t now = 0;
  int rc = nbs_running(s, chan, &now, NULL);
  if (rc < 0) return rc;
  if (rc == 0 || now != seq) return NBS_ESTATE;
  uint32_t flags;
  nbsi_chan *c = nbsi_chan_find(s, chan, &flags);
  if (c == NULL) return NBS_ENOTFOUND;
  nb_atomic_store(&c->cancel_seq, seq + 1, SEQ_CST);
  /* It may end before the signal gets there; nbs_cancel_wanted then says no. */
  return nbs_signal(s, c->worker, signo);
}

int nbs_cancel_wanted(nbs_seg *s) {
  if (nbsi_enter(s) != NBS_OK) return 0;
  uint32_t run = nb_atomic_load(&s->run_chan, RELAXED);
  if (run == 0) return 0;
  const nbsi_chan *c = &s->chans[run - 1];
  if (nb_atomic_load(&c->run_start, ACQUIRE) == 0) return 0;
  return nb_atomic_load(&c->cancel_seq, SEQ_CST) == nb_atomic_load(&c->run_seq, RELAXED) + 1;
}
