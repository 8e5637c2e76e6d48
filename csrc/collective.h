/* collective.h - groups of processes that work on arrays together.
 *
 * A group is one object of the store that stays written to after it was sealed. Each rank
 * views it, so it lives as long as its last rank, and a dead one's part is given back with
 * its holds. In it:
 *
 *   head | ranks | boxes: 2 per rank | pairs: 1 per (sender, receiver) | staging: per rank
 *
 * *Box*: what a rank says when it enters operation number `seq`: what it wants, and the
 * data when they are small. As nobody leaves an operation before all have entered it, a
 * rank is at most one ahead of another, and two boxes do. (Who refuses one leaves it at once,
 * and makes up for that before the next.)
 * *Pair*: the same for messages from one rank to another; two on their way.
 * *Slot*: a piece of staging through which large data travel in chunks. Its owner fills it,
 * says for how many readers, and fills it again when all of them are through with it.
 *
 * No locks: each word has one writer, but for slot.left (counted down by readers), rank.peer
 * (taken by compare-and-swap) and head.broken (the same). Each wait looks at signals, the
 * peer's life and the time at least every 50 ms. */
#ifndef NBS_COLLECTIVE_H
#define NBS_COLLECTIVE_H

#include "impl.h"

#define COLL_MAGIC       0x32304c4c4f43424eull
#define COLL_SLOTS       4u
#define COLL_SMALL       (16u * 1024u) /* bytes that fit into a box */
#define COLL_PAIR_SMALL  192u          /* bytes that fit into a message of a pair */
#define COLL_CHUNK_MAX   (128u * 1024u)
#define COLL_CHUNK_MIN   (8u * 1024u)
#define COLL_STAGING_MAX (16ull << 20) /* of all ranks together */

/* What broke a group: reason << 32 | rank. */
enum { COLL_DIED = 1, COLL_LEFT = 2, COLL_TIMED_OUT = 3, COLL_ABORTED = 4 };

typedef struct {
  uint64_t magic;
  uint64_t size; /* bytes of the whole */
  uint32_t world;
  uint32_t chunk;  /* bytes of a slot */
  uint64_t broken; /* 0, or what broke the group, once and for ever */
} coll_head;

typedef struct {
  _Alignas(64) uint64_t ready; /* chunk number + 1 that lies in it; by the owner */
  uint64_t from;               /* 0: it lies in the staging; else offset in the arena + 1 */
  _Alignas(64) uint64_t left;  /* readers that are not through with it */
} coll_slot;

typedef struct {
  _Alignas(64) uint64_t peer; /* 0: not joined yet */
  uint64_t pid;               /* for messages */
  uint32_t left;              /* 1: has left the group */
  uint32_t pad;
  _Alignas(64) uint32_t bell; /* futex generation */
  uint32_t sleeping;          /* 1: asleep, or about to be */
  coll_slot slots[COLL_SLOTS];
} coll_rank;

typedef struct {
  uint64_t seq;    /* number of the operation; written last */
  uint32_t what;   /* operation | type << 8 | reduction << 16; 0: refused */
  uint32_t root;   /* of the operation; not used in pairs */
  uint64_t bytes;  /* of one array */
  uint64_t stream; /* number of the first chunk that the rank publishes in it */
  uint32_t shape[NBS_COLL_SHAPE];
} coll_call;

typedef struct {
  _Alignas(64) coll_call call;
  uint8_t data[COLL_SMALL];
} coll_box;

typedef struct {
  _Alignas(64) uint64_t taken; /* messages taken; by the receiver */
  struct {
    _Alignas(64) coll_call call;
    uint8_t data[COLL_PAIR_SMALL];
  } message[2];
} coll_pair;

_Static_assert(sizeof(coll_box) % 64 == 0, "boxes do not share lines");
_Static_assert(sizeof(coll_pair) == 64 + 2 * 256, "pairs do not share lines");

/* The operation that this process is in. */
typedef struct {
  uint32_t kind, type, op, root;
  uint32_t refused;
  const uint8_t *in;
  uint8_t *out;
  uint64_t bytes, deadline;
  uint32_t shape[NBS_COLL_SHAPE];
  uint64_t since;                  /* when it first had to sleep, ns; 0: not yet */
  uint64_t number;                 /* of the call; 0: not announced yet */
  uint32_t at;                     /* next rank whose call is to be looked at; world: all seen */
  uint64_t chunks;                 /* of the largest part */
  uint64_t stream;                 /* number of the first chunk that we publish */
  uint64_t pub, n_pub, con, n_con; /* chunks published and consumed, of how many */
} coll_op;

struct nbs_coll {
  nbs_seg *s;
  uint64_t obj;
  uint8_t id[NBS_ID_SIZE];
  void *view;
  coll_head *head;
  coll_rank *ranks;
  coll_box *boxes;
  coll_pair *pairs;
  uint8_t *staging;
  uint32_t world, rank, chunk;
  uint32_t busy;             /* 1: a thread is in an operation; atomic */
  uint64_t calls;            /* operations that all take part in, so far */
  uint32_t owed;             /* 1: the last one was refused, and others may not have entered it */
  uint64_t next;             /* number of the next chunk that we publish */
  uint64_t *sent, *received; /* per rank: messages so far */
  uint64_t *streams;         /* per rank: its stream in this operation */
  uint64_t patience;         /* for ranks that have not joined, ns */
  uint64_t looked;           /* when somebody's life was last looked at, ns */
  coll_op op;
  int at_fault; /* rank, or -1 */
  char why[400];
};

static inline coll_box *coll_box_of(nbs_coll *g, uint32_t rank, uint64_t number) {
  return &g->boxes[rank * 2 + (number & 1)];
}
static inline coll_pair *coll_pair_of(nbs_coll *g, uint32_t from, uint32_t to) {
  return &g->pairs[from * g->world + to];
}
static inline uint8_t *coll_staged(nbs_coll *g, uint32_t rank, uint64_t chunk_number) {
  return g->staging +
         ((uint64_t)rank * COLL_SLOTS + chunk_number % COLL_SLOTS) * (uint64_t)g->chunk;
}

/* coll_group.c. A condition: *word is at least `want`, or 0 when want is 0. */
typedef struct {
  const uint64_t *word; /* NULL: never */
  uint64_t want;
} coll_cond;

/* nbsi_coll_await waits until one of two conditions holds, which rank `on` is to bring
 * about: NBS_OK, NBS_EAGAIN after a slice or a signal, or what ended the group. */
int nbsi_coll_await(nbs_coll *g, uint32_t on, coll_cond a, coll_cond b);
void nbsi_coll_wake(nbs_coll *g, uint32_t rank); /* after something was published for it */
/* nbsi_coll_broken: NBS_OK, or the status and the sentence of what broke the group. */
int nbsi_coll_broken(nbs_coll *g);
/* nbsi_coll_break breaks the group for all; the status. */
int nbsi_coll_break(nbs_coll *g, uint32_t reason, uint32_t rank);

/* coll_stream.c: large data of the present operation. nbsi_coll_plan counts the chunks;
 * nbsi_coll_stream goes on with them, and may be called again after NBS_EAGAIN;
 * nbsi_coll_returned then waits until nobody reads what this rank lent. */
void nbsi_coll_plan(nbs_coll *g);
int nbsi_coll_stream(nbs_coll *g);
int nbsi_coll_returned(nbs_coll *g);

/* The array for, or of, one rank, where `in` or `out` are arrays of pointers. */
static inline const uint8_t *in_of(const coll_op *o, uint32_t rank) {
  return ((const uint8_t *const *)(const void *)o->in)[rank];
}
static inline uint8_t *out_of(const coll_op *o, uint32_t rank) {
  return ((uint8_t *const *)(void *)o->out)[rank];
}

static inline int coll_holds(coll_cond c) {
  if (c.word == NULL) return 0;
  uint64_t now = nb_atomic_load(c.word, ACQUIRE);
  return c.want == 0 ? now == 0 : now >= c.want;
}

#endif
