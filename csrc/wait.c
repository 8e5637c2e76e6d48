/* wait.c - doorbells: how a process learns that something is ready, and waits for it.
 *
 * No lost wake-up: whoever makes something ready stores it, then looks whether somebody
 * sleeps; whoever goes to sleep says so, then looks whether something is ready. Both
 * stores and both looks are SEQ_CST, so one of the two sees the other. A sender that finds
 * the bits set already needs to do nothing: the receiver clears them before it looks into
 * the rings, so it will see this message too.
 *
 * Sleep is on futex words with generations, in slices: a waiter that is killed leaves at
 * worst a count behind that costs senders to its dead slot a system call. */
#include "impl.h"
#include "platform.h"

#define SLICE_NS 50000000ull /* longest sleep between two looks */
#define LONGEST_NS \
  1000000000ull               /* longest wait: then the caller has to look at what is due by time */
#define SPIN_NS     200000ull /* longest spin: about twice what sleeping and being woken costs */
#define CREDIT_MAX  16u       /* a spin that paid earns 1, ... */
#define CREDIT_LOSS 3u        /* ... one in vain costs 3: we spin while 3 of 4 waits end in it */
#define LINGER_NS   20000000ull /* the service thread polls that long after a message */
#define LAZY_MIN_NS 100000ull
#define CHAN_BITS   (NBS_READY_OWNED | NBS_READY_SERVED)

/* ------------------------------------------------------------------- ringing */

static void wake(nbsi_slot *p, uint32_t bit) {
  uint32_t i = (uint32_t)__builtin_ctz(bit);
  /* The flag is taken down with the first call, so that a burst of messages to a sleeper
   * costs one system call and not one each until it runs. All sleepers wake; those for
   * whom there is nothing put their flags up again before they go back to sleep. */
  if (nb_atomic_load(&p->sleeping[i], SEQ_CST) != 0 &&
      nb_atomic_exchange(&p->sleeping[i], (uint16_t)0, SEQ_CST) != 0) {
    nb_atomic_add(&p->bell, 1u, SEQ_CST);
    nbsi_futex_wake_all(&p->bell);
  }
  /* The flag may have been a left-over, so the service thread is looked at in any case. */
  if (nb_atomic_load(&p->serve_sleeping, SEQ_CST) != 0 &&
      nb_atomic_load(&p->waiting[i], SEQ_CST) == 0 &&
      nb_atomic_exchange(&p->serve_sleeping, 0u, SEQ_CST) != 0) {
    nb_atomic_add(&p->serve_bell, 1u, SEQ_CST);
    nbsi_futex_wake_all(&p->serve_bell);
  }
}

void nbsi_notify_chan(nbs_seg *s, uint32_t slot, uint32_t bit, uint32_t index) {
  if (slot >= nb_atomic_load(&s->h->slots_used, RELAXED)) return;
  nbsi_slot *p = &s->slots[slot];
  uint64_t *sum = bit == NBS_READY_OWNED ? &p->owned_sum : &p->served_sum;
  uint64_t *word = &(bit == NBS_READY_OWNED ? p->owned_ready : p->served_ready)[index / 64];
  uint64_t in_word = 1ull << (index % 64), in_sum = 1ull << (index / 64);
  nb_atomic_fence(); /* the message is published before we look at the bits */
  if ((nb_atomic_load(word, SEQ_CST) & in_word) == 0) nb_atomic_or(word, in_word, SEQ_CST);
  if ((nb_atomic_load(sum, SEQ_CST) & in_sum) == 0) nb_atomic_or(sum, in_sum, SEQ_CST);
  wake(p, bit);
}

void nbsi_notify_seal(nbs_seg *s) {
  uint32_t words = (nb_atomic_load(&s->h->slots_used, RELAXED) + 63) / 64;
  for (uint32_t w = 0; w < words; w++) {
    uint64_t *at = &s->h->seal_waiters[w];
    if (nb_atomic_load(at, SEQ_CST) == 0) continue;
    for (uint64_t bits = nb_atomic_exchange(at, 0ull, SEQ_CST); bits != 0; bits &= bits - 1) {
      uint32_t slot = w * 64 + (uint32_t)__builtin_ctzll(bits);
      if (slot >= NBS_MAX_SLOTS) break;
      /* Not our own service thread: it is there for what others seal. */
      if (slot == s->slot && nb_atomic_load(&s->me->sleeping[2], SEQ_CST) == 0)
        nb_atomic_or(at, 1ull << (slot % 64), SEQ_CST);
      else
        wake(&s->slots[slot], NBS_READY_SEAL);
    }
  }
}

int nbs_ring(nbs_seg *s, uint64_t peer) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  uint32_t slot = nbsi_slot_of(peer);
  if (slot >= nb_atomic_load(&s->h->slots_used, RELAXED)) return NBS_ENOTFOUND;
  nbsi_slot *p = &s->slots[slot];
  if (nb_atomic_load(&p->word, ACQUIRE) != nbsi_word(peer >> 32, NBSI_SLOT_TAKEN)) return NBS_EDEAD;
  int own = slot == s->slot;
  if (own) {
    nb_atomic_add(&s->own_rings, 1u, SEQ_CST);
    nb_atomic_add(&s->nudges, 1u, SEQ_CST);
  } else {
    nb_atomic_add(&p->ring_gen, 1u, SEQ_CST);
    nb_atomic_store(&p->ring_pending, 1u, SEQ_CST);
  }
  /* Rare, so without looking who sleeps. */
  nb_atomic_add(&p->bell, 1u, SEQ_CST);
  nbsi_futex_wake_all(&p->bell);
  /* What others have to say is for a thread that waits; the service thread sleeps on then. What
   * a process has to say to itself may be for the service thread. */
  if (own || nb_atomic_load(&p->waiting[3], SEQ_CST) == 0) {
    nb_atomic_add(&p->serve_bell, 1u, SEQ_CST);
    nbsi_futex_wake_all(&p->serve_bell);
  }
  return NBS_OK;
}

int nbs_nudge(nbs_seg *s) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  nb_atomic_add(&s->nudges, 1u, SEQ_CST);
  nb_atomic_add(&s->me->bell, 1u, SEQ_CST);
  nbsi_futex_wake_all(&s->me->bell);
  return NBS_OK;
}

const uint32_t *nbs_nudges(nbs_seg *s) { return s == NULL ? NULL : &s->nudges; }

/* ---------------------------------------------------------- what is ready now */

/* What a wait has seen of rings and nudges when it began. */
typedef struct {
  uint32_t rings;
  uint32_t nudges;
} seen_t;

static uint32_t ready_now(nbs_seg *s, uint32_t interest, seen_t seen) {
  nbsi_slot *me = s->me;
  uint32_t bits = 0;
  if ((interest & NBS_READY_OWNED) != 0 &&
      (nb_atomic_load(&me->owned_sum, SEQ_CST) | nb_atomic_load(&s->owned.sum, RELAXED)) != 0)
    bits |= NBS_READY_OWNED;
  if ((interest & NBS_READY_SERVED) != 0 &&
      (nb_atomic_load(&me->served_sum, SEQ_CST) | nb_atomic_load(&s->served.sum, RELAXED)) != 0)
    bits |= NBS_READY_SERVED;
  if ((interest & NBS_READY_SEAL) != 0 &&
      nb_atomic_load(&s->h->seal_gen, SEQ_CST) != nb_atomic_load(&s->seal_seen, RELAXED))
    bits |= NBS_READY_SEAL;
  /* A ring wakes all waits: those that began before it see its generation. */
  if ((interest & NBS_READY_RING) != 0 && (nb_atomic_load(&me->ring_pending, SEQ_CST) != 0 ||
                                           nb_atomic_load(&me->ring_gen, SEQ_CST) != seen.rings ||
                                           nb_atomic_load(&s->nudges, SEQ_CST) != seen.nudges))
    bits |= NBS_READY_RING;
  return bits;
}

/* claim clears what a wait returns. */
static int claim(nbs_seg *s, uint32_t bits) {
  if ((bits & NBS_READY_RING) != 0 && nb_atomic_exchange(&s->me->ring_pending, 0u, SEQ_CST) != 0)
    bits |= NBS_READY_NEWS;
  if (bits & NBS_READY_SEAL)
    nb_atomic_store(&s->seal_seen, nb_atomic_load(&s->h->seal_gen, SEQ_CST), RELAXED);
  return (int)bits;
}

static void subscribe_seal(nbs_seg *s) {
  uint64_t *at = &s->h->seal_waiters[s->slot / 64], bit = 1ull << (s->slot % 64);
  if ((nb_atomic_load(at, SEQ_CST) & bit) == 0) nb_atomic_or(at, bit, SEQ_CST);
}

/* ------------------------------------------------------------------- waiting */

static void publish_cpu(nbs_seg *s, uint32_t cpu) {
  if (nb_atomic_load(&s->me->cpu, RELAXED) != cpu) nb_atomic_store(&s->me->cpu, cpu, RELAXED);
}

/* peer_elsewhere: the process that we wait for was last seen on another processor. */
static int peer_elsewhere(nbs_seg *s, uint32_t interest, uint32_t cpu) {
  for (uint32_t i = 0; i < 2; i++) {
    uint32_t slot = nb_atomic_load(&s->peer_slot[i], RELAXED);
    if ((interest & 1u << i) != 0 && slot < NBS_MAX_SLOTS &&
        nb_atomic_load(&s->slots[slot].cpu, RELAXED) != cpu)
      return 1;
  }
  return 0;
}

/* spin looks for a while without sleeping, when that promises something: on one processor
 * it only keeps the peer from running, and after a row of vain spins (long tasks) only
 * every 16th wait tries again. */
static uint32_t spin(nbs_seg *s, uint32_t interest, uint64_t timeout_ns, seen_t seen) {
  if ((interest & CHAN_BITS) == 0 || s->n_cpus < 2) return 0;
  uint32_t credit = nb_atomic_load(&s->spin_credit, RELAXED);
  uint32_t cpu = nbsi_cpu();
  publish_cpu(s, cpu);
  if (!peer_elsewhere(s, interest, cpu)) return 0;
  if ((credit & 0xffff) == 0 && (credit >> 16) % 16 != 15) {
    nb_atomic_store(&s->spin_credit, credit + (1u << 16), RELAXED);
    return 0;
  }
  uint64_t until = nbsi_now_ns() + (timeout_ns < SPIN_NS ? timeout_ns : SPIN_NS);
  for (uint32_t n = 1;; n++) {
    uint32_t bits = ready_now(s, interest, seen);
    if (bits != 0) {
      credit &= 0xffff;
      nb_atomic_store(&s->spin_credit, credit < CREDIT_MAX ? credit + 1 : credit, RELAXED);
      return bits;
    }
    nb_pause();
    if (n % 16 != 0) continue;
    if (nbsi_now_ns() >= until) break;
    if (n % 64 == 0 && !peer_elsewhere(s, interest, nbsi_cpu())) return 0;
  }
  credit &= 0xffff;
  nb_atomic_store(&s->spin_credit, credit < CREDIT_LOSS ? 0 : credit - CREDIT_LOSS, RELAXED);
  return 0;
}

static void count_waiting(nbsi_slot *me, uint32_t interest, int up) {
  for (uint32_t i = 0; i < 4; i++) {
    if ((interest & 1u << i) == 0) continue;
    if (up)
      nb_atomic_add(&me->waiting[i], (uint16_t)1, SEQ_CST);
    else
      nb_atomic_sub(&me->waiting[i], (uint16_t)1, SEQ_CST);
  }
}

/* flag_sleep says that a thread is about to sleep. Never taken down by the sleeper, as
 * another thread may sleep, too; a flag that is up in vain costs one system call. */
static void flag_sleep(nbsi_slot *me, uint32_t interest) {
  for (uint32_t i = 0; i < 4; i++)
    if ((interest & 1u << i) != 0) nb_atomic_store(&me->sleeping[i], (uint16_t)1, SEQ_CST);
}

/* sleep_for sleeps until something is ready: bits, 0 or NBS_EINTR. */
static int sleep_for(nbs_seg *s, uint32_t interest, uint64_t timeout_ns, seen_t seen) {
  nbsi_slot *me = s->me;
  uint64_t now = nbsi_now_ns();
  uint64_t until = now + (timeout_ns < LONGEST_NS ? timeout_ns : LONGEST_NS);
  int result = 0;
  for (;;) {
    /* Bell before flag: a waker takes the flag down before it moves the bell, so whoever's
     * flag it took does not sleep through. */
    uint32_t bell = nb_atomic_load(&me->bell, SEQ_CST);
    flag_sleep(me, interest);
    if (interest & NBS_READY_SEAL) subscribe_seal(s);
    uint32_t bits = ready_now(s, interest, seen);
    if (bits != 0) {
      result = (int)bits;
      break;
    }
    now = nbsi_now_ns();
    if (now >= until) break;
    /* In slices, as who sent a message may have died before he rang. */
    uint64_t ns = until - now < SLICE_NS ? until - now : SLICE_NS;
    if (nbsi_futex_wait(&me->bell, bell, ns) == NBSI_INTERRUPTED) {
      bits = ready_now(s, interest, seen);
      result = bits != 0 ? (int)bits : NBS_EINTR;
      break;
    }
  }
  return result;
}

int nbs_wait(nbs_seg *s, uint32_t interest, uint64_t timeout_ns) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  return nbs_wait_since(s, interest, timeout_ns, nb_atomic_load(&s->nudges, SEQ_CST));
}

int nbs_wait_since(nbs_seg *s, uint32_t interest, uint64_t timeout_ns, uint32_t nudges) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  if ((interest & ~15u) != 0) return NBS_EINVAL;
  nbsi_touch(s);
  seen_t seen = {nb_atomic_load(&s->me->ring_gen, SEQ_CST), nudges};
  uint32_t bits = ready_now(s, interest, seen);
  if (bits != 0 || timeout_ns == 0) return claim(s, bits);
  count_waiting(s->me, interest, 1);
  rc = (int)spin(s, interest, timeout_ns, seen);
  if (rc == 0) rc = sleep_for(s, interest, timeout_ns, seen);
  count_waiting(s->me, interest, 0);
  nbsi_touch(s);
  /* Once more: whoever still counted us among the waiting spared the service thread. */
  if (rc >= 0) rc |= (int)ready_now(s, interest, seen);
  return rc > 0 ? claim(s, (uint32_t)rc) : rc;
}

/* ------------------------------------------------------- the service thread */

/* unattended returns the bits that no thread waits for. */
static uint32_t unattended(const nbsi_slot *me, uint32_t bits) {
  for (uint32_t i = 0; i < 4; i++)
    if (nb_atomic_load(&me->waiting[i], SEQ_CST) != 0) bits &= ~(1u << i);
  return bits;
}

/* lazily returns what of the ready bits has been so for lazy_ns while no thread of the process
 * did anything about it. */
static uint32_t lazily(nbs_seg *s, uint32_t bits, uint64_t lazy_ns, uint64_t now) {
  if (bits == 0) {
    s->serve_since = 0;
    return 0;
  }
  uint64_t activity = nb_atomic_load(&s->activity, RELAXED);
  s->serve_busy = now;
  if (s->serve_since == 0 || activity != s->serve_seen || unattended(s->me, bits) == 0) {
    s->serve_since = now;
    s->serve_seen = activity;
  }
  return now - s->serve_since >= lazy_ns ? unattended(s->me, bits) : 0;
}

/* doze sleeps deeply (senders wake us) or, for a while after messages came, just a little
 * (they need not). */
static int doze(nbs_seg *s, uint32_t interest, uint32_t bell, uint64_t ns, int deep, seen_t seen) {
  nbsi_slot *me = s->me;
  if (deep) {
    nb_atomic_store(&me->serve_sleeping, 1u, SEQ_CST);
    if (interest & NBS_READY_SEAL) subscribe_seal(s);
    if (ready_now(s, interest, seen) != 0) {
      nb_atomic_store(&me->serve_sleeping, 0u, SEQ_CST);
      return NBSI_WOKEN;
    }
  }
  int rc = nbsi_futex_wait(&me->serve_bell, bell, ns);
  if (deep) nb_atomic_store(&me->serve_sleeping, 0u, SEQ_CST);
  return rc;
}

int nbs_serve_wait(nbs_seg *s, uint32_t interest, uint64_t lazy_ns, uint64_t timeout_ns) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  if ((interest & ~15u) != 0) return NBS_EINVAL;
  nbsi_slot *me = s->me;
  uint64_t now = nbsi_now_ns(), end = now + timeout_ns;
  uint64_t until = timeout_ns < SLICE_NS ? end : now + SLICE_NS;
  uint64_t slice = timeout_ns < LONGEST_NS ? SLICE_NS : 5 * SLICE_NS; /* nothing is due then */
  for (;;) {
    uint32_t bell = nb_atomic_load(&me->serve_bell, SEQ_CST);
    uint32_t own_rings = nb_atomic_load(&s->own_rings, SEQ_CST);
    if ((interest & NBS_READY_RING) != 0 && own_rings != s->serve_rings) {
      s->serve_rings = own_rings;
      return claim(s, NBS_READY_RING);
    }
    /* A ring that has woken all waits, and nudges, are not for this thread. */
    seen_t seen = {nb_atomic_load(&me->ring_gen, SEQ_CST), nb_atomic_load(&s->nudges, SEQ_CST)};
    uint32_t look = interest;
    if (nb_atomic_load(&me->waiting[3], SEQ_CST) != 0) look &= ~(uint32_t)NBS_READY_RING;
    uint32_t bits = ready_now(s, look, seen);
    if (bits & NBS_READY_RING) return claim(s, NBS_READY_RING);
    uint32_t left = lazily(s, bits, lazy_ns, now);
    if (left != 0) {
      s->serve_since = 0;
      return claim(s, left);
    }
    if (now >= until) {
      /* A thread that sleeps in slices sees to what is due by time. */
      if (now >= end || nb_atomic_load(&me->waiting[3], SEQ_CST) == 0) return 0;
      until = end - now < slice ? end : now + slice;
    }
    uint64_t ns = until - now;
    int deep = bits == 0 && (s->serve_busy == 0 || now - s->serve_busy > LINGER_NS);
    uint64_t nap = lazy_ns < LAZY_MIN_NS ? LAZY_MIN_NS : lazy_ns;
    if (!deep && ns > nap) ns = nap;
    if (doze(s, look, bell, ns, deep, seen) == NBSI_INTERRUPTED) return NBS_EINTR;
    nb_atomic_store(&me->serve_sleeping, 0u, SEQ_CST);
    now = nbsi_now_ns();
  }
}
