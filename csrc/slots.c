/* slots.c - who is attached, whether he lives, and cleaning up after the dead.
 *
 * A process is named by pid, start time and pid namespace: a pid alone comes back within
 * seconds on a busy machine. Its slot is reused under a new epoch, so that an old peer
 * value never names a newer process. */
#include "slots.h"

#include <stddef.h>
#include <string.h>

#include "grow.h"
#include "holds.h"
#include "lock.h"
#include "platform.h"

#define SLICE 8192u /* entries looked at before the lock is given to others: < 1 ms */

/* Peers are compared under the lock: a slot word is written with it held. */
int nbsi_slot_valid(nbs_seg *s, uint64_t peer) {
  uint32_t slot = nbsi_slot_of(peer);
  return slot < s->h->slots_used && s->slots[slot].word == nbsi_word(peer >> 32, NBSI_SLOT_TAKEN);
}

/* ------------------------------------------------------------------- taking */

static int grow_slots(nbs_seg *s) {
  int rc = nbsi_lock(s);
  if (rc != NBS_OK) return rc;
  uint32_t from = s->h->slots_backed;
  nbsi_unlock(s);
  if (from >= NBS_MAX_SLOTS) return NBS_ELIMIT;
  uint32_t to = from + 32 < NBS_MAX_SLOTS ? from + 32 : NBS_MAX_SLOTS;
  rc = nbsi_back_range(s, s->geo.off_slots + (uint64_t)from * sizeof(nbsi_slot),
                       (uint64_t)(to - from) * sizeof(nbsi_slot));
  if (rc != NBS_OK || (rc = nbsi_lock(s)) != NBS_OK) return rc;
  if (s->h->slots_backed < to) s->h->slots_backed = to;
  nbsi_unlock(s);
  return NBS_OK;
}

static int take_locked(nbs_seg *s, uint64_t start_time) {
  nbsi_header *h = s->h;
  uint32_t i = 0;
  while (i < h->slots_used && nbsi_low(s->slots[i].word) != NBSI_SLOT_FREE) i++;
  if (i == h->slots_used) {
    if (i >= h->slots_backed) return NBS_ELIMIT;
    nb_atomic_store(&h->slots_used, i + 1, RELEASE); /* read without the lock */
  }
  nbsi_slot *me = &s->slots[i];
  uint32_t epoch = nbsi_gen(me->word);
  if (epoch == 0) epoch = 1;
  /* The ring of events goes on where the last one here ended: what is stamped in it with a position
   * is never read again as what the next one has claimed at that position, and not written yet. */
  const size_t events = offsetof(nbsi_slot, events), rest = events + sizeof me->events;
  memset((uint8_t *)me + sizeof me->word, 0, events - sizeof me->word);
  memset((uint8_t *)me + rest, 0, sizeof *me - rest);
  if (me->events.backed != 1) me->events.backed = 0; /* it was refused: tried again */
  me->pid = nbsi_pid();
  me->start_time = start_time;
  me->pid_ns = s->pid_ns;
  me->cpu = nbsi_cpu();
  NB_FAILPOINT("slot_take");
  nb_atomic_store(&me->word, nbsi_word(epoch, NBSI_SLOT_TAKEN), RELEASE);
  NB_FAILPOINT("slot_taken");
  h->n_slots++;
  s->me = me;
  s->slot = i;
  s->peer = nbsi_word(epoch, i);
  return NBS_OK;
}

/* recover_any frees the slots of dead processes; 1 when there was one. */
static int recover_any(nbs_seg *s) {
  int found = 0;
  for (uint32_t i = 0; i < NBS_MAX_SLOTS; i++) {
    if (nbsi_lock(s) != NBS_OK) return 0;
    uint64_t word = i < s->h->slots_used ? s->slots[i].word : 0;
    nbsi_unlock(s);
    if (nbsi_low(word) == NBSI_SLOT_FREE) continue;
    if (nbs_recover(s, nbsi_word(nbsi_gen(word), i)) == NBS_OK) found = 1;
  }
  return found;
}

int nbsi_slot_take(nbs_seg *s) {
  uint64_t start_time = 0;
  int zombie;
  if (nbsi_pid_start(nbsi_pid(), &start_time, &zombie) != 0) return NBS_ESYS;
  for (int tries = 0; tries < 100; tries++) {
    int rc = nbsi_lock(s);
    if (rc != NBS_OK) return rc;
    rc = take_locked(s, start_time);
    nbsi_unlock(s);
    if (rc != NBS_ELIMIT) return rc;
    rc = grow_slots(s);
    if (rc == NBS_ELIMIT && recover_any(s)) rc = NBS_OK;
    if (rc != NBS_OK) return rc;
  }
  return NBS_ELIMIT;
}

/* ----------------------------------------------------------------- identity */

uint64_t nbs_self(const nbs_seg *s) { return s->peer; }

typedef struct {
  int64_t pid;
  uint64_t start_time, pid_ns;
} identity;

/* read_identity copies a slot's fields; -1 when it is not `peer` (any more). */
static int read_identity(nbs_seg *s, uint64_t peer, identity *out) {
  uint32_t slot = nbsi_slot_of(peer);
  if (slot >= nb_atomic_load(&s->h->slots_used, RELAXED)) return -1;
  const nbsi_slot *p = &s->slots[slot];
  uint64_t word = nb_atomic_load(&p->word, ACQUIRE);
  out->pid = nb_atomic_load(&p->pid, RELAXED);
  out->start_time = nb_atomic_load(&p->start_time, RELAXED);
  out->pid_ns = nb_atomic_load(&p->pid_ns, RELAXED);
  nb_atomic_fence();
  /* Read again: a new process may have taken the slot while we copied. */
  uint64_t again = nb_atomic_load(&p->word, ACQUIRE);
  return word == again && nbsi_gen(word) == peer >> 32 && nbsi_low(word) != NBSI_SLOT_FREE ? 0 : -1;
}

int nbs_alive(nbs_seg *s, uint64_t peer) {
  identity who;
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  if (read_identity(s, peer, &who) != 0) return 0;
  /* A pid of another namespace says nothing here: its own daemon looks after it. */
  if (who.pid_ns != s->pid_ns) return 1;
  uint64_t start;
  int zombie;
  if (nbsi_pid_start(who.pid, &start, &zombie) != 0) return 0;
  return start == who.start_time && !zombie;
}

int64_t nbs_peer_pid(nbs_seg *s, uint64_t peer) {
  identity who;
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  return read_identity(s, peer, &who) == 0 ? who.pid : NBS_ENOTFOUND;
}

uint64_t nbs_peer_at(nbs_seg *s, uint32_t slot) {
  if (nbsi_enter(s) != NBS_OK || slot >= nb_atomic_load(&s->h->slots_used, ACQUIRE)) return 0;
  uint64_t word = nb_atomic_load(&s->slots[slot].word, ACQUIRE);
  return nbsi_low(word) == NBSI_SLOT_FREE ? 0 : nbsi_word(nbsi_gen(word), slot);
}

uint32_t nbs_slots_used(nbs_seg *s) {
  return nbsi_enter(s) == NBS_OK ? nb_atomic_load(&s->h->slots_used, ACQUIRE) : 0;
}

int nbs_signal(nbs_seg *s, uint64_t peer, int signo) {
  identity who;
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  if (read_identity(s, peer, &who) != 0 || who.pid_ns != s->pid_ns) return NBS_ENOTFOUND;
  return nbsi_pid_signal(who.pid, who.start_time, signo) == 0 ? NBS_OK : NBS_EDEAD;
}

/* ------------------------------------------------------------------ recover */

/* fold adds the counters of a slot to those of the dead, once. */
static void fold(nbs_seg *s, uint32_t slot, uint64_t peer) {
  nbsi_header *h = s->h;
  if (h->fold_word >> 1 == (peer >> 32 << 31 | slot)) return;
  const int64_t *now = h->dead_counters[h->fold_word & 1];
  int64_t *next = h->dead_counters[~h->fold_word & 1];
  const int64_t *c = s->slots[slot].counters;
  for (uint32_t i = 0; i < NBS_CTR_WAIT_ARGS; i++) next[i] = now[i] + c[i]; /* not the gauges */
  /* What it was running ended with it, or "running" would never come down again. */
  next[NBS_CTR_REPLIED] = now[NBS_CTR_REPLIED] + c[NBS_CTR_TAKEN];
  NB_FAILPOINT("fold");
  nb_atomic_store(&h->fold_word, peer >> 32 << 32 | slot << 1 | (~h->fold_word & 1), RELEASE);
  NB_FAILPOINT("fold_done");
}

void nbsi_slot_free(nbs_seg *s, uint32_t slot) {
  uint64_t epoch = nbsi_gen(s->slots[slot].word) + 1ull;
  nb_atomic_store(&s->slots[slot].word, nbsi_word(epoch, NBSI_SLOT_FREE), RELEASE);
  if (s->h->n_slots > 0) s->h->n_slots--;
}

/* reclaim_entries goes through all entries in slices, giving others their turn. */
static int reclaim_entries(nbs_seg *s, uint64_t peer) {
  int lost = 0;
  for (uint32_t from = 0;;) {
    int rc = nbsi_lock(s);
    if (rc != NBS_OK) return rc;
    if (s->slots[nbsi_slot_of(peer)].word != nbsi_word(peer >> 32, NBSI_SLOT_RECOVERING)) {
      nbsi_unlock(s); /* somebody was quicker: what the slot holds by now is the next one's */
      break;
    }
    uint32_t used = s->h->entries_used, to = used - from < SLICE ? used : from + SLICE;
    for (; from < to; from++) {
      if (nbsi_state(s->entries[from].word) == NBS_FREE) continue;
      lost |= nbsi_give_up(s, from, peer);
      nbsi_restore_drop(s, from, peer);
      nbsi_hold_clear(s, from, peer);
      NB_FAILPOINT("reclaim_entry");
    }
    nbsi_unlock(s);
    if (from >= used) break;
  }
  if (lost) nbsi_notify_seal(s);
  return NBS_OK;
}

int nbsi_slot_reclaim(nbs_seg *s, uint64_t peer) {
  uint32_t slot = nbsi_slot_of(peer);
  int rc = nbsi_lock(s);
  if (rc != NBS_OK) return rc;
  if (slot >= s->h->slots_used || nbsi_gen(s->slots[slot].word) != peer >> 32 ||
      nbsi_low(s->slots[slot].word) == NBSI_SLOT_FREE) {
    nbsi_unlock(s);
    return NBS_OK; /* done by somebody else */
  }
  /* From here nobody can open a channel to it or make a hold for it. */
  nb_atomic_store(&s->slots[slot].word, nbsi_word(peer >> 32, NBSI_SLOT_RECOVERING), RELEASE);
  NB_FAILPOINT("recovering");
  nbsi_unlock(s);
  if ((rc = reclaim_entries(s, peer)) != NBS_OK) return rc;
  if ((rc = nbsi_lock(s)) != NBS_OK) return rc;
  if (s->slots[slot].word == nbsi_word(peer >> 32, NBSI_SLOT_RECOVERING)) {
    nbsi_chans_leave(s, peer);
    nbsi_events_adopt(s, slot);
    fold(s, slot, peer);
    nbsi_slot_free(s, slot); /* last: until here anybody can begin again */
  }
  nbsi_unlock(s);
  return NBS_OK;
}

int nbs_recover(nbs_seg *s, uint64_t peer) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  if (peer == s->peer || nbs_alive(s, peer) == 1) {
    /* Somebody who is leaving by himself is alive, too; that is his own affair. */
    return NBS_ESTATE;
  }
  return nbsi_slot_reclaim(s, peer);
}

void nbsi_slot_leave(nbs_seg *s) {
  uint32_t used = nb_atomic_load(&s->h->entries_used, RELAXED);
  for (uint32_t from = 0; from < used;) {
    if (nbsi_lock(s) != NBS_OK) return;
    uint32_t to = used - from < SLICE ? used : from + SLICE;
    for (; from < to; from++) {
      uint32_t views = nb_atomic_load(&s->views[from], RELAXED);
      while (nb_atomic_load(&s->holds[from], RELAXED) > views) nbsi_hold_drop(s, from);
    }
    nbsi_unlock(s);
  }
  if (nbsi_lock(s) != NBS_OK) return;
  nbsi_chans_leave(s, s->peer);
  nbsi_unlock(s);
}
