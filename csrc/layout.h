/* layout.h - every structure that lives in the segment.
 *
 *   header | slots | channels | entries | free extents | buckets | scratch | warm map |
 *   rings | event rings | arena
 *
 * Offsets, never pointers. Each region has a frontier up to which it is backed by memory
 * (fallocate); nobody touches a byte beyond it, so nobody meets SIGBUS. No bool, enum or
 * long in here: their sizes belong to the compiler.
 *
 * Words in comments: *primary* fields are the truth; *derived* ones are rebuilt from the
 * primary ones by repair.c when a lock owner died. (L) = written under the lock only. */
#ifndef NBS_LAYOUT_H
#define NBS_LAYOUT_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

#include "nbs.h"

#define NBSI_MAGIC   0x3130474553425242ull /* "BRBSEG01", also tells the byte order */
#define NBSI_VERSION 2u
#define NBSI_NIL     0xffffffffu /* end of a list of indices */
#define NBSI_NOT_IN  0xfffffffeu /* entry.lru_prev: not in the list of evictable objects */

#define NBSI_SLOT_WORDS   (NBS_MAX_SLOTS / 64)    /* words of a bitmap of slots */
#define NBSI_CHAN_WORDS   (NBS_MAX_CHANNELS / 64) /* words of a bitmap of channels */
#define NBSI_BINS         384                     /* size classes of free extents */
#define NBSI_CHUNK        (256u * 1024u)          /* unit of the warm map, bytes */
#define NBSI_TOUCHED      2u                      /* in it: by nbs_fill, so the pages are there */
#define NBSI_RING_UNIT    (4096u)                 /* unit in which rings are given out, bytes */
#define NBSI_RING_UNITS   262144u                 /* 1 GiB of virtual room for rings */
#define NBSI_RING_DEFAULT (128u * 1024u)
#define NBSI_RING_MAX     (16u * 1024u * 1024u)
#define NBSI_EVENTS       8192u /* records per event ring; a power of two */
#define NBSI_BLOCK_MAGIC  0x6b6c425f7961726eull

/* ---------------------------------------------------------------- header */

/* Fixed at creation; each process copies and checks it once when it attaches. */
typedef struct {
  uint64_t magic;
  uint64_t signature; /* nbsi_layout_signature() of the creator */
  uint32_t version;
  uint32_t page_size;  /* bytes */
  uint64_t total_size; /* bytes of the whole file */
  uint64_t capacity;   /* bytes of objects asked for */
  uint64_t arena_size; /* capacity rounded up, plus one block header */
  uint32_t max_entries;
  uint32_t n_buckets; /* power of two */
  uint64_t off_slots, off_chans, off_entries, off_fexts, off_buckets, off_scratch;
  uint64_t off_warm, off_rings, off_events, off_arena;
} nbsi_geometry;

/* A ring of event records: one per slot, and one for those of the dead. */
typedef struct {
  uint64_t head;    /* records claimed by the writers; CAS by threads of the process */
  uint64_t tail;    /* records drained (L) */
  uint64_t dropped; /* records that found the ring full */
  uint64_t backed;  /* 1 when the ring's memory is reserved (L for 0 -> 1) */
} nbsi_event_ctl;

typedef struct {
  nbsi_geometry geo;

  _Alignas(64) pthread_mutex_t lock; /* robust, process-shared: the one pthread object */
  uint64_t n_repairs;                /* times that an owner died with it (L) */
  uint32_t corrupt;                  /* 1: repair found what it cannot mend; all calls refuse */
  uint32_t pad0;

  /* Frontiers: primary, only grow (L). */
  _Alignas(64) uint64_t reserved; /* bytes of the arena that are backed */
  uint32_t entries_backed;        /* entries (and extents, scratch) that are backed */
  uint32_t entries_used;          /* entries ever in use; the others are all zero */
  uint32_t slots_backed, slots_used;
  uint32_t chans_used;
  uint32_t rings_backed;                     /* units of the ring region that are backed */
  uint64_t n_created_total, n_evicted_total; /* monotonic; may miss one in a crash */
  uint64_t n_spilled_total, n_restored_total, n_lost_total; /* the same */
  uint32_t spill_blocked;                                   /* NBS_SPILL_...; by the spiller */
  uint32_t pad2;

  /* Counters of dead processes: two copies, the one chosen by fold_word is valid. The
   * word also names the peer folded last, so that folding twice is noticed (L). */
  uint64_t fold_word; /* epoch << 32 | slot << 1 | index of the valid copy */
  int64_t dead_counters[2][NBS_N_COUNTERS];

  /* Derived (L). */
  _Alignas(64) uint64_t used_bytes; /* of blocks in use */
  uint64_t n_objects, n_sealed, n_promised, n_kept, n_slots, n_channels;
  uint32_t entry_free;           /* list of free entries through hash_next */
  uint32_t fext_free, fext_used; /* list of free extent records; high-water mark */
  uint32_t ext_first, ext_last;  /* extents by address: ends of the list */
  uint32_t lru_head, lru_tail;   /* evictable objects; head = least recently used */
  uint32_t clock;                /* counts seals and ends of views; entry.stamp */
  uint64_t n_spilled, spilled_bytes;
  uint64_t bin_map[NBSI_BINS / 64];        /* bins that are not empty */
  uint32_t bins[NBSI_BINS];                /* newest free extent of each size class */
  uint64_t ring_map[NBSI_RING_UNITS / 64]; /* units of the ring region in use */

  /* Seals: any process, without the lock. */
  _Alignas(64) uint64_t seal_gen;         /* counts objects that became sealed */
  uint64_t seal_waiters[NBSI_SLOT_WORDS]; /* slots that sleep for a seal; sealer clears */

  _Alignas(64) nbsi_event_ctl orphans; /* events of recovered processes (L) */
  uint32_t events_behind; /* futex generation: counts calls of writers whose ring is half full */
  uint32_t events_heard;  /* 1: somebody has waited for such calls, so writers may wait for them */
} nbsi_header;

/* ----------------------------------------------------------------- slots */

enum { NBSI_SLOT_FREE = 0, NBSI_SLOT_TAKEN = 1, NBSI_SLOT_RECOVERING = 2 };

/* One attached process. `word` is primary: the rest counts while it is not FREE. */
typedef struct {
  uint64_t word;       /* epoch << 32 | NBSI_SLOT_...; commits the slot (L) */
  int64_t pid;         /* in the namespace `pid_ns` */
  uint64_t start_time; /* of the process, clock ticks since boot; against reused pids */
  uint64_t pid_ns;     /* inode of its pid namespace */
  uint32_t cpu;        /* processor it was last seen on; written by itself, a hint */
  uint32_t pad0;
  nbsi_event_ctl events;            /* written by itself; tail under the lock */
  int64_t counters[NBS_N_COUNTERS]; /* written by itself (atomic add) */

  /* The doorbell: one cache line, which is all of a receiver that a sender touches. */
  _Alignas(64) uint64_t owned_sum; /* words of owned_ready that are not zero */
  uint64_t served_sum;
  uint32_t bell;           /* futex generation: threads in nbs_wait */
  uint32_t serve_bell;     /* futex generation: the thread in nbs_serve_wait */
  uint32_t ring_gen;       /* counts nbs_ring calls of others */
  uint32_t ring_pending;   /* 1: a ring that no wait has returned yet */
  uint16_t sleeping[4];    /* 1: threads may be asleep in nbs_wait, per bit of interest */
  uint16_t waiting[4];     /* threads in nbs_wait at all, per bit of interest */
  uint32_t serve_sleeping; /* 1: the service thread sleeps deeply */
  uint32_t stop_again;     /* 1: it was stopped, and goes on only to let go of the lock */

  _Alignas(64) uint64_t owned_ready[NBSI_CHAN_WORDS]; /* set by senders, cleared by itself */
  uint64_t served_ready[NBSI_CHAN_WORDS];
} nbsi_slot;

/* -------------------------------------------------------------- channels */

enum { NBSI_CHAN_OPEN = 1, NBSI_CHAN_OWNER_GONE = 2, NBSI_CHAN_WORKER_GONE = 4 };
#define NBSI_CHAN_BITS 12 /* a channel number is generation << 12 | index */

/* One direction. Positions count bytes for ever; the low bits index the ring. */
typedef struct {
  _Alignas(64) uint64_t tail; /* end of what is published; by the sender */
  uint64_t head_seen;         /* the sender's copy of head */
  _Alignas(64) uint64_t head; /* start of what is not given back; by the receiver */
  uint64_t tail_seen;         /* the receiver's copy of tail */
} nbsi_ring;

typedef struct {
  uint64_t word;       /* generation << 32 | flags; 0 flags = free; primary (L) */
  uint64_t owner;      /* peer */
  uint64_t worker;     /* peer */
  uint32_t ring_unit;  /* first unit of both rings, `down` first */
  uint32_t ring_bytes; /* bytes of one ring; a power of two */
  uint64_t run_seq;    /* task that the worker runs; by the worker */
  uint64_t run_start;  /* its start, CLOCK_MONOTONIC ns; 0 = none */
  uint64_t cancel_seq; /* task number + 1 that the owner wants interrupted; by the owner */
  uint32_t run_count;  /* tasks taken and not answered; by the worker */
  uint32_t run_what;   /* nbs_msg.a << 8 | nbs_msg.flags & 255 of that; by the worker; a hint */
  nbsi_ring down;      /* owner -> worker */
  nbsi_ring up;        /* worker -> owner */
} nbsi_chan;

/* What stands in a ring in front of the payload. */
enum { NBSI_PENDING = 0, NBSI_MSG_TAKEN = 1, NBSI_MSG_REVOKED = 2, NBSI_PAD = 3 };
typedef struct {
  uint64_t word; /* position of this record (a multiple of 8) | NBSI_PENDING ... PAD */
  nbs_msg msg;
} nbsi_record;

/* --------------------------------------------------------------- entries */

/* Flags in entry.word, beside the state in the low byte. */
#define NBSI_F_DELETED 0x100u /* forgotten: not in the index */
#define NBSI_F_LOST    0x200u /* sealed without a value; with SPILLED: it had one once */
#define NBSI_F_BLOCK   0x400u /* owns [off, off + block) of the arena */
#define NBSI_F_SPILLED 0x800u /* sealed, the value is on disk; with BLOCK: it is being read */

/* One object. `word` commits everything: it is written last when the entry comes to life
 * and first when it dies. All under the lock, but for reads of held sealed objects. */
typedef struct {
  uint64_t word; /* generation << 32 | flags | NBS_FREE ... NBS_SEALED; primary */
  uint8_t id[NBS_ID_SIZE];
  uint32_t meta;               /* NBS_META_KEEP and the caller's bits */
  uint64_t off;                /* of the block in the arena; valid with NBSI_F_BLOCK */
  uint64_t block;              /* bytes of the block: children, header, data, each padded to 64 */
  uint64_t size;               /* bytes of data */
  uint64_t promiser;           /* peer that promised it, 0 when it was created unpromised */
  uint64_t creator;            /* peer that created it; valid when CREATED or SEALED */
  uint64_t transit;            /* peer that a hold waits for (nbs_adopt), or 0 */
  uint32_t n_children;         /* handles at the start of the block */
  uint32_t child_refs;         /* containers that list this object; derived */
  uint32_t hash_next;          /* chain of the index, or free list; derived */
  uint32_t ext_prev, ext_next; /* neighbours by address; derived */
  uint32_t lru_prev, lru_next; /* neighbours in the list of evictable ones; derived */
  uint32_t stamp;              /* header.clock when it was last sealed or looked at; a hint */
  uint64_t loader;             /* peer that reads it from disk; valid with SPILLED and BLOCK */
  uint64_t holders[NBSI_SLOT_WORDS]; /* bit per slot that holds it; primary */
  uint64_t pins[NBSI_SLOT_WORDS];    /* of those: slots that have a view of it; primary */
} nbsi_entry;

/* Directly in front of the data: leads from a pointer to its object. */
typedef struct {
  uint64_t magic; /* NBSI_BLOCK_MAGIC */
  uint64_t obj;   /* handle */
  uint64_t size;
  char label[NBS_LABEL_SIZE]; /* where it was made, for messages; its creator wrote it */
} nbsi_block;

/* A free piece of the arena. Derived. References to extents: index of an entry, or
 * max_entries + index of a free extent. */
typedef struct {
  uint64_t off, size;          /* bytes */
  uint32_t ext_prev, ext_next; /* neighbours by address */
  uint32_t bin_prev, bin_next; /* neighbours in the size class */
} nbsi_fext;

_Static_assert(sizeof(nbsi_geometry) == 136, "no padding: it is compared as bytes");
_Static_assert(sizeof(nbs_msg) == 32, "nbs_msg is part of the ring format");
_Static_assert(sizeof(nbs_event) == 64, "nbs_event is part of the event ring format");
_Static_assert(sizeof(nbsi_record) == 40, "record head is a multiple of 8");
_Static_assert(sizeof(nbsi_block) == NBS_ALIGN, "data follows the header aligned");
_Static_assert(sizeof(nbsi_entry) == 384, "six cache lines");
_Static_assert(offsetof(nbsi_entry, holders) == 128, "holders start a cache line");
_Static_assert(sizeof(nbsi_fext) == 32, "half a cache line");
_Static_assert(offsetof(nbsi_slot, owned_ready) - offsetof(nbsi_slot, owned_sum) == 64,
               "the doorbell is one cache line");
_Static_assert(sizeof(nbsi_slot) % 64 == 0, "slots do not share lines");
_Static_assert(sizeof(nbsi_chan) % 64 == 0, "channels do not share lines");
_Static_assert(sizeof(pthread_mutex_t) <= 64, "lock and its counters stay in the header");
_Static_assert(NBS_MAX_CHANNELS == 1 << NBSI_CHAN_BITS, "channel numbers");
_Static_assert(NBS_MAX_CHANNELS / 64 <= 64, "one summary word");

/* nbsi_layout_signature hashes sizes and offsets of all of the above. */
uint64_t nbsi_layout_signature(void);
/* nbsi_geometry_make fills in the offsets for a capacity. */
void nbsi_geometry_make(nbsi_geometry *g, uint64_t capacity, uint32_t max_entries,
                        uint32_t page_size);
/* nbsi_geometry_check compares a segment's geometry with what this library would make;
 * `why` gets the difference. */
int nbsi_geometry_check(const nbsi_geometry *g, uint64_t file_size, char *why, size_t why_len);

/* nbsi_geometry_read reads and checks the geometry of the segment behind a descriptor. */
int nbsi_geometry_read(int fd, nbsi_geometry *g, char *why, size_t why_len);

#endif
