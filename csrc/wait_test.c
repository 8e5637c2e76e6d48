/* wait_test.c - waking up: by messages, seals, rings, signals; the service thread. */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include "nbt.h"
#include "platform.h"

#define MS 1000000ull
/* A wait that nobody ends takes 50 ms: one that takes longer than this was not woken, or the
 * machine stood still; the latter is rare, so what must not happen is counted. */
#define SLICE (45 * MS)

static nbs_seg *a, *b;
static uint32_t chan;

static void open_pair(void) {
  int fd = nbt_create(1 << 20);
  a = nbt_attach(fd);
  b = nbt_attach(fd);
  close(fd);
  NBT_OK(nbs_chan_open(a, nbs_self(b), 0, &chan));
}

static void close_pair(void) {
  nbs_detach(a);
  nbs_detach(b);
}

/* until waits for a condition that another thread brings about. */
#define UNTIL(cond)                                \
  do {                                             \
    uint64_t nbt_end = nbsi_now_ns() + 60000 * MS; \
    while (!(cond)) {                              \
      NBT_TRUE(nbsi_now_ns() < nbt_end);           \
      nbsi_yield();                                \
    }                                              \
  } while (0)

static void times_out_in_slices(void) {
  open_pair();
  uint64_t t0 = nbsi_now_ns();
  NBT_EQ(nbs_wait(a, 15, 5 * MS), 0);
  NBT_TRUE(nbsi_now_ns() - t0 >= 5 * MS);
  t0 = nbsi_now_ns();
  NBT_EQ(nbs_wait(a, NBS_READY_OWNED, UINT64_MAX), 0);
  uint64_t took = nbsi_now_ns() - t0;
  NBT_TRUE(took >= 999 * MS && took < 30000 * MS);
  NBT_EQ(nbs_wait(a, 16, 0), NBS_EINVAL);
  NBT_EQ(nbs_wait(a, 15, 0), 0);
  close_pair();
}

static void *wait_for(void *interest) {
  for (;;) {
    int bits = nbs_wait(b, (uint32_t)(uintptr_t)interest, 50 * MS);
    if (bits != 0) return (void *)(intptr_t)bits;
  }
}

static int bits_of(pthread_t t) {
  void *bits;
  pthread_join(t, &bits);
  return (int)(intptr_t)bits;
}

static void woken_by_each_thing(void) {
  open_pair();
  pthread_t t;
  uint64_t obj;
  const uint32_t bits[] = {NBS_READY_SERVED, NBS_READY_SEAL, NBS_READY_RING};
  for (int round = 0; round < 300; round++) {
    uint32_t bit = bits[round % 3];
    NBT_EQ(pthread_create(&t, NULL, wait_for, (void *)(uintptr_t)bit), 0);
    if (round % 2) UNTIL(nb_atomic_load(&b->me->sleeping[__builtin_ctz(bit)], SEQ_CST) == 1);
    if (bit == NBS_READY_SERVED) {
      NBT_OK(nbs_send(a, chan, 16, 0, 0, 0, 0, "x", 1, NULL, 0, NULL));
    } else if (bit == NBS_READY_SEAL) {
      obj = nbt_put(a, 1, 10, 0, 1);
      nbs_release(a, obj);
    } else {
      NBT_OK(nbs_ring(a, nbs_self(b)));
    }
    NBT_EQ(bits_of(t), bit == NBS_READY_RING ? bit | NBS_READY_NEWS : bit);
    nbs_msg m;
    void *payload;
    while (nbs_take(b, &m, &payload) == 1) {
    }
    NBT_EQ(nbs_wait(b, NBS_READY_RING | NBS_READY_SEAL, 0), 0); /* cleared by that wait */
  }
  NBT_EQ(nbs_ring(a, nbs_self(b) + (1ull << 32)), NBS_EDEAD);
  close_pair();
}

static void a_ring_wakes_all(void) {
  open_pair();
  pthread_t t[3];
  for (int i = 0; i < 3; i++)
    NBT_EQ(pthread_create(&t[i], NULL, wait_for, (void *)(uintptr_t)NBS_READY_RING), 0);
  UNTIL(nb_atomic_load(&b->me->waiting[3], SEQ_CST) == 3);
  NBT_OK(nbs_ring(a, nbs_self(b)));
  int news = 0; /* for one of them */
  for (int i = 0; i < 3; i++) {
    int bits = bits_of(t[i]);
    NBT_EQ(bits & ~NBS_READY_NEWS, NBS_READY_RING);
    news += (bits & NBS_READY_NEWS) != 0;
  }
  NBT_EQ(news, 1);
  close_pair();
}

static void a_nudge_between_look_and_sleep_is_not_lost(void) {
  open_pair();
  const uint32_t *nudges = nbs_nudges(b);
  uint32_t before = *nudges;
  NBT_OK(nbs_nudge(b));
  NBT_EQ(nbs_wait_since(b, NBS_READY_RING, 50 * MS, before), NBS_READY_RING);
  NBT_EQ(nbs_wait_since(b, NBS_READY_RING, 0, *nudges), 0); /* nor is it told twice */
  pthread_t t[3];
  for (int i = 0; i < 3; i++)
    NBT_EQ(pthread_create(&t[i], NULL, wait_for, (void *)(uintptr_t)NBS_READY_RING), 0);
  UNTIL(nb_atomic_load(&b->me->waiting[3], SEQ_CST) == 3);
  NBT_OK(nbs_nudge(b));
  for (int i = 0; i < 3; i++) NBT_EQ(bits_of(t[i]), NBS_READY_RING);
  NBT_EQ(nbs_wait_since(a, NBS_READY_RING, 0, *nbs_nudges(a)), 0); /* of another process: nothing */
  close_pair();
}

static void on_signal(int signo) { (void)signo; }
static void *wait_once(void *arg) {
  (void)arg;
  return (void *)(intptr_t)nbs_wait(b, NBS_READY_SERVED, 50 * MS);
}

static void a_signal_interrupts(void) {
  open_pair();
  struct sigaction act = {.sa_handler = on_signal};
  sigaction(SIGUSR1, &act, NULL);
  int interrupted = 0;
  for (int i = 0; i < 20 && !interrupted; i++) {
    pthread_t t;
    NBT_EQ(pthread_create(&t, NULL, wait_once, NULL), 0);
    UNTIL(nb_atomic_load(&b->me->sleeping[1], SEQ_CST) == 1);
    pthread_kill(t, SIGUSR1);
    interrupted = bits_of(t) == NBS_EINTR; /* not when it had not come to the futex yet */
  }
  NBT_TRUE(interrupted);
  close_pair();
}

/* Spinning pays only while the peer runs on another processor: a spin in vain shows in the credit.
 */
static void spins_only_while_the_peer_is_elsewhere(void) {
  cpu_set_t before, here;
  NBT_EQ(sched_getaffinity(0, sizeof before, &before), 0);
  int cpu = sched_getcpu();
  CPU_ZERO(&here);
  CPU_SET((size_t)cpu, &here);
  NBT_EQ(sched_setaffinity(0, sizeof here, &here), 0);
  open_pair();
  a->n_cpus = 2;
  NBT_OK(nbs_send(a, chan, 16, 0, 0, 0, 0, "x", 1, NULL, 0, NULL));
  const uint32_t credit = a->spin_credit;
  nb_atomic_store(&b->me->cpu, (uint32_t)cpu, SEQ_CST);
  NBT_EQ(nbs_wait(a, NBS_READY_OWNED, MS), 0);
  NBT_EQ(a->spin_credit, credit);
  nb_atomic_store(&b->me->cpu, (uint32_t)cpu + 1, SEQ_CST);
  NBT_EQ(nbs_wait(a, NBS_READY_RING, MS), 0); /* not for what does not come from there */
  NBT_EQ(a->spin_credit, credit);
  NBT_EQ(nbs_wait(a, NBS_READY_OWNED, MS), 0);
  NBT_TRUE(a->spin_credit < credit);
  a->n_cpus = 1;
  a->spin_credit = credit;
  NBT_EQ(nbs_wait(a, NBS_READY_OWNED, MS), 0);
  NBT_EQ(a->spin_credit, credit);
  close_pair();
  NBT_EQ(sched_setaffinity(0, sizeof before, &before), 0);
}

/* Each side waits, is woken and answers: a lost wake-up would cost 50 ms each time. */
#define TURNS 20000
static void *echo(void *arg) {
  nbs_msg m;
  void *payload;
  (void)arg;
  for (int got = 0; got < TURNS;) {
    if (nbs_take(b, &m, &payload) != 1) {
      nbs_wait(b, NBS_READY_SERVED, 50 * MS);
      continue;
    }
    got++;
    NBT_OK(nbs_send(b, m.chan, NBS_MSG_RESULT, 0, m.seq, 0, 0, payload, m.len, NULL, 0, NULL));
  }
  return NULL;
}

static void no_wakeup_is_lost(void) {
  open_pair();
  pthread_t t;
  unsigned char buf[1 << 17];
  NBT_EQ(pthread_create(&t, NULL, echo, NULL), 0);
  uint64_t t0 = nbsi_now_ns(), worst = 0, slow = 0;
  for (uint64_t i = 0; i < TURNS; i++) {
    uint64_t t1 = nbsi_now_ns();
    NBT_OK(nbs_send(a, chan, NBS_MSG_TASK, 0, i, 0, 0, "x", 1, NULL, 0, NULL));
    while (nbs_recv_many(a, buf, sizeof buf) == 0) nbs_wait(a, NBS_READY_OWNED, 50 * MS);
    uint64_t took = nbsi_now_ns() - t1;
    if (took > worst) worst = took;
    slow += took > SLICE;
  }
  printf("  round trip %.2f us, worst %.0f us\n", (double)(nbsi_now_ns() - t0) / 1e3 / TURNS,
         (double)worst / 1e3);
  NBT_TRUE(slow <= TURNS / 100);
  pthread_join(t, NULL);
  close_pair();
}

static void *serve(void *arg) {
  for (;;) {
    int bits = nbs_serve_wait(a, NBS_READY_OWNED | NBS_READY_RING, *(uint64_t *)arg, 50 * MS);
    if (bits != 0) return (void *)(intptr_t)bits;
  }
}

static void the_service_thread_is_lazy(void) {
  open_pair();
  pthread_t t;
  uint64_t lazy = 2 * MS;
  unsigned char buf[1 << 17];
  /* Woken from deep sleep by a message, and returns only after it lay there for a while. */
  NBT_EQ(pthread_create(&t, NULL, serve, &lazy), 0);
  UNTIL(nb_atomic_load(&a->me->serve_sleeping, SEQ_CST) == 1);
  uint64_t t0 = nbsi_now_ns();
  NBT_OK(nbs_send(b, chan, 16, 0, 0, 0, 0, "x", 1, NULL, 0, NULL));
  NBT_EQ(bits_of(t), NBS_READY_OWNED);
  NBT_TRUE(nbsi_now_ns() - t0 >= lazy);
  NBT_EQ(nbs_recv_many(a, buf, sizeof buf), 40);
  /* Also when a thread of the process has just been in nbs_wait, in vain. */
  int quick = 0;
  for (int i = 0; i < 50 && quick < 5; i++) {
    NBT_EQ(nbs_wait(a, NBS_READY_OWNED, MS), 0);
    a->serve_busy = 0; /* as if it had been quiet for long */
    NBT_EQ(pthread_create(&t, NULL, serve, &lazy), 0);
    UNTIL(nb_atomic_load(&a->me->serve_sleeping, SEQ_CST) == 1);
    usleep(1000); /* from the flag into the futex */
    t0 = nbsi_now_ns();
    NBT_OK(nbs_send(b, chan, 16, 0, 0, 0, 0, "x", 1, NULL, 0, NULL));
    NBT_EQ(bits_of(t), NBS_READY_OWNED);
    quick += nbsi_now_ns() - t0 < 30 * MS;
    NBT_EQ(nbs_recv_many(a, buf, sizeof buf), 40);
  }
  NBT_EQ(quick, 5);
  /* A thread that serves itself keeps it out; a ring comes through at once. */
  int kept_out = 0;
  for (int i = 0; i < 50 && !kept_out; i++) {
    uint64_t longest = 0;
    NBT_EQ(pthread_create(&t, NULL, serve, &lazy), 0);
    for (int k = 0; k < 2000; k++) {
      t0 = nbsi_now_ns();
      NBT_OK(nbs_send(b, chan, 16, 0, 0, 0, 0, "x", 1, NULL, 0, NULL));
      NBT_EQ(nbs_recv_many(a, buf, sizeof buf), 40);
      if (nbsi_now_ns() - t0 > longest) longest = nbsi_now_ns() - t0;
    }
    NBT_OK(nbs_ring(b, nbs_self(a)));
    int bits = bits_of(t);
    kept_out = longest < lazy; /* else this thread had no turn, and the other was right to come */
    if (kept_out)
      NBT_EQ(bits, NBS_READY_RING | NBS_READY_NEWS);
    else if ((bits & NBS_READY_RING) == 0)
      NBT_EQ(nbs_serve_wait(a, NBS_READY_RING, lazy, MS), NBS_READY_RING | NBS_READY_NEWS);
  }
  NBT_TRUE(kept_out);
  /* A ring of its own process comes through also when it came before, and another wait saw it. */
  NBT_OK(nbs_ring(a, nbs_self(a)));
  NBT_EQ(nbs_wait_since(a, NBS_READY_RING, 0, *nbs_nudges(a) - 1), NBS_READY_RING);
  NBT_EQ(nbs_serve_wait(a, NBS_READY_RING, lazy, MS), NBS_READY_RING);
  NBT_EQ(nbs_serve_wait(a, NBS_READY_RING, lazy, MS), 0);
  close_pair();
}

static void *wait_for_calls(void *arg) {
  (void)arg;
  while (nbs_wait(a, NBS_READY_SERVED, 50 * MS) == 0) {
  }
  return NULL;
}

/* What a thread does not wait for is not its business: it keeps the service thread from nothing. */
static void the_service_thread_takes_what_nobody_waits_for(void) {
  open_pair();
  pthread_t t;
  NBT_EQ(pthread_create(&t, NULL, wait_for_calls, NULL), 0);
  UNTIL(nb_atomic_load(&a->me->waiting[1], SEQ_CST) == 1);
  NBT_EQ(nbs_serve_wait(a, NBS_READY_SEAL, MS, 0), 0);
  nbs_release(b, nbt_put(b, 1, 10, 0, 1));
  int bits;
  UNTIL((bits = nbs_serve_wait(a, NBS_READY_SEAL | NBS_READY_SERVED, MS, 50 * MS)) != 0);
  NBT_EQ(bits, NBS_READY_SEAL);
  uint32_t back;
  NBT_OK(nbs_chan_open(b, nbs_self(a), 4096, &back));
  NBT_OK(nbs_send(b, back, NBS_MSG_TASK, 0, 0, 0, 0, "x", 1, NULL, 0, NULL));
  pthread_join(t, NULL);
  close_pair();
}

/* Killed waiters leave nothing behind that hurts: only their slot is to be recovered. */
static void killed_waiters(void) {
  int fd = nbt_create(1 << 20), pipe_fd[2];
  a = nbt_attach(fd);
  NBT_EQ(pipe(pipe_fd), 0);
  int slow = 0;
  for (int i = 0; i < 300; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      nbs_seg *c = nbt_attach(fd);
      nbt_tell(pipe_fd[1], nbs_self(c));
      for (;;) nbs_wait(c, NBS_READY_SEAL | NBS_READY_SERVED, 50 * MS);
    }
    uint64_t peer = nbt_hear(pipe_fd[0]);
    if (i % 2) UNTIL(a->slots[nbsi_slot_of(peer)].sleeping[2] == 1);
    kill(pid, SIGKILL);
    uint64_t t0 = nbsi_now_ns();
    uint64_t obj = nbt_put(a, 1, 10, 0, 1);
    slow += nbsi_now_ns() - t0 > SLICE;
    nbs_release(a, obj);
    NBT_EQ(nbt_reap(pid), -SIGKILL);
    NBT_EQ(nbs_alive(a, peer), 0);
    NBT_OK(nbs_recover(a, peer));
  }
  NBT_TRUE(slow <= 30);
  NBT_EQ(nbt_stats(a).n_slots, 1);
  NBT_CHECK(a);
  nbs_detach(a);
  close(fd);
}

int main(void) {
  NBT_RUN(times_out_in_slices);
  NBT_RUN(woken_by_each_thing);
  NBT_RUN(a_ring_wakes_all);
  NBT_RUN(a_nudge_between_look_and_sleep_is_not_lost);
  NBT_RUN(a_signal_interrupts);
  NBT_RUN(spins_only_while_the_peer_is_elsewhere);
  NBT_RUN(no_wakeup_is_lost);
  NBT_RUN(the_service_thread_is_lazy);
  NBT_RUN(the_service_thread_takes_what_nobody_waits_for);
  NBT_RUN(killed_waiters);
  return 0;
}
