/* step_test.c - a crash after each machine instruction that changes the segment.
 *
 * A child is single-stepped through a whole life (attach, promise, create, seal, delete,
 * evict, spill, group, channels, recover, detach). After each step that changed shared metadata the
 * segment is copied, the child is taken for dead in the copy (and the lock, if it has it,
 * for left by a dead owner), and a survivor repairs, recovers and checks the copy.
 *
 *   step_test [SECONDS]    one short life, so long at full density, then a sample
 *
 * With NBRAY_FAULTS_FULL=1: long lives in four states of the store, every point. */
#include <sys/ptrace.h>

#include "holds.h"
#include "nbt.h"
#include "platform.h"

static int fd;
static nbs_seg *s;
static uint64_t turns = 2; /* times that a life does everything with objects */

static void life(void) {
  uint64_t a, b, again;
  uint32_t chan;
  void *data;
  nbs_msg m;
  raise(SIGSTOP); /* the tracer takes over here */
  nbs_seg *c = nbt_attach(fd);
  for (uint64_t i = 0; i < turns; i++) {
    NBT_OK(nbs_promise(c, nbt_id(10 + i), &a));
    NBT_OK(nbs_obj_create(c, nbt_id(10 + i), 300, NBS_META_KEEP, 0, NULL, 0, &again, &data));
    NBT_OK(nbs_obj_seal(c, a));
    NBT_OK(nbs_obj_create(c, nbt_id(50 + i), 100, 0, nbs_self(s), &a, 1, &b, &data));
    NBT_OK(nbs_obj_seal(c, b));
    nbs_release(c, a);
    nbs_release(c, a);
    NBT_OK(nbs_spill_out(c, b));
    NBT_OK(nbs_restore_begin(c, b, NULL, 0, &data));
    NBT_OK(nbs_restore_end(c, b, (int)(i & 1)));
    nbs_view_end(nbs_view(c, b));
    if (i % 2 == 0) NBT_OK(nbs_restore_end(c, b, -1));
    if (i % 2 == 0) NBT_OK(nbs_repromise(c, b));
    NBT_OK(nbs_delete(c, nbt_id(50 + i)));
    nbs_release(c, b);
  }
  nbs_coll *g;
  char why[128];
  NBT_OK(nbs_coll_join(c, nbt_id(90), 1, 0, 0, &g, why, sizeof why));
  NBT_OK(nbs_coll_leave(g));
  NBT_OK(nbs_obj_create(c, nbt_id(91), 1800 << 10, 0, 0, NULL, 0, &b, &data)); /* evicts */
  NBT_OK(nbs_obj_abort(c, b));
  NBT_OK(nbs_chan_open(c, nbs_self(c), 4096, &chan));
  NBT_OK(nbs_send(c, chan, NBS_MSG_TASK, 0, 1, 0, 0, "x", 1, NULL, 0, NULL));
  NBT_EQ(nbs_take(c, &m, &data), 1);
  NBT_OK(nbs_send(c, chan, NBS_MSG_RESULT, 0, 1, 0, 0, "x", 1, NULL, 0, NULL));
  NBT_OK(nbs_chan_close(c, chan));
  NBT_EQ(nbs_take(c, &m, &data), 0);
  for (uint32_t i = 0; i < c->h->slots_used; i++) /* the dead one that the test left */
    if (nbsi_low(c->slots[i].word) != NBSI_SLOT_FREE)
      (void)nbs_recover(c, nbsi_word(nbsi_gen(c->slots[i].word), i));
  nbs_detach(c);
  _exit(0);
}

/* What lies in the store before the life begins. */
enum { PLAIN = 0, FRAGMENTED = 1, CONTAINERS = 2, SPILLED = 3, N_STATES = 4 };
static const char *const state_names[] = {"plain", "fragmented", "containers", "spilled"};

static void prepare(int state) {
  nbt_put(s, 1, 64, 0, 7);
  if (state == FRAGMENTED) { /* holes, and evictable objects between them */
    uint64_t obj[12];
    for (uint64_t i = 0; i < 12; i++)
      obj[i] = nbt_put(s, 100 + i, 9000 + i * 700, i % 2 ? NBS_META_KEEP : 0, 1);
    for (uint64_t i = 0; i < 12; i++) nbs_release(s, obj[i]);
  }
  if (state == CONTAINERS) { /* a chain of containers, a promise, one that is being written */
    uint64_t obj = nbt_put(s, 120, 10, 0, 1), next;
    for (uint64_t i = 0; i < 4; i++) {
      uint64_t child[2] = {obj, obj};
      NBT_OK(nbs_obj_create(s, nbt_id(121 + i), 10, 0, 0, child, 2, &next, NULL));
      NBT_OK(nbs_obj_seal(s, next));
      nbs_release(s, obj);
      obj = next;
    }
    NBT_OK(nbs_promise(s, nbt_id(130), &obj));
    NBT_OK(nbs_obj_create(s, nbt_id(131), 100, 0, 0, NULL, 0, &obj, NULL));
  }
  if (state == SPILLED)
    for (uint64_t i = 0; i < 5; i++) NBT_OK(nbs_spill_out(s, nbt_put(s, 140 + i, 5000, 0, 1)));
}

static void leave_a_dead_process(void) {
  pid_t pid = fork();
  if (pid == 0) {
    nbs_seg *c = nbt_attach(fd);
    uint64_t obj;
    uint32_t chan;
    NBT_OK(nbs_lookup(c, nbt_id(1), &obj));
    NBT_OK(nbs_obj_create(c, nbt_id(2), 500, 0, 0, NULL, 0, &obj, NULL));
    NBT_OK(nbs_chan_open(c, nbs_self(c), 4096, &chan));
    NBT_OK(nbs_count(c, NBS_CTR_SUBMITTED, 5));
    NBT_OK(nbs_event_put(c, 16, 0, 1, 0, 0));
    kill(getpid(), SIGKILL);
  }
  NBT_EQ(nbt_reap(pid), -SIGKILL);
}

/* ------------------------------------------------------------------- copies */

#define WATCHED 4
typedef struct {
  uint64_t off, len;
} range;

/* What is compared after each step: the metadata that a life touches. */
static const range *watched(void) {
  static range r[WATCHED];
  r[0] = (range){0, sizeof(nbsi_header)};
  r[1] = (range){s->geo.off_slots, 4 * sizeof(nbsi_slot)};
  r[2] = (range){s->geo.off_chans, 2 * sizeof(nbsi_chan)};
  r[3] = (range){s->geo.off_entries, 64 * sizeof(nbsi_entry)};
  return r;
}

static int changed(uint8_t *last) {
  int any = 0;
  for (int i = 0; i < WATCHED; i++) {
    const range *r = &watched()[i];
    if (memcmp(last, s->base + r->off, r->len) != 0) {
      memcpy(last, s->base + r->off, r->len);
      any = 1;
    }
    last += r->len;
  }
  return any;
}

static int copy_segment(void) {
  const nbsi_geometry *g = &s->geo;
  const range parts[] = {
      {0, sizeof(nbsi_header)},
      {g->off_slots, s->h->slots_backed * sizeof(nbsi_slot)},
      {g->off_chans, 4096},
      {g->off_entries, s->h->entries_backed * sizeof(nbsi_entry)},
      {g->off_fexts, (s->h->entries_backed + 2ull) * sizeof(nbsi_fext)},
      {g->off_buckets, g->n_buckets * sizeof(uint32_t)},
      {g->off_scratch, s->h->entries_backed * sizeof(uint32_t)},
      {g->off_warm, g->arena_size / NBSI_CHUNK + 1},
      {g->off_rings, (uint64_t)s->h->rings_backed * NBSI_RING_UNIT},
      {g->off_events, 4096},
      {g->off_events + NBSI_EVENTS * sizeof(nbs_event), 4096},
      {g->off_events + 2 * NBSI_EVENTS * sizeof(nbs_event), 4096},
  };
  int copy = nbsi_memfd_create(g->total_size);
  NBT_TRUE(copy >= 0);
  for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
    NBT_TRUE(nbsi_fd_write(copy, parts[i].off, s->base + parts[i].off, parts[i].len) == 0);
  for (uint32_t i = 0; i < s->h->entries_used; i++) { /* children and block headers */
    const nbsi_entry *e = &s->entries[i];
    uint64_t len = nbsi_data_off(e) - e->off;
    if ((e->word & NBSI_F_BLOCK) != 0)
      NBT_TRUE(nbsi_fd_write(copy, g->off_arena + e->off, s->arena + e->off, len) == 0);
  }
  NBT_TRUE(nbsi_fd_back(copy, g->off_arena, s->h->reserved) == 0);
  return copy;
}

/* take_for_dead makes `pid` dead in the copy: its name in the slots, and the owner of the
 * lock as the kernel would leave it (FUTEX_OWNER_DIED in the lock word). */
static void take_for_dead(int copy, int64_t pid) {
  uint8_t *base = nbsi_map(copy, s->geo.total_size);
  nbsi_header *h = (nbsi_header *)(void *)base;
  nbsi_slot *slots = (nbsi_slot *)(void *)(base + s->geo.off_slots);
  for (uint32_t i = 0; i < h->slots_used; i++)
    if (slots[i].pid == pid) slots[i].start_time ^= 1;
  int *word = (int *)(void *)&h->lock;
  if ((*word & 0x3fffffff) == pid) *word = 0x40000000;
  nbsi_unmap(base, s->geo.total_size);
}

/* What is there when only the survivor's own is left. */
static uint64_t own_objects, own_bytes;

static void survives(int copy, int first) {
  nbs_seg *c = nbt_attach(copy);
  NBT_CHECK(c);
  for (uint32_t i = 0; i < c->h->slots_used; i++) {
    uint64_t word = c->slots[i].word;
    if (nbsi_low(word) == NBSI_SLOT_FREE || i == c->slot || i == s->slot) continue;
    NBT_OK(nbs_recover(c, nbsi_word(nbsi_gen(word), i)));
  }
  for (uint32_t i = 0; i < c->h->entries_used; i++) /* holds made for the survivor */
    if (nbsi_state(c->entries[i].word) != NBS_FREE && c->entries[i].transit == s->peer) {
      c->entries[i].transit = c->peer;
      uint64_t obj = nbsi_word(nbsi_gen(c->entries[i].word), i);
      NBT_OK(nbs_adopt(c, obj));
      nbs_release(c, obj);
    }
  nbs_evict(c, UINT64_MAX);
  NBT_CHECK(c);
  nbs_stats st = nbt_stats(c);
  if (first) own_objects = st.n_objects, own_bytes = st.used;
  NBT_EQ(st.n_objects, own_objects);
  NBT_EQ(st.used, own_bytes);
  NBT_EQ(st.n_slots, 2); /* the first survivor's, copied, and this one's */
  NBT_EQ(st.n_channels, 0);
  int64_t counters[NBS_N_COUNTERS];
  NBT_OK(nbs_counters(c, counters));
  NBT_TRUE(counters[NBS_CTR_SUBMITTED] == 5 || counters[NBS_CTR_SUBMITTED] == 6);
  NBT_EQ(counters[NBS_CTR_TAKEN], counters[NBS_CTR_REPLIED]);
  nbs_detach(c);
}

/* nbsi_segment_of and NBT_CHECK of the copy see the same process, so its slot in the copy
 * belongs to this pid, too; only the child's is taken for dead. */
static uint64_t step_through(const char *name, uint64_t budget_ns) {
  static uint8_t last[1 << 20];
  int status, copy = copy_segment();
  survives(copy, 1);
  close(copy);
  uint64_t steps = 0, points = 0, skipped = 0, end = nbsi_now_ns() + budget_ns;
  pid_t pid = fork();
  if (pid == 0) {
    ptrace(PTRACE_TRACEME, 0, NULL, NULL);
    life();
  }
  NBT_TRUE(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
  (void)changed(last);
  for (;; steps++) {
    NBT_TRUE(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) == 0);
    NBT_TRUE(waitpid(pid, &status, 0) == pid);
    if (!WIFSTOPPED(status)) break;
    if (!changed(last)) continue;
    if (nbsi_now_ns() > end) { /* then only every now and then, to the end */
      if (++skipped % 64 != 0) continue;
    }
    copy = copy_segment();
    take_for_dead(copy, pid);
    survives(copy, 0);
    close(copy);
    points++;
  }
  NBT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0);
  printf("  %s: %llu instructions, %llu crash points, %llu more not looked at for lack of time\n",
         name, (unsigned long long)steps, (unsigned long long)points,
         (unsigned long long)(skipped - skipped / 64));
  fflush(stdout);
  return points;
}

int main(int argc, char **argv) {
  const char *asked = getenv("NBRAY_FAULTS_FULL");
  int full = asked != NULL && strcmp(asked, "1") == 0;
  uint64_t seconds = argc > 1 ? strtoull(argv[1], NULL, 10) : full ? 3600 : 5, points = 0;
  if (full) turns = 4;
  for (int state = 0; state < (full ? N_STATES : 1); state++) {
    fd = nbt_create(2 << 20);
    s = nbt_attach(fd);
    prepare(state);
    leave_a_dead_process();
    points += step_through(state_names[state], seconds * 1000000000ull);
    nbs_detach(s);
    close(fd);
  }
  if (full) NBT_TRUE(points >= 5000);
  return 0;
}
