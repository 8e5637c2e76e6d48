/* ring.c - messages through a channel's two rings.
 *
 * Positions count bytes for ever; the sender publishes by storing `tail` (release), the
 * receiver gives back by storing `head` (release). A record never wraps: a NBSI_PAD fills
 * the end of the ring. What the other side wrote is checked before it is used.
 *
 * Taking and revoking: the record's word holds its position and PENDING; the worker turns
 * it into TAKEN, the owner into REVOKED, by compare-and-swap, so exactly one of them wins.
 * A ticket is the position. It cannot hit a later record: only the owner overwrites the
 * place, it revokes and sends from one thread at a time, and it checks first that the
 * worker has not given the place back (head). */
#include <string.h>
#include <sys/stat.h>

#include "channel.h"
#include "lock.h"
#include "platform.h"

#define FAIR_TURNS 16u /* takes from channels we know of before looking for others */

static uint32_t pad8(uint32_t n) { return (n + 7u) & ~7u; }

/* ---------------------------------------------------------------------- send */

/* room_for makes a place for `need` bytes in one piece; its position, or ~0. */
static uint64_t room_for(nbsi_ring *r, uint8_t *mem, uint32_t size, uint32_t need) {
  uint64_t tail = nb_atomic_load(&r->tail, RELAXED);
  uint32_t at = (uint32_t)tail & (size - 1), to_end = size - at;
  uint32_t pad = need > to_end ? to_end : 0;
  uint64_t want = tail + pad + need;
  if (want - r->head_seen > size) {
    r->head_seen = nb_atomic_load(&r->head, ACQUIRE);
    if (want - r->head_seen > size) return ~0ull;
  }
  if (pad != 0) {
    nb_atomic_store((uint64_t *)(void *)(mem + at), tail | NBSI_PAD, RELAXED);
    tail += pad;
  }
  return tail;
}

/* end_run notes that a task taken from this channel is over. With several at a time
 * (threaded actors) only the one taken last is the running one. */
static void end_run(nbs_seg *s, nbsi_chan *c, uint64_t seq) {
  uint32_t n = nb_atomic_load(&c->run_count, RELAXED);
  do {
    if (n == 0) return;
  } while (!nb_atomic_cas(&c->run_count, &n, n - 1, ACQ_REL));
  nb_atomic_add(&s->me->counters[NBS_CTR_REPLIED], 1, RELAXED);
  if (nb_atomic_load(&c->run_seq, RELAXED) != seq) return;
  nb_atomic_store(&c->run_start, 0ull, RELEASE);
  nb_atomic_store(&s->run_chan, 0u, RELAXED);
}

int nbs_watch_words(nbs_seg *s, int fd0, int fd1, const uint64_t *read) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  s->words_fd[0] = fd0;
  s->words_fd[1] = fd1;
  s->words_read = read;
  return NBS_OK;
}

/* words_wait tells whether the result of a task that ran long enough has to wait. */
static int words_wait(const nbs_seg *s, uint64_t ran_ns) {
  if (ran_ns < NBS_WORDS_AFTER_NS) return 0;
  for (int i = 0; i < 2; i++) {
    struct stat found;
    if (fstat(s->words_fd[i], &found) == 0 &&
        (uint64_t)found.st_size != nb_atomic_load(&s->words_read[i], RELAXED))
      return 1;
  }
  return 0;
}

/* ran_for tells how long the task of a result ran: what its sender says, or since it was taken. */
static uint64_t ran_for(const nbsi_chan *c, const nbs_msg *m, uint64_t now) {
  uint64_t start = nb_atomic_load(&c->run_start, RELAXED);
  if (m->b == 0 && start != 0 && nb_atomic_load(&c->run_seq, RELAXED) == m->seq) return now - start;
  return m->b;
}

/* item_waits tells the same of an item; those that follow each other quickly are not looked at. */
static int item_waits(nbs_seg *s, const nbsi_chan *c, const nbs_msg *m) {
  uint64_t now = nbsi_now_ns(), last = nb_atomic_load(&s->item_ns, RELAXED);
  uint64_t ran = ran_for(c, m, now), since = now - last;
  nb_atomic_store(&s->item_ns, now, RELAXED);
  return words_wait(s, ran != 0 && ran < since ? ran : since);
}

/* count_sent does what a task or result brings with it, once it is sure to go out. */
static void count_sent(nbs_seg *s, nbsi_chan *c, nbs_msg *m, uint64_t now) {
  nbs_event e = {.seq = m->seq, .owner = c->owner, .process = s->peer, .a = m->a, .b = m->b};
  e.t_ns = now;
  e.flags = m->flags;
  if (m->kind == NBS_MSG_TASK) {
    e.kind = NBS_EV_SUBMIT;
    nb_atomic_add(&s->me->counters[NBS_CTR_SUBMITTED], 1, RELAXED);
  } else {
    e.kind = NBS_EV_RESULT;
    m->b = ran_for(c, m, now);
    e.dur_ns = e.b = m->b;
    int as = m->flags & NBS_RESULT_CANCELLED ? NBS_CTR_CANCELLED
             : m->flags & NBS_RESULT_ERROR   ? NBS_CTR_FAILED
                                             : NBS_CTR_FINISHED;
    nb_atomic_add(&s->me->counters[as], 1, RELAXED);
    end_run(s, c, m->seq);
  }
  nbsi_event(s, &e);
}

/* put writes one message; its `len` is that of both parts. `words`: see nbs_watch_words. */
static int put(nbs_seg *s, nbs_msg *m, const void *p1, uint32_t n1, const void *p2, uint32_t n2,
               uint64_t *ticket, int words) {
  uint32_t state;
  nbsi_chan *c = nbsi_chan_find(s, m->chan, &state);
  if (c == NULL) return NBS_ENOTFOUND;
  int owner = c->owner == s->peer;
  if (!owner && c->worker != s->peer) return NBS_ESTATE;
  if (state & (owner ? NBSI_CHAN_WORKER_GONE : NBSI_CHAN_OWNER_GONE)) {
    if (m->kind == NBS_MSG_RESULT && !owner) end_run(s, c, m->seq); /* ended, if for nobody */
    return NBS_EDEAD;
  }
  if (n1 > NBSI_RING_MAX || n2 > NBSI_RING_MAX || m->len > nbsi_max_payload(c)) return NBS_ETOOBIG;
  nbsi_ring *r = owner ? &c->down : &c->up;
  uint8_t *mem = owner ? nbsi_ring_down(s, c) : nbsi_ring_up(s, c);
  uint32_t need = (uint32_t)sizeof(nbsi_record) + pad8(m->len);
  uint64_t at = room_for(r, mem, c->ring_bytes, need);
  if (at == ~0ull) return NBS_EAGAIN;

  if (m->kind == NBS_MSG_TASK || m->kind == NBS_MSG_RESULT) {
    uint64_t now = nbsi_now_ns();
    if (words && words_wait(s, ran_for(c, m, now))) return NBS_EWORDS;
    count_sent(s, c, m, now);
  } else if (words && item_waits(s, c, m)) {
    return NBS_EWORDS;
  }
  nbsi_record *rec = (nbsi_record *)(void *)(mem + (at & (c->ring_bytes - 1)));
  nb_atomic_store(&rec->word, at | NBSI_PENDING, RELAXED);
  rec->msg = *m;
  if (n1 > 0) memcpy(rec + 1, p1, n1);
  if (n2 > 0) memcpy((uint8_t *)(rec + 1) + n1, p2, n2);
  NB_FAILPOINT("send");
  nb_atomic_store(&r->tail, at + need, RELEASE);
  NB_FAILPOINT("sent");

  uint32_t to = nbsi_slot_of(owner ? c->worker : c->owner);
  if (owner) nb_atomic_store(&s->peer_slot[0], to, RELAXED);
  nbsi_notify_chan(s, to, owner ? NBS_READY_SERVED : NBS_READY_OWNED,
                   m->chan & (NBS_MAX_CHANNELS - 1));
  nbsi_touch(s);
  if (ticket != NULL) *ticket = at;
  return NBS_OK;
}

static int send(nbs_seg *s, nbs_msg *m, const void *p1, uint32_t n1, const void *p2, uint32_t n2,
                uint64_t *ticket, int words) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  /* Said before the channel is looked at, and seen by nbs_take before it lets one go: the memory
   * of a ring that is written to here does not become another's meanwhile. */
  nb_atomic_add(&s->sending, 1u, SEQ_CST);
  rc = put(s, m, p1, n1, p2, n2, ticket, words);
  nb_atomic_sub(&s->sending, 1u, RELEASE);
  return rc;
}

int nbs_send(nbs_seg *s, uint32_t chan, uint16_t kind, uint16_t flags, uint64_t seq, uint32_t a,
             uint64_t b, const void *p1, uint32_t n1, const void *p2, uint32_t n2,
             uint64_t *ticket) {
  nbs_msg m = {n1 + n2, chan, seq, kind, flags, a, b};
  return send(s, &m, p1, n1, p2, n2, ticket, 0);
}

int64_t nbs_send_task(nbs_seg *s, uint32_t chan, uint16_t flags, uint64_t seq, uint32_t a,
                      uint64_t b, const void *payload, uint32_t n) {
  uint64_t ticket = 0;
  int rc = nbs_send(s, chan, NBS_MSG_TASK, flags, seq, a, b, payload, n, NULL, 0, &ticket);
  return rc == NBS_OK ? (int64_t)ticket : rc;
}

int nbs_send_result(nbs_seg *s, uint32_t chan, uint16_t flags, uint64_t seq, uint64_t b,
                    const void *payload, uint32_t n) {
  nbs_msg m = {n, chan, seq, NBS_MSG_RESULT, flags, 0, b};
  return send(s, &m, payload, n, NULL, 0, NULL, s != NULL && s->words_read != NULL);
}

int nbs_send_item(nbs_seg *s, uint32_t chan, uint16_t kind, uint16_t flags, uint64_t seq,
                  uint32_t a, const void *payload, uint32_t n) {
  nbs_msg m = {n, chan, seq, kind, flags, a, 0};
  return send(s, &m, payload, n, NULL, 0, NULL, s != NULL && s->words_read != NULL);
}

int nbs_revoke(nbs_seg *s, uint32_t chan, uint64_t ticket) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  uint32_t state;
  nbsi_chan *c = nbsi_chan_find(s, chan, &state);
  if (c == NULL) return NBS_ENOTFOUND;
  if (c->owner != s->peer) return NBS_ESTATE;
  if (ticket % 8 != 0 || ticket >= nb_atomic_load(&c->down.tail, RELAXED)) return NBS_EINVAL;
  if (ticket < nb_atomic_load(&c->down.head, ACQUIRE)) return NBS_ESTATE;
  nbsi_record *rec = (nbsi_record *)(void *)(nbsi_ring_down(s, c) + (ticket & (c->ring_bytes - 1)));
  uint64_t expected = ticket | NBSI_PENDING;
  return nb_atomic_cas(&rec->word, &expected, ticket | NBSI_MSG_REVOKED, ACQ_REL) ? NBS_OK
                                                                                  : NBS_ESTATE;
}

/* -------------------------------------------- which channels have something */

/* collect moves what senders marked in the shared bitmap into the private one. First the
 * summary, then the words: a sender marks in the other order (see nbsi_notify_chan). */
static void collect(uint64_t *sum, uint64_t *ready, nbsi_left *left) {
  if (nb_atomic_load(sum, SEQ_CST) == 0) return;
  uint64_t words = nb_atomic_exchange(sum, 0ull, SEQ_CST);
  uint64_t mine = nb_atomic_load(&left->sum, RELAXED);
  for (uint64_t w = words; w != 0; w &= w - 1) {
    uint32_t i = (uint32_t)__builtin_ctzll(w);
    left->words[i] |= nb_atomic_exchange(&ready[i], 0ull, SEQ_CST);
    if (left->words[i] != 0) mine |= 1ull << i;
  }
  nb_atomic_fence(); /* the bits are down before we look into the rings */
  nb_atomic_store(&left->sum, mine, RELAXED);
}

static void left_drop(nbsi_left *left, uint32_t index) {
  left->words[index / 64] &= ~(1ull << (index % 64));
  if (left->words[index / 64] == 0)
    nb_atomic_store(&left->sum, nb_atomic_load(&left->sum, RELAXED) & ~(1ull << (index / 64)),
                    RELAXED);
}

/* left_next: the first channel at or after `from`, going round; NBSI_NIL when none. */
static uint32_t left_next(const nbsi_left *left, uint32_t from) {
  uint64_t sum = nb_atomic_load(&left->sum, RELAXED);
  if (sum == 0) return NBSI_NIL;
  uint32_t w = from / 64 % NBSI_CHAN_WORDS;
  uint64_t bits = left->words[w] & (~0ull << (from % 64));
  if (bits == 0) {
    uint64_t later = w == 63 ? 0 : sum & (~0ull << (w + 1));
    w = (uint32_t)__builtin_ctzll(later != 0 ? later : sum);
    bits = left->words[w];
  }
  return w * 64 + (uint32_t)__builtin_ctzll(bits);
}

/* ---------------------------------------------------------------- receiving */

/* peek looks at the record at *head, skipping pads: 1 with *rec, 0 when the ring is empty,
 * NBS_ECORRUPT when what stands there cannot be. */
static int peek(nbsi_ring *r, uint8_t *mem, uint32_t size, uint64_t *head, nbsi_record **rec) {
  for (;;) {
    if (*head == r->tail_seen) {
      r->tail_seen = nb_atomic_load(&r->tail, ACQUIRE);
      if (*head == r->tail_seen) return 0;
    }
    if (r->tail_seen - *head > size) return NBS_ECORRUPT;
    uint32_t at = (uint32_t)*head & (size - 1);
    *rec = (nbsi_record *)(void *)(mem + at);
    uint64_t word = nb_atomic_load(&(*rec)->word, ACQUIRE);
    if ((word & ~7ull) != *head) return NBS_ECORRUPT;
    if ((word & 7) != NBSI_PAD) return 1;
    *head += size - at;
  }
}

/* record_bytes: the length of a record, or 0 when it says more than was published. */
static uint32_t record_bytes(const nbsi_ring *r, uint64_t head, uint32_t len, uint32_t size) {
  if (len > size) return 0;
  uint32_t n = (uint32_t)sizeof(nbsi_record) + pad8(len);
  return n <= r->tail_seen - head ? n : 0;
}

static void give_back_taken(nbs_seg *s) {
  if (!s->taken_valid) return;
  s->taken_valid = 0;
  nb_atomic_store(&s->chans[s->taken_chan].down.head, s->taken_next, RELEASE);
}

/* take_from takes one message of a channel: 1, 0 when there is none, or NBS_ECORRUPT. */
static int take_from(nbs_seg *s, nbsi_chan *c, uint32_t index, nbs_msg *out, void **payload) {
  nbsi_ring *r = &c->down;
  uint8_t *mem = nbsi_ring_down(s, c);
  uint64_t head = nb_atomic_load(&r->head, RELAXED);
  nbsi_record *rec;
  int rc;
  while ((rc = peek(r, mem, c->ring_bytes, &head, &rec)) == 1) {
    nbs_msg m = rec->msg;
    uint32_t n = record_bytes(r, head, m.len, c->ring_bytes);
    if (n == 0) return NBS_ECORRUPT;
    uint64_t expected = head | NBSI_PENDING;
    if (!nb_atomic_cas(&rec->word, &expected, head | NBSI_MSG_TAKEN, ACQ_REL)) {
      head += n; /* revoked */
      nb_atomic_store(&r->head, head, RELEASE);
      continue;
    }
    s->taken_valid = 1;
    s->taken_chan = index;
    s->taken_next = head + n;
    *out = m;
    *payload = rec + 1;
    if (m.kind == NBS_MSG_TASK) {
      nb_atomic_store(&c->run_start, 0ull, RELEASE); /* no reader pairs old and new */
      nb_atomic_store(&c->run_seq, m.seq, RELEASE);
      nb_atomic_store(&c->run_what, m.a << 8 | (m.flags & 255u), RELAXED);
      nb_atomic_store(&c->run_start, nbsi_now_ns(), RELEASE);
      nb_atomic_store(&s->run_chan, index + 1, RELAXED);
      nb_atomic_add(&c->run_count, 1u, RELAXED);
      nb_atomic_add(&s->me->counters[NBS_CTR_TAKEN], 1, RELAXED);
    }
    nb_atomic_store(&s->peer_slot[1], nbsi_slot_of(c->owner), RELAXED);
    return 1;
  }
  if (rc == 0) nb_atomic_store(&r->head, head, RELEASE);
  return rc;
}

int nbs_take(nbs_seg *s, nbs_msg *head, void **payload) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  give_back_taken(s);
  nbsi_left *left = &s->served;
  if (nb_atomic_load(&left->sum, RELAXED) == 0 || ++s->take_turns % FAIR_TURNS == 0)
    collect(&s->me->served_sum, s->me->served_ready, left);
  uint32_t i;
  while ((i = left_next(left, s->take_from)) != NBSI_NIL) {
    nbsi_chan *c = &s->chans[i];
    uint32_t flags = nbsi_low(nb_atomic_load(&c->word, SEQ_CST));
    if (flags == 0 ||
        nb_atomic_load(&c->worker, RELAXED) != s->peer) { /* over, perhaps another's by now */
      left_drop(left, i);
      continue;
    }
    if (flags & NBSI_CHAN_OWNER_GONE) {
      left_drop(left, i);
      if (nb_atomic_load(&s->sending, SEQ_CST) != 0) { /* perhaps into this one: soon again */
        nbsi_notify_chan(s, s->slot, NBS_READY_SERVED, i);
        continue;
      }
      /* Tasks of the owner that went are over for the counters, whoever still runs them. */
      uint32_t open = nb_atomic_exchange(&c->run_count, 0u, ACQ_REL);
      nb_atomic_add(&s->me->counters[NBS_CTR_REPLIED], (int64_t)open, RELAXED);
      if ((rc = nbsi_lock(s)) != NBS_OK) return rc;
      nbsi_chan_leave(s, i, NBSI_CHAN_WORKER_GONE);
      nbsi_unlock(s);
      continue;
    }
    rc = take_from(s, c, i, head, payload);
    if (rc == 1) {
      s->take_from = i + 1;
      return 1;
    }
    left_drop(left, i);
    if (rc < 0) return rc;
  }
  return 0;
}

/* drain copies messages of one ring to `out`: bytes, or NBS_ECORRUPT. *more: some are left. */
static int64_t drain(nbs_seg *s, nbsi_chan *c, uint8_t *out, uint64_t cap, int *more) {
  nbsi_ring *r = &c->up;
  uint8_t *mem = nbsi_ring_up(s, c);
  uint64_t head = nb_atomic_load(&r->head, RELAXED), got = 0;
  nbsi_record *rec;
  int rc;
  *more = 0;
  while ((rc = peek(r, mem, c->ring_bytes, &head, &rec)) == 1) {
    uint32_t n = record_bytes(r, head, rec->msg.len, c->ring_bytes);
    if (n == 0) return NBS_ECORRUPT;
    uint32_t copy = n - (uint32_t)sizeof rec->word;
    if (copy > cap - got) {
      *more = 1;
      break;
    }
    memcpy(out + got, &rec->msg, copy);
    got += copy;
    head += n;
  }
  nb_atomic_store(&r->head, head, RELEASE);
  return rc < 0 ? rc : (int64_t)got;
}

int64_t nbs_recv_many(nbs_seg *s, void *buf, uint64_t cap) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  nbsi_touch(s);
  pthread_mutex_lock(&s->recv_lock);
  nbsi_left *left = &s->owned;
  collect(&s->me->owned_sum, s->me->owned_ready, left);
  uint64_t got = 0;
  int64_t failed = 0;
  uint32_t i;
  while ((i = left_next(left, 0)) != NBSI_NIL) {
    nbsi_chan *c = &s->chans[i];
    uint32_t flags = nbsi_low(nb_atomic_load(&c->word, ACQUIRE));
    int more = 0;
    if (flags != 0 && (flags & NBSI_CHAN_OWNER_GONE) == 0 &&
        nb_atomic_load(&c->owner, RELAXED) == s->peer) {
      int64_t n = drain(s, c, (uint8_t *)buf + got, cap - got, &more);
      if (n < 0) failed = n;
      if (n > 0) got += (uint64_t)n;
    }
    if (more) break; /* stays in `left` for the next call */
    left_drop(left, i);
  }
  pthread_mutex_unlock(&s->recv_lock);
  return failed != 0 && got == 0 ? failed : (int64_t)got;
}
