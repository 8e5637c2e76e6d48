/* crash_test.c - a process dies at each marked point, each time it comes by; whoever is
 * next repairs, recovery gives back all it held, and every invariant holds. */
#include "lock.h"
#include "nbt.h"
#include "platform.h"

static nbs_seg *s; /* the survivor */
static int fd;

/* A dead process with holds, an unsealed object, a promise, a running task and channels. */
static void leave_a_dead_sibling(void) {
  pid_t pid = fork();
  if (pid == 0) {
    nbs_seg *c = nbt_attach(fd);
    uint64_t obj;
    uint32_t chan;
    nbs_msg m;
    void *payload;
    nbt_put(c, 900, 1000, 0, 1);
    NBT_OK(nbs_lookup(c, nbt_id(1), &obj));
    NBT_OK(nbs_obj_create(c, nbt_id(901), 5000, 0, nbs_self(s), NULL, 0, &obj, NULL));
    NBT_OK(nbs_promise(c, nbt_id(902), &obj));
    NBT_OK(nbs_chan_open(c, nbs_self(s), 4096, &chan));
    NBT_OK(nbs_send(c, chan, NBS_MSG_TASK, 0, 1, 0, 0, "x", 1, NULL, 0, NULL));
    NBT_OK(nbs_chan_open(c, nbs_self(c), 4096, &chan));
    NBT_OK(nbs_send(c, chan, NBS_MSG_TASK, 0, 2, 0, 0, "x", 1, NULL, 0, NULL));
    NBT_EQ(nbs_take(c, &m, &payload), 1);
    NBT_OK(nbs_lookup(c, nbt_id(2), &obj)); /* it dies reading what the survivor spilled */
    NBT_OK(nbs_restore_begin(c, obj, NULL, 0, &payload));
    NBT_TRUE(nbs_view(c, nbt_put(c, 903, 64, 0, 1)) != NULL);
    kill(getpid(), SIGKILL);
  }
  NBT_EQ(nbt_reap(pid), -SIGKILL);
}

static void recover_all(nbs_seg *by) {
  for (uint32_t i = 0; i < by->h->slots_used; i++) {
    uint64_t word = by->slots[i].word;
    if (nbsi_low(word) == NBSI_SLOT_FREE || i == by->slot) continue;
    int rc = nbs_recover(by, nbsi_word(nbsi_gen(word), i));
    NBT_TRUE(rc == NBS_OK || rc == NBS_ESTATE); /* the survivor lives */
  }
}

/* A container goes to disk and comes back, is spilled again, lost, and promised anew. */
static void spill(nbs_seg *c) {
  uint64_t child = nbt_put(c, 15, 100, 0, 1), outer;
  void *data;
  NBT_OK(nbs_obj_create(c, nbt_id(16), 5000, 0, 0, &child, 1, &outer, &data));
  NBT_OK(nbs_obj_seal(c, outer));
  NBT_OK(nbs_spill_out(c, outer));
  NBT_OK(nbs_restore_begin(c, outer, &child, 1, &data));
  NBT_OK(nbs_restore_end(c, outer, 0));
  NBT_OK(nbs_restore_begin(c, outer, &child, 1, &data));
  NBT_OK(nbs_restore_end(c, outer, 1));
  nbs_view_end(nbs_view(c, outer));
  NBT_OK(nbs_spill_out(c, outer));
  NBT_OK(nbs_restore_end(c, outer, -1));
  NBT_OK(nbs_repromise(c, outer));
  NBT_EQ(nbs_release(c, outer), 1);
  NBT_EQ(nbs_release(c, child), 1);
}

/* Of two ranks the other never comes. */
static void wait_in_a_group(nbs_seg *c) {
  nbs_coll *g;
  char why[128];
  NBT_OK(nbs_coll_join(c, nbt_id(17), 2, 0, 0, &g, why, sizeof why));
  NBT_EQ(nbs_coll_run(g, NBS_COLL_BARRIER, 0, NULL, NULL, 0, NULL, 1), NBS_ETIMEOUT);
  NBT_OK(nbs_coll_leave(g));
}

/* What a process does in its life; passes every marked point but those of repair. */
static void live(const char *point, int n) {
  nbsi_failpoint_arm(point, n);
  nbs_seg *c = nbt_attach(fd);
  uint64_t a, b, k, again, big;
  uint32_t chan;
  void *data;
  NBT_OK(nbs_promise(c, nbt_id(10), &a));
  NBT_OK(nbs_obj_create(c, nbt_id(10), 100, 0, nbs_self(s), NULL, 0, &again, &data));
  NBT_OK(nbs_obj_seal(c, a));
  NBT_OK(nbs_obj_create(c, nbt_id(11), 3 << 20, 0, 0, &a, 1, &b, &data));
  NBT_OK(nbs_obj_abort(c, b));
  NBT_OK(nbs_obj_create(c, nbt_id(12), 10, 0, 0, &a, 1, &b, &data));
  NBT_OK(nbs_obj_seal(c, b));
  k = nbt_put(c, 13, 5 << 20, NBS_META_KEEP, 1);
  NBT_EQ(nbs_release(c, k), 0);
  NBT_OK(nbs_obj_create(c, nbt_id(14), 12 << 20, 0, 0, NULL, 0, &big, &data)); /* evicts */
  NBT_OK(nbs_obj_abort(c, big));
  NBT_EQ(nbs_release(c, a), 0);
  NBT_EQ(nbs_release(c, a), 0);
  NBT_OK(nbs_delete(c, nbt_id(12)));
  NBT_EQ(nbs_release(c, b), 1);
  spill(c);
  NBT_OK(nbs_chan_open(c, nbs_self(c), 4096, &chan));
  NBT_OK(nbs_send(c, chan, NBS_MSG_TASK, 0, 1, 0, 0, "x", 1, NULL, 0, NULL));
  NBT_OK(nbs_chan_close(c, chan));
  nbs_msg m;
  NBT_EQ(nbs_take(c, &m, &data), 0);
  wait_in_a_group(c);
  recover_all(c);
  nbs_detach(c);
}

static void everything_is_back(void) {
  nbs_msg m;
  void *payload;
  (void)nbt_stats(s); /* the next locker repairs */
  NBT_CHECK(s);
  recover_all(s);
  NBT_EQ(nbs_take(s, &m, &payload), 0); /* lets go of channels whose owner died */
  NBT_CHECK(s);
  uint64_t obj;
  /* Holds on their way to the survivor are his. */
  for (uint64_t id = 10; id < 15; id++)
    if (nbs_lookup(s, nbt_id(id), &obj) == NBS_OK) {
      NBT_EQ(nbs_obj_state(s, obj), NBS_SEALED);
      if (nbs_adopt(s, obj) == NBS_OK) nbs_release(s, obj);
      nbs_release(s, obj);
    }
  nbs_evict(s, UINT64_MAX);
  if (nbs_lookup(s, nbt_id(901), &obj) == NBS_OK) { /* made for us, never sealed: lost */
    nbs_object o;
    NBT_OK(nbs_obj_info(s, obj, &o));
    NBT_EQ(o.meta, NBS_META_LOST);
    NBT_OK(nbs_adopt(s, obj));
    nbs_release(s, obj);
    nbs_release(s, obj);
  }
  nbs_stats st = nbt_stats(s);
  NBT_EQ(st.n_objects, 2);
  NBT_EQ(st.used, 64 + 64); /* the spilled one has no memory */
  NBT_EQ(st.n_spilled, 1);
  NBT_EQ(st.n_slots, 1);
  NBT_EQ(st.n_channels, 0);
  NBT_EQ(nbs_contains(s, nbt_id(1)), NBS_SEALED);
  int64_t counters[NBS_N_COUNTERS];
  NBT_OK(nbs_counters(s, counters));
  NBT_EQ(counters[NBS_CTR_TAKEN], counters[NBS_CTR_REPLIED]);
  NBT_CHECK(s);
}

static void open_segment(void) {
  fd = nbt_create(16 << 20);
  s = nbt_attach(fd);
  nbt_put(s, 1, 64, 0, 7);
  NBT_OK(nbs_spill_out(s, nbt_put(s, 2, 64, 0, 7)));
}

static void close_segment(void) {
  nbs_detach(s);
  close(fd);
}

static int die_at(const char *point, int n) {
  pid_t pid = fork();
  if (pid == 0) {
    live(point, n);
    _exit(0);
  }
  return nbt_reap(pid);
}

static void at_every_point(void) {
  int deaths = 0;
  for (int i = 0; nbsi_failpoints[i] != NULL; i++) {
    const char *point = nbsi_failpoints[i];
    if (strncmp(point, "repair", 6) == 0) continue;
    int n = 0;
    for (;; n++) {
      open_segment(); /* a fresh one: it grows only once */
      leave_a_dead_sibling();
      int end = die_at(point, n);
      NBT_TRUE(end == 0 || end == -SIGKILL);
      everything_is_back();
      close_segment();
      if (end == 0) break; /* it does not come by that often */
      deaths++;
    }
    if (n == 0) fprintf(stderr, "failpoint %s is never reached\n", point);
    NBT_TRUE(n > 0);
  }
  printf("  %d deaths\n", deaths);
}

static int by_size(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

/* die_late: a process dies at a point after a while in which we come to wait for the lock;
 * the time from its death until we got through, or 0 when nobody held us up. */
static uint64_t die_late(const char *point, int n) {
  int ends[2];
  char byte;
  uint64_t died = 0;
  NBT_TRUE(pipe(ends) == 0);
  pid_t pid = fork();
  if (pid == 0) {
    nbsi_failpoint_linger(ends[1], 2000000);
    live(point, n);
    _exit(0);
  }
  close(ends[1]);
  int there = read(ends[0], &byte, 1) == 1; /* else it does not come by that often */
  if (there) {
    (void)nbt_stats(s);
    uint64_t through = nbsi_now_ns();
    died = nbt_hear(ends[0]);
    died = through > died ? through - died : 0;
  }
  close(ends[0]);
  int end = nbt_reap(pid);
  NBT_TRUE(end == (there ? -SIGKILL : 0));
  return there ? died : UINT64_MAX;
}

/* S3: whoever waits for the lock when its owner dies gets through at once. */
static void a_waiter_gets_through(void) {
  const char *asked = getenv("NBRAY_FAULTS_FULL");
  int rounds = asked != NULL && strcmp(asked, "1") == 0 ? 6 : 1;
  static uint64_t took[10000];
  size_t held = 0, n_points = 0;
  for (int i = 0; nbsi_failpoints[i] != NULL; i++) {
    if (strncmp(nbsi_failpoints[i], "repair", 6) == 0) continue;
    size_t before = held;
    for (int round = 0; round < rounds; round++) {
      open_segment();
      leave_a_dead_sibling();
      uint64_t t = die_late(nbsi_failpoints[i], 0);
      NBT_TRUE(t != UINT64_MAX);
      if (t > 0) took[held++] = t;
      everything_is_back();
      close_segment();
    }
    n_points += held > before;
  }
  NBT_TRUE(n_points > 15); /* most points lie inside the lock */
  qsort(took, held, sizeof took[0], by_size);
  printf("  waiters at %zu points: median %.2f ms, p99 %.2f ms, max %.2f ms\n", n_points,
         (double)took[held / 2] / 1e6, (double)took[held * 99 / 100] / 1e6,
         (double)took[held - 1] / 1e6);
  NBT_TRUE(took[held / 2] < 50000000ull && took[held - 1] < 30000000000ull);
}

/* S7: a process is stopped at a point. Whoever wants the lock helps it out of it; then it stands
 * still again, until it is let go on. Returns whether it had the lock. */
static int stop_at(const char *point) {
  int status = 0;
  open_segment();
  leave_a_dead_sibling();
  pid_t pid = fork();
  if (pid == 0) {
    nbsi_failpoint_freeze(1);
    live(point, 0);
    _exit(0);
  }
  NBT_TRUE(waitpid(pid, &status, WUNTRACED) == pid);
  NBT_TRUE(WIFSTOPPED(status));
  int inside = nbsi_lock_holder(s) != 0;
  if (inside) {
    (void)nbt_stats(s); /* gets through */
    NBT_TRUE(waitpid(pid, &status, WUNTRACED) == pid);
    NBT_TRUE(WIFSTOPPED(status));
    NBT_EQ(nbsi_lock_holder(s), 0);
    (void)nbt_stats(s);
  }
  NBT_EQ(waitpid(pid, &status, WUNTRACED | WNOHANG), 0); /* it stands */
  kill(pid, SIGCONT);
  NBT_EQ(nbt_reap(pid), 0);
  everything_is_back();
  close_segment();
  return inside;
}

static void a_stopped_holder_is_helped_out(void) {
  const char *some[] = {"create", "hold_drop", "arena_extend", "spill", "chan_open", "sent", NULL};
  const char *asked = getenv("NBRAY_FAULTS_FULL");
  const char *const *points =
      asked != NULL && strcmp(asked, "1") == 0 ? nbsi_failpoints : (const char *const *)some;
  int n = 0, inside = 0;
  for (; points[n] != NULL && strncmp(points[n], "repair", 6) != 0; n++)
    if (strcmp(points[n], "slot_take") != 0) /* it is not in the table yet: waited for */
      inside += stop_at(points[n]);
  printf("  %d points, %d of them inside the lock\n", n, inside);
  NBT_TRUE(inside >= (points == nbsi_failpoints ? 15 : 3));
}

/* Two recover the same dead process, and one of them is slow: when it goes on, a new process has
 * the slot. */
static void who_recovers_late_takes_nothing_from_the_next_one(void) {
  int status = 0;
  open_segment();
  leave_a_dead_sibling();
  uint64_t dead = nbsi_word(nbsi_gen(s->slots[1].word), 1);
  pid_t pid = fork();
  if (pid == 0) {
    nbs_seg *c = nbt_attach(fd);
    nbsi_failpoint_freeze(1);
    nbsi_failpoint_arm("recovering", 0);
    NBT_OK(nbs_recover(c, dead));
    nbs_detach(c);
    _exit(0);
  }
  NBT_TRUE(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
  (void)nbt_stats(s); /* helps it out of the lock */
  NBT_TRUE(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
  NBT_OK(nbs_recover(s, dead));
  nbs_seg *next = nbt_attach(fd);
  NBT_EQ(next->slot, 1);
  uint64_t obj = nbt_put(next, 950, 100, 0, 1);
  kill(pid, SIGCONT);
  NBT_EQ(nbt_reap(pid), 0);
  NBT_EQ(nbs_held_by(s, obj, nbs_self(next)), 1);
  nbs_detach(next);
  everything_is_back();
  close_segment();
}

static void while_repairing(void) {
  const char *points[] = {"repair_begin", "repair_middle", "repair_end"};
  open_segment();
  for (int i = 0; i < 3; i++) {
    uint64_t before = nbt_stats(s).n_repairs;
    NBT_EQ(die_at("create_done", 0), -SIGKILL);
    /* Three die in a row repairing; the fourth locker succeeds. */
    for (int k = 0; k < 3; k++) NBT_EQ(die_at(points[i], 0), -SIGKILL);
    everything_is_back();
    NBT_TRUE(nbt_stats(s).n_repairs > before);
  }
  close_segment();
}

/* What a crash costs the next locker with many objects in the store. */
static void repair_is_quick(void) {
  fd = nbt_create(256 << 20);
  s = nbt_attach(fd);
  for (uint64_t i = 0; i < 100000; i++) nbt_put(s, 10000 + (i * 7919) % 100000, 1000, 0, 1);
  NBT_EQ(die_at("promise_done", 0), -SIGKILL);
  uint64_t t0 = nbsi_now_ns();
  (void)nbt_stats(s);
  uint64_t took = nbsi_now_ns() - t0;
  printf("  repair of 100,000 objects: %.1f ms\n", (double)took / 1e6);
  NBT_CHECK(s);
  recover_all(s);
  NBT_EQ(nbt_stats(s).n_objects, 100000);
  close_segment();
}

int main(void) {
  NBT_RUN(at_every_point);
  NBT_RUN(a_waiter_gets_through);
  NBT_RUN(a_stopped_holder_is_helped_out);
  NBT_RUN(who_recovers_late_takes_nothing_from_the_next_one);
  NBT_RUN(while_repairing);
  NBT_RUN(repair_is_quick);
  return 0;
}
