/* threads_test.c - eight threads, each with a slot of its own, on ONE mapping, doing all
 * there is; for the thread sanitizer, which sees races only within one mapping. */
#include <pthread.h>
#include <signal.h>

#include "nbt.h"
#include "platform.h"

#define THREADS 8
static nbs_seg *segs[THREADS];
static uint64_t peers[THREADS];
static int rounds = 3000;

static uint64_t next_random(uint64_t *x) {
  *x ^= *x << 13;
  *x ^= *x >> 7;
  *x ^= *x << 17;
  return *x;
}

static void touch_object(nbs_seg *s, uint64_t id, uint64_t *x) {
  uint64_t obj, size = next_random(x) % 5000;
  void *data;
  uint64_t hold_for = next_random(x) % 4 == 0 ? peers[*x / 16 % THREADS] : 0;
  int rc = nbs_obj_create(s, nbt_id(id), size, *x % 3 == 0 ? NBS_META_KEEP : 0, hold_for, NULL, 0,
                          &obj, &data);
  if (rc == NBS_EFULL || rc == NBS_EDEAD) return;
  if (rc == NBS_OK) {
    memset(data, (int)(id & 0xff), size);
    if (next_random(x) % 10 == 0) {
      NBT_OK(nbs_obj_abort(s, obj));
      return;
    }
    NBT_OK(nbs_obj_seal(s, obj));
  } else {
    NBT_EQ(rc, NBS_EEXISTS);
  }
  nbs_object o;
  NBT_OK(nbs_obj_info(s, obj, &o));
  if (o.state == NBS_SEALED && o.size > 0) {
    unsigned char *view = nbs_view(s, obj);
    NBT_TRUE(view != NULL);
    NBT_EQ(view[o.size - 1], id & 0xff);
    nbsi_view_end(s, view);
  }
  if (next_random(x) % 5 == 0) nbs_delete(s, nbt_id(id));
  NBT_TRUE(nbs_adopt(s, obj) <= 0);
  NBT_TRUE(nbs_release(s, obj) >= 0);
}

static void *body(void *arg) {
  uint32_t me = (uint32_t)(uintptr_t)arg;
  nbs_seg *s = segs[me];
  uint64_t x = 88172645463325252ull + me * 7919, seq = 0;
  uint32_t chan;
  static _Thread_local unsigned char buf[1 << 13];
  NBT_OK(nbs_chan_open(s, peers[(me + 1) % THREADS], 4096, &chan));
  for (int i = 0; i < rounds; i++) {
    touch_object(s, next_random(&x) % 50, &x);
    uint64_t ticket;
    int rc = nbs_send(s, chan, NBS_MSG_TASK, 0, seq++, 0, 0, &x, 8, NULL, 0, &ticket);
    NBT_TRUE(rc == NBS_OK || rc == NBS_EAGAIN);
    if (rc == NBS_OK && x % 3 == 0) (void)nbs_revoke(s, chan, ticket);
    nbs_msg m;
    void *payload;
    if (nbs_take(s, &m, &payload) == 1 && m.kind == NBS_MSG_TASK) {
      rc = nbs_send(s, m.chan, NBS_MSG_RESULT, 0, m.seq, 0, 0, payload, m.len, NULL, 0, NULL);
      NBT_TRUE(rc == NBS_OK || rc == NBS_EAGAIN || rc == NBS_EDEAD || rc == NBS_ENOTFOUND);
    }
    NBT_TRUE(nbs_recv_many(s, buf, sizeof buf) >= 0);
    if (i % 50 == 0) NBT_TRUE(nbs_wait(s, 15, 100000) >= 0);
    if (i % 90 == 0) NBT_TRUE(nbs_serve_wait(s, 15, 10000, 100000) >= 0);
    if (i % 70 == 0) NBT_OK(nbs_ring(s, peers[(me + 3) % THREADS]));
    if (i % 80 == 0) NBT_OK(nbs_nudge(s));
    if (i % 200 == 0) {
      NBT_OK(nbs_chan_close(s, chan));
      NBT_OK(nbs_chan_open(s, peers[(me + 1) % THREADS], 4096, &chan));
    }
    if (me == 0 && i % 100 == 0) {
      static nbs_event events[4096];
      uint64_t dropped;
      NBT_TRUE(nbs_event_drain(s, events, 4096, &dropped) >= 0);
      NBT_TRUE(nbs_warm(s, 1 << 20, 1 << 20, 2) >= 0);
    }
  }
  NBT_OK(nbs_chan_close(s, chan));
  return NULL;
}

static void all_at_once(void) {
  int fd = nbt_create(256 << 10);
  segs[0] = nbt_attach(fd);
  for (int i = 1; i < THREADS; i++) NBT_OK(nbsi_attach_again(segs[0], &segs[i]));
  for (int i = 0; i < THREADS; i++) peers[i] = nbs_self(segs[i]);
  pthread_t t[THREADS];
  for (int i = 0; i < THREADS; i++)
    NBT_EQ(pthread_create(&t[i], NULL, body, (void *)(uintptr_t)i), 0);
  for (int i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
  nbs_msg m;
  void *payload;
  for (int i = 0; i < THREADS; i++) {
    do { /* a take that ends with 0 has not looked at what came since its last look */
      while (nbs_take(segs[i], &m, &payload) == 1) {
      }
    } while (nbs_wait(segs[i], NBS_READY_SERVED, 0) != 0);
  }
  for (int i = 0; i < THREADS; i++) NBT_CHECK(segs[i]);
  for (int i = 1; i < THREADS; i++) nbs_detach(segs[i]); /* with the holds made for it */
  nbs_evict(segs[0], UINT64_MAX);
  NBT_CHECK(segs[0]);
  NBT_EQ(nbt_stats(segs[0]).n_channels, 0);
  nbs_detach(segs[0]);
  close(fd);
}

/* Threads of one process share one handle: holds and counts. */
static uint64_t shared_obj;
static void *hold_and_release(void *arg) {
  nbs_seg *s = arg;
  for (int i = 0; i < 20 * rounds; i++) {
    NBT_OK(nbs_hold(s, shared_obj));
    NBT_EQ(nbs_obj_state(s, shared_obj), NBS_SEALED);
    NBT_EQ(nbs_release(s, shared_obj), 0);
    NBT_OK(nbs_event_put(s, 16, 0, 0, 0, 0));
    NBT_OK(nbs_count(s, NBS_CTR_SUBMITTED, 1));
  }
  return NULL;
}

/* A burst of many rings' worth waits for a drainer that is slow, and loses nothing. */
#define BURST (10 * NBSI_EVENTS)
static void *burst(void *arg) {
  for (uint64_t i = 0; i < BURST; i++) NBT_OK(nbs_event_put(arg, 16, 0, i, 0, 0));
  return NULL;
}

static void a_burst_waits_for_its_drainer(void) {
  nbs_seg *s = nbt_segment(1 << 20), *writer;
  NBT_OK(nbsi_attach_again(s, &writer));
  static nbs_event events[2 * NBSI_EVENTS];
  uint64_t drained = 0, lost = 0, dropped;
  for (uint64_t i = 0; i < NBSI_EVENTS + 1; i++) NBT_OK(nbs_event_put(writer, 16, 0, i, 0, 0));
  NBT_EQ(writer->vain_tail, 0); /* nobody listens: not waited for */
  NBT_EQ(nbs_event_drain(s, events, 2 * NBSI_EVENTS, &dropped), NBSI_EVENTS);
  NBT_EQ(nbs_event_wait(s, UINT32_MAX, 0) > 0, 1);
  pthread_t t;
  NBT_EQ(pthread_create(&t, NULL, burst, writer), 0);
  for (int64_t seen = 0; drained + lost < BURST;
       seen = nbs_event_wait(s, (uint32_t)seen, 1000000)) {
    nbsi_sleep_ns(5000000); /* longer than it takes to fill a ring */
    int64_t n = nbs_event_drain(s, events, 2 * NBSI_EVENTS, &dropped);
    for (int64_t i = 0; lost + dropped == 0 && i < n; i++)
      NBT_EQ(events[i].seq, drained + (uint64_t)i);
    drained += (uint64_t)n;
    lost += dropped;
  }
  pthread_join(t, NULL);
  /* Unless this thread had no processor for all the time that a writer waits. */
  NBT_TRUE(lost == 0 || nb_atomic_load(&writer->vain_tail, RELAXED) != 0);

  /* Whoever does not drain at all is waited for once. */
  for (uint64_t i = 0; i < NBSI_EVENTS; i++) NBT_OK(nbs_event_put(writer, 16, 0, i, 0, 0));
  uint64_t tail = writer->me->events.tail, before = nbsi_now_ns();
  NBT_OK(nbs_event_put(writer, 16, 0, 0, 0, 0));
  NBT_TRUE(nbsi_now_ns() - before >= 50000000ull);
  NBT_EQ(nb_atomic_load(&writer->vain_tail, RELAXED), tail + 1);
  for (int i = 0; i < 100; i++) NBT_OK(nbs_event_put(writer, 16, 0, 0, 0, 0));
  NBT_TRUE(nbsi_now_ns() - before < 10000000000ull); /* not 100 times */
  NBT_EQ(nbs_event_drain(s, events, 2 * NBSI_EVENTS, &dropped), NBSI_EVENTS);
  NBT_EQ(dropped, 101);
  /* A process that drains does not wait for itself. */
  for (uint64_t i = 0; i < NBSI_EVENTS + 9; i++) NBT_OK(nbs_event_put(s, 16, 0, i, 0, 0));
  NBT_EQ(s->vain_tail, 0);
  NBT_EQ(nbs_event_drain(s, events, 2 * NBSI_EVENTS, &dropped), NBSI_EVENTS);
  NBT_EQ(dropped, 9);
  nbs_detach(writer);
  nbs_detach(s);
}

static uint8_t stood_still;
static void stand_still(int number) {
  (void)number;
  nbsi_sleep_ns(60000000); /* longer than a writer waits */
  nb_atomic_store(&stood_still, (uint8_t)1, SEQ_CST);
}

typedef struct {
  nbs_seg *drainer;
  pthread_t writer;
  int64_t calls;
} late;

/* The writer waits; it stands still, and only a little later the drainer comes. */
static void *drain_late(void *arg) {
  late *l = arg;
  static nbs_event events[NBSI_EVENTS];
  uint64_t dropped;
  while (nbs_event_wait(l->drainer, (uint32_t)l->calls, 1000000) == l->calls) {
  }
  NBT_EQ(pthread_kill(l->writer, SIGUSR1), 0);
  while (nb_atomic_load(&stood_still, SEQ_CST) == 0) nbsi_yield();
  nbsi_sleep_ns(5000000);
  NBT_EQ(nbs_event_drain(l->drainer, events, NBSI_EVENTS, &dropped), NBSI_EVENTS);
  return NULL;
}

/* Where the machine stands still while a writer waits, its drainer does so, too. */
static void a_writer_that_stood_still_goes_on_waiting(void) {
  nbs_seg *s = nbt_segment(1 << 20), *writer;
  NBT_OK(nbsi_attach_again(s, &writer));
  struct sigaction still = {.sa_handler = stand_still}, before;
  NBT_EQ(sigaction(SIGUSR1, &still, &before), 0);
  int kept = 0;
  for (int i = 0; i < 4 && !kept; i++) { /* the drainer may be without a processor then */
    nbs_event one;
    uint64_t dropped;
    late l = {.drainer = s, .writer = pthread_self(), .calls = 0};
    for (uint64_t n = 0; n < NBSI_EVENTS; n++) NBT_OK(nbs_event_put(writer, 16, 0, n, 0, 0));
    l.calls = nbs_event_wait(s, UINT32_MAX, 0); /* and from now on somebody listens */
    nb_atomic_store(&stood_still, (uint8_t)0, SEQ_CST);
    pthread_t t;
    NBT_EQ(pthread_create(&t, NULL, drain_late, &l), 0);
    NBT_OK(nbs_event_put(writer, 16, 0, NBSI_EVENTS, 0, 0));
    pthread_join(t, NULL);
    kept = nbs_event_drain(s, &one, 1, &dropped) == 1;
  }
  NBT_TRUE(kept);
  NBT_EQ(sigaction(SIGUSR1, &before, NULL), 0);
  nbs_detach(writer);
  nbs_detach(s);
}

static void one_handle(void) {
  nbs_seg *s = nbt_segment(1 << 20);
  shared_obj = nbt_put(s, 1, 100, 0, 1);
  pthread_t t[4];
  for (int i = 0; i < 4; i++) NBT_EQ(pthread_create(&t[i], NULL, hold_and_release, s), 0);
  uint64_t drained = 0, lost = 0;
  static nbs_event events[1024];
  for (int i = 0; i < 1000; i++) {
    uint64_t dropped;
    drained += (uint64_t)nbs_event_drain(s, events, 1024, &dropped);
    lost += dropped;
  }
  for (int i = 0; i < 4; i++) pthread_join(t[i], NULL);
  for (;;) {
    uint64_t dropped;
    int64_t n = nbs_event_drain(s, events, 1024, &dropped);
    lost += dropped;
    if (n == 0) break;
    drained += (uint64_t)n;
  }
  NBT_EQ(drained + lost, 4 * 20 * rounds); /* every record came, or was counted as lost */
  int64_t c[NBS_N_COUNTERS];
  NBT_OK(nbs_counters(s, c));
  NBT_EQ(c[NBS_CTR_SUBMITTED], 4 * 20 * rounds);
  NBT_EQ(nbs_release(s, shared_obj), 1);
  NBT_CHECK(s);
  nbs_detach(s);
}

/* Calls of a threaded actor end while its main thread lets go of their owner's channel. */
#define CALLS 16
typedef struct {
  nbs_seg *worker;
  uint32_t chan;
} answers;

static void *answer_calls(void *arg) {
  answers *a = arg;
  for (uint64_t i = 0; i < CALLS; i++) {
    int rc = nbs_send(a->worker, a->chan, NBS_MSG_RESULT, 0, i, 0, 0, "y", 1, NULL, 0, NULL);
    NBT_TRUE(rc == NBS_OK || rc == NBS_EDEAD || rc == NBS_ENOTFOUND);
  }
  return NULL;
}

static void calls_end_while_their_owner_leaves(void) {
  nbs_seg *owner = nbt_segment(1 << 20);
  answers a;
  NBT_OK(nbsi_attach_again(owner, &a.worker));
  nbs_msg m;
  void *payload;
  for (int round = 0; round < rounds / 10; round++) {
    NBT_OK(nbs_chan_open(owner, nbs_self(a.worker), 4096, &a.chan));
    for (uint64_t i = 0; i < CALLS; i++)
      NBT_OK(nbs_send(owner, a.chan, NBS_MSG_TASK, 0, i, 0, 0, "x", 1, NULL, 0, NULL));
    for (int i = 0; i < CALLS; i++) NBT_EQ(nbs_take(a.worker, &m, &payload), 1);
    NBT_OK(nbs_chan_close(owner, a.chan));
    pthread_t t;
    NBT_EQ(pthread_create(&t, NULL, answer_calls, &a), 0);
    do NBT_EQ(nbs_take(a.worker, &m, &payload), 0);
    while (nbt_stats(owner).n_channels != 0);
    pthread_join(t, NULL);
    int64_t c[NBS_N_COUNTERS];
    NBT_OK(nbs_counters(owner, c));
    NBT_EQ(c[NBS_CTR_TAKEN], c[NBS_CTR_REPLIED]);
  }
  nbs_detach(a.worker);
  nbs_detach(owner);
}

int main(int argc, char **argv) {
  if (argc > 1) rounds = atoi(argv[1]);
  NBT_RUN(all_at_once);
  NBT_RUN(a_burst_waits_for_its_drainer);
  NBT_RUN(a_writer_that_stood_still_goes_on_waiting);
  NBT_RUN(one_handle);
  NBT_RUN(calls_end_while_their_owner_leaves);
  return 0;
}
