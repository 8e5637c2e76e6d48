/* impl.h - what the files of the library share with each other: the process-private
 * handle, entry to every public call, failpoints.
 *
 * Direction of use: object, view, channel, wait, events, recover -> holds, index, arena,
 * evict -> lock -> repair -> platform, layout. check and stats may read all. */
#ifndef NBS_IMPL_H
#define NBS_IMPL_H

#include <pthread.h>
#include <stdint.h>

#include "atomics.h"
#include "layout.h"
#include "nbs.h"

/* A process dies here in the crash tests (see failpoint.h); nothing in other builds. */
#ifdef NB_FAILPOINTS
void nbsi_failpoint(const char *name);
#define NB_FAILPOINT(name) nbsi_failpoint(name)
#else
#define NB_FAILPOINT(name) ((void)0)
#endif

/* Channels with something to read, taken over from the shared bitmaps: a channel stays in
 * here until its ring was seen empty. */
typedef struct {
  uint64_t sum; /* words below that are not zero; atomic, nbs_wait reads it */
  uint64_t words[NBSI_CHAN_WORDS];
} nbsi_left;

struct nbs_seg {
  /* Where things are. Copied from the header once, checked, never read from there again. */
  uint8_t *base;
  nbsi_header *h;
  nbsi_slot *slots;
  nbsi_chan *chans;
  nbsi_entry *entries;
  nbsi_fext *fexts;
  uint32_t *buckets;
  uint32_t *scratch;
  uint8_t *warm; /* per chunk of the arena: not 0 = all its pages are up to date; a hint */
  uint8_t *rings;
  uint8_t *event_rings;
  uint8_t *arena;
  nbsi_geometry geo;
  int fd;
  int owns_mapping; /* 0: the mapping belongs to another handle (tests) */
  nbsi_slot *me;
  uint32_t slot;
  uint64_t peer; /* epoch << 32 | slot */
  uint64_t pid_ns;
  uint32_t n_cpus;
  uint32_t gone;        /* 0 or the status that every call answers (forked, detached); atomic */
  struct nbs_seg *next; /* list of all handles; guarded by the registry's mutex */

  /* This process's own counts. */
  uint32_t *holds;  /* per entry: holds; atomic, 0 <-> 1 only under the lock */
  uint32_t *views;  /* per entry: how many of them are views; atomic */
  uint64_t n_views; /* sum of views, + 1 while attached; atomic */
  uint8_t *mapped;  /* per chunk of the arena: 1 = in this process's page table; a hint */

  /* Channels: the thread that takes, and whoever drains (under recv_lock). */
  nbsi_left served;
  nbsi_left owned;
  pthread_mutex_t recv_lock; /* process-private */
  uint32_t take_from;        /* index of the channel to look at first */
  uint32_t take_turns;
  uint32_t taken_valid;       /* 1: the message below is still in its ring */
  uint32_t taken_chan;        /* index */
  uint64_t taken_next;        /* position behind it */
  uint32_t run_chan;          /* index + 1 of the channel whose task runs; atomic */
  uint32_t sending;           /* threads in nbs_send; atomic */
  const uint64_t *words_read; /* how far two files are read; NULL: nobody reads them */
  uint64_t item_ns;           /* when the last item was sent, while words_read is set */
  int words_fd[2];

  /* Event rings. */
  uint32_t drains;    /* 1: this process drains them, so it never waits for room; atomic */
  uint64_t vain_tail; /* tail + 1 of our ring when a wait for room was in vain; 0 = none; atomic */

  /* Waiting. */
  uint64_t activity;     /* moves when a thread waits, sends or receives; atomic */
  uint32_t nudges;       /* counts nbs_nudge, and nbs_ring of ourselves; atomic */
  uint32_t own_rings;    /* counts nbs_ring of ourselves; atomic */
  uint32_t serve_rings;  /* own_rings at the last return of nbs_serve_wait for one */
  uint64_t seal_seen;    /* seal_gen at the last wait that returned NBS_READY_SEAL; atomic */
  uint32_t peer_slot[2]; /* last process that we sent to as owner / took from; atomic */
  uint32_t spin_credit;  /* grows when spinning paid; atomic */
  uint64_t serve_seen;   /* activity when something was first found ready, see wait.c */
  uint64_t serve_since;  /* when that was, ns; 0 = nothing was */
  uint64_t serve_busy;   /* last time that something was ready, ns */
};

/* nbsi_enter begins every public call: the status to answer at once, or NBS_OK. */
static inline int nbsi_enter(nbs_seg *s) {
  return s == NULL ? NBS_EINVAL : (int)nb_atomic_load(&s->gone, RELAXED);
}

static inline uint64_t nbsi_word(uint64_t gen, uint64_t low) { return gen << 32 | low; }
static inline uint32_t nbsi_gen(uint64_t word) { return (uint32_t)(word >> 32); }
static inline uint32_t nbsi_low(uint64_t word) { return (uint32_t)word; }
static inline uint32_t nbsi_state(uint64_t word) { return (uint32_t)word & 0xffu; }
static inline uint32_t nbsi_slot_of(uint64_t peer) { return (uint32_t)peer & 0xffffffffu; }

/* nbsi_touch notes that the process is busy with its own channels (see nbs_serve_wait).
 * A lost update between threads does not matter: the word moves all the same. */
static inline void nbsi_touch(nbs_seg *s) {
  nb_atomic_store(&s->activity, nb_atomic_load(&s->activity, RELAXED) + 1, RELAXED);
}

/* memlimit.c: may `bytes` more be reserved now, with room to spare? */
int nbsi_memory_allows(uint64_t bytes);

/* segment.c: a second slot on the mapping of another handle. For tests: the thread
 * sanitizer sees races only within one mapping. */
int nbsi_attach_again(nbs_seg *other, nbs_seg **out);
/* access.c: end a view of this handle. nbs_view_end finds the handle by the address, which
 * does not tell it where tests have several on one mapping. */
void nbsi_view_end(nbs_seg *s, void *data);
/* segment.c: the handle whose mapping holds `p`, or NULL. */
nbs_seg *nbsi_segment_of(const void *p);
/* segment.c: gives back slot and mapping; when the last view is gone. */
void nbsi_segment_close(nbs_seg *s);

/* access.c: the flags of an object as callers see them. */
uint32_t nbsi_meta(const nbsi_entry *e, uint64_t word);

/* slots.c, lock held. */
int nbsi_slot_valid(nbs_seg *s, uint64_t peer); /* 1: attached and not being recovered */
void nbsi_slot_free(nbs_seg *s, uint32_t slot); /* the last step of giving one back */

/* wait.c: what wakes a process. `bit`: one of NBS_READY_OWNED, NBS_READY_SERVED. */
void nbsi_notify_chan(nbs_seg *s, uint32_t slot, uint32_t bit, uint32_t chan_index);
void nbsi_notify_seal(nbs_seg *s);

/* events.c */
void nbsi_event(nbs_seg *s, const nbs_event *e);
void nbsi_events_adopt(nbs_seg *s, uint32_t slot); /* lock held: move a dead one's records */

/* channel.c, lock held: ends one side of every channel of `peer`. */
void nbsi_chans_leave(nbs_seg *s, uint64_t peer);
void nbsi_chan_leave(nbs_seg *s, uint32_t index, uint32_t side);
/* channel.c, lock held: rebuild the map of ring memory from the channels. */
int nbsi_chans_rebuild(nbs_seg *s);

#endif
