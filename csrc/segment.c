/* segment.c - making a segment, attaching to it, leaving it; what happens after fork. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arena.h"
#include "grow.h"
#include "index.h"
#include "lock.h"
#include "platform.h"
#include "slots.h"

#define FIRST_SLOTS   32u
#define FIRST_ENTRIES 512u
#define RETIRED       16u        /* handles that are detached and not freed yet */
#define DETACH_NS     1000000ull /* threads inside a short call have this long to leave it */

#ifdef __SANITIZE_THREAD__
uint32_t nbsi_tsan_fence_word;
#endif

/* All handles of this process, for views and for the child after fork. */
static nbs_seg *handles;
static pthread_mutex_t handles_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t handles_once = PTHREAD_ONCE_INIT;

static void before_fork(void) { pthread_mutex_lock(&handles_lock); }
static void after_fork_parent(void) { pthread_mutex_unlock(&handles_lock); }
static void after_fork_child(void) {
  /* The slot, the holds and the locks are the parent's: the child may do nothing with
   * them, not even give them back. */
  for (nbs_seg *s = handles; s != NULL; s = s->next)
    nb_atomic_store(&s->gone, (uint32_t)NBS_EFORKED, RELAXED);
  pthread_mutex_unlock(&handles_lock);
}
static void install_fork_handlers(void) {
  pthread_atfork(before_fork, after_fork_parent, after_fork_child);
}

static void handles_put(nbs_seg *s) {
  pthread_once(&handles_once, install_fork_handlers);
  pthread_mutex_lock(&handles_lock);
  s->next = handles;
  handles = s;
  pthread_mutex_unlock(&handles_lock);
}

static void handles_drop(nbs_seg *s) {
  pthread_mutex_lock(&handles_lock);
  for (nbs_seg **at = &handles; *at != NULL; at = &(*at)->next)
    if (*at == s) {
      *at = s->next;
      break;
    }
  pthread_mutex_unlock(&handles_lock);
}

nbs_seg *nbsi_segment_of(const void *p) {
  const uint8_t *at = p;
  pthread_mutex_lock(&handles_lock);
  nbs_seg *s = handles;
  while (s != NULL && !(at > s->base && at <= s->base + s->geo.total_size)) s = s->next;
  pthread_mutex_unlock(&handles_lock);
  return s;
}

/* ------------------------------------------------------------------- create */

static int back_first(int fd, const nbsi_geometry *g) {
  uint32_t n = g->max_entries < FIRST_ENTRIES ? g->max_entries : FIRST_ENTRIES;
  const struct {
    uint64_t off, len;
  } regions[] = {
      {0, sizeof(nbsi_header)},
      {g->off_slots, sizeof(nbsi_slot) * FIRST_SLOTS},
      {g->off_entries, sizeof(nbsi_entry) * (uint64_t)n},
      {g->off_fexts, sizeof(nbsi_fext) * ((uint64_t)n + 2)},
      {g->off_buckets, sizeof(uint32_t) * (uint64_t)g->n_buckets},
      {g->off_scratch, sizeof(uint32_t) * (uint64_t)n},
      {g->off_warm, g->arena_size / NBSI_CHUNK + 1},
  };
  for (size_t i = 0; i < sizeof regions / sizeof regions[0]; i++)
    if (nbsi_fd_back(fd, regions[i].off, regions[i].len) != 0) return -1;
  return 0;
}

static int format(int fd, const nbsi_geometry *g) {
  uint8_t *base = nbsi_map(fd, g->total_size);
  if (base == NULL) return NBS_ESYS;
  nbsi_header *h = (nbsi_header *)(void *)base;
  int rc = nbsi_lock_init(h);
  h->slots_backed = FIRST_SLOTS;
  h->entries_backed = g->max_entries < FIRST_ENTRIES ? g->max_entries : FIRST_ENTRIES;
  h->entry_free = h->fext_free = NBSI_NIL;
  h->ext_first = h->ext_last = h->lru_head = h->lru_tail = NBSI_NIL;
  for (uint32_t i = 0; i < NBSI_BINS; i++) h->bins[i] = NBSI_NIL;
  memset(base + g->off_buckets, 0xff, sizeof(uint32_t) * (size_t)g->n_buckets);
  h->geo = *g; /* with the magic, last: before it nobody can attach */
  nbsi_unmap(base, g->total_size);
  return rc;
}

int nbs_create(uint64_t capacity, uint32_t max_entries, int *fd, char *why, size_t why_len) {
  char figures[512];
  if (capacity == 0 || capacity > 1ull << 46) {
    snprintf(why, why_len, "capacity must lie between 1 byte and 64 TiB");
    return NBS_EINVAL;
  }
  if (max_entries > 1u << 24) {
    snprintf(why, why_len, "%u objects are too many: the most is %u", max_entries, 1u << 24);
    return NBS_EINVAL;
  }
  nbsi_geometry g;
  nbsi_geometry_make(&g, capacity, max_entries, nbsi_page_size());
  uint64_t available = nbs_memory_available(figures, sizeof figures);
  uint64_t needed = capacity + capacity / 64 + (16ull << 20);
  if (needed > available) {
    snprintf(why, why_len, "a store of %.0f MiB does not fit: %s", (double)capacity / 1048576.0,
             figures);
    return NBS_ENOMEM;
  }
  int made = nbsi_memfd_create(g.total_size);
  if (made < 0) {
    snprintf(why, why_len, "memfd_create: %s", strerror(errno));
    return NBS_ESYS;
  }
  int rc = back_first(made, &g) == 0 ? format(made, &g) : NBS_ENOMEM;
  if (rc != NBS_OK) {
    snprintf(why, why_len, "cannot back the segment: %s; %s", strerror(errno), figures);
    nbsi_fd_close(made);
    return rc;
  }
  *fd = made;
  if (why_len > 0) why[0] = 0;
  return NBS_OK;
}

/* ------------------------------------------------------------------- attach */

int nbsi_geometry_read(int fd, nbsi_geometry *g, char *why, size_t why_len) {
  uint64_t size;
  int sealed;
  if (nbsi_fd_size(fd, &size, &sealed) != 0) {
    snprintf(why, why_len, "fstat: %s", strerror(errno));
    return NBS_ESYS;
  }
  if (size < sizeof(nbsi_header) || nbsi_fd_read(fd, 0, g, sizeof *g) != 0) {
    snprintf(why, why_len, "not a segment: %llu bytes", (unsigned long long)size);
    return NBS_EVERSION;
  }
  int rc = nbsi_geometry_check(g, size, why, why_len);
  if (rc == NBS_OK && !sealed) {
    snprintf(why, why_len, "the file is not sealed against shrinking");
    return NBS_EVERSION;
  }
  return rc;
}

static void set_pointers(nbs_seg *s, uint8_t *base) {
  const nbsi_geometry *g = &s->geo;
  s->base = base;
  s->h = (nbsi_header *)(void *)base;
  s->slots = (nbsi_slot *)(void *)(base + g->off_slots);
  s->chans = (nbsi_chan *)(void *)(base + g->off_chans);
  s->entries = (nbsi_entry *)(void *)(base + g->off_entries);
  s->fexts = (nbsi_fext *)(void *)(base + g->off_fexts);
  s->buckets = (uint32_t *)(void *)(base + g->off_buckets);
  s->scratch = (uint32_t *)(void *)(base + g->off_scratch);
  s->warm = base + g->off_warm;
  s->rings = base + g->off_rings;
  s->event_rings = base + g->off_events;
  s->arena = base + g->off_arena;
}

static uint64_t counts_bytes(const nbs_seg *s) {
  return (uint64_t)s->geo.max_entries * sizeof(uint32_t);
}
static uint64_t chunks(const nbs_seg *s) { return s->geo.arena_size / NBSI_CHUNK + 1; }

/* retire frees a handle late: a thread that is about to make a call on it finds `gone`
 * set, not memory of somebody else. */
static void retire(nbs_seg *s) {
  static nbs_seg *retired[RETIRED];
  static uint32_t next;
  pthread_mutex_lock(&handles_lock);
  nbs_seg *oldest = retired[next];
  retired[next] = s;
  next = (next + 1) % RETIRED;
  pthread_mutex_unlock(&handles_lock);
  free(oldest);
}

static void dispose(nbs_seg *s) {
  if (s->holds != NULL) nbsi_unmap(s->holds, counts_bytes(s));
  if (s->views != NULL) nbsi_unmap(s->views, counts_bytes(s));
  if (s->mapped != NULL) nbsi_unmap(s->mapped, chunks(s));
  if (s->owns_mapping && s->base != NULL) nbsi_unmap(s->base, s->geo.total_size);
  if (s->fd >= 0) nbsi_fd_close(s->fd);
  pthread_mutex_destroy(&s->recv_lock);
  retire(s);
}

/* finish makes a handle whole on a mapping: private tables, slot, registry. */
static int finish(nbs_seg *s, uint8_t *base, nbs_seg **out, char *why, size_t why_len) {
  set_pointers(s, base);
  s->holds = nbsi_anon(counts_bytes(s));
  s->views = nbsi_anon(counts_bytes(s));
  s->mapped = nbsi_anon(chunks(s));
  s->n_views = 1;
  s->n_cpus = nbsi_n_cpus();
  s->pid_ns = nbsi_pid_namespace();
  s->peer_slot[0] = s->peer_slot[1] = NBSI_NIL;
  s->spin_credit = 8;
  int rc = s->holds == NULL || s->views == NULL || s->mapped == NULL ? NBS_ENOMEM : NBS_OK;
  if (rc == NBS_OK) rc = nbsi_slot_take(s);
  if (rc != NBS_OK) {
    snprintf(why, why_len, "no slot in the segment: %s", nbs_status_name(rc));
    dispose(s);
    return rc;
  }
  s->seal_seen = nb_atomic_load(&s->h->seal_gen, SEQ_CST);
  handles_put(s);
  *out = s;
  return NBS_OK;
}

static nbs_seg *new_handle(const nbsi_geometry *g, int fd) {
  nbs_seg *s = calloc(1, sizeof *s);
  if (s == NULL) return NULL;
  pthread_mutex_init(&s->recv_lock, NULL);
  s->geo = *g;
  s->fd = nbsi_fd_dup(fd);
  return s;
}

int nbs_attach(int fd, nbs_seg **out, char *why, size_t why_len) {
  nbsi_geometry g;
  if (why_len > 0) why[0] = 0;
  int rc = nbsi_geometry_read(fd, &g, why, why_len);
  if (rc != NBS_OK) return rc;
  nbs_seg *s = new_handle(&g, fd);
  if (s == NULL) return NBS_ENOMEM;
  uint8_t *base = s->fd < 0 ? NULL : nbsi_map(s->fd, g.total_size);
  if (base == NULL) {
    snprintf(why, why_len, "cannot map %llu bytes: %s", (unsigned long long)g.total_size,
             strerror(errno));
    dispose(s);
    return NBS_ESYS;
  }
  s->owns_mapping = 1;
  return finish(s, base, out, why, why_len);
}

void *nbs_map_private(const void *data, uint64_t len) {
  nbs_seg *s = nbsi_segment_of(data);
  if (nbsi_enter(s) != NBS_OK) return NULL;
  uintptr_t base = (uintptr_t)s->base, at = (uintptr_t)data;
  if (len == 0 || at < base || at - base >= s->geo.total_size) return NULL;
  uint64_t off = at - base;
  if (len > s->geo.total_size - off) return NULL;
  uint64_t before = off % nbsi_page_size();
  uint8_t *p = nbsi_map_private(s->fd, off - before, before + len);
  return p == NULL ? NULL : p + before;
}

void nbs_unmap_private(void *data, uint64_t len) {
  uint64_t before = (uintptr_t)data % nbsi_page_size();
  nbsi_unmap((uint8_t *)data - before, before + len);
}

int nbsi_attach_again(nbs_seg *other, nbs_seg **out) {
  char why[128];
  nbs_seg *s = new_handle(&other->geo, other->fd);
  if (s == NULL) return NBS_ENOMEM;
  return finish(s, other->base, out, why, sizeof why);
}

/* ------------------------------------------------------------------- detach */

void nbsi_segment_close(nbs_seg *s) {
  nbsi_slot_reclaim(s, s->peer);
  handles_drop(s);
  dispose(s);
}

void nbs_detach(nbs_seg *s) {
  if (s == NULL) return;
  uint32_t gone = nb_atomic_load(&s->gone, RELAXED);
  if (gone == (uint32_t)NBS_EFORKED) return; /* the handle is leaked: views may be alive */
  if (gone != 0) return;                     /* second call */
  nb_atomic_store(&s->gone, (uint32_t)NBS_EINVAL, SEQ_CST);
  if (nbsi_many_threads()) nbsi_sleep_ns(DETACH_NS);
  nbsi_slot_leave(s);
  if (nb_atomic_sub(&s->n_views, 1ull, ACQ_REL) == 1) nbsi_segment_close(s);
}
