/* coll_stream.c - large data flow through the slots.
 *
 * Each rank has a list of chunks to publish and a list of chunks to consume, both in one
 * order that all ranks share (round by round). The chunk that comes first in it, of all that
 * are open, never waits for a later one: so there is no deadlock, whatever the number of slots.
 *
 * allreduce: part p of the array belongs to rank p. In round c each rank publishes chunk c of
 * every other part for that part's owner, who adds it to his own, and then the finished chunk
 * c - 1 of its own part for all. So every byte of an array is read and written once, the
 * chunks stay in the cache, and all ranks compute. */
#include <string.h>

#include "collective.h"
#include "platform.h"
#include "reduce.h"

/* One chunk to publish: for rank `to`, or for all when that is the world's size. */
typedef struct {
  const uint8_t *from;
  uint64_t len;
  uint32_t to;
  int may_lend; /* 1: readers may take it from where it lies, if that is in the store */
} out_chunk;

/* One chunk to consume: number `index` of what `from` publishes. */
typedef struct {
  uint32_t from;
  uint64_t index;
  uint8_t *to;
  const uint8_t *with; /* reduce with this, or NULL: copy */
  uint64_t len;
  int last; /* 1: the last that is added to this place */
} in_chunk;

/* -------------------------------------------------------- parts and chunks */

/* part_at: where part `p` of the array begins; in whole cache lines, so in whole elements. */
static uint64_t part_at(const nbs_coll *g, uint32_t p) {
  const coll_op *o = &g->op;
  return p >= g->world ? o->bytes : o->bytes / 64 * p / g->world * 64;
}

static uint64_t chunk_len(const nbs_coll *g, uint64_t bytes, uint64_t c) {
  uint64_t at = c * g->chunk;
  if (at >= bytes) return 0;
  return bytes - at < g->chunk ? bytes - at : g->chunk;
}

static inline uint32_t ahead(const nbs_coll *g, uint64_t by) {
  return (uint32_t)((g->rank + by) % g->world);
}
static inline uint32_t behind(const nbs_coll *g, uint64_t by) {
  return (uint32_t)((g->rank + g->world - by) % g->world);
}

/* nbsi_coll_plan counts the chunks that this rank publishes and consumes. */
void nbsi_coll_plan(nbs_coll *g) {
  coll_op *o = &g->op;
  uint64_t n = g->world, others = n - 1, whole = (o->bytes + g->chunk - 1) / g->chunk;
  int root = g->rank == o->root;
  o->chunks = whole;
  switch (o->kind) {
    case NBS_COLL_BROADCAST:
      o->n_pub = root && others ? whole : 0;
      o->n_con = root ? 0 : whole;
      break;
    case NBS_COLL_REDUCE:
      o->n_pub = root ? 0 : whole;
      o->n_con = root ? whole * others : 0;
      break;
    case NBS_COLL_ALLGATHER:
      o->n_pub = others ? whole : 0;
      o->n_con = whole * others;
      break;
    case NBS_COLL_ALLREDUCE: {
      uint64_t largest = 0;
      for (uint32_t p = 0; p < n; p++)
        if (part_at(g, p + 1) - part_at(g, p) > largest)
          largest = part_at(g, p + 1) - part_at(g, p);
      o->chunks = (largest + g->chunk - 1) / g->chunk;
      o->n_pub = others ? o->chunks * n : 0;
      o->n_con = o->chunks * 2 * others;
      break;
    }
    case NBS_COLL_SEND:
      o->n_pub = whole;
      break;
    case NBS_COLL_RECV:
      o->n_con = whole;
      break;
    default: /* reducescatter, alltoall */
      o->n_pub = o->n_con = whole * others;
  }
}

/* out_plan tells the k-th chunk to publish; 0 while it is not there yet. */
static int out_plan(nbs_coll *g, uint64_t k, out_chunk *it) {
  const coll_op *o = &g->op;
  uint64_t others = g->world - 1, c = k;
  it->to = g->world;
  it->may_lend = 1;
  it->from = o->in;
  switch (o->kind) {
    case NBS_COLL_BROADCAST:
    case NBS_COLL_ALLGATHER:
      break;
    case NBS_COLL_REDUCE:
    case NBS_COLL_SEND:
      it->to = o->root;
      break;
    case NBS_COLL_ALLREDUCE: {
      uint64_t n = g->world, w; /* round c: others x raw, then the finished one of c - 1 */
      it->may_lend = 0;         /* the array changes while the others read */
      if (k < others) {
        c = 0, w = k;
      } else {
        c = 1 + (k - others) / n, w = (k - others) % n;
        if (c == o->chunks) w = others;
      }
      if (w == others) {
        c--;
        if (o->con < (c == 0 ? others : 2 * c * others)) return 0;
      } else {
        it->to = ahead(g, w + 1);
      }
      uint32_t p = w == others ? g->rank : it->to;
      uint64_t at = part_at(g, p);
      it->len = chunk_len(g, part_at(g, p + 1) - at, c);
      it->from = o->out + at + c * g->chunk;
      return 1;
    }
    default: /* reducescatter, alltoall */
      c = k / others;
      it->to = ahead(g, k % others + 1);
      it->from = in_of(o, it->to);
  }
  it->len = chunk_len(g, o->bytes, c);
  it->from += c * g->chunk;
  return 1;
}

/* in_plan tells the t-th chunk to consume. */
static void in_plan(nbs_coll *g, uint64_t t, in_chunk *it) {
  const coll_op *o = &g->op;
  uint64_t others = g->world - 1, c = others ? t / others : 0, d = others ? t % others : 0;
  it->with = NULL;
  it->last = 0;
  it->from = behind(g, d + 1);
  it->index = c;
  it->to = o->out;
  switch (o->kind) {
    case NBS_COLL_BROADCAST:
    case NBS_COLL_RECV:
      c = it->index = t;
      it->from = o->root;
      break;
    case NBS_COLL_REDUCE:
      it->with = o->out;
      break;
    case NBS_COLL_ALLGATHER:
      it->to = out_of(o, it->from);
      break;
    case NBS_COLL_ALLTOALL:
      it->index = t; /* in round c the d-th of theirs is for us, as the d-th of ours for them */
      it->to = out_of(o, it->from);
      break;
    case NBS_COLL_REDUCESCATTER:
      it->index = t;
      it->with = d == 0 ? in_of(o, g->rank) : o->out;
      break;
    default: { /* allreduce; round c: others x raw, then others x finished of c - 1 */
      uint64_t n = g->world, w = t;
      c = 0;
      if (t >= others) {
        c = 1 + (t - others) / (2 * others), w = (t - others) % (2 * others);
        if (c == o->chunks) w += others;
      }
      int finished = w >= others;
      uint32_t p = g->rank;
      it->from = behind(g, finished ? w - others + 1 : w + 1);
      if (finished) {
        it->index = c == o->chunks ? o->chunks * n - 1 : c * n + n - 2;
        p = it->from;
        c--;
      } else {
        it->index = c == 0 ? w : c * n + w - 1;
      }
      uint64_t at = part_at(g, p);
      it->len = chunk_len(g, part_at(g, p + 1) - at, c);
      it->to = o->out + at + c * g->chunk;
      if (!finished) it->with = it->to;
      it->last = !finished && w + 1 == others;
      return;
    }
  }
  it->len = chunk_len(g, o->bytes, c);
  it->to += c * g->chunk;
  if (it->with != NULL) {
    it->with += c * g->chunk;
    it->last = d + 1 == others;
  }
}

/* ---------------------------------------------------------------- streaming */

/* lent: where in the arena the bytes lie, + 1, or 0 when they do not. */
static uint64_t lent(const nbs_coll *g, const uint8_t *from, uint64_t len) {
  const nbs_seg *s = g->s;
  if (from < s->arena || len > s->geo.arena_size) return 0;
  uint64_t off = (uint64_t)(from - s->arena);
  return off <= s->geo.arena_size - len ? off + 1 : 0;
}

/* own_copy: what stays with us goes over chunk by chunk, while it is in the cache. */
static void own_copy(nbs_coll *g, uint64_t k) {
  const coll_op *o = &g->op;
  uint64_t others = g->world - 1;
  const uint8_t *from;
  if (o->kind == NBS_COLL_ALLGATHER) {
    from = o->in;
  } else if (o->kind == NBS_COLL_ALLTOALL && k % others == 0) {
    from = in_of(o, g->rank);
    k /= others;
  } else {
    return;
  }
  uint8_t *to = out_of(o, g->rank) + k * g->chunk;
  from += k * g->chunk;
  if (to != from) memmove(to, from, (size_t)chunk_len(g, o->bytes, k));
}

/* publish puts the next chunk into its slot; 0 when that is not possible now. */
static int publish(nbs_coll *g, coll_cond *until) {
  coll_op *o = &g->op;
  out_chunk it;
  until->word = NULL;
  if (o->pub == o->n_pub || !out_plan(g, o->pub, &it)) return 0;
  uint64_t number = o->stream + o->pub;
  coll_slot *slot = &g->ranks[g->rank].slots[number % COLL_SLOTS];
  until->word = &slot->left;
  until->want = 0;
  if (!coll_holds(*until)) return 0;
  slot->from = it.may_lend ? lent(g, it.from, it.len) : 0;
  if (slot->from == 0 && it.len > 0)
    memcpy(coll_staged(g, g->rank, number), it.from, (size_t)it.len);
  nb_atomic_store(&slot->left, it.to == g->world ? g->world - 1 : 1ull, RELAXED);
  nb_atomic_store(&slot->ready, number + 1, RELEASE);
  if (it.to < g->world) {
    nbsi_coll_wake(g, it.to);
  } else {
    for (uint32_t r = 0; r < g->world; r++)
      if (r != g->rank) nbsi_coll_wake(g, r);
  }
  own_copy(g, o->pub);
  g->next = number + 1;
  o->pub++;
  return 1;
}

/* still_lends: a process that dies is marked before anything that it held is given back,
 * and one that gives up breaks the group before. */
static int still_lends(nbs_coll *g, uint32_t rank) {
  nb_atomic_fence();
  uint64_t peer = nb_atomic_load(&g->ranks[rank].peer, RELAXED);
  uint32_t slot = nbsi_slot_of(peer);
  return nb_atomic_load(&g->head->broken, ACQUIRE) == 0 && slot < NBS_MAX_SLOTS &&
         nb_atomic_load(&g->s->slots[slot].word, ACQUIRE) == nbsi_word(peer >> 32, NBSI_SLOT_TAKEN);
}

/* consume takes the next chunk, when it is there; < 0: what it says is impossible. */
static int consume(nbs_coll *g, uint32_t *from, coll_cond *until) {
  coll_op *o = &g->op;
  in_chunk it;
  until->word = NULL;
  if (o->con == o->n_con) return 0;
  in_plan(g, o->con, &it);
  uint64_t number = g->streams[it.from] + it.index;
  coll_slot *slot = &g->ranks[it.from].slots[number % COLL_SLOTS];
  *from = it.from;
  until->word = &slot->ready;
  until->want = number + 1;
  if (!coll_holds(*until)) return 0;
  const uint8_t *data = coll_staged(g, it.from, number);
  uint64_t off = slot->from;
  if (off != 0) {
    if (off - 1 > g->s->geo.arena_size || it.len > g->s->geo.arena_size - (off - 1))
      return NBS_ECORRUPT;
    data = g->s->arena + (off - 1);
  }
  if (it.with == NULL)
    memcpy(it.to, data, (size_t)it.len);
  else
    nbsi_reduce(it.to, it.with, data, it.len, o->type, o->op);
  /* What was lent may have changed meanwhile if its owner gave up or died. */
  if (off != 0 && !still_lends(g, it.from)) return nbsi_coll_break(g, COLL_DIED, it.from);
  if (it.last && o->op == NBS_AVERAGE) nbsi_average(it.to, it.len, o->type, g->world);
  if (nb_atomic_sub(&slot->left, 1ull, ACQ_REL) == 1) nbsi_coll_wake(g, it.from);
  o->con++;
  return 1;
}

int nbsi_coll_stream(nbs_coll *g) {
  coll_op *o = &g->op;
  for (;;) {
    coll_cond free_slot, arrival;
    uint32_t from = g->rank;
    int moved = publish(g, &free_slot);
    int rc = consume(g, &from, &arrival);
    if (rc < 0) return rc;
    if (moved || rc > 0) continue;
    if (o->pub == o->n_pub && o->con == o->n_con) return NBS_OK;
    if (from == g->rank) { /* only publishing is left: wait for whoever reads */
      out_chunk it;
      (void)out_plan(g, o->pub, &it);
      from = it.to < g->world ? it.to : ahead(g, 1);
    }
    rc = nbsi_coll_await(g, from, arrival, free_slot);
    if (rc != NBS_OK) return rc;
  }
}

/* nbsi_coll_returned: the others are through with what we lent them, so that it may change now. */
int nbsi_coll_returned(nbs_coll *g) {
  for (uint32_t i = 0; i < COLL_SLOTS; i++) {
    coll_slot *slot = &g->ranks[g->rank].slots[i];
    if (slot->from == 0) continue;
    /* Anyone may be late; each is looked after in its turn. */
    for (uint32_t d = 1;; d = d % (g->world - 1) + 1) {
      coll_cond is_free = {&slot->left, 0}, never = {NULL, 0};
      if (coll_holds(is_free)) break;
      int rc = nbsi_coll_await(g, ahead(g, d), is_free, never);
      if (rc == NBS_OK) break;
      return rc;
    }
    slot->from = 0;
  }
  return NBS_OK;
}
