/* coll_run.c - the operations.
 *
 * Each begins with a *call*: a rank says what it wants, and learns what the others want.
 * Small data travel with the call, and everybody computes for himself, in the order of
 * ranks: all get the same bits. Large data then flow through the slots: each rank has a list
 * of chunks to publish and a list of chunks to consume, both in one order that all ranks
 * share (round by round). The chunk that comes first in it, of all that are open, never
 * waits for a later one: so there is no deadlock, whatever the number of slots.
 *
 * allreduce: part p of the array belongs to rank p. In round c each rank publishes chunk c of
 * every other part for that part's owner, who adds it to his own, and then the finished chunk
 * c - 1 of its own part for all. So every byte of an array is read and written once, the
 * chunks stay in the cache, and all ranks compute. */
#include <stdio.h>
#include <string.h>

#include "collective.h"
#include "platform.h"
#include "reduce.h"

static const char *const kind_names[] = {"",       "barrier",   "broadcast",     "allreduce",
                                         "reduce", "allgather", "reducescatter", "alltoall",
                                         "send",   "recv"};
static const char *const type_names[] = {
    "bool",   "int8",    "uint8",    "int16",   "uint16",  "int32",     "uint32",    "int64",
    "uint64", "float16", "bfloat16", "float32", "float64", "complex64", "complex128"};
static const char *const op_names[] = {"SUM", "PRODUCT", "MIN", "MAX", "AVERAGE"};
#define N_KINDS (sizeof kind_names / sizeof kind_names[0])

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

static inline const uint8_t *in_of(const coll_op *o, uint32_t rank) {
  return ((const uint8_t *const *)(const void *)o->in)[rank];
}
static inline uint8_t *out_of(const coll_op *o, uint32_t rank) {
  return ((uint8_t *const *)(void *)o->out)[rank];
}

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

/* plan counts the chunks that this rank publishes and consumes. */
static void plan(nbs_coll *g) {
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

static int stream(nbs_coll *g) {
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

/* returned: the others are through with what we lent them, so that it may change now. */
static int returned(nbs_coll *g) {
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

/* -------------------------------------------------------------------- calls */

static uint32_t what_of(const coll_op *o) { return o->kind | o->type << 8 | o->op << 16; }

static void call_text(char *buf, size_t size, uint32_t rank, uint32_t what, uint32_t root,
                      uint64_t bytes) {
  uint32_t kind = what & 0xff, type = what >> 8 & 0xff, op = what >> 16 & 0xff;
  char of[64] = "", with[32] = "";
  if (kind == NBS_COLL_BROADCAST || kind == NBS_COLL_REDUCE)
    snprintf(with, sizeof with, ", root %u", root);
  if (kind == NBS_COLL_ALLREDUCE || kind == NBS_COLL_REDUCE || kind == NBS_COLL_REDUCESCATTER)
    snprintf(of, sizeof of, ", %s", op <= NBS_AVERAGE ? op_names[op] : "?");
  if (kind == NBS_COLL_BARRIER || kind >= N_KINDS)
    snprintf(buf, size, "rank %u: %s", rank, kind < N_KINDS ? kind_names[kind] : "?");
  else
    snprintf(
        buf, size, "rank %u: %s(%llu x %s%s%s)", rank, kind_names[kind],
        (unsigned long long)(nbsi_element_size(type) ? bytes / nbsi_element_size(type) : bytes),
        type < NBS_N_TYPES ? type_names[type] : "?", of, with);
}

static int disagree(nbs_coll *g, uint32_t other, const coll_call *call, uint32_t my_rank) {
  const coll_op *o = &g->op;
  char mine[128], theirs[128];
  call_text(mine, sizeof mine, my_rank, what_of(o), o->root, o->bytes);
  call_text(theirs, sizeof theirs, other, call->what, call->root, call->bytes);
  g->at_fault = (int)other;
  snprintf(g->why, sizeof g->why, "%s; %s", mine, theirs);
  return NBS_EINVAL;
}

static int is_small(const nbs_coll *g) {
  const coll_op *o = &g->op;
  uint64_t parts = o->kind == NBS_COLL_REDUCESCATTER || o->kind == NBS_COLL_ALLTOALL ? g->world : 1;
  return o->bytes <= COLL_SMALL / parts;
}

/* announce says what we want, with the data when they are small. */
static void announce(nbs_coll *g) {
  coll_op *o = &g->op;
  coll_box *box = coll_box_of(g, g->rank, o->number);
  box->call.what = what_of(o);
  box->call.root = o->root;
  box->call.bytes = o->bytes;
  box->call.stream = g->next;
  if (is_small(g) && o->bytes > 0) {
    switch (o->kind) {
      case NBS_COLL_BROADCAST:
        if (g->rank == o->root) memcpy(box->data, o->in, (size_t)o->bytes);
        break;
      case NBS_COLL_ALLREDUCE:
        memcpy(box->data, o->out, (size_t)o->bytes);
        break;
      case NBS_COLL_REDUCE:
        memcpy(box->data, g->rank == o->root ? o->out : o->in, (size_t)o->bytes);
        break;
      case NBS_COLL_ALLGATHER:
        memcpy(box->data, o->in, (size_t)o->bytes);
        break;
      default:
        for (uint32_t r = 0; r < g->world; r++)
          memcpy(box->data + r * o->bytes, in_of(o, r), (size_t)o->bytes);
    }
  }
  nb_atomic_store(&box->call.seq, o->number, RELEASE);
  for (uint32_t r = 0; r < g->world; r++)
    if (r != g->rank) nbsi_coll_wake(g, r);
}

/* reduce_small adds up what lies at `at` in the boxes of all, in the order of ranks. */
static void reduce_small(nbs_coll *g, uint64_t at) {
  coll_op *o = &g->op;
  const uint8_t *first = coll_box_of(g, 0, o->number)->data + at;
  if (g->world == 1) memcpy(o->out, first, (size_t)o->bytes);
  for (uint32_t r = 1; r < g->world; r++)
    nbsi_reduce(o->out, r == 1 ? first : o->out, coll_box_of(g, r, o->number)->data + at, o->bytes,
                o->type, o->op);
  if (o->op == NBS_AVERAGE) nbsi_average(o->out, o->bytes, o->type, g->world);
}

static void finish_small(nbs_coll *g) {
  coll_op *o = &g->op;
  if (o->bytes == 0) return;
  switch (o->kind) {
    case NBS_COLL_BROADCAST:
      if (g->rank != o->root)
        memcpy(o->out, coll_box_of(g, o->root, o->number)->data, (size_t)o->bytes);
      break;
    case NBS_COLL_REDUCE:
      if (g->rank == o->root) reduce_small(g, 0);
      break;
    case NBS_COLL_ALLREDUCE:
      reduce_small(g, 0);
      break;
    case NBS_COLL_REDUCESCATTER:
      reduce_small(g, g->rank * o->bytes);
      break;
    case NBS_COLL_ALLGATHER:
      for (uint32_t r = 0; r < g->world; r++)
        memcpy(out_of(o, r), coll_box_of(g, r, o->number)->data, (size_t)o->bytes);
      break;
    default: /* alltoall */
      for (uint32_t r = 0; r < g->world; r++)
        memcpy(out_of(o, r), coll_box_of(g, r, o->number)->data + g->rank * o->bytes,
               (size_t)o->bytes);
  }
}

/* alone: large data of a group of one. */
static void alone(nbs_coll *g) {
  coll_op *o = &g->op;
  if (o->kind == NBS_COLL_ALLGATHER && out_of(o, 0) != o->in)
    memmove(out_of(o, 0), o->in, (size_t)o->bytes);
  if (o->kind == NBS_COLL_ALLTOALL && out_of(o, 0) != in_of(o, 0))
    memmove(out_of(o, 0), in_of(o, 0), (size_t)o->bytes);
  if (o->kind == NBS_COLL_REDUCESCATTER && o->out != in_of(o, 0))
    memmove(o->out, in_of(o, 0), (size_t)o->bytes);
}

/* gather_calls waits until all have said what they want, and compares. */
static int gather_calls(nbs_coll *g) {
  coll_op *o = &g->op;
  for (; o->at < g->world; o->at++) {
    if (o->at == g->rank) {
      g->streams[o->at] = g->next;
      continue;
    }
    const coll_call *call = &coll_box_of(g, o->at, o->number)->call;
    coll_cond called = {&call->seq, o->number}, never = {NULL, 0};
    int rc = nbsi_coll_await(g, o->at, called, never);
    if (rc != NBS_OK) return rc;
    g->streams[o->at] = call->stream;
  }
  for (uint32_t r = 0; r < g->world; r++) {
    const coll_call *call = &coll_box_of(g, r, o->number)->call;
    if (call->what != what_of(o) || call->root != o->root || call->bytes != o->bytes)
      return disagree(g, r, call, g->rank);
  }
  return NBS_OK;
}

static int together(nbs_coll *g) {
  coll_op *o = &g->op;
  if (o->at < g->world) {
    int rc = gather_calls(g);
    if (rc != NBS_OK) return rc;
    if (is_small(g)) {
      finish_small(g);
      return NBS_OK;
    }
    if (g->world == 1) {
      alone(g);
      return NBS_OK;
    }
    o->stream = g->next;
    plan(g);
  }
  int rc = stream(g);
  return rc == NBS_OK ? returned(g) : rc;
}

/* ----------------------------------------------------------- send, receive */

static int send_to(nbs_coll *g) {
  coll_op *o = &g->op;
  coll_pair *pair = coll_pair_of(g, g->rank, o->root);
  coll_cond never = {NULL, 0};
  if (o->at == 0) {
    uint64_t number = g->sent[o->root] + 1;
    coll_cond room = {&pair->taken, number > 2 ? number - 2 : 0};
    int rc = number > 2 ? nbsi_coll_await(g, o->root, room, never) : NBS_OK;
    if (rc != NBS_OK) return rc;
    coll_call *call = &pair->message[number & 1].call;
    call->what = what_of(o);
    call->bytes = o->bytes;
    call->stream = o->stream = g->next;
    if (o->bytes <= COLL_PAIR_SMALL)
      memcpy(pair->message[number & 1].data, o->in, (size_t)o->bytes);
    else
      plan(g);
    g->sent[o->root] = number;
    o->at = 1;
    nb_atomic_store(&call->seq, number, RELEASE);
    nbsi_coll_wake(g, o->root);
  }
  if (o->bytes <= COLL_PAIR_SMALL) return NBS_OK;
  int rc = stream(g);
  return rc == NBS_OK ? returned(g) : rc;
}

static int recv_from(nbs_coll *g) {
  coll_op *o = &g->op;
  coll_pair *pair = coll_pair_of(g, o->root, g->rank);
  uint64_t number = g->received[o->root] + 1;
  const coll_call *call = &pair->message[number & 1].call;
  if (o->at == 0) {
    coll_cond sent = {&call->seq, number}, never = {NULL, 0};
    int rc = nbsi_coll_await(g, o->root, sent, never);
    if (rc != NBS_OK) return rc;
    /* Its size and type must be ours; else neither side can go on with this pair. */
    if (call->bytes != o->bytes || call->what != (NBS_COLL_SEND | o->type << 8)) {
      rc = disagree(g, o->root, call, g->rank);
      char why[sizeof g->why];
      memcpy(why, g->why, sizeof why);
      nbsi_coll_break(g, COLL_ABORTED, g->rank);
      memcpy(g->why, why, sizeof why);
      g->at_fault = (int)o->root;
      return rc;
    }
    g->streams[o->root] = call->stream;
    if (o->bytes <= COLL_PAIR_SMALL)
      memcpy(o->out, pair->message[number & 1].data, (size_t)o->bytes);
    else
      plan(g);
    o->at = 1;
  }
  if (o->bytes > COLL_PAIR_SMALL) {
    int rc = stream(g);
    if (rc != NBS_OK) return rc;
  }
  g->received[o->root] = number;
  nb_atomic_store(&pair->taken, number, RELEASE);
  nbsi_coll_wake(g, o->root);
  return NBS_OK;
}

/* ------------------------------------------------------------------ running */

static int progress(nbs_coll *g) {
  int rc = nbsi_enter(g->s);
  if (rc == NBS_OK)
    rc = g->op.kind == NBS_COLL_SEND   ? send_to(g)
         : g->op.kind == NBS_COLL_RECV ? recv_from(g)
                                       : together(g);
  if (rc == NBS_EAGAIN) return rc;
  nb_atomic_store(&g->busy, 0u, RELEASE);
  return rc;
}

static int refuse(nbs_coll *g, int status, const char *why) {
  g->at_fault = -1;
  snprintf(g->why, sizeof g->why, "%s", why);
  return status;
}

static int check(nbs_coll *g, uint32_t kind, uint32_t type, uint32_t op, uint32_t root,
                 uint64_t bytes) {
  if (kind == 0 || kind >= N_KINDS || type >= NBS_N_TYPES || op > NBS_AVERAGE)
    return refuse(g, NBS_EINVAL, "no such operation, type or reduction");
  if (root >= g->world) return refuse(g, NBS_EINVAL, "no such rank");
  if (kind >= NBS_COLL_SEND && root == g->rank)
    return refuse(g, NBS_EINVAL, "a rank does not send to itself");
  if (bytes > 1ull << 46 || bytes % nbsi_element_size(type) != 0)
    return refuse(g, NBS_EINVAL, "not a whole number of elements");
  if ((kind == NBS_COLL_ALLREDUCE || kind == NBS_COLL_REDUCE || kind == NBS_COLL_REDUCESCATTER) &&
      !nbsi_reducible(type, op))
    return refuse(g, NBS_EINVAL, "this reduction is not defined for this type");
  return NBS_OK;
}

int nbs_coll_run(nbs_coll *g, uint32_t what, uint32_t root, const void *in, void *out,
                 uint64_t bytes, uint64_t timeout_ns) {
  int rc = nbsi_enter(g->s);
  if (rc != NBS_OK) return rc;
  uint32_t idle = 0;
  if (!nb_atomic_cas(&g->busy, &idle, 1u, ACQ_REL)) return NBS_EEXISTS;
  uint32_t kind = what & 0xff, type = what >> 8 & 0xff, op = what >> 16 & 0xff;
  rc = nbsi_coll_broken(g);
  if (rc == NBS_OK) rc = check(g, kind, type, op, root, bytes);
  if (rc != NBS_OK) {
    nb_atomic_store(&g->busy, 0u, RELEASE);
    return rc;
  }
  coll_op *o = &g->op;
  o->kind = kind;
  o->type = type;
  o->op = op;
  o->root = root;
  o->in = in;
  o->out = out;
  o->bytes = bytes;
  o->at = 0;
  o->since = 0;
  o->pub = o->n_pub = o->con = o->n_con = 0;
  o->deadline = timeout_ns == 0 ? UINT64_MAX : nbsi_now_ns() + timeout_ns;
  uint32_t cpu = nbsi_cpu();
  if (nb_atomic_load(&g->s->me->cpu, RELAXED) != cpu) nb_atomic_store(&g->s->me->cpu, cpu, RELAXED);
  if (kind < NBS_COLL_SEND) {
    o->number = ++g->calls;
    announce(g);
  }
  return progress(g);
}

int nbs_coll_resume(nbs_coll *g) { return progress(g); }

int nbs_coll_abort(nbs_coll *g) {
  int rc = NBS_OK;
  if (nb_atomic_load(&g->busy, ACQUIRE) == 0) return NBS_OK; /* it was through, or not begun */
  if (nbsi_enter(g->s) == NBS_OK) rc = nbsi_coll_break(g, COLL_ABORTED, g->rank);
  nb_atomic_store(&g->busy, 0u, RELEASE);
  return rc;
}
