/* grow.c - see grow.h; and nbs_fill and nbs_warm, which do it ahead of demand. */
#include "grow.h"

#include <string.h>

#include "arena.h"
#include "lock.h"
#include "parts.h"
#include "platform.h"

#define ENTRY_STEP 1024u        /* entries backed at a time: 256 KiB and some */
#define STEP_MIN   (2ull << 20) /* the arena grows by an eighth, within these bounds */
#define STEP_MAX   (32ull << 20)
#define WARM_SLICE (1ull << 20)   /* of a thread: about 1 ms on a warm machine, 3 on a cold one */
#define FILL_PART  (512ull << 10) /* what a thread takes at a time */
#define WARM_STOPS (4ull << 20)   /* so much taken by others meanwhile: they are writing it now */

int nbsi_back_range(nbs_seg *s, uint64_t off, uint64_t bytes) {
  if (!nbsi_memory_allows(bytes)) return NBS_ENOMEM;
  return nbsi_fd_back(s->fd, off, bytes) == 0 ? NBS_OK : NBS_ENOMEM;
}

/* next_frontier rounds up to whole chunks, so that the warm map speaks of full ones. */
static uint64_t next_frontier(const nbs_seg *s, uint64_t from, uint64_t step) {
  uint64_t size = s->geo.arena_size;
  if (step >= size - from) return size;
  uint64_t to = (from + step + NBSI_CHUNK - 1) / NBSI_CHUNK * NBSI_CHUNK;
  return to < size ? to : size;
}

static int frontier(nbs_seg *s, uint64_t *reserved) {
  int rc = nbsi_lock(s);
  if (rc != NBS_OK) return rc;
  *reserved = s->h->reserved;
  nbsi_unlock(s);
  return NBS_OK;
}

static int extend(nbs_seg *s, uint64_t to) {
  int rc = nbsi_lock(s);
  if (rc != NBS_OK) return rc;
  nbsi_arena_extend(s, to);
  nbsi_unlock(s);
  return NBS_OK;
}

int nbsi_grow_arena(nbs_seg *s, uint64_t missing) {
  uint64_t from;
  int rc = frontier(s, &from);
  if (rc != NBS_OK) return rc;
  if (missing > s->geo.arena_size - from) return NBS_EFULL;
  uint64_t step = from / 8;
  if (step < STEP_MIN) step = STEP_MIN;
  if (step > STEP_MAX) step = STEP_MAX;
  if (step < missing) step = missing;
  uint64_t to = next_frontier(s, from, step);
  rc = nbsi_back_range(s, s->geo.off_arena + from, to - from);
  if (rc != NBS_OK && step > missing) { /* then just what is needed */
    to = next_frontier(s, from, missing);
    rc = nbsi_back_range(s, s->geo.off_arena + from, to - from);
  }
  return rc == NBS_OK ? extend(s, to) : rc;
}

int nbsi_grow_entries(nbs_seg *s) {
  int rc = nbsi_lock(s);
  if (rc != NBS_OK) return rc;
  uint64_t from = s->h->entries_backed;
  nbsi_unlock(s);
  if (from >= s->geo.max_entries) return NBS_ELIMIT;
  uint64_t to = from + ENTRY_STEP + from / 4;
  if (to > s->geo.max_entries) to = s->geo.max_entries;
  uint64_t n = to - from;
  rc = nbsi_back_range(s, s->geo.off_entries + from * sizeof(nbsi_entry), n * sizeof(nbsi_entry));
  if (rc == NBS_OK) /* two more than entries: free pieces are one more than blocks */
    rc = nbsi_back_range(s, s->geo.off_fexts + from * sizeof(nbsi_fext),
                         (n + 2) * sizeof(nbsi_fext));
  if (rc == NBS_OK)
    rc = nbsi_back_range(s, s->geo.off_scratch + from * sizeof(uint32_t), n * sizeof(uint32_t));
  if (rc == NBS_OK) rc = nbsi_lock(s);
  if (rc != NBS_OK) return rc;
  if (s->h->entries_backed < to) s->h->entries_backed = (uint32_t)to;
  nbsi_unlock(s);
  return NBS_OK;
}

typedef struct {
  int fd;
  uint64_t off, len; /* in the file */
  uint64_t each;     /* of a part, bytes */
  int failed;        /* atomic */
} stretch;

static void fill_part(void *work, uint32_t i) {
  stretch *t = work;
  uint64_t at = i * t->each, n = t->len - at < t->each ? t->len - at : t->each;
  if (nbsi_fd_fill(t->fd, t->off + at, n) != 0) nb_atomic_store(&t->failed, 1, RELAXED);
}

/* fill backs [from, to) of the arena and makes its pages up to date, with several threads.
 * Pages that are there already cost a fault half as much: both together a fifth less time. */
static int fill(nbs_seg *s, uint64_t from, uint64_t to, uint32_t threads) {
  stretch t = {s->fd, s->geo.off_arena + from, to - from, FILL_PART, 0};
  if (nbsi_fd_back(t.fd, t.off, t.len) != 0) return -1;
  nbsi_run_parts(fill_part, &t, (uint32_t)((t.len + t.each - 1) / t.each), threads);
  return t.failed ? -1 : 0;
}

/* spare tells whether memory may be taken ahead of demand: a good part of what is free is
 * left to everybody else. */
static int spare(const nbsi_geometry *g, uint64_t bytes) {
  return nbs_memory_available(NULL, 0) >= bytes + g->capacity / 8 + (64ull << 20);
}

int64_t nbs_fill(int fd, uint64_t from, uint64_t bytes) {
  char why[128];
  nbsi_geometry g;
  int rc = nbsi_geometry_read(fd, &g, why, sizeof why);
  if (rc != NBS_OK) return rc;
  if (from >= g.arena_size) return 0;
  if (bytes > g.arena_size - from) bytes = g.arena_size - from;
  if (bytes == 0 || !spare(&g, bytes)) return 0;
  if (nbsi_fd_back(fd, g.off_arena + from, bytes) != 0) return 0;
  if (nbsi_fd_fill(fd, g.off_arena + from, bytes) != 0) return 0;
  uint64_t first = (from + NBSI_CHUNK - 1) / NBSI_CHUNK, last = (from + bytes) / NBSI_CHUNK;
  uint8_t marks[256];
  memset(marks, NBSI_TOUCHED, sizeof marks);
  for (uint64_t c = first, n; c < last; c += n) {
    n = last - c < sizeof marks ? last - c : sizeof marks;
    if (nbsi_fd_write(fd, g.off_warm + c, marks, n) != 0) break; /* then it is touched once more */
  }
  return (int64_t)bytes;
}

/* touched_to returns how far memory that nbs_fill has touched goes on from `from`. */
static uint64_t touched_to(const nbs_seg *s, uint64_t from, uint64_t most) {
  uint64_t to = from;
  if (from % NBSI_CHUNK != 0) return from;
  while (to - from < most && s->geo.arena_size - to >= NBSI_CHUNK &&
         nb_atomic_load(&s->warm[to / NBSI_CHUNK], RELAXED) == NBSI_TOUCHED)
    to += NBSI_CHUNK;
  return to;
}

int64_t nbs_warm(nbs_seg *s, uint64_t ahead, uint64_t bytes, uint32_t threads) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  if (threads > s->n_cpus) threads = s->n_cpus;
  if (threads > NBSI_PARTS_THREADS) threads = NBSI_PARTS_THREADS;
  if (threads == 0) threads = 1;
  uint64_t added = 0, used_first = UINT64_MAX;
  while (added < bytes) {
    rc = nbsi_lock(s);
    if (rc != NBS_OK) return rc;
    uint64_t from = s->h->reserved, used = s->h->used_bytes, idle = from - used;
    nbsi_unlock(s);
    if (used_first == UINT64_MAX) used_first = used;
    if (used > used_first && used - used_first >= WARM_STOPS) break;
    if (idle >= ahead || from >= s->geo.arena_size) break;
    uint64_t left = bytes - added, slice = WARM_SLICE * threads;
    uint64_t to = touched_to(s, from, left);
    if (to == from) {
      to = next_frontier(s, from, left < slice ? left : slice);
      if (!spare(&s->geo, to - from)) break;
      /* Pages are zeroed at first touch, and on a virtual machine fetched from the host, at
       * a few hundred MB/s; that is what is done ahead here. */
      if (fill(s, from, to, threads) != 0) break;
    }
    for (uint64_t c = from / NBSI_CHUNK; (c + 1) * NBSI_CHUNK <= to; c++)
      nb_atomic_store(&s->warm[c], (uint8_t)1, RELAXED);
    rc = extend(s, to);
    if (rc != NBS_OK) return rc;
    added += to - from;
  }
  return (int64_t)added;
}
