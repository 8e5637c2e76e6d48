/* segment_test.c - attaching and leaving, refusals, slots, recovery of every kind of
 * possession, forks, what is left behind. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "nbt.h"
#include "platform.h"

static int expect_refusal(int fd, const char *word) {
  char why[256] = "";
  nbs_seg *s = NULL;
  int rc = nbs_attach(fd, &s, why, sizeof why);
  NBT_TRUE(s == NULL);
  if (strstr(why, word) == NULL) {
    fprintf(stderr, "refused with \"%s\", which lacks \"%s\"\n", why, word);
    _exit(1);
  }
  return rc;
}

static void refuses_other_layouts(void) {
  int fd = nbt_create(1 << 20);
  nbsi_geometry g, changed;
  NBT_EQ(pread(fd, &g, sizeof g, 0), sizeof g);
#define REFUSED(field, value, word)                                  \
  do {                                                               \
    changed = g;                                                     \
    changed.field = (value);                                         \
    NBT_EQ(pwrite(fd, &changed, sizeof changed, 0), sizeof changed); \
    NBT_EQ(expect_refusal(fd, word), NBS_EVERSION);                  \
  } while (0)
  REFUSED(magic, 1, "magic");
  REFUSED(version, 99, "version 99");
  REFUSED(signature, g.signature ^ 1, "layout");
  REFUSED(page_size, 65536, "pages");
  REFUSED(max_entries, g.max_entries + 1, "regions");
  REFUSED(max_entries, 0, "regions");
  REFUSED(off_arena, 64, "regions");
  REFUSED(off_slots, 0, "regions");
  REFUSED(capacity, 1ull << 40, "regions");
  REFUSED(total_size, g.total_size + 4096, "regions");
#undef REFUSED
  NBT_EQ(pwrite(fd, &g, sizeof g, 0), sizeof g);
  nbs_detach(nbt_attach(fd));
  close(fd);
  int empty = memfd_create("x", MFD_CLOEXEC);
  NBT_EQ(expect_refusal(empty, "not a segment"), NBS_EVERSION);
  NBT_OK(ftruncate(empty, (off_t)g.total_size));
  NBT_EQ(pwrite(empty, &g, sizeof g, 0), sizeof g);
  NBT_EQ(expect_refusal(empty, "sealed"), NBS_EVERSION);
  close(empty);
  NBT_EQ(expect_refusal(-1, "fstat"), NBS_ESYS);
}

static void refuses_what_does_not_fit(void) {
  char why[512];
  int fd = -1;
  NBT_EQ(nbs_create(0, 0, &fd, why, sizeof why), NBS_EINVAL);
  NBT_EQ(nbs_create(UINT64_MAX, 0, &fd, why, sizeof why), NBS_EINVAL);
  NBT_EQ(nbs_create(1ull << 44, 0, &fd, why, sizeof why), NBS_ENOMEM);
  NBT_TRUE(strstr(why, "MemAvailable") != NULL);
  NBT_EQ(fd, -1);
}

static void cannot_be_resized(void) {
  int fd = nbt_create(1 << 20);
  NBT_EQ(ftruncate(fd, 0), -1);
  NBT_EQ(ftruncate(fd, 1ll << 40), -1);
  close(fd);
}

static void slots_come_and_go(void) {
  int fd = nbt_create(1 << 20);
  nbs_seg *first = nbt_attach(fd), *all[200];
  for (int i = 0; i < 200; i++) all[i] = nbt_attach(fd); /* beyond the slots backed at first */
  NBT_EQ(nbt_stats(first).n_slots, 201);
  NBT_CHECK(first);
  uint64_t old = nbs_self(all[7]);
  NBT_EQ(nbs_alive(first, old), 1);
  NBT_EQ(nbs_peer_pid(first, old), getpid());
  NBT_EQ(nbs_recover(first, old), NBS_ESTATE);
  for (int i = 0; i < 200; i++) nbs_detach(all[i]);
  NBT_EQ(nbs_alive(first, old), 0);
  NBT_EQ(nbs_peer_pid(first, old), NBS_ENOTFOUND);
  NBT_OK(nbs_recover(first, old)); /* idempotent */
  nbs_seg *again = nbt_attach(fd);
  NBT_TRUE(nbs_self(again) != old);
  NBT_EQ(nbs_signal(first, old, 0), NBS_ENOTFOUND);
  NBT_OK(nbs_signal(first, nbs_self(again), 0));
  NBT_EQ(nbs_alive(first, 12345ull << 32 | 900), 0);
  nbs_detach(again);
  NBT_EQ(nbt_stats(first).n_slots, 1);
  NBT_CHECK(first);
  nbs_detach(first);
  close(fd);
}

static void detach_gives_all_back(void) {
  int fd = nbt_create(1 << 20);
  nbs_seg *stays = nbt_attach(fd), *goes = nbt_attach(fd);
  uint64_t obj, kept;
  kept = nbt_put(stays, 1, 10, 0, 1);
  NBT_OK(nbs_lookup(goes, nbt_id(1), &obj));
  nbt_put(goes, 2, 10, 0, 1);
  NBT_OK(nbs_obj_create(goes, nbt_id(3), 10, 0, 0, NULL, 0, &obj, NULL));
  NBT_OK(nbs_promise(goes, nbt_id(4), &obj));
  NBT_OK(nbs_lookup(stays, nbt_id(4), &obj));
  nbs_detach(goes);
  nbs_object o;
  NBT_OK(nbs_obj_info(stays, obj, &o)); /* its promiser is gone: lost */
  NBT_EQ(o.state, NBS_SEALED);
  NBT_EQ(o.meta, NBS_META_LOST);
  NBT_EQ(o.size, 0);
  NBT_EQ(nbs_wait(stays, NBS_READY_SEAL, 0), NBS_READY_SEAL);
  NBT_EQ(nbt_stats(stays).n_objects, 2);
  NBT_EQ(nbs_release(stays, obj), 1);
  NBT_EQ(nbs_release(stays, kept), 1);
  NBT_CHECK(stays);
  nbs_detach(stays);
  close(fd);
}

/* A process is killed owning one of everything; another takes it all back. */
static void recovers_a_killed_owner(int zombie) {
  int fd = nbt_create(1 << 20), p[2];
  nbs_seg *s = nbt_attach(fd);
  uint64_t mine, obj, late;
  nbs_object o;
  NBT_EQ(pipe(p), 0);
  NBT_OK(nbs_promise(s, nbt_id(3), &mine)); /* the child will create it and die unsealed */
  pid_t pid = fork();
  if (pid == 0) {
    nbs_seg *c = nbt_attach(fd);
    NBT_OK(nbs_obj_create(c, nbt_id(1), 1000, 0, 0, NULL, 0, &obj, NULL));
    NBT_OK(nbs_promise(c, nbt_id(2), &obj));
    NBT_OK(nbs_obj_create(c, nbt_id(3), 1000, 0, 0, NULL, 0, &obj, NULL));
    NBT_OK(nbs_count(c, NBS_CTR_SUBMITTED, 5));
    NBT_OK(nbs_count(c, NBS_CTR_WAIT_ARGS, 3));
    NBT_OK(nbs_event_put(c, NBS_EV_OTHER, 0, 77, 0, 0));
    nbt_tell(p[1], nbs_self(c));
    for (;;) pause();
  }
  uint64_t peer = nbt_hear(p[0]);
  NBT_OK(nbs_lookup(s, nbt_id(2), &late));
  NBT_EQ(nbs_recover(s, peer), NBS_ESTATE);
  kill(pid, SIGKILL);
  if (zombie) { /* killed, but nobody has waited for it: dead all the same */
    siginfo_t info;
    NBT_OK(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT));
  } else {
    NBT_EQ(nbt_reap(pid), -SIGKILL);
  }
  NBT_EQ(nbs_alive(s, peer), 0);
  NBT_EQ(nbs_signal(s, peer, 0), NBS_EDEAD);
  NBT_OK(nbs_recover(s, peer));
  NBT_OK(nbs_recover(s, peer));
  NBT_EQ(nbs_contains(s, nbt_id(1)), 0);
  NBT_OK(nbs_obj_info(s, late, &o));
  NBT_EQ(o.meta, NBS_META_LOST);
  NBT_EQ(nbs_obj_state(s, mine), NBS_PROMISED); /* somebody else may make it now */
  NBT_EQ(nbt_stats(s).used, 0);
  int64_t c[NBS_N_COUNTERS];
  NBT_OK(nbs_counters(s, c));
  NBT_EQ(c[NBS_CTR_SUBMITTED], 5);
  NBT_EQ(c[NBS_CTR_WAIT_ARGS], 0); /* a gauge ends with its process */
  nbs_event e;
  uint64_t dropped;
  NBT_EQ(nbs_event_drain(s, &e, 1, &dropped), 1);
  NBT_EQ(e.seq, 77);
  NBT_EQ(e.process, peer);
  NBT_CHECK(s);
  nbs_detach(s);
  if (zombie) nbt_reap(pid);
  close(fd);
  close(p[0]);
  close(p[1]);
}
static void recovers_a_killed_process(void) { recovers_a_killed_owner(0); }
static void a_zombie_is_dead(void) { recovers_a_killed_owner(1); }

static void a_full_house_recovers_the_dead(void) {
  int fd = nbt_create(1 << 20);
  nbs_seg *s = nbt_attach(fd);
  pid_t pid = fork();
  if (pid == 0) {
    for (int i = 0; i < NBS_MAX_SLOTS - 1; i++) nbt_attach(fd);
    nbs_seg *none = NULL;
    char why[128];
    NBT_EQ(nbs_attach(fd, &none, why, sizeof why), NBS_ELIMIT);
    kill(getpid(), SIGKILL);
  }
  NBT_EQ(nbt_reap(pid), -SIGKILL);
  nbs_seg *more = nbt_attach(fd);
  NBT_CHECK(more);
  nbs_detach(more);
  nbs_detach(s);
  close(fd);
}

static void a_forked_child_is_refused(void) {
  int fd = nbt_create(1 << 20);
  nbs_seg *s = nbt_attach(fd);
  uint64_t obj = nbt_put(s, 1, 100, 0, 9), other;
  void *view = nbs_view(s, obj);
  pid_t pid = fork();
  if (pid == 0) {
    NBT_EQ(nbs_lookup(s, nbt_id(1), &other), NBS_EFORKED);
    NBT_EQ(nbs_release(s, obj), NBS_EFORKED);
    NBT_EQ(nbs_wait(s, 15, 1000), NBS_EFORKED);
    NBT_EQ(nbs_send(s, 1, 1, 0, 0, 0, 0, NULL, 0, NULL, 0, NULL), NBS_EFORKED);
    NBT_TRUE(nbs_view(s, obj) == NULL);
    NBT_EQ(*(unsigned char *)view, 9); /* still readable */
    nbs_view_end(view);                /* and not given back: it is the parent's */
    nbs_detach(s);
    nbs_seg *own = nbt_attach(fd); /* the child may attach by itself */
    NBT_OK(nbs_lookup(own, nbt_id(1), &other));
    NBT_CHECK(own);
    nbs_detach(own);
    _exit(0);
  }
  NBT_EQ(nbt_reap(pid), 0);
  nbs_object o;
  NBT_OK(nbs_obj_info(s, obj, &o));
  NBT_EQ(nbs_release(s, obj), 0);
  nbs_view_end(view);
  NBT_EQ(nbt_stats(s).n_objects, 0);
  NBT_CHECK(s);
  nbs_detach(s);
  close(fd);
}

static void grows_and_warms(void) {
  int fd = nbt_create(64 << 20);
  nbs_seg *s = nbt_attach(fd);
  NBT_EQ(nbt_stats(s).reserved, 0);
  NBT_EQ(nbs_warm(s, 8 << 20, 4 << 20, 1), 4 << 20);
  NBT_EQ(nbs_warm(s, 8 << 20, 64 << 20, 2), 4 << 20); /* no more than `ahead` */
  NBT_EQ(nbs_warm(s, 8 << 20, 64 << 20, 1), 0);
  NBT_EQ(nbt_stats(s).reserved, 8 << 20);
  nbt_put(s, 1, 20 << 20, 0, 1);
  NBT_CHECK(s);
  uint64_t left = s->geo.arena_size - nbt_stats(s).reserved;
  NBT_EQ(nbs_warm(s, 1ull << 40, 1ull << 40, 1000), left); /* as many threads as are worth it */
  NBT_EQ(nbt_stats(s).reserved, s->geo.arena_size);
  NBT_CHECK(s);
  nbs_detach(s);
  close(fd);
}

/* What is touched before anybody attaches is memory of the file, and no more than that. */
static void is_filled_before_use(void) {
  int fd = nbt_create(8 << 20);
  struct stat before, after;
  NBT_EQ(fstat(fd, &before), 0);
  NBT_EQ(nbs_fill(fd, 0, 4 << 20), 4 << 20);
  NBT_EQ(fstat(fd, &after), 0);
  NBT_EQ((after.st_blocks - before.st_blocks) * 512, 4 << 20);
  nbs_seg *s = nbt_attach(fd);
  NBT_EQ(nbt_stats(s).reserved, 0);
  uint64_t size = s->geo.arena_size, last = (size - 1) / nbsi_page_size() * nbsi_page_size();
  NBT_EQ(nbs_fill(fd, last, 1 << 20), size - last); /* as far as it goes */
  NBT_EQ(nbs_fill(fd, size, 1 << 20), 0);
  NBT_EQ(fstat(fd, &before), 0);
  NBT_EQ(nbs_warm(s, 4 << 20, 3 << 20, 1), 3 << 20); /* what is there */
  NBT_EQ(fstat(fd, &after), 0);
  NBT_EQ(after.st_blocks, before.st_blocks);
  NBT_EQ(nbs_warm(s, 6 << 20, 4 << 20, 1), 3 << 20); /* the rest of it, and more */
  NBT_EQ(nbt_stats(s).reserved, 6 << 20);
  NBT_CHECK(s);
  nbs_detach(s);
  close(fd);
  int other = memfd_create("no segment", MFD_CLOEXEC);
  NBT_EQ(nbs_fill(other, 0, 4096), NBS_EVERSION);
  close(other);
}

/* Lookups of the events: order, drops, many writers. */
static void events_are_counted(void) {
  int fd = nbt_create(1 << 20);
  nbs_seg *s = nbt_attach(fd);
  static nbs_event out[NBSI_EVENTS + 10];
  uint64_t dropped;
  NBT_EQ(nbs_event_wait(s, 0, 1000), 0);
  for (uint32_t i = 0; i < NBSI_EVENTS / 2; i++) NBT_OK(nbs_event_put(s, 16, 1, i, 2, 3));
  NBT_EQ(nbs_event_wait(s, 0, 1000), 0); /* half full: not behind yet */
  for (uint32_t i = NBSI_EVENTS / 2; i < NBSI_EVENTS + 7; i++)
    NBT_OK(nbs_event_put(s, 16, 1, i, 2, 3));
  int64_t called = nbs_event_wait(s, 0, 1000000000ull);
  NBT_TRUE(called > 0);
  for (uint32_t i = 0; i < 512; i++) NBT_OK(nbs_event_put(s, 16, 1, i, 2, 3)); /* full: lost */
  NBT_EQ(nbs_event_wait(s, (uint32_t)called, 1000000000ull), called + 1); /* and called again */
  called++;
  NBT_OK(nbs_event_call(s));
  NBT_EQ(nbs_event_wait(s, (uint32_t)called, 1000000000ull), called + 1);
  NBT_EQ(nbs_event_drain(s, out, 5, &dropped), 5);
  NBT_EQ(dropped, 7 + 512);
  NBT_EQ(nbs_event_drain(s, out + 5, NBSI_EVENTS + 5, &dropped), NBSI_EVENTS - 5);
  NBT_EQ(dropped, 0);
  for (uint32_t i = 0; i < NBSI_EVENTS; i++) NBT_EQ(out[i].seq, i);
  NBT_EQ(out[9].process, nbs_self(s));
  NBT_EQ(out[9].a, 2);
  NBT_EQ(out[9].b, 3);
  NBT_EQ(out[9].reserved, 0);
  NBT_EQ(nbs_event_drain(s, out, 5, &dropped), 0);
  NBT_EQ(nbs_count(s, NBS_N_COUNTERS, 1), NBS_EINVAL);
  nbs_detach(s);
  close(fd);
}

/* A writer claims a place in its ring, and writes later: what the last owner of the slot left there
 * does not count. */
static void old_events_do_not_come_back(void) {
  int fd = nbt_create(1 << 20);
  nbs_seg *s = nbt_attach(fd), *first = nbt_attach(fd);
  nbs_event out[8];
  for (uint64_t i = 0; i < 3; i++) NBT_OK(nbs_event_put(first, 16, 0, i, 0, 0));
  uint32_t slot = first->slot;
  nbs_detach(first);
  NBT_EQ(nbs_event_drain(s, out, 8, NULL), 3);
  nbs_seg *second = nbt_attach(fd);
  NBT_EQ(second->slot, slot);
  NBT_OK(nbs_event_put(second, 16, 0, 7, 0, 0));
  NBT_EQ(nbs_event_drain(s, out, 8, NULL), 1);
  NBT_EQ(out[0].seq, 7);
  nb_atomic_add(&second->me->events.head, 1ull, ACQ_REL); /* claimed */
  NBT_EQ(nbs_event_drain(s, out, 8, NULL), 0);
  nbs_detach(second);
  NBT_EQ(nbs_event_drain(s, out, 8, NULL), 0);
  nbs_detach(s);
  close(fd);
}

static void private_pages_are_copied_when_written(void) {
  nbs_seg *s = nbt_segment(1 << 20);
  enum { SIZE = 100000 };
  uint64_t obj = nbt_put(s, 1, SIZE, 0, 7);
  uint64_t size = 0;
  uint8_t *shared = nbs_view_sized(s, obj, &size);
  NBT_TRUE(shared != NULL && size == SIZE);
  uint8_t *mine = nbs_map_private(shared + 5, SIZE - 5);
  NBT_TRUE(mine != NULL && mine[0] == 7 && mine[SIZE - 6] == 7);
  mine[0] = 8;
  NBT_TRUE(mine[0] == 8 && shared[5] == 7);
  nbs_unmap_private(mine, SIZE - 5);
  NBT_TRUE(nbs_map_private(shared, UINT64_MAX) == NULL);
  NBT_TRUE(nbs_map_private(&size, sizeof size) == NULL);
  nbs_view_end(shared);
  nbs_release(s, obj);
  nbs_detach(s);
}

static void names(void) {
  NBT_TRUE(strcmp(nbs_status_name(NBS_OK), "OK") == 0);
  NBT_TRUE(strcmp(nbs_status_name(NBS_EINVAL), "EINVAL") == 0);
  NBT_TRUE(strcmp(nbs_status_name(-99), "unknown status") == 0);
  NBT_TRUE(strstr(nbs_layout(), "layout") != NULL);
  char why[300];
  NBT_TRUE(nbs_memory_available(why, sizeof why) > 1 << 20);
  NBT_TRUE(strstr(why, "available") != NULL);
}

int main(void) {
  NBT_RUN(refuses_other_layouts);
  NBT_RUN(refuses_what_does_not_fit);
  NBT_RUN(cannot_be_resized);
  NBT_RUN(slots_come_and_go);
  NBT_RUN(detach_gives_all_back);
  NBT_RUN(recovers_a_killed_process);
  NBT_RUN(a_zombie_is_dead);
  NBT_RUN(a_full_house_recovers_the_dead);
  NBT_RUN(a_forked_child_is_refused);
  NBT_RUN(grows_and_warms);
  NBT_RUN(is_filled_before_use);
  NBT_RUN(events_are_counted);
  NBT_RUN(old_events_do_not_come_back);
  NBT_RUN(private_pages_are_copied_when_written);
  NBT_RUN(names);
  return 0;
}
