/* events.c - one ring of records per process, and exact counters.
 *
 * Threads of a process claim places in its ring by compare-and-swap on `head` and commit
 * a record by its stamp (position + 1, in nbs_event.reserved), so the drainer never reads
 * half a record. A full ring makes its writer wait a little for the drainer, and drops records
 * and counts them when that did not come: only counters are exact. */
#include <string.h>

#include "grow.h"
#include "lock.h"
#include "platform.h"

#define RING_BYTES  ((uint64_t)NBSI_EVENTS * sizeof(nbs_event))
#define DRAIN_SLICE 1024u /* records moved before the lock is given to others */
#define HALF        (NBSI_EVENTS / 2)
#define CALL_EVERY  512u        /* records: as often a ring over half full calls the drainer */
#define WAIT_FROM   50000ull    /* ns: the first sleep of a writer that met a full ring; doubled */
#define WAIT_SLICE  2000000ull  /* ns: its longest */
#define WAIT_MOST   50000000ull /* ns: all of them, of sleep and of the clock */

static nbs_event *ring_at(const nbs_seg *s, uint32_t ring) {
  return (nbs_event *)(void *)(s->event_rings + ring * RING_BYTES);
}

/* back_ring reserves a ring's memory once: 0 when it is there. */
static int back_ring(nbs_seg *s, nbsi_event_ctl *ctl, uint32_t ring) {
  if (nb_atomic_load(&ctl->backed, ACQUIRE) == 1) return 0;
  if (nb_atomic_load(&ctl->backed, ACQUIRE) == 2) return -1; /* it was refused once */
  int ok = nbsi_back_range(s, s->geo.off_events + ring * RING_BYTES, RING_BYTES) == NBS_OK;
  nb_atomic_store(&ctl->backed, ok ? 1ull : 2ull, RELEASE);
  return ok ? 0 : -1;
}

/* call_drainer wakes whoever is in nbs_event_wait. */
static void call_drainer(nbs_seg *s) {
  nb_atomic_add(&s->h->events_behind, 1u, SEQ_CST);
  nbsi_futex_wake_all(&s->h->events_behind);
}

/* append puts one record; any thread of the process the ring belongs to. -1: it is full, and
 * *tail is where it was then. */
static int append(nbs_seg *s, nbsi_event_ctl *ctl, nbs_event *ring, const nbs_event *e,
                  uint64_t *tail) {
  uint64_t head = nb_atomic_load(&ctl->head, RELAXED), used;
  do {
    *tail = nb_atomic_load(&ctl->tail, ACQUIRE);
    used = head - *tail;
    if (used >= NBSI_EVENTS) return -1;
  } while (!nb_atomic_cas(&ctl->head, &head, head + 1, ACQ_REL));
  nbs_event *at = &ring[head % NBSI_EVENTS];
  uint64_t *stamp = &at->reserved;
  at->t_ns = e->t_ns;
  at->seq = e->seq;
  at->owner = e->owner;
  at->process = e->process;
  at->dur_ns = e->dur_ns;
  at->b = e->b;
  at->a = e->a;
  at->kind = e->kind;
  at->flags = e->flags;
  nb_atomic_store(stamp, head + 1, RELEASE);
  /* Again and again while it is so: whoever was to make the call may have died. */
  if (used >= HALF && head % CALL_EVERY == 0) call_drainer(s);
  return 0;
}

/* drop counts a record that found no room. */
static void drop(nbs_seg *s, nbsi_event_ctl *ctl) {
  if (nb_atomic_add(&ctl->dropped, 1ull, RELAXED) % CALL_EVERY == 0) call_drainer(s);
}

/* wait_for_room sleeps until a full ring's tail has moved on from `tail`; 0 when it has. The
 * drainer was called long before, and as a rule lacks nothing but a processor, which this
 * sleep gives it: where the clock goes on and nobody sleeps the machine stands still, and the
 * drainer with it. One that is stopped or gone is waited for once, not at each record; where
 * nobody listens nobody is waited for. */
static int wait_for_room(nbs_seg *s, nbsi_event_ctl *ctl, uint64_t tail) {
  if (nb_atomic_load(&s->drains, RELAXED) != 0) return -1;
  if (nb_atomic_load(&s->h->events_heard, RELAXED) == 0) return -1;
  if (nb_atomic_load(&s->vain_tail, RELAXED) == tail + 1) return -1;
  call_drainer(s);
  uint64_t end = nbsi_now_ns() + WAIT_MOST, slice = WAIT_FROM, slept = 0;
  do {
    nbsi_sleep_ns(slice);
    if (nb_atomic_load(&ctl->tail, ACQUIRE) != tail) return 0;
    slept += slice; /* or less, when a signal came: hence the clock as well */
    if (slice < WAIT_SLICE) slice *= 2;
  } while (slept < WAIT_MOST || nbsi_now_ns() < end);
  nb_atomic_store(&s->vain_tail, tail + 1, RELAXED);
  return -1;
}

void nbsi_event(nbs_seg *s, const nbs_event *e) {
#ifdef NBS_NO_EVENTS /* for the benchmark of what records cost */
  (void)s, (void)e, (void)append, (void)drop, (void)wait_for_room;
  return;
#else
  nbsi_event_ctl *ctl = &s->me->events;
  uint64_t tail = 0;
  if (back_ring(s, ctl, s->slot) != 0) {
    nb_atomic_add(&ctl->dropped, 1ull, RELAXED);
    return;
  }
  while (append(s, ctl, ring_at(s, s->slot), e, &tail) != 0) {
    if (wait_for_room(s, ctl, tail) == 0) continue;
    drop(s, ctl);
    return;
  }
#endif
}

int nbs_event_put(nbs_seg *s, uint16_t kind, uint16_t flags, uint64_t seq, uint32_t a, uint64_t b) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  nbs_event e = {.t_ns = nbsi_now_ns(),
                 .seq = seq,
                 .owner = s->peer,
                 .process = s->peer,
                 .b = b,
                 .a = a,
                 .kind = kind,
                 .flags = flags};
  nbsi_event(s, &e);
  return NBS_OK;
}

/* take_records copies committed records (lock held); how many. `skip`: the writer is dead,
 * so a place that was claimed and not committed stays a hole for ever. */
static uint64_t take_records(nbsi_event_ctl *ctl, nbs_event *ring, nbs_event *out, uint64_t max,
                             int skip) {
  uint64_t n = 0, tail = ctl->tail, head = nb_atomic_load(&ctl->head, ACQUIRE);
  if (head - tail > NBSI_EVENTS) tail = head - NBSI_EVENTS; /* only if it was scribbled on */
  while (n < max && tail != head) {
    nbs_event *at = &ring[tail % NBSI_EVENTS];
    if (nb_atomic_load(&at->reserved, ACQUIRE) == tail + 1) {
      out[n] = *at;
      out[n++].reserved = 0;
    } else if (!skip) {
      break;
    }
    tail++;
  }
  nb_atomic_store(&ctl->tail, tail, RELEASE);
  return n;
}

void nbsi_events_adopt(nbs_seg *s, uint32_t slot) {
  nbsi_event_ctl *from = &s->slots[slot].events, *to = &s->h->orphans;
  to->dropped += nb_atomic_exchange(&from->dropped, 0ull, RELAXED);
  if (nb_atomic_load(&from->backed, ACQUIRE) != 1) return;
  int backed = back_ring(s, to, NBS_MAX_SLOTS) == 0; /* 512 KiB, once: short enough here */
  nbs_event e;
  uint64_t tail;
  while (from->tail != nb_atomic_load(&from->head, ACQUIRE)) {
    if (take_records(from, ring_at(s, slot), &e, 1, 1) == 0) break;
    /* No waiting here: the drainer needs the lock. */
    if (!backed || append(s, to, ring_at(s, NBS_MAX_SLOTS), &e, &tail) != 0) drop(s, to);
  }
}

/* drain_ring empties one ring into out, giving the lock to others between slices. */
static int drain_ring(nbs_seg *s, uint32_t ring, nbs_event *out, uint64_t max, uint64_t *got,
                      uint64_t *dropped) {
  for (;;) {
    int rc = nbsi_lock(s);
    if (rc != NBS_OK) return rc;
    nbsi_event_ctl *ctl = ring == NBS_MAX_SLOTS ? &s->h->orphans : &s->slots[ring].events;
    uint64_t room = max - *got, n = 0;
    if (nb_atomic_load(&ctl->backed, ACQUIRE) == 1)
      n = take_records(ctl, ring_at(s, ring), out + *got, room < DRAIN_SLICE ? room : DRAIN_SLICE,
                       ring == NBS_MAX_SLOTS);
    *dropped += nb_atomic_exchange(&ctl->dropped, 0ull, RELAXED);
    nbsi_unlock(s);
    *got += n;
    if (n < DRAIN_SLICE) return NBS_OK;
  }
}

int64_t nbs_event_drain(nbs_seg *s, nbs_event *out, uint64_t max, uint64_t *dropped) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  nb_atomic_store(&s->drains, 1u, RELAXED);
  uint64_t got = 0, lost = 0;
  uint32_t n = nb_atomic_load(&s->h->slots_used, ACQUIRE);
  for (uint32_t i = 0; i <= n && rc == NBS_OK; i++)
    rc = drain_ring(s, i == n ? NBS_MAX_SLOTS : i, out, max, &got, &lost);
  if (dropped != NULL) *dropped = lost;
  return rc == NBS_OK || got > 0 ? (int64_t)got : rc;
}

int64_t nbs_event_wait(nbs_seg *s, uint32_t seen, uint64_t timeout_ns) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  uint32_t *behind = &s->h->events_behind;
  nb_atomic_store(&s->h->events_heard, 1u, RELAXED);
  if (nb_atomic_load(behind, SEQ_CST) == seen) nbsi_futex_wait(behind, seen, timeout_ns);
  return (int64_t)nb_atomic_load(behind, SEQ_CST);
}

int nbs_event_call(nbs_seg *s) {
  int rc = nbsi_enter(s);
  if (rc == NBS_OK) call_drainer(s);
  return rc;
}

/* ------------------------------------------------------------------ counters */

int nbs_count(nbs_seg *s, uint32_t counter, int64_t delta) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  if (counter >= NBS_N_COUNTERS) return NBS_EINVAL;
  nb_atomic_add(&s->me->counters[counter], delta, RELAXED);
  return NBS_OK;
}

int nbs_counters(nbs_seg *s, int64_t *out) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK || (rc = nbsi_lock(s)) != NBS_OK) return rc;
  const nbsi_header *h = s->h;
  memcpy(out, h->dead_counters[h->fold_word & 1], sizeof h->dead_counters[0]);
  for (uint32_t i = 0; i < h->slots_used; i++) {
    if (nbsi_low(s->slots[i].word) == NBSI_SLOT_FREE) continue;
    for (uint32_t k = 0; k < NBS_N_COUNTERS; k++)
      out[k] += nb_atomic_load(&s->slots[i].counters[k], RELAXED);
  }
  nbsi_unlock(s);
  return NBS_OK;
}
