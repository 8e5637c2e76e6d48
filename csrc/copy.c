/* copy.c - writing into an object by the fastest way.
 *
 * Measured (2 cores): memcpy into pages that this process has mapped, 17-20 GB/s; into
 * pages that exist but are not mapped here, 3 GB/s with write faults page by page, 7 when
 * MADV_POPULATE_READ maps them first (the kernel maps 16 neighbours per fault, and shared
 * memory needs no second fault for the write), 11-13 with two threads; pwrite 5-6.5, and
 * it locks out other writers of the file. Into backed pages that nobody ever wrote,
 * pwrite 6 against 3 for faults, as it need not zero them. Hence per chunk: mapped here ->
 * memcpy; up to date -> populate + memcpy; else pwrite. Both maps are hints: a wrong one
 * costs time only. memcpy passes by the caches only for pieces larger than they are, so what
 * is copied piece by piece of a larger object does that itself: a third less time (4.4 ms for
 * 100 MB with two threads; 6.7 when each copies a half with one memcpy). Threads take piece
 * after piece, as one that comes late would let the others wait for its half. */
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "holds.h"
#include "impl.h"
#include "parts.h"
#include "platform.h"

#define SPLIT_FROM (8ull << 20)  /* bytes worth a second thread (about 60 us) */
#define PART_MIN   (4ull << 20)  /* bytes worth a thread more */
#define PIECE      (2ull << 20)  /* what a thread takes at a time; whole chunks */
#define CACHES_MAX (32ull << 20) /* of an object that is larger little is left in them anyway */

typedef struct {
  nbs_seg *s;
  uint64_t off; /* in the arena */
  const uint8_t *src;
  uint64_t len;
  int past_caches; /* copy without displacing what the caches hold */
  int failed;      /* atomic */
} job;

/* copy_past_caches is memcpy that leaves nothing of `to` in the caches, nor reads it into them. */
static void copy_past_caches(uint8_t *to, const uint8_t *from, uint64_t len) {
#ifdef __SSE2__
  uint64_t head = (uintptr_t)to % 64 == 0 ? 0 : 64 - (uintptr_t)to % 64;
  if (head > len) head = len;
  memcpy(to, from, (size_t)head);
  uint64_t done = head;
  for (; len - done >= 64; done += 64) {
    const __m128i *f = (const __m128i *)(const void *)(from + done);
    __m128i *t = (__m128i *)(void *)(to + done);
    __m128i a = _mm_loadu_si128(f), b = _mm_loadu_si128(f + 1), c = _mm_loadu_si128(f + 2),
            d = _mm_loadu_si128(f + 3);
    _mm_stream_si128(t, a);
    _mm_stream_si128(t + 1, b);
    _mm_stream_si128(t + 2, c);
    _mm_stream_si128(t + 3, d);
  }
  _mm_sfence(); /* such stores keep no order: whoever sees the object sealed must see them */
  memcpy(to + done, from + done, (size_t)(len - done));
#else
  memcpy(to, from, (size_t)len);
#endif
}

/* copy_chunk copies a range that lies within one chunk. */
static int copy_chunk(nbs_seg *s, uint64_t off, const uint8_t *src, uint64_t len, int past_caches) {
  uint64_t c = off / NBSI_CHUNK;
  int up_to_date = nb_atomic_load(&s->warm[c], RELAXED) != 0;
  if (!up_to_date && len == NBSI_CHUNK) {
    if (nbsi_fd_write(s->fd, s->geo.off_arena + off, src, (size_t)len) != 0) return -1;
    nb_atomic_store(&s->warm[c], (uint8_t)1, RELAXED);
    return 0;
  }
  /* Less than a chunk of cold memory: faults touch no more than what is written. */
  if (up_to_date) {
    uint64_t first = c * NBSI_CHUNK, last = first + NBSI_CHUNK;
    if (last > s->geo.arena_size) last = s->geo.arena_size;
    nbsi_populate(s->arena + first, last - first);
    nb_atomic_store(&s->mapped[c], (uint8_t)1, RELAXED);
  }
  if (past_caches)
    copy_past_caches(s->arena + off, src, len);
  else
    memcpy(s->arena + off, src, (size_t)len);
  return 0;
}

/* copy_range copies `len` bytes of the job from `done` on. */
static void copy_range(job *j, uint64_t done, uint64_t len) {
  uint64_t last = done + len;
  while (done < last && !nb_atomic_load(&j->failed, RELAXED)) {
    uint64_t off = j->off + done, n = NBSI_CHUNK - off % NBSI_CHUNK;
    if (n > last - done) n = last - done;
    int mapped = nb_atomic_load(&j->s->mapped[off / NBSI_CHUNK], RELAXED);
    /* Runs of mapped chunks go as one copy. */
    while (mapped && n < last - done &&
           nb_atomic_load(&j->s->mapped[(off + n) / NBSI_CHUNK], RELAXED)) {
      uint64_t more = last - done - n;
      n += more < NBSI_CHUNK ? more : NBSI_CHUNK;
    }
    if (!mapped) {
      if (copy_chunk(j->s, off, j->src + done, n, j->past_caches) != 0)
        nb_atomic_store(&j->failed, 1, RELAXED);
    } else if (j->past_caches) {
      copy_past_caches(j->s->arena + off, j->src + done, n);
    } else {
      memcpy(j->s->arena + off, j->src + done, (size_t)n);
    }
    done += n;
  }
}

/* copy_piece copies the piece of number i; chunks are the unit of mapping, so no two pieces
 * share one. */
static void copy_piece(void *work, uint32_t i) {
  job *j = work;
  uint64_t base = j->off / NBSI_CHUNK * NBSI_CHUNK;
  uint64_t from = base + i * PIECE, to = from + PIECE;
  if (from < j->off) from = j->off;
  if (to > j->off + j->len) to = j->off + j->len;
  copy_range(j, from - j->off, to - from);
}

/* copy_split copies with as many threads as the bytes and the processors are worth. */
static void copy_split(job *j) {
  uint64_t threads = j->len / PART_MIN;
  if (threads > j->s->n_cpus) threads = j->s->n_cpus;
  if (threads > NBSI_PARTS_THREADS) threads = NBSI_PARTS_THREADS;
  uint64_t pieces = (j->off % NBSI_CHUNK + j->len + PIECE - 1) / PIECE;
  nbsi_run_parts(copy_piece, j, (uint32_t)pieces, (uint32_t)threads);
}

int nbs_obj_write(nbs_seg *s, uint64_t obj, uint64_t offset, const void *src, uint64_t len) {
  int rc = nbsi_enter(s);
  if (rc != NBS_OK) return rc;
  uint32_t i = (uint32_t)obj;
  if (i >= nb_atomic_load(&s->h->entries_used, RELAXED)) return NBS_ENOTFOUND;
  const nbsi_entry *e = &s->entries[i];
  uint64_t word = nb_atomic_load(&e->word, ACQUIRE);
  if (nbsi_gen(word) != obj >> 32) return NBS_ENOTFOUND;
  /* Nobody but its creator changes a created object, so no lock is needed. */
  if (nbsi_state(word) != NBS_CREATED || e->creator != s->peer) return NBS_ESTATE;
  if (offset > e->size || len > e->size - offset) return NBS_EINVAL;
  if (len == 0) return NBS_OK;
  job j = {s, nbsi_data_off(e) + offset, src, len, len > CACHES_MAX, 0};
  if (len >= SPLIT_FROM && s->n_cpus > 1)
    copy_split(&j);
  else
    copy_range(&j, 0, len);
  return j.failed ? NBS_ESYS : NBS_OK;
}
