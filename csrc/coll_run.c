/* coll_run.c - the operations.
 *
 * Each begins with a *call*: a rank says what it wants, and learns what the others want.
 * Small data travel with the call, and everybody computes for himself, in the order of
 * ranks: all get the same bits. Large data then flow through the slots (coll_stream.c). */
#include <stdio.h>
#include <string.h>

#include "collective.h"
#include "platform.h"
#include "reduce.h"

static const char *const kind_names[] = {"refused what it was given",
                                         "barrier",
                                         "broadcast",
                                         "allreduce",
                                         "reduce",
                                         "allgather",
                                         "reducescatter",
                                         "alltoall",
                                         "send",
                                         "recv"};
static const char *const type_names[] = {
    "bool",   "int8",    "uint8",    "int16",   "uint16",  "int32",     "uint32",    "int64",
    "uint64", "float16", "bfloat16", "float32", "float64", "complex64", "complex128"};
static const char *const op_names[] = {"SUM", "PRODUCT", "MIN", "MAX", "AVERAGE"};
#define N_KINDS (sizeof kind_names / sizeof kind_names[0])

/* -------------------------------------------------------------------- calls */

static uint32_t what_of(const coll_op *o) {
  return o->refused ? 0 : o->kind | o->type << 8 | o->op << 16;
}

/* my_call: what this rank announces, or would. */
static coll_call my_call(const nbs_coll *g) {
  const coll_op *o = &g->op;
  coll_call call = {.what = what_of(o), .root = o->root, .bytes = o->bytes};
  memcpy(call.shape, o->shape, sizeof call.shape);
  return call;
}

static int same_call(const coll_call *a, const coll_call *b) {
  return a->what == b->what && a->root == b->root && a->bytes == b->bytes &&
         memcmp(a->shape, b->shape, sizeof a->shape) == 0;
}

/* shape_text: " of shape (2, 3)"; nothing for one dimension, whose length is said already. */
static void shape_text(char *buf, size_t size, const uint32_t *shape) {
  uint32_t n = shape[0];
  buf[0] = 0;
  if (n == 1 || n >= NBS_COLL_SHAPE) return;
  size_t at = (size_t)snprintf(buf, size, " of shape (");
  for (uint32_t i = 0; i < n && at < size; i++)
    at += (size_t)snprintf(buf + at, size - at, i ? ", %u" : "%u", shape[i + 1]);
  if (at < size) snprintf(buf + at, size - at, ")");
}

static void call_text(char *buf, size_t size, uint32_t rank, const coll_call *call) {
  uint32_t kind = call->what & 0xff, type = call->what >> 8 & 0xff, op = call->what >> 16 & 0xff;
  uint64_t element = nbsi_element_size(type), bytes = call->bytes;
  char of[64] = "", with[32] = "", shape[128];
  if (kind == NBS_COLL_BROADCAST || kind == NBS_COLL_REDUCE)
    snprintf(with, sizeof with, ", root %u", call->root);
  if (kind == NBS_COLL_ALLREDUCE || kind == NBS_COLL_REDUCE || kind == NBS_COLL_REDUCESCATTER)
    snprintf(of, sizeof of, ", %s", op <= NBS_AVERAGE ? op_names[op] : "?");
  shape_text(shape, sizeof shape, call->shape);
  if (call->what == 0 || kind == NBS_COLL_BARRIER || kind >= N_KINDS)
    snprintf(buf, size, "rank %u: %s", rank, kind < N_KINDS ? kind_names[kind] : "?");
  else
    snprintf(buf, size, "rank %u: %s(%llu x %s%s%s%s)", rank, kind_names[kind],
             (unsigned long long)(element ? bytes / element : bytes),
             type < NBS_N_TYPES ? type_names[type] : "?", shape, of, with);
}

static int disagree(nbs_coll *g, uint32_t differs, const coll_call *its, uint32_t other,
                    const coll_call *call) {
  char first[190], second[190];
  call_text(first, sizeof first, differs, its);
  call_text(second, sizeof second, other, call);
  g->at_fault = (int)differs;
  snprintf(g->why, sizeof g->why, "%s; %s", first, second);
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
  memcpy(box->call.shape, o->shape, sizeof o->shape);
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

/* compare: all want the same, or the error names the first rank that refused or else that
 * differs from most. */
static int compare(nbs_coll *g) {
  const coll_op *o = &g->op;
  const coll_call *most = &coll_box_of(g, 0, o->number)->call;
  uint32_t r = 1, rank = 0, support = 0;
  while (r < g->world && same_call(most, &coll_box_of(g, r, o->number)->call)) r++;
  if (r == g->world) return NBS_OK;
  for (r = 0; r < g->world; r++) {
    const coll_call *call = &coll_box_of(g, r, o->number)->call, mine = my_call(g);
    if (call->what == 0) return disagree(g, r, call, g->rank, &mine);
  }
  for (r = 0; r < g->world; r++) {
    const coll_call *call = &coll_box_of(g, r, o->number)->call;
    uint32_t like = 0;
    for (uint32_t q = 0; q < g->world; q++)
      like += (uint32_t)same_call(call, &coll_box_of(g, q, o->number)->call);
    if (like > support) support = like, most = call, rank = r;
  }
  for (r = 0; same_call(most, &coll_box_of(g, r, o->number)->call);) r++;
  return disagree(g, r, &coll_box_of(g, r, o->number)->call, rank, most);
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
  return compare(g);
}

/* settle waits until all have entered the operation that this rank refused: only then is its
 * other box read by nobody. */
static int settle(nbs_coll *g) {
  for (uint32_t r = 0; g->owed && r < g->world; r++) {
    if (r == g->rank) continue;
    coll_cond entered = {&coll_box_of(g, r, g->calls)->call.seq, g->calls}, never = {NULL, 0};
    int rc = nbsi_coll_await(g, r, entered, never);
    if (rc != NBS_OK) return rc;
  }
  g->owed = 0;
  return NBS_OK;
}

static int together(nbs_coll *g) {
  coll_op *o = &g->op;
  if (o->number == 0) {
    int rc = g->owed ? settle(g) : NBS_OK;
    if (rc != NBS_OK) return rc;
    o->number = ++g->calls;
    announce(g);
    g->owed = o->refused;
    if (o->refused) return NBS_OK;
  }
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
    nbsi_coll_plan(g);
  }
  int rc = nbsi_coll_stream(g);
  return rc == NBS_OK ? nbsi_coll_returned(g) : rc;
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
    memcpy(call->shape, o->shape, sizeof o->shape);
    if (o->bytes > COLL_PAIR_SMALL)
      nbsi_coll_plan(g);
    else if (!o->refused)
      memcpy(pair->message[number & 1].data, o->in, (size_t)o->bytes);
    g->sent[o->root] = number;
    o->at = 1;
    nb_atomic_store(&call->seq, number, RELEASE);
    nbsi_coll_wake(g, o->root);
  }
  if (o->bytes <= COLL_PAIR_SMALL) return NBS_OK;
  int rc = nbsi_coll_stream(g);
  return rc == NBS_OK ? nbsi_coll_returned(g) : rc;
}

static void took(nbs_coll *g, coll_pair *pair, uint64_t number) {
  g->received[g->op.root] = number;
  nb_atomic_store(&pair->taken, number, RELEASE);
  nbsi_coll_wake(g, g->op.root);
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
    if (call->what == 0) { /* the sender has refused: nothing more comes */
      coll_call mine = my_call(g);
      rc = disagree(g, o->root, call, g->rank, &mine);
      took(g, pair, number);
      return rc;
    }
    /* Its shape and type must be ours; else neither side can go on with this pair. */
    if (call->bytes != o->bytes || call->what != (NBS_COLL_SEND | o->type << 8) ||
        memcmp(call->shape, o->shape, sizeof o->shape) != 0) {
      coll_call mine = my_call(g);
      rc = disagree(g, o->root, call, g->rank, &mine);
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
      nbsi_coll_plan(g);
    o->at = 1;
  }
  if (o->bytes > COLL_PAIR_SMALL) {
    int rc = nbsi_coll_stream(g);
    if (rc != NBS_OK) return rc;
  }
  took(g, pair, number);
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

/* begin takes the group for this thread; the status of what stands in the way. */
static int begin(nbs_coll *g) {
  int rc = nbsi_enter(g->s);
  if (rc != NBS_OK) return rc;
  uint32_t idle = 0;
  if (!nb_atomic_cas(&g->busy, &idle, 1u, ACQ_REL)) return NBS_EEXISTS;
  rc = nbsi_coll_broken(g);
  if (rc != NBS_OK) nb_atomic_store(&g->busy, 0u, RELEASE);
  return rc;
}

int nbs_coll_run(nbs_coll *g, uint32_t what, uint32_t root, const void *in, void *out,
                 uint64_t bytes, const uint32_t *shape, uint64_t timeout_ns) {
  static const uint32_t flat[NBS_COLL_SHAPE] = {1};
  int rc = begin(g);
  if (rc != NBS_OK) return rc;
  uint32_t kind = what & 0xff, type = what >> 8 & 0xff, op = what >> 16 & 0xff;
  rc = check(g, kind, type, op, root, bytes);
  if (rc != NBS_OK) {
    nb_atomic_store(&g->busy, 0u, RELEASE);
    return rc;
  }
  coll_op *o = &g->op;
  o->kind = kind;
  o->type = type;
  o->op = op;
  o->root = root;
  o->refused = 0;
  o->in = in;
  o->out = out;
  o->bytes = bytes;
  memcpy(o->shape, shape == NULL ? flat : shape, sizeof o->shape);
  o->at = 0;
  o->since = 0;
  o->number = 0;
  o->pub = o->n_pub = o->con = o->n_con = 0;
  o->deadline = timeout_ns == 0 ? UINT64_MAX : nbsi_now_ns() + timeout_ns;
  uint32_t cpu = nbsi_cpu();
  if (nb_atomic_load(&g->s->me->cpu, RELAXED) != cpu) nb_atomic_store(&g->s->me->cpu, cpu, RELAXED);
  return progress(g);
}

int nbs_coll_refuse(nbs_coll *g, uint32_t kind, uint32_t other) {
  if (kind >= NBS_COLL_SEND && (other >= g->world || other == g->rank)) return NBS_EINVAL;
  int rc = begin(g);
  if (rc != NBS_OK) return rc;
  if (kind == NBS_COLL_RECV) {
    rc = nbsi_coll_break(g, COLL_ABORTED, g->rank);
    nb_atomic_store(&g->busy, 0u, RELEASE);
    return rc;
  }
  g->op = (coll_op){.kind = kind, .root = other, .refused = 1, .deadline = UINT64_MAX};
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
