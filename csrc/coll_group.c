/* coll_group.c - joining and leaving a group, waiting for its ranks, and its end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "collective.h"
#include "holds.h"
#include "index.h"
#include "lock.h"
#include "platform.h"

#define SLICE_NS 50000000ull
#define SPIN_NS  50000ull
#define TRIES    100000 /* others may make and end groups of that id meanwhile; not for ever */

/* ------------------------------------------------------------------- layout */

static uint64_t lines(uint64_t bytes) { return (bytes + 63) / 64 * 64; }

static uint32_t chunk_of(uint32_t world) {
  uint64_t fair = COLL_STAGING_MAX / world / COLL_SLOTS / 4096 * 4096;
  if (fair > COLL_CHUNK_MAX) return COLL_CHUNK_MAX;
  return fair < COLL_CHUNK_MIN ? COLL_CHUNK_MIN : (uint32_t)fair;
}

static uint64_t control_bytes(uint64_t world) {
  return lines(sizeof(coll_head)) + world * (sizeof(coll_rank) + 2 * sizeof(coll_box)) +
         world * world * sizeof(coll_pair);
}

static uint64_t group_bytes(uint32_t world) {
  return control_bytes(world) + (uint64_t)world * COLL_SLOTS * chunk_of(world);
}

static void set_pointers(nbs_coll *g, void *at) {
  uint8_t *p = at;
  g->head = at;
  p += lines(sizeof(coll_head));
  g->ranks = (coll_rank *)(void *)p;
  p += g->world * sizeof(coll_rank);
  g->boxes = (coll_box *)(void *)p;
  p += (uint64_t)g->world * 2 * sizeof(coll_box);
  g->pairs = (coll_pair *)(void *)p;
  g->staging = (uint8_t *)at + control_bytes(g->world);
  g->chunk = chunk_of(g->world);
}

/* ------------------------------------------------------------------ joining */

static void format(void *at, uint32_t world) {
  memset(at, 0, control_bytes(world));
  coll_head *h = at;
  h->size = group_bytes(world);
  h->world = world;
  h->chunk = chunk_of(world);
  h->magic = COLL_MAGIC;
}

/* forget takes the name from a group that has ended, if it still is that group's. */
static void forget(nbs_seg *s, const uint8_t *id, uint64_t obj) {
  if (nbsi_enter(s) != NBS_OK || nbsi_lock(s) != NBS_OK) return;
  uint32_t i = nbsi_index_find(s, id);
  if (i != NBSI_NIL && nbsi_word(nbsi_gen(s->entries[i].word), i) == obj) {
    nbsi_lru_drop(s, i);
    nb_atomic_store(&s->entries[i].word, s->entries[i].word | NBSI_F_DELETED, RELEASE);
    nbsi_index_drop(s, i);
    nbsi_settle(s, i);
  }
  nbsi_unlock(s);
}

/* ended: nobody can work with this group any more. */
static int ended(nbs_seg *s, const nbs_coll *g) {
  if (nb_atomic_load(&g->head->broken, ACQUIRE) != 0) return 1;
  for (uint32_t r = 0; r < g->world; r++) {
    uint64_t peer = nb_atomic_load(&g->ranks[r].peer, ACQUIRE);
    if (nb_atomic_load(&g->ranks[r].left, ACQUIRE) != 0) return 1;
    if (peer != 0 && peer != s->peer && nbs_alive(s, peer) == 0) return 1;
  }
  return 0;
}

/* enter joins the sealed group `obj`: NBS_EAGAIN when it has ended. */
static int enter(nbs_coll *g, char *why, size_t why_len) {
  nbs_seg *s = g->s;
  uint64_t size = 0;
  g->view = nbs_view_sized(s, g->obj, &size);
  if (g->view == NULL) return NBS_EAGAIN; /* lost: its maker died */
  const coll_head *h = g->view;
  if (size < sizeof *h || h->magic != COLL_MAGIC || h->size != size || h->world == 0) {
    snprintf(why, why_len, "the object of this name is no group");
    return NBS_ECORRUPT;
  }
  uint32_t wanted = g->world;
  g->world = h->world;
  if (h->world > NBS_MAX_RANKS || group_bytes(h->world) != size) return NBS_ECORRUPT;
  set_pointers(g, g->view);
  if (ended(s, g)) {
    g->world = wanted;
    return NBS_EAGAIN;
  }
  if (h->world != wanted) {
    snprintf(why, why_len, "it was made for %u ranks, not for %u", h->world, wanted);
    return NBS_EINVAL;
  }
  coll_rank *me = &g->ranks[g->rank];
  uint64_t nobody = 0;
  if (!nb_atomic_cas(&me->peer, &nobody, s->peer, ACQ_REL)) {
    snprintf(why, why_len, "rank %u is taken by the process with pid %llu", g->rank,
             (unsigned long long)nb_atomic_load(&me->pid, RELAXED));
    return NBS_ESTATE;
  }
  nb_atomic_store(&me->pid, (uint64_t)nbsi_pid(), RELAXED);
  return NBS_OK;
}

static void drop_view(nbs_coll *g) {
  if (g->view != NULL) nbs_view_end(g->view);
  g->view = NULL;
}

/* find_or_make gets hold of the group of this id, sealed; NBS_EAGAIN: look again. */
static int find_or_make(nbs_coll *g) {
  void *data;
  int rc = nbs_obj_create(g->s, g->id, group_bytes(g->world), 0, 0, NULL, 0, &g->obj, &data);
  if (rc == NBS_OK) {
    format(data, g->world);
    return nbs_obj_seal(g->s, g->obj);
  }
  if (rc != NBS_EEXISTS) return rc;
  if (nbs_obj_state(g->s, g->obj) == NBS_SEALED) return NBS_OK;
  nbs_release(g->s, g->obj); /* about to be made by another, or given up when he died */
  nbsi_sleep_ns(100000);
  return NBS_EAGAIN;
}

static void dispose(nbs_coll *g) {
  free(g->sent);
  free(g);
}

int nbs_coll_join(nbs_seg *s, const uint8_t *id, uint32_t world, uint32_t rank,
                  uint64_t patience_ns, nbs_coll **out, char *why, size_t why_len) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  if (why_len > 0) why[0] = 0;
  if (world == 0 || world > NBS_MAX_RANKS || rank >= world) {
    snprintf(why, why_len, "rank %u of %u: at most %d ranks, counted from 0", rank, world,
             NBS_MAX_RANKS);
    return NBS_EINVAL;
  }
  nbs_coll *g = calloc(1, sizeof *g);
  if (g == NULL) return NBS_ENOMEM;
  g->s = s;
  g->rank = rank;
  g->patience = patience_ns == 0 ? UINT64_MAX : patience_ns;
  g->at_fault = -1;
  memcpy(g->id, id, NBS_ID_SIZE);
  g->sent = calloc(world, 3 * sizeof(uint64_t));
  if (g->sent == NULL) {
    dispose(g);
    return NBS_ENOMEM;
  }
  g->received = g->sent + world;
  g->streams = g->received + world;
  g->world = world;
  for (int i = 0; i < TRIES; i++) {
    rc = find_or_make(g);
    if (rc == NBS_EAGAIN) continue;
    if (rc != NBS_OK) break;
    rc = enter(g, why, why_len);
    nbs_release(s, g->obj); /* the view keeps it */
    if (rc == NBS_OK) {
      *out = g;
      return NBS_OK;
    }
    drop_view(g);
    if (rc != NBS_EAGAIN) break;
    forget(s, id, g->obj);
  }
  dispose(g);
  return rc;
}

int nbs_coll_leave(nbs_coll *g) {
  uint32_t idle = 0;
  if (!nb_atomic_cas(&g->busy, &idle, 1u, ACQ_REL)) return NBS_ESTATE;
  if (nb_atomic_load(&g->s->gone, RELAXED) != (uint32_t)NBS_EFORKED) {
    nb_atomic_store(&g->ranks[g->rank].left, 1u, SEQ_CST);
    for (uint32_t r = 0; r < g->world; r++)
      if (r != g->rank) nbsi_coll_wake(g, r);
    forget(g->s, g->id, g->obj);
    drop_view(g);
  }
  dispose(g);
  return NBS_OK;
}

int nbs_coll_joined(nbs_coll *g, uint32_t rank) {
  return rank < g->world && nb_atomic_load(&g->ranks[rank].peer, ACQUIRE) != 0;
}

/* ------------------------------------------------------------------ its end */

int nbs_coll_why(nbs_coll *g, char *why, size_t why_len) {
  snprintf(why, why_len, "%s", g->why);
  return g->at_fault;
}

int nbsi_coll_broken(nbs_coll *g) {
  uint64_t broken = nb_atomic_load(&g->head->broken, ACQUIRE);
  if (broken == 0) return NBS_OK;
  uint32_t rank = nbsi_low(broken), reason = nbsi_gen(broken);
  unsigned long long pid = rank < g->world ? nb_atomic_load(&g->ranks[rank].pid, RELAXED) : 0;
  g->at_fault = (int)rank;
  switch (reason) {
    case COLL_DIED:
      if (!nbs_coll_joined(g, rank))
        snprintf(g->why, sizeof g->why, "rank %u died before it joined", rank);
      else
        snprintf(g->why, sizeof g->why, "rank %u (pid %llu) died", rank, pid);
      return NBS_EDEAD;
    case COLL_TIMED_OUT:
      snprintf(g->why, sizeof g->why, "rank %u (pid %llu) did not get what it waited for in time",
               rank, pid);
      return NBS_ETIMEOUT;
    case COLL_LEFT:
      snprintf(g->why, sizeof g->why, "rank %u (pid %llu) has left the group", rank, pid);
      return NBS_ESTATE;
    default:
      snprintf(g->why, sizeof g->why, "rank %u (pid %llu) gave up in the middle of an operation",
               rank, pid);
      return NBS_ESTATE;
  }
}

int nbsi_coll_break(nbs_coll *g, uint32_t reason, uint32_t rank) {
  uint64_t whole = 0;
  nb_atomic_cas(&g->head->broken, &whole, nbsi_word(reason, rank), ACQ_REL);
  for (uint32_t r = 0; r < g->world; r++) {
    nb_atomic_add(&g->ranks[r].bell, 1u, SEQ_CST);
    nbsi_futex_wake_all(&g->ranks[r].bell);
  }
  return nbsi_coll_broken(g);
}

void nbs_coll_lost(nbs_coll *g, uint32_t rank) {
  int concerned = g->op.kind < NBS_COLL_SEND || g->op.root == rank;
  if (rank >= g->world || !concerned || nbs_coll_joined(g, rank)) return;
  if (nbsi_enter(g->s) == NBS_OK) nbsi_coll_break(g, COLL_DIED, rank);
}

/* ------------------------------------------------------------------ waiting */

void nbsi_coll_wake(nbs_coll *g, uint32_t rank) {
  coll_rank *r = &g->ranks[rank];
  nb_atomic_fence(); /* what was published comes before the look */
  if (nb_atomic_load(&r->sleeping, SEQ_CST) != 0 &&
      nb_atomic_exchange(&r->sleeping, 0u, SEQ_CST) != 0) {
    nb_atomic_add(&r->bell, 1u, SEQ_CST);
    nbsi_futex_wake_all(&r->bell);
  }
}

/* worth_spinning: the rank that we wait for runs elsewhere, as far as we know. */
static int worth_spinning(nbs_coll *g, uint32_t on) {
  nbs_seg *s = g->s;
  if (s->n_cpus < 2 || g->world > s->n_cpus) return 0;
  uint64_t peer = nb_atomic_load(&g->ranks[on].peer, RELAXED);
  uint32_t slot = nbsi_slot_of(peer), cpu = nbsi_cpu();
  if (peer == 0 || slot >= NBS_MAX_SLOTS) return 0;
  if (nb_atomic_load(&s->me->cpu, RELAXED) != cpu) nb_atomic_store(&s->me->cpu, cpu, RELAXED);
  return nb_atomic_load(&s->slots[slot].cpu, RELAXED) != cpu;
}

static int spin(nbs_coll *g, uint32_t on, coll_cond a, coll_cond b) {
  if (!worth_spinning(g, on)) return 0;
  uint64_t until = 0;
  for (uint32_t n = 1;; n++) {
    if (coll_holds(a) || coll_holds(b)) return 1;
    nb_pause();
    if (n % 32 != 0) continue;
    uint64_t now = nbsi_now_ns();
    if (until == 0) until = now + SPIN_NS;
    if (now >= until || !worth_spinning(g, on)) return 0;
  }
}

/* late says for whom we waited in vain. */
static int late(nbs_coll *g, uint32_t on) {
  int rc = nbsi_coll_break(g, COLL_TIMED_OUT, g->rank);
  if (g->at_fault != (int)g->rank) return rc; /* another was first */
  unsigned long long pid = nb_atomic_load(&g->ranks[on].pid, RELAXED);
  if (nbs_coll_joined(g, on))
    snprintf(g->why, sizeof g->why, "rank %u waited in vain for rank %u (pid %llu)", g->rank, on,
             pid);
  else
    snprintf(g->why, sizeof g->why, "rank %u waited in vain for rank %u, which has not joined",
             g->rank, on);
  return rc;
}

static int dead(nbs_coll *g, uint32_t rank) {
  uint64_t peer = nb_atomic_load(&g->ranks[rank].peer, ACQUIRE);
  return peer != 0 && rank != g->rank && nb_atomic_load(&g->ranks[rank].left, ACQUIRE) == 0 &&
         nbs_alive(g->s, peer) == 0;
}

/* look tells what ended the group or the wait, NBS_OK when nothing did. In an operation of
 * all, the death of any rank counts: the one that we wait for may itself wait for that. */
static int look(nbs_coll *g, uint32_t on, coll_cond a, coll_cond b, uint64_t now) {
  int rc = nbsi_coll_broken(g);
  if (rc != NBS_OK) /* who broke it may have done his part in our operation before */
    return coll_holds(a) || coll_holds(b) ? NBS_OK : rc;
  /* Whoever entered an operation of all left the group only after he did his part. */
  int entered = g->op.kind < NBS_COLL_SEND && g->op.at == g->world;
  if (!entered && nb_atomic_load(&g->ranks[on].left, ACQUIRE) != 0) {
    if (coll_holds(a) || coll_holds(b)) return NBS_OK; /* it did its part before it left */
    return nbsi_coll_break(g, COLL_LEFT, on);
  }
  if (now >= g->op.deadline) return late(g, on);
  if (now - g->op.since >= g->patience && !nbs_coll_joined(g, on)) return late(g, on);
  if (now - g->looked < SLICE_NS / 2) return NBS_OK;
  g->looked = now;
  int all = g->op.kind < NBS_COLL_SEND;
  for (uint32_t r = all ? 0 : on; r < (all ? g->world : on + 1); r++)
    if (dead(g, r) && !coll_holds(a) && !coll_holds(b)) return nbsi_coll_break(g, COLL_DIED, r);
  return NBS_OK;
}

int nbsi_coll_await(nbs_coll *g, uint32_t on, coll_cond a, coll_cond b) {
  if (coll_holds(a) || coll_holds(b) || spin(g, on, a, b)) return NBS_OK;
  coll_rank *me = &g->ranks[g->rank];
  uint64_t now = nbsi_now_ns(), until = now + SLICE_NS;
  if (g->op.since == 0) g->op.since = now;
  for (;;) {
    uint32_t bell = nb_atomic_load(&me->bell, SEQ_CST);
    nb_atomic_store(&me->sleeping, 1u, SEQ_CST);
    nb_atomic_fence();
    if (coll_holds(a) || coll_holds(b)) {
      nb_atomic_store(&me->sleeping, 0u, RELAXED);
      return NBS_OK;
    }
    NB_FAILPOINT("coll_look");
    int rc = look(g, on, a, b, now);
    if (rc != NBS_OK) return rc;
    if (now >= until) return NBS_EAGAIN;
    uint64_t end = g->op.deadline < until ? g->op.deadline : until;
    rc = nbsi_futex_wait(&me->bell, bell, end > now ? end - now : 0);
    if (coll_holds(a) || coll_holds(b)) return NBS_OK;
    if (rc == NBSI_INTERRUPTED) return NBS_EAGAIN;
    now = nbsi_now_ns();
  }
}
