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
 * is copied chunk by chunk of a larger object does that itself: a fifth less time. */
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#include "holds.h"
#include "impl.h"
#include "parts.h"
#include "platform.h"

#define SPLIT_FROM (8ull << 20)   /* bytes worth a second thread (about 60 us) */
#define PART_MIN   (4ull << 20)   /* bytes worth a thread more */
#define PARTS_MAX  NBSI_PARTS_MAX /* so many threads draw what the memory of one socket gives */
#define CACHES_MAX (32ull << 20)  /* of an object that is larger little is left in them anyway */

typedef struct {
  nbs_seg *s;
  uint64_t off; /* in the arena */
  const uint8_t *src;
  uint64_t len;
  int past_caches; /* copy without displacing what the caches hold */
  int failed;
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
  if (nb_atomic_load(&s->mapped[c], RELAXED)) {
    memcpy(s->arena + off, src, (size_t)len);
    return 0;
  }
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

static void run_job(void *arg) {
  job *j = arg;
  uint64_t done = 0;
  while (done < j->len) {
    uint64_t off = j->off + done, n = NBSI_CHUNK - off % NBSI_CHUNK;
    if (n > j->len - done) n = j->len - done;
    /* Runs of mapped chunks go as one memcpy, which then may bypass the cache. */
    while (n < j->len - done && nb_atomic_load(&j->s->mapped[off / NBSI_CHUNK], RELAXED) &&
           nb_atomic_load(&j->s->mapped[(off + n) / NBSI_CHUNK], RELAXED)) {
      uint64_t more = j->len - done - n;
      n += more < NBSI_CHUNK ? more : NBSI_CHUNK;
    }
    if (nb_atomic_load(&j->s->mapped[off / NBSI_CHUNK], RELAXED))
      memcpy(j->s->arena + off, j->src + done, (size_t)n);
    else if (copy_chunk(j->s, off, j->src + done, n, j->past_caches) != 0) {
      j->failed = 1;
      return;
    }
    done += n;
  }
}

/* copy_split copies with as many threads as the bytes and the processors are worth. */
static int copy_split(job *whole) {
  uint64_t n = whole->len / PART_MIN;
  if (n > PARTS_MAX) n = PARTS_MAX;
  if (n > whole->s->n_cpus) n = whole->s->n_cpus;
  job part[PARTS_MAX];
  /* Chunks are the unit of mapping, so no two threads work on one. */
  uint64_t done = 0;
  for (uint64_t i = 0; i < n; i++) {
    uint64_t end = whole->len;
    if (i + 1 < n)
      end = (whole->off + whole->len / n * (i + 1)) / NBSI_CHUNK * NBSI_CHUNK - whole->off;
    part[i] =
        (job){whole->s, whole->off + done, whole->src + done, end - done, whole->past_caches, 0};
    done = end;
  }
  nbsi_run_parts(run_job, part, sizeof part[0], (uint32_t)n);
  int failed = 0;
  for (uint64_t i = 0; i < n; i++) failed |= part[i].failed;
  return failed ? -1 : 0;
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
  if (len >= SPLIT_FROM && s->n_cpus > 1) return copy_split(&j) == 0 ? NBS_OK : NBS_ESYS;
  run_job(&j);
  return j.failed ? NBS_ESYS : NBS_OK;
}
