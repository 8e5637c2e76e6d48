/* nbs_api.h - every declaration that Python (through cffi) and C users see.
 *
 * Plain C without preprocessor tricks: cffi reads this file as it stands. C code
 * includes nbs.h, which adds the include guard and the system headers.
 *
 * Words: a *segment* is one memfd that all processes of a node map. In it live the
 * *object store*, the *channels*, the *event rings* and one *slot* per process. A
 * *peer* names a process for ever: (epoch << 32) | slot. An *object handle* names a
 * store entry for ever: (generation << 32) | entry index; 0 is no object.
 *
 * Every function may be called from any thread of the process (the GIL is released
 * around it), takes no callback, and returns NBS_OK or a negative nbs_status unless
 * its comment says otherwise. No wait in here is unbounded. */

typedef struct nbs_seg nbs_seg; /* process-private handle of an attached segment */

enum {
  NBS_OK = 0,
  NBS_ETIMEOUT = -1,  /* the time given has passed */
  NBS_EEXISTS = -2,   /* an object of this id exists already */
  NBS_ENOTFOUND = -3, /* no such object, channel, slot (or its generation is over) */
  NBS_EFULL = -4,     /* the object store has no room, nothing can be evicted */
  NBS_ETOOBIG = -5,   /* larger than the store or the ring can ever hold */
  NBS_ECORRUPT = -6,  /* an invariant of the segment does not hold */
  NBS_EVERSION = -7,  /* magic, version or layout signature differ */
  NBS_ELIMIT = -8,    /* no free slot, entry or channel */
  NBS_ESTATE = -9,    /* not allowed in the object's present state */
  NBS_EDEAD = -10,    /* the peer is dead */
  NBS_EFORKED = -11,  /* called in a child forked after attach */
  NBS_ESYS = -12,     /* a system call failed; errno tells */
  NBS_EAGAIN = -13,   /* the ring is full now */
  NBS_EINTR = -14,    /* a signal arrived while waiting */
  NBS_ENOMEM = -15,   /* cgroup limit, free memory or mount refuse the size */
  NBS_EINVAL = -16,   /* an argument is out of range */
  NBS_EWORDS = -17    /* something is to be sent before this result, see nbs_watch_words */
};

/* Sizes fixed by the layout. */
enum {
  NBS_ID_SIZE = 28,     /* bytes of an object id */
  NBS_MAX_SLOTS = 1024, /* processes of one node at a time */
  NBS_MAX_CHANNELS = 4096,
  NBS_ALIGN = 64,     /* object data starts at a multiple of this */
  NBS_LABEL_SIZE = 40 /* bytes of an object's label, with its final 0 */
};

/* ------------------------------------------------------------------ segment */

/* nbs_limits reads what may be reserved now: min over the cgroup v1/v2 limit minus its
 * usage and MemAvailable, in bytes. `why` (may be NULL) gets one line with the figures. */
uint64_t nbs_memory_available(char *why, size_t why_len);

/* nbs_memory_limit is what nbs_memory_available is measured against: the limit of the
 * tightest cgroup, or the machine's memory; *available gets that figure, in bytes. */
uint64_t nbs_memory_limit(uint64_t *available);

/* nbs_keep_freed has malloc keep up to `bytes` of freed memory for the next request,
 * instead of giving it to the kernel and faulting it in again; nbs_give_freed gives all
 * of it back. Both are for this process alone, and do nothing where malloc is not glibc's. */
void nbs_keep_freed(uint64_t bytes);
void nbs_give_freed(void);

/* nbs_create makes a segment whose arena holds `capacity` bytes of objects, sealed
 * against shrinking, and returns its descriptor (close-on-exec) in *fd. Refuses with
 * NBS_ENOMEM, and the figures in `why`, a capacity that does not fit. max_entries = 0:
 * derived from the capacity. */
int nbs_create(uint64_t capacity, uint32_t max_entries, int *fd, char *why, size_t why_len);

/* nbs_fill touches the pages [from, from + bytes) of the arena of a segment that was just
 * made, for whoever waits for the others to come up: nbs_warm then just counts them as
 * backed. `from` is a multiple of the page size; changes
 * nothing that anybody sees. Returns the bytes it touched, 0 at the arena's end or where
 * memory is short, or a negative status for what is no segment. */
int64_t nbs_fill(int fd, uint64_t from, uint64_t bytes);

/* nbs_attach maps the segment of `fd` (duplicated inside; the caller keeps his) and
 * takes a slot. NBS_EVERSION with the difference in `why` when the layout differs. */
int nbs_attach(int fd, nbs_seg **out, char *why, size_t why_len);

/* nbs_detach gives back everything this process holds, its slot, and unmaps. Views of
 * objects that are still alive keep the mapping alive: it is unmapped with the last. */
void nbs_detach(nbs_seg *s);

/* nbs_map_private maps `len` bytes of an object at `data`, which the caller views, once more
 * for this process alone: nothing is copied but the pages that it then writes, which nobody
 * else sees. The view must last as long. Returns the address of the bytes, or NULL when they
 * are not part of the segment or cannot be mapped; nbs_unmap_private ends it. */
void *nbs_map_private(const void *data, uint64_t len);
void nbs_unmap_private(void *data, uint64_t len);

uint64_t nbs_self(const nbs_seg *s);                  /* this process as a peer */
int nbs_alive(nbs_seg *s, uint64_t peer);             /* 1 alive, 0 dead (zombies are dead) */
int64_t nbs_peer_pid(nbs_seg *s, uint64_t peer);      /* or NBS_ENOTFOUND */
uint64_t nbs_peer_at(nbs_seg *s, uint32_t slot);      /* attached there, alive or not; or 0 */
uint32_t nbs_slots_used(nbs_seg *s);                  /* slots above were never taken */
int nbs_signal(nbs_seg *s, uint64_t peer, int signo); /* by pidfd, never to a stranger */

/* nbs_die_with_parent has the kernel SIGKILL this process when the thread that forked it ends
 * (0, or -1 with errno). nbs_adopt_orphans makes this process the parent of what descendants
 * leave behind, instead of init; where a sandbox refuses that, it stays init's (-1). */
int nbs_die_with_parent(void);
int nbs_adopt_orphans(void);

/* nbs_interrupted_itself says, in a handler of SIGINT, that this process sent it. It begins to
 * look at senders when it is called first (and again after another handler was installed),
 * and says 0 then: call it once before. Not by two threads at a time. */
int nbs_interrupted_itself(void);

/* nbs_recover gives back everything the dead process of `peer` held: slot, holds,
 * unsealed objects, channels. Promised objects of which it was the promiser become
 * sealed with NBS_META_LOST. Idempotent; may be killed and called again by another.
 * NBS_ESTATE when the process is alive. */
int nbs_recover(nbs_seg *s, uint64_t peer);

/* nbs_check walks every invariant; NBS_ECORRUPT and a sentence in `why` at the first
 * that does not hold. */
int nbs_check(nbs_seg *s, char *why, size_t why_len);

const char *nbs_status_name(int status);
const char *nbs_layout(void); /* version and layout signature, for messages */

/* ------------------------------------------------------------------ objects */

/* Flags of an object (its `meta`): the low 16 bits belong to the store, the others to
 * the caller. */
enum {
  NBS_META_LOST = 1,   /* the promiser died before it sealed: size 0, no value */
  NBS_META_KEEP = 2,   /* stays, evictable, after the last hold is released */
  NBS_META_SPILLED = 4 /* the value is on disk; with LOST: it was, and cannot be read */
};

enum { NBS_FREE = 0, NBS_PROMISED = 1, NBS_CREATED = 2, NBS_SEALED = 3 };

typedef struct {
  uint64_t size; /* bytes of data */
  uint32_t meta;
  uint32_t state;    /* NBS_FREE ... NBS_SEALED */
  uint64_t promiser; /* peer that promised or created it */
  void *data;        /* in this process's mapping; NULL unless there is a value in memory */
  uint8_t id[28];
} nbs_object;

/* A *hold* keeps an object: one bit per slot in the entry, set while this process's own
 * count of holds is above zero. The last hold of the last process frees the object.
 * Objects may list *children*, other objects that live as long as they do. */

/* nbs_promise makes an entry for `id` that has no value yet, held by the caller. When
 * the id exists already: NBS_EEXISTS, and *obj is that one, held once more. */
int nbs_promise(nbs_seg *s, const uint8_t *id, uint64_t *obj);

/* nbs_obj_create makes room for `size` bytes under `id`; a promised entry of that id
 * becomes this object (whoever promised it). The caller holds it; `hold_for`, when not
 * 0, is a live peer that holds it too from the start (it takes that hold over with
 * nbs_adopt). NBS_EEXISTS when it is created or sealed already: *obj is then that one,
 * held once more. Evicts unheld NBS_META_KEEP objects when it needs room. */
int nbs_obj_create(nbs_seg *s, const uint8_t *id, uint64_t size, uint32_t meta, uint64_t hold_for,
                   const uint64_t *children, uint32_t n_children, uint64_t *obj, void **data);

/* nbs_obj_write copies `len` bytes to `offset` of an object that this process created
 * and has not sealed, by the fastest way (memcpy into warm pages, pwrite into cold). */
int nbs_obj_write(nbs_seg *s, uint64_t obj, uint64_t offset, const void *src, uint64_t len);
/* nbs_obj_label notes where an unsealed object was made, for messages; cut to its size. */
int nbs_obj_label(nbs_seg *s, uint64_t obj, const char *label);
int nbs_obj_seal(nbs_seg *s, uint64_t obj);  /* immutable and visible; wakes waiters */
int nbs_obj_abort(nbs_seg *s, uint64_t obj); /* gives an unsealed object back; ends the hold */

int nbs_lookup(nbs_seg *s, const uint8_t *id, uint64_t *obj); /* adds a hold */
int nbs_contains(nbs_seg *s, const uint8_t *id);              /* state, 0 when absent */
int nbs_hold(nbs_seg *s, uint64_t obj);    /* one more hold on an object that lives */
int nbs_adopt(nbs_seg *s, uint64_t obj);   /* take over a hold made with hold_for */
int nbs_release(nbs_seg *s, uint64_t obj); /* one hold less; 1 when that freed the object */
/* nbs_held_by returns 1 when the process of `peer`, alive or dead and not yet recovered,
 * holds the object, 0 when it does not; NBS_ENOTFOUND: no such object or process. */
int nbs_held_by(nbs_seg *s, uint64_t obj, uint64_t peer);
int nbs_obj_info(nbs_seg *s, uint64_t obj, nbs_object *out); /* needs a hold */
int nbs_obj_state(nbs_seg *s, uint64_t obj);                 /* as nbs_obj_info, state only */

/* nbs_delete forgets `id`: look-ups fail from now on, the memory goes with the last hold. */
int nbs_delete(nbs_seg *s, const uint8_t *id);
/* nbs_evict frees unheld NBS_META_KEEP objects, least recently used first, until
 * `bytes` are freed; returns the bytes freed. */
uint64_t nbs_evict(nbs_seg *s, uint64_t bytes);

/* A view is a hold that travels with a pointer, for ffi.gc: nbs_view adds a hold and
 * returns the data; nbs_view_end(pointer) releases it (safe after nbs_detach). While a
 * process has a view the object is *pinned*: its memory stays where it is. A mere hold
 * does not do that, so the pointer of nbs_obj_info is good only beside a view, or before
 * the object is sealed. NULL when there is no value in memory: nbs_obj_info tells why. */
void *nbs_view(nbs_seg *s, uint64_t obj);
/* nbs_view_sized is nbs_view that also tells the size of the data, in one call. */
void *nbs_view_sized(nbs_seg *s, uint64_t obj, uint64_t *size);
void nbs_view_end(void *data);
/* nbs_n_views returns how many views this process has now. */
uint64_t nbs_n_views(nbs_seg *s);

/* Spilling. The store knows no files: one process of the node, the *spiller*, keeps the
 * bytes. Every object with NBS_META_SPILLED is sealed, has its size, and no memory. */

/* nbs_spill_victims chooses objects to spill and copies their handles to `out`; returns
 * how many. room_for = 0: those of at least `smallest` bytes that nobody has looked at for
 * longest, until `bytes` are together. Else: neighbours whose memory, joined with what is
 * free between them, holds an object of `room_for` bytes and that cost least to write (0:
 * it fits already); NBS_EFULL when there is no such place. */
int64_t nbs_spill_victims(nbs_seg *s, uint64_t room_for, uint64_t bytes, uint64_t smallest,
                          uint64_t *out, uint32_t max);
/* nbs_obj_children copies the handles that a container in memory lists; returns how many. */
int64_t nbs_obj_children(nbs_seg *s, uint64_t obj, uint64_t *out, uint32_t max);
/* nbs_spill_out gives back the memory of a sealed object whose bytes the caller has saved,
 * and whose children he holds. NBS_EAGAIN: somebody views it. */
int nbs_spill_out(nbs_seg *s, uint64_t obj);
/* nbs_restore_begin makes room for a spilled object that the caller holds; he fills *data
 * and calls nbs_restore_end: 1 = the value is there again, 0 = not now, -1 = it is lost
 * (also without begin). NBS_EEXISTS: it is in memory. NBS_EFULL, NBS_ENOMEM: no room. */
int nbs_restore_begin(nbs_seg *s, uint64_t obj, const uint64_t *children, uint32_t n_children,
                      void **data);
int nbs_restore_end(nbs_seg *s, uint64_t obj, int outcome);
/* nbs_repromise makes a lost object that the caller holds a promise of his again. */
int nbs_repromise(nbs_seg *s, uint64_t obj);
/* nbs_live_many tells which handles still name a sealed object that has a value; returns
 * how many do not. Takes no lock. */
int64_t nbs_live_many(nbs_seg *s, const uint64_t *objs, uint32_t n, uint8_t *alive);
/* nbs_spill_note publishes whether the spiller can write, for nbs_stats.spill_blocked, and
 * above NBS_SPILL_STATE a number that changes while it moves a large object. */
enum { NBS_SPILL_WORKS = 0, NBS_SPILL_NO_DISK = 1, NBS_SPILL_FAILS = 2, NBS_SPILL_STATE = 0xff };
int nbs_spill_note(nbs_seg *s, uint32_t blocked);
/* nbs_punch_hole gives back the disk under a part of a file; NBS_ESYS where the file
 * system cannot do that. */
int nbs_punch_hole(int fd, uint64_t off, uint64_t len);

typedef struct {
  uint64_t capacity, used, reserved; /* bytes: of the arena, in objects, backed by memory */
  uint64_t largest_free;             /* bytes of the largest object that fits without eviction */
  uint64_t n_objects, n_sealed, n_promised, n_kept; /* kept: unheld and evictable */
  uint64_t n_created_total, n_evicted_total;
  uint64_t n_slots, n_channels;
  uint64_t n_repairs;                /* times that a dead lock owner was cleaned up after */
  uint64_t n_spilled, spilled_bytes; /* objects on disk, and their sizes */
  uint64_t n_spilled_total, n_restored_total, n_lost_total;
  uint64_t spill_blocked; /* as noted */
} nbs_stats;
int nbs_get_stats(nbs_seg *s, nbs_stats *out);

/* nbs_list copies up to `max` entries in use into `out`; returns how many there are. */
typedef struct {
  uint8_t id[28];
  uint32_t meta, state, n_holders, n_pinned; /* processes that hold it; that view it */
  uint64_t size, promiser, obj;
  uint64_t holders[4];        /* the first few, those that view it before the others */
  char label[NBS_LABEL_SIZE]; /* empty: spilled, or none was given */
} nbs_list_item;
int64_t nbs_list(nbs_seg *s, nbs_list_item *out, uint32_t max);

/* nbs_warm backs up to `bytes` of the arena with memory ahead of demand (in slices, so
 * that it can be stopped); returns the bytes it added, 0 when `ahead` bytes of free
 * backed memory are there already. Returns early when somebody takes a large piece
 * meanwhile, who needs the processors more. With `threads` threads for its length, no more
 * than there are processors. For the node daemon's background thread. */
int64_t nbs_warm(nbs_seg *s, uint64_t ahead, uint64_t bytes, uint32_t threads);

/* ----------------------------------------------------------------- channels */

/* A channel joins an owner (who opened it and sends tasks) with a worker (who serves it)
 * by two single-producer single-consumer rings. Within one process the caller makes
 * sure that one thread at a time uses one end. */

typedef struct {
  uint32_t len;   /* bytes of payload */
  uint32_t chan;  /* channel it came on */
  uint64_t seq;   /* the owner's number of the task */
  uint16_t kind;  /* NBS_MSG_... */
  uint16_t flags; /* the caller's */
  uint32_t a;     /* the caller's; of NBS_MSG_TASK: function number */
  uint64_t b;     /* the caller's; of NBS_MSG_RESULT: nanoseconds that the task ran */
} nbs_msg;        /* 32 bytes, followed by the payload padded to 8 in nbs_recv_many */

enum {
  NBS_MSG_TASK = 1,   /* owner -> worker; counted, recorded, revocable */
  NBS_MSG_RESULT = 2, /* worker -> owner; ends the task taken last; counted, recorded */
  NBS_MSG_OTHER = 16  /* and above: not looked at by the channel */
};
enum { NBS_TASK_RETRIABLE = 64 }; /* a flag of a TASK that the node daemon reads */
enum { NBS_RESULT_ERROR = 1, NBS_RESULT_CANCELLED = 2 }; /* flags of a RESULT, for the counts */

int nbs_chan_open(nbs_seg *s, uint64_t worker, uint32_t ring_bytes, uint32_t *chan);
int nbs_chan_close(nbs_seg *s, uint32_t chan);     /* the owner's end; what is unread is lost */
uint64_t nbs_chan_peer(nbs_seg *s, uint32_t chan); /* the other end, 0 when not open */
uint32_t nbs_chan_max_payload(nbs_seg *s, uint32_t chan);

/* nbs_send appends one message made of two parts to the ring that leads away from this
 * process and rings the peer. *ticket (may be NULL) names it for nbs_revoke. NBS_EAGAIN:
 * ring full. NBS_ETOOBIG: never fits. NBS_EDEAD: the peer is gone. */
int nbs_send(nbs_seg *s, uint32_t chan, uint16_t kind, uint16_t flags, uint64_t seq, uint32_t a,
             uint64_t b, const void *p1, uint32_t n1, const void *p2, uint32_t n2,
             uint64_t *ticket);

/* The same for the two messages that there are most of, with no more arguments than they
 * have: a task sent by the owner, which returns its ticket or an error (below 0), ... */
int64_t nbs_send_task(nbs_seg *s, uint32_t chan, uint16_t flags, uint64_t seq, uint32_t a,
                      uint64_t b, const void *payload, uint32_t n);
/* ... and the result that the worker sends back. NBS_EWORDS: see nbs_watch_words; what does not
 * wait for that goes by nbs_send. */
int nbs_send_result(nbs_seg *s, uint32_t chan, uint16_t flags, uint64_t seq, uint64_t b,
                    const void *payload, uint32_t n);

/* nbs_send_item sends what a running task gives before its result, as nbs_send does. NBS_EWORDS:
 * as above, when more than that time has passed since the last one, or since the task began. */
int nbs_send_item(nbs_seg *s, uint32_t chan, uint16_t kind, uint16_t flags, uint64_t seq,
                  uint32_t a, const void *payload, uint32_t n);

/* nbs_watch_words has nbs_send_result refuse, with NBS_EWORDS, the result of a task that ran for
 * NBS_WORDS_AFTER_NS or more while one of two files is not as long as `read` says: somebody has
 * written to it, and that comes before the result. Shorter tasks are not looked at: they would
 * pay more for it. `read` is looked at as long as the handle lives; NULL: no longer. */
enum { NBS_WORDS_AFTER_NS = 200000 };
int nbs_watch_words(nbs_seg *s, int fd0, int fd1, const uint64_t *read);

/* nbs_revoke takes back a message that the worker has not taken yet: NBS_OK, and the
 * worker never sees it; NBS_ESTATE when it has taken it. */
int nbs_revoke(nbs_seg *s, uint32_t chan, uint64_t ticket);

/* nbs_take takes the next message of any channel that this process serves (round robin):
 * 1 and the header and a pointer into the ring, or 0. The message taken before it on that
 * channel is given back to the ring: the pointer lives until the next nbs_take. A task
 * taken becomes the channel's running task. */
int nbs_take(nbs_seg *s, nbs_msg *head, void **payload);

/* nbs_recv_many drains, into `buf`, messages of all channels that this process owns:
 * nbs_msg + payload padded to 8 bytes, one after the other. Returns the bytes written
 * (0: nothing there). A message that does not fit stays for the next call; `cap` is at
 * least the largest ring. Also drains rings of dead peers. */
int64_t nbs_recv_many(nbs_seg *s, void *buf, uint64_t cap);

/* nbs_cancel_running asks the worker of `chan` to interrupt task `seq`: marks it and
 * sends `signo` to the worker, if that task is the one it runs now (NBS_OK), else
 * NBS_ESTATE. The worker asks nbs_cancel_wanted in its signal handler: 1 when the task
 * that it runs now is the one marked. */
int nbs_cancel_running(nbs_seg *s, uint32_t chan, uint64_t seq, int signo);
int nbs_cancel_wanted(nbs_seg *s);

/* nbs_running copies what `chan`'s worker runs now: seq and start (CLOCK_MONOTONIC ns);
 * 1 when it runs something, else 0. */
int nbs_running(nbs_seg *s, uint32_t chan, uint64_t *seq, uint64_t *start_ns);

/* nbs_running_list copies what runs on the whole node now, in no order; returns how many,
 * at most `max`. A task that ends meanwhile may be missing or still there. */
typedef struct {
  uint64_t owner, worker; /* peers */
  uint64_t seq;           /* task number, counted by its owner */
  uint64_t start_ns;      /* CLOCK_MONOTONIC */
  uint32_t flags, a;      /* low bits of those of nbs_msg; hints */
} nbs_running_task;
int64_t nbs_running_list(nbs_seg *s, nbs_running_task *out, uint64_t max);

/* ------------------------------------------------------------------- waiting */

enum {
  NBS_READY_OWNED = 1,  /* messages on channels that this process owns */
  NBS_READY_SERVED = 2, /* messages on channels that this process serves */
  NBS_READY_SEAL = 4,   /* some object was sealed since the last wait with this bit */
  NBS_READY_RING = 8,   /* nbs_ring or nbs_nudge was called for this process */
  NBS_READY_NEWS =
      16 /* returned only: another process rang, and this wait is the first to say so */
};

/* nbs_wait sleeps until one of `interest` is ready; returns the bits, 0 after at most
 * min(timeout_ns, 1 s), NBS_EINTR when a signal came; it looks every 50 ms. Spins first only while
 * the peer it waits for was last seen on another core. NBS_READY_RING and NBS_READY_SEAL are
 * cleared by the wait that returns them, per bit and process. */
int nbs_wait(nbs_seg *s, uint32_t interest, uint64_t timeout_ns);

/* nbs_nudge wakes the waits of this process, with NBS_READY_RING: a thread has changed something
 * that others wait for. No such wake-up is lost when a thread reads *nbs_nudges(s), then looks
 * at what it waits for, then calls nbs_wait_since with the number that it read: a nudge in
 * between ends that wait at once. The word is readable until nbs_detach. */
int nbs_nudge(nbs_seg *s);
const uint32_t *nbs_nudges(nbs_seg *s);
int nbs_wait_since(nbs_seg *s, uint32_t interest, uint64_t timeout_ns, uint32_t nudges);

/* nbs_serve_wait is nbs_wait for the one background thread of a process: it returns
 * NBS_READY_RING at once unless a thread in nbs_wait sees to it, but NBS_READY_OWNED and
 * NBS_READY_SEAL only when they have been ready for `lazy_ns` while no thread of the process was in
 * nbs_wait with that bit, nbs_send or nbs_recv_many. So it never competes with a thread that serves
 * itself. It costs a sender a system call only when this process is asleep as a whole. Returns 0
 * after 50 ms already, unless a thread is in nbs_wait for NBS_READY_RING, which it looks for
 * every 50 ms, with a timeout of a second or more every 250. */
int nbs_serve_wait(nbs_seg *s, uint32_t interest, uint64_t lazy_ns, uint64_t timeout_ns);

int nbs_ring(nbs_seg *s, uint64_t peer); /* wake all waits of that process with NBS_READY_RING */

/* -------------------------------------------------------------- collectives */

/* A *group* joins `world` processes, each under a *rank*, for operations on arrays that
 * all take part in, and for messages between two. It is one object of the store that all
 * ranks view: control words, boxes for small data, staging for large data. */
typedef struct nbs_coll nbs_coll; /* process-private handle of a group that was joined */

enum { NBS_MAX_RANKS = 256 };

/* Types of elements. */
enum {
  NBS_BOOL = 0,
  NBS_I8,
  NBS_U8,
  NBS_I16,
  NBS_U16,
  NBS_I32,
  NBS_U32,
  NBS_I64,
  NBS_U64,
  NBS_F16,
  NBS_BF16,
  NBS_F32,
  NBS_F64,
  NBS_C64,
  NBS_C128,
  NBS_N_TYPES
};
enum { NBS_SUM = 0, NBS_PRODUCT = 1, NBS_MIN = 2, NBS_MAX = 3, NBS_AVERAGE = 4 };

#define NBS_COLL_SHAPE \
  8 /* words of a shape: the number of dimensions, the lengths of up to seven */

/* Operations. `bytes` is the size of one array; `in` and `out` are the array or, where
 * marked [], an array of one pointer per rank. What is not named is not looked at. */
enum {
  NBS_COLL_BARRIER = 1,
  NBS_COLL_BROADCAST = 2,     /* root: in; the others: out */
  NBS_COLL_ALLREDUCE = 3,     /* out, in place */
  NBS_COLL_REDUCE = 4,        /* root: out, in place; the others: in */
  NBS_COLL_ALLGATHER = 5,     /* in, out[] */
  NBS_COLL_REDUCESCATTER = 6, /* in[], out */
  NBS_COLL_ALLTOALL = 7,      /* in[], out[] */
  NBS_COLL_SEND = 8,          /* in, to rank `root` */
  NBS_COLL_RECV = 9           /* out, from rank `root` */
};

/* nbs_coll_join makes the group `id`, or joins the one that was made, as `rank`. It does
 * not wait for the others; the first operation does. A group of that id that has ended (a
 * rank left or died, or it is broken) is replaced. NBS_EINVAL with the reason in `why`: the
 * sizes differ. NBS_ESTATE: the rank is taken. Errors of nbs_obj_create when the store has
 * no room for it. An operation waits at most `patience_ns` (0: no limit) for a rank that has
 * not joined; its death cannot be seen here before, see nbs_coll_lost. */
int nbs_coll_join(nbs_seg *s, const uint8_t *id, uint32_t world, uint32_t rank,
                  uint64_t patience_ns, nbs_coll **out, char *why, size_t why_len);

/* nbs_coll_leave ends this process's part (safe after nbs_detach); NBS_ESTATE while another
 * thread is in an operation. The group is freed with the last rank. */
int nbs_coll_leave(nbs_coll *g);

/* nbs_coll_run takes part in an operation: `what` is operation | type << 8 | reduction <<
 * 16, `root` the root or the other rank, `shape` the number of dimensions and their lengths
 * (NULL: one), which must be the same in all ranks. Returns NBS_EAGAIN at least every 50 ms while
 * it is not done, and after a signal: then nbs_coll_resume goes on with it, or nbs_coll_abort gives
 * it up. Otherwise NBS_OK, or nbs_coll_why has a sentence: NBS_EINVAL: the ranks do not agree about
 * operation, type, size ...: all get this, and the group goes on. NBS_EDEAD: a rank died;
 * NBS_ETIMEOUT: `timeout_ns` (0: none) is over; NBS_ESTATE: the group is broken, a rank left it.
 * After these the group is broken for all ranks. NBS_EEXISTS, without a sentence: another thread of
 * this process is in an operation. */
int nbs_coll_run(nbs_coll *g, uint32_t what, uint32_t root, const void *in, void *out,
                 uint64_t bytes, const uint32_t *shape, uint64_t timeout_ns);
int nbs_coll_resume(nbs_coll *g);
int nbs_coll_abort(nbs_coll *g);

/* nbs_coll_refuse stands in for an operation whose arguments this rank refuses: the others get
 * NBS_EINVAL, which says so, and the group goes on. Of a message only rank `other` is told; a
 * receiver who refuses breaks the group, as what was sent is underway. It does not wait for the
 * others unless what came before was refused too: then it may return NBS_EAGAIN, as nbs_coll_run
 * does. */
int nbs_coll_refuse(nbs_coll *g, uint32_t kind, uint32_t other);

/* nbs_coll_why copies the sentence about the last error, and returns the rank at fault or
 * -1. nbs_coll_joined: 1 when the process of `rank` has joined, 0 when not yet. */
int nbs_coll_why(nbs_coll *g, char *why, size_t why_len);
int nbs_coll_joined(nbs_coll *g, uint32_t rank);

/* nbs_coll_lost: the process that was to be `rank` is dead. Unless it had joined, or the present
 * operation of this rank can do without it, the group is broken for all, with NBS_EDEAD. */
void nbs_coll_lost(nbs_coll *g, uint32_t rank);

/* -------------------------------------------------------------------- events */

typedef struct {
  uint64_t t_ns;    /* CLOCK_MONOTONIC when it was recorded (of a RESULT: the end) */
  uint64_t seq;     /* task number, counted by its owner */
  uint64_t owner;   /* peer that owns the task */
  uint64_t process; /* peer that recorded this */
  uint64_t dur_ns;  /* of a RESULT: time the task ran */
  uint64_t b;       /* of a TASK: nbs_msg.b */
  uint32_t a;       /* of a TASK: nbs_msg.a */
  uint16_t kind;    /* NBS_EV_... */
  uint16_t flags;
  uint64_t reserved;
} nbs_event; /* 64 bytes */

enum {
  NBS_EV_SUBMIT = 1,
  NBS_EV_RESULT = 2,
  NBS_EV_OTHER = 16,
  NBS_EV_INPUT = 17,  /* task `seq` takes value `b` of the process in slot `a`; flags 1: the
                         result of a task that is not over; 0: of one that is, or a put */
  NBS_EV_PARENT = 18, /* task `seq` was submitted by task `b` of the process in slot `a` */
  NBS_EV_LOST = 19    /* a run of task `seq`, of function `a`, that no RESULT tells of is over, as
                         its owner says; `b`: the worker that died with it, 0: it had none.
                         Flags 1: the task has failed, 2: it was cancelled, 0: it runs again */
};

/* nbs_event_put appends a record to this process's ring (overwritten by nothing: when the
 * ring is full the record is counted as dropped). */
int nbs_event_put(nbs_seg *s, uint16_t kind, uint16_t flags, uint64_t seq, uint32_t a, uint64_t b);

/* nbs_event_drain copies records of all processes, also dead ones not yet recovered, into
 * `out`; returns how many. One drainer at a time: the node daemon. */
int64_t nbs_event_drain(nbs_seg *s, nbs_event *out, uint64_t max, uint64_t *dropped);

/* nbs_event_wait sleeps until a ring is over half full, or somebody called, since the drainer
 * saw generation `seen` (what the last call returned; 0 at first), or for timeout_ns; returns
 * the generation. For a thread of the drainer's: between two drains by the clock, a burst of
 * tasks would overrun a ring. nbs_event_call lets it return. */
int64_t nbs_event_wait(nbs_seg *s, uint32_t seen, uint64_t timeout_ns);
int nbs_event_call(nbs_seg *s);

/* The columns of a table of tasks, and what is known of one owner's tasks in it
 * (nbray/events/task_table.py says what they mean). */
typedef struct {
  uint8_t *state;
  uint32_t *function;
  int32_t *parent;
  int32_t *worker;
  uint16_t *attempt;
  int64_t *submitted, *start, *end, *made;
  uint8_t *is_changed;
  uint32_t *changed; /* rows that were not marked as changed before; room for one per record */
  uint32_t n_changed;
  int64_t *moved; /* by state: how many tasks more there are in it */
  uint64_t owner;
  uint64_t base; /* number of the task whose row is dense[0] */
  const int32_t *dense;
  uint64_t n_dense;
  const int32_t *functions; /* by the owner's number: which function of the table; -1: none yet */
  uint32_t n_functions;
  const uint64_t *peers; /* by worker of the table */
  uint32_t n_peers;
  uint32_t *left; /* places of records of other kinds, counted from `first` of the call */
  uint32_t n_left;
  uint32_t first;
} nbs_task_table;

/* nbs_tasks_unknown writes the numbers of tasks of `t->owner` that were submitted and have no row,
 * in ascending order; returns how many. nbs_tasks_take takes the records of `t->owner` in
 * their order, notes those of other kinds in `left`, and returns how many it has taken: it stops at
 * one of another owner, and at one whose task, function or worker is not known. nbs_tasks_rows
 * writes rows of 52 bytes, whose tasks are not changed any more. nbs_tasks_span finds the lowest
 * and the highest number among rows of `owner`; returns how many there are. nbs_tasks_number notes
 * in `dense`, which has room for them, which rows the tasks of `owner` have: `first` is that of
 * owners[0]. None of them touches the segment. */
uint64_t nbs_tasks_unknown(const nbs_task_table *t, const nbs_event *e, uint64_t n, uint64_t *out);
uint64_t nbs_tasks_take(nbs_task_table *t, const nbs_event *e, uint64_t n);
void nbs_tasks_rows(nbs_task_table *t, const uint32_t *chosen, uint64_t n, uint8_t *out);
uint64_t nbs_tasks_span(const uint64_t *owners, const uint64_t *numbers, uint64_t n, uint64_t owner,
                        uint64_t *low, uint64_t *high);
void nbs_tasks_number(const uint64_t *owners, const uint64_t *numbers, uint64_t n, uint64_t owner,
                      int32_t first, uint64_t base, int32_t *dense);

/* Exact counters of one process; monotonic but for the gauge. Slots of processes that
 * died are folded into the segment's totals by nbs_recover. */
enum {
  NBS_CTR_SUBMITTED = 0,
  NBS_CTR_FINISHED = 1,
  NBS_CTR_FAILED = 2,
  NBS_CTR_CANCELLED = 3,
  NBS_CTR_TAKEN = 4,      /* tasks this process began to run */
  NBS_CTR_REPLIED = 5,    /* and ended: running = taken - replied */
  NBS_CTR_WAIT_ARGS = 6,  /* gauge: tasks of this owner that wait for input */
  NBS_CTR_WAIT_PLACE = 7, /* gauge: tasks of this owner that wait for a lease */
  NBS_N_COUNTERS = 8
};
int nbs_count(nbs_seg *s, uint32_t counter, int64_t delta);
int nbs_counters(nbs_seg *s, int64_t *out /* NBS_N_COUNTERS, summed over all, dead too */);
