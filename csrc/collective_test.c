/* collective_test.c - groups of processes: every operation in every size, ranks that die,
 * leave, disagree and come late; nothing stays behind. */
#include "collective.h"
#include "nbt.h"
#include "platform.h"

static nbs_seg *s; /* the parent: rank 0 */
static int fd;

static nbs_coll *join(nbs_seg *seg, uint64_t id, uint32_t world, uint32_t rank) {
  char why[256];
  nbs_coll *g = NULL;
  int rc = nbs_coll_join(seg, nbt_id(id), world, rank, 0, &g, why, sizeof why);
  if (rc != NBS_OK) fprintf(stderr, "join: %s: %s\n", nbs_status_name(rc), why);
  NBT_OK(rc);
  return g;
}

static int run(nbs_coll *g, uint32_t kind, uint32_t type, uint32_t op, uint32_t root,
               const void *in, void *out, uint64_t bytes, double timeout_s) {
  int rc = nbs_coll_run(g, kind | type << 8 | op << 16, root, in, out, bytes, NULL,
                        (uint64_t)(timeout_s * 1e9));
  while (rc == NBS_EAGAIN) rc = nbs_coll_resume(g);
  return rc;
}

/* What rank `r` has at place `i` of array number `a`: sums stay small. */
static int32_t value(uint32_t r, uint64_t i, uint32_t a) {
  return (int32_t)((i * 2654435761u >> 7) % 1000 + r * 1000 + a * 7);
}
static int32_t sum_of(uint32_t world, uint64_t i, uint32_t a) {
  int32_t sum = 0;
  for (uint32_t r = 0; r < world; r++) sum += value(r, i, a);
  return sum;
}
static void fill(int32_t *at, uint64_t n, uint32_t r, uint32_t a) {
  for (uint64_t i = 0; i < n; i++) at[i] = value(r, i, a);
}

/* All operations once with arrays of n numbers. */
static void all_operations(nbs_coll *g, uint64_t n) {
  uint32_t world = g->world, me = g->rank;
  uint64_t bytes = n * 4;
  int32_t *buf = malloc(bytes + 4), *in[16], *out[16];
  for (uint32_t r = 0; r < world; r++) {
    in[r] = malloc(bytes + 4);
    out[r] = malloc(bytes + 4);
  }
  for (uint32_t root = 0; root < world; root++) {
    fill(buf, n, me, 0);
    NBT_OK(run(g, NBS_COLL_BROADCAST, NBS_I32, 0, root, buf, buf, bytes, 20));
    for (uint64_t i = 0; i < n; i++) NBT_EQ(buf[i], value(root, i, 0));
    fill(buf, n, me, 0);
    NBT_OK(run(g, NBS_COLL_REDUCE, NBS_I32, NBS_SUM, root, buf, buf, bytes, 20));
    for (uint64_t i = 0; i < n; i++)
      NBT_EQ(buf[i], me == root ? sum_of(world, i, 0) : value(me, i, 0));
  }
  fill(buf, n, me, 0);
  NBT_OK(run(g, NBS_COLL_ALLREDUCE, NBS_I32, NBS_SUM, 0, NULL, buf, bytes, 20));
  for (uint64_t i = 0; i < n; i++) NBT_EQ(buf[i], sum_of(world, i, 0));
  fill(buf, n, me, 0);
  NBT_OK(run(g, NBS_COLL_ALLGATHER, NBS_I32, 0, 0, buf, out, bytes, 20));
  for (uint32_t r = 0; r < world; r++)
    for (uint64_t i = 0; i < n; i++) NBT_EQ(out[r][i], value(r, i, 0));
  for (uint32_t r = 0; r < world; r++) fill(in[r], n, me, r);
  NBT_OK(run(g, NBS_COLL_REDUCESCATTER, NBS_I32, NBS_SUM, 0, in, buf, bytes, 20));
  for (uint64_t i = 0; i < n; i++) NBT_EQ(buf[i], sum_of(world, i, me));
  NBT_OK(run(g, NBS_COLL_ALLTOALL, NBS_I32, 0, 0, in, out, bytes, 20));
  for (uint32_t r = 0; r < world; r++)
    for (uint64_t i = 0; i < n; i++) NBT_EQ(out[r][i], value(r, i, me));
  NBT_OK(run(g, NBS_COLL_BARRIER, 0, 0, 0, NULL, NULL, 0, 20));
  /* Round the ring; rank 0 sends first. */
  uint32_t to = (me + 1) % world, from = (me + world - 1) % world;
  for (int turn = 0; world > 1 && turn < 3; turn++) {
    fill(buf, n, me, (uint32_t)turn);
    if (me == 0) NBT_OK(run(g, NBS_COLL_SEND, NBS_I32, 0, to, buf, NULL, bytes, 20));
    NBT_OK(run(g, NBS_COLL_RECV, NBS_I32, 0, from, NULL, out[0], bytes, 20));
    if (me != 0) NBT_OK(run(g, NBS_COLL_SEND, NBS_I32, 0, to, buf, NULL, bytes, 20));
    for (uint64_t i = 0; i < n; i++) NBT_EQ(out[0][i], value(from, i, (uint32_t)turn));
  }
  for (uint32_t r = 0; r < world; r++) {
    free(in[r]);
    free(out[r]);
  }
  free(buf);
}

typedef void body(nbs_seg *seg, uint32_t world, uint32_t rank);

/* together runs `what` as ranks 1 ... world - 1 in children and as rank 0 here. */
static void together(uint32_t world, body *what) {
  pid_t pids[16];
  for (uint32_t r = 1; r < world; r++) {
    pids[r] = fork();
    if (pids[r] != 0) continue;
    nbs_seg *c = nbt_attach(fd);
    what(c, world, r);
    nbs_detach(c);
    _exit(0);
  }
  what(s, world, 0);
  for (uint32_t r = 1; r < world; r++) NBT_TRUE(nbt_reap(pids[r]) <= 0);
  /* The dead give back what they viewed. */
  for (uint32_t i = 0; i < s->h->slots_used; i++)
    if (nbsi_low(s->slots[i].word) != NBSI_SLOT_FREE && i != s->slot)
      NBT_OK(nbs_recover(s, nbsi_word(nbsi_gen(s->slots[i].word), i)));
  NBT_EQ(nbt_stats(s).n_objects, 0);
  NBT_CHECK(s);
}

static void every_size(nbs_seg *seg, uint32_t world, uint32_t rank) {
  const uint64_t sizes[] = {0, 1, 2, 13, 52, 53, 1024, 4096, 4097, 33000, 500001};
  nbs_coll *g = join(seg, 1, world, rank);
  for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) all_operations(g, sizes[i]);
  NBT_OK(run(g, NBS_COLL_BARRIER, 0, 0, 0, NULL, NULL, 0, 20));
  NBT_OK(nbs_coll_leave(g));
}

static void all_ranks_all_sizes(void) {
  for (uint32_t world = 1; world <= 5; world++) together(world, every_size);
}

static void made_and_left(nbs_seg *seg, uint32_t world, uint32_t rank) {
  for (int i = 0; i < 200; i++) {
    nbs_coll *g = join(seg, 2, world, rank);
    int32_t one = 1;
    NBT_OK(run(g, NBS_COLL_ALLREDUCE, NBS_I32, NBS_SUM, 0, NULL, &one, 4, 20));
    NBT_EQ(one, (int32_t)world);
    NBT_OK(nbs_coll_leave(g));
  }
}

static void groups_come_and_go(void) { together(3, made_and_left); }

/* ------------------------------------------------------------------- faults */

static uint32_t fatal_kind;

static void one_dies(nbs_seg *seg, uint32_t world, uint32_t rank) {
  enum { N = 1 << 20 };
  nbs_coll *g = join(seg, 3, world, rank);
  int32_t *buf = calloc(N, 4), *in[16], *out[16];
  for (uint32_t r = 0; r < world; r++) in[r] = calloc(N, 4), out[r] = calloc(N, 4);
  int lists = fatal_kind >= NBS_COLL_ALLGATHER && fatal_kind <= NBS_COLL_ALLTOALL;
  const void *from = lists && fatal_kind != NBS_COLL_ALLGATHER ? (const void *)in : buf;
  void *to = lists && fatal_kind != NBS_COLL_REDUCESCATTER ? (void *)out : buf;
  uint64_t bytes = fatal_kind == NBS_COLL_BARRIER ? 0 : N * 4, t0 = 0;
  int rc = run(g, NBS_COLL_BARRIER, 0, 0, 0, NULL, NULL, 0, 20);
  NBT_OK(rc);
  uint32_t kind = fatal_kind, root = 0;
  if (kind == NBS_COLL_SEND) { /* the last rank receives from or sends to rank 0 only */
    if (rank != 0 && rank != world - 1) goto end;
    root = rank == 0 ? world - 1 : 0;
    if (rank != 0) kind = NBS_COLL_RECV;
  }
  for (int i = 0; rc == NBS_OK; i++) {
    t0 = nbsi_now_ns();
    if (rank == world - 1 && i == 5) { /* in the middle of the sixth */
      (void)nbs_coll_run(g, kind | NBS_I32 << 8, root, from, to, bytes, NULL, 0);
      kill(getpid(), SIGKILL);
    }
    rc = run(g, kind, NBS_I32, NBS_SUM, root, from, to, bytes, 20);
  }
  NBT_EQ(rc, NBS_EDEAD);
  NBT_EQ(g->at_fault, world - 1);
  NBT_TRUE(nbsi_now_ns() - t0 < 15000000000ull); /* long before the timeout */
  NBT_EQ(run(g, NBS_COLL_BARRIER, 0, 0, 0, NULL, NULL, 0, 20), NBS_EDEAD); /* for good */
end:
  NBT_OK(nbs_coll_leave(g));
  for (uint32_t r = 0; r < world; r++) free(in[r]), free(out[r]);
  free(buf);
}

static void a_death_in_each_operation(void) {
  for (fatal_kind = NBS_COLL_BARRIER; fatal_kind <= NBS_COLL_SEND; fatal_kind++)
    for (uint32_t world = 2; world <= 3; world++) together(world, one_dies);
}

static void they_disagree(nbs_seg *seg, uint32_t world, uint32_t rank) {
  nbs_coll *g = join(seg, 4, world, rank);
  uint8_t buf[64] = {0};
  uint32_t odd = rank == world - 1;
  for (int i = 0; i < 3; i++) {
    NBT_EQ(run(g, NBS_COLL_ALLREDUCE, odd ? NBS_U8 : NBS_I8, 0, 0, NULL, buf, 64, 20), NBS_EINVAL);
    NBT_TRUE(strstr(g->why, "uint8") != NULL && strstr(g->why, "64 x int8") != NULL);
    NBT_EQ(run(g, NBS_COLL_ALLREDUCE, NBS_U8, odd, 0, NULL, buf, 64, 20), NBS_EINVAL);
    NBT_EQ(run(g, NBS_COLL_ALLREDUCE, NBS_U8, 0, 0, NULL, buf, odd ? 32 : 64, 20), NBS_EINVAL);
    NBT_EQ(run(g, NBS_COLL_BROADCAST, NBS_U8, 0, odd, buf, buf, 64, 20), NBS_EINVAL);
    NBT_EQ(run(g, odd ? NBS_COLL_BARRIER : NBS_COLL_REDUCE, 0, 0, 0, buf, buf, 0, 20), NBS_EINVAL);
    NBT_OK(run(g, NBS_COLL_ALLREDUCE, NBS_U8, 0, 0, NULL, buf, 64, 20)); /* it goes on */
  }
  NBT_EQ(run(g, NBS_COLL_ALLREDUCE, NBS_C64, NBS_MIN, 0, NULL, buf, 64, 20), NBS_EINVAL);
  NBT_EQ(run(g, NBS_COLL_ALLREDUCE, NBS_I32, NBS_AVERAGE, 0, NULL, buf, 64, 20), NBS_EINVAL);
  NBT_EQ(run(g, NBS_COLL_SEND, NBS_U8, 0, rank, buf, NULL, 64, 20), NBS_EINVAL);
  NBT_EQ(run(g, NBS_COLL_SEND, NBS_U8, 0, world, buf, NULL, 64, 20), NBS_EINVAL);
  NBT_EQ(run(g, NBS_COLL_ALLREDUCE, NBS_I32, 0, 0, NULL, buf, 63, 20), NBS_EINVAL);
  NBT_OK(run(g, NBS_COLL_BARRIER, 0, 0, 0, NULL, NULL, 0, 20));
  NBT_OK(nbs_coll_leave(g));
}

static void disagreement_is_told_to_all(void) {
  together(2, they_disagree);
  together(3, they_disagree);
}

static int refuse(nbs_coll *g, uint32_t kind, uint32_t other) {
  int rc = nbs_coll_refuse(g, kind, other);
  while (rc == NBS_EAGAIN) rc = nbs_coll_resume(g);
  return rc;
}

/* they_refuse: each rank refuses in turn, three times in a row; the others are told. */
static void they_refuse(nbs_seg *seg, uint32_t world, uint32_t rank) {
  nbs_coll *g = join(seg, 8, world, rank);
  uint64_t x = 1, got = 0;
  char why[256], who[32];
  for (uint32_t n = 0; n < 3 * world; n++) {
    uint32_t odd = n / 3;
    if (rank == odd) {
      NBT_OK(refuse(g, NBS_COLL_ALLREDUCE, 0));
    } else {
      NBT_EQ(run(g, NBS_COLL_ALLREDUCE, NBS_U64, NBS_SUM, 0, NULL, &x, 8, 20), NBS_EINVAL);
      NBT_EQ(nbs_coll_why(g, why, sizeof why), (int)odd);
      snprintf(who, sizeof who, "rank %u: refused", odd);
      NBT_TRUE(strstr(why, who) != NULL && strstr(why, "allreduce(1 x uint64") != NULL);
    }
  }
  if (rank == 1) NBT_OK(refuse(g, NBS_COLL_SEND, 0)); /* instead of a message */
  if (rank == 1) NBT_OK(run(g, NBS_COLL_SEND, NBS_U64, 0, 0, &x, NULL, 8, 20));
  if (rank == 0) {
    NBT_EQ(run(g, NBS_COLL_RECV, NBS_U64, 0, 1, NULL, &got, 8, 20), NBS_EINVAL);
    NBT_EQ(nbs_coll_why(g, why, sizeof why), 1);
    NBT_OK(run(g, NBS_COLL_RECV, NBS_U64, 0, 1, NULL, &got, 8, 20));
    NBT_EQ(got, 1);
  }
  NBT_OK(refuse(g, NBS_COLL_ALLREDUCE, 0)); /* all alike */
  NBT_OK(run(g, NBS_COLL_ALLREDUCE, NBS_U64, NBS_SUM, 0, NULL, &x, 8, 20));
  NBT_EQ(x, world);
  NBT_EQ(nbs_coll_refuse(g, NBS_COLL_SEND, world), NBS_EINVAL);
  if (rank == 1) NBT_EQ(nbs_coll_refuse(g, NBS_COLL_RECV, 0), NBS_ESTATE); /* ends the group */
  if (rank != 1) NBT_EQ(run(g, NBS_COLL_BARRIER, 0, 0, 0, NULL, NULL, 0, 20), NBS_ESTATE);
  NBT_OK(nbs_coll_leave(g));
}

static void a_refusal_is_told_to_all(void) {
  together(2, they_refuse);
  together(3, they_refuse);
}

/* A rank stands still between two looks: meanwhile the other does its part, and then ends the
 * group. The operation that all took part in is through all the same. */
static void what_all_took_part_in_is_through_though_the_group_ended(void) {
  int status = 0;
  pid_t pid = fork();
  if (pid == 0) {
    nbs_seg *c = nbt_attach(fd);
    nbs_coll *g = join(c, 9, 2, 1);
    nbsi_failpoint_freeze(1);
    nbsi_failpoint_arm("coll_look", 0);
    NBT_OK(run(g, NBS_COLL_BARRIER, 0, 0, 0, NULL, NULL, 0, 60));
    NBT_EQ(run(g, NBS_COLL_BARRIER, 0, 0, 0, NULL, NULL, 0, 60), NBS_ESTATE);
    NBT_OK(nbs_coll_leave(g));
    nbs_detach(c);
    _exit(0);
  }
  NBT_TRUE(waitpid(pid, &status, WUNTRACED) == pid && WIFSTOPPED(status));
  nbs_coll *g = join(s, 9, 2, 0);
  NBT_OK(run(g, NBS_COLL_BARRIER, 0, 0, 0, NULL, NULL, 0, 60));
  NBT_EQ(nbs_coll_refuse(g, NBS_COLL_RECV, 1), NBS_ESTATE); /* ends the group */
  kill(pid, SIGCONT);
  NBT_EQ(nbt_reap(pid), 0);
  NBT_OK(nbs_coll_leave(g));
}

static void one_leaves(nbs_seg *seg, uint32_t world, uint32_t rank) {
  nbs_coll *g = join(seg, 5, world, rank);
  NBT_OK(run(g, NBS_COLL_BARRIER, 0, 0, 0, NULL, NULL, 0, 20));
  if (rank == world - 1) {
    NBT_OK(nbs_coll_leave(g));
    return;
  }
  NBT_EQ(run(g, NBS_COLL_BARRIER, 0, 0, 0, NULL, NULL, 0, 20), NBS_ESTATE);
  NBT_TRUE(strstr(g->why, "has left") != NULL);
  NBT_OK(nbs_coll_leave(g));
}

static void a_rank_that_left(void) { together(3, one_leaves); }

static void alone_too_long(void) {
  char why[256];
  nbs_coll *g = join(s, 6, 2, 0), *again = NULL;
  NBT_EQ(nbs_coll_join(s, nbt_id(6), 2, 0, 0, &again, why, sizeof why), NBS_ESTATE);
  NBT_TRUE(strstr(why, "rank 0 is taken") != NULL);
  NBT_EQ(nbs_coll_join(s, nbt_id(6), 3, 1, 0, &again, why, sizeof why), NBS_EINVAL);
  NBT_TRUE(strstr(why, "made for 2 ranks") != NULL);
  NBT_EQ(nbs_coll_join(s, nbt_id(6), 2, 2, 0, &again, why, sizeof why), NBS_EINVAL);
  uint64_t t0 = nbsi_now_ns();
  NBT_EQ(run(g, NBS_COLL_BARRIER, 0, 0, 0, NULL, NULL, 0, 0.2), NBS_ETIMEOUT);
  NBT_TRUE(nbsi_now_ns() - t0 >= 200000000ull && nbsi_now_ns() - t0 < 30000000000ull);
  NBT_TRUE(strstr(g->why, "rank 1, which has not joined") != NULL);
  again = join(s, 6, 3, 1); /* a broken group is replaced */
  NBT_OK(nbs_coll_leave(again));
  NBT_OK(nbs_coll_leave(g));
  NBT_OK(nbs_coll_join(s, nbt_id(6), 2, 0, 100000000, &g, why, sizeof why));
  NBT_EQ(run(g, NBS_COLL_BARRIER, 0, 0, 0, NULL, NULL, 0, 0), NBS_ETIMEOUT);
  NBT_OK(nbs_coll_leave(g));
  NBT_EQ(nbt_stats(s).n_objects, 0);
}

/* Whoever knows that a rank will never join ends the wait for it; a message between others goes on.
 */
static void one_never_joins(nbs_seg *seg, uint32_t world, uint32_t rank) {
  if (rank == 2) return;
  nbs_coll *g = join(seg, 10, world, rank);
  int32_t number = 7;
  if (rank == 0) {
    NBT_OK(run(g, NBS_COLL_SEND, NBS_I32, 0, 1, &number, NULL, 4, 20));
    nbs_coll_lost(g, 2);
    NBT_OK(run(g, NBS_COLL_RECV, NBS_I32, 0, 1, NULL, &number, 4, 20));
    nbs_coll_lost(g, 1); /* it has joined: what is said of it is wrong */
    int rc = nbs_coll_run(g, NBS_COLL_BARRIER, 0, NULL, NULL, 0, NULL, 0);
    NBT_EQ(rc, NBS_EAGAIN);
    nbs_coll_lost(g, 2);
    NBT_EQ(nbs_coll_resume(g), NBS_EDEAD);
  } else {
    NBT_OK(run(g, NBS_COLL_RECV, NBS_I32, 0, 0, NULL, &number, 4, 20));
    NBT_OK(run(g, NBS_COLL_SEND, NBS_I32, 0, 0, &number, NULL, 4, 20));
    NBT_EQ(run(g, NBS_COLL_BARRIER, 0, 0, 0, NULL, NULL, 0, 0), NBS_EDEAD);
  }
  NBT_EQ(g->at_fault, 2);
  NBT_TRUE(strcmp(g->why, "rank 2 died before it joined") == 0);
  NBT_OK(nbs_coll_leave(g));
}

static void a_rank_that_never_joins(void) { together(3, one_never_joins); }

/* Data that lie in the store are read from where they lie. */
static void lends(nbs_seg *seg, uint32_t world, uint32_t rank) {
  enum { N = 3 << 20 };
  uint64_t obj = nbt_put(seg, 100 + rank, N, 0, (int)rank + 1), size;
  uint8_t *mine = nbs_view_sized(seg, obj, &size), *out[16];
  nbs_coll *g = join(seg, 7, world, rank);
  for (uint32_t r = 0; r < world; r++) out[r] = malloc(N);
  NBT_OK(run(g, NBS_COLL_ALLGATHER, NBS_U8, 0, 0, mine, out, N, 20));
  for (uint32_t r = 0; r < world; r++)
    for (int i = 0; i < N; i += 1000) NBT_EQ(out[r][i], r + 1);
  NBT_OK(run(g, NBS_COLL_BROADCAST, NBS_U8, 0, 1, rank == 1 ? mine : NULL, out[0], N, 20));
  if (rank != 1) NBT_EQ(out[0][N - 1], 2);
  NBT_OK(nbs_coll_leave(g));
  nbs_view_end(mine);
  nbs_release(seg, obj);
  for (uint32_t r = 0; r < world; r++) free(out[r]);
}

static void stored_data_are_lent(void) { together(3, lends); }

/* Each dies at some moment of an endless row of operations; the others hear of it. */
static void storm(void) {
  for (int round = 0; round < 30; round++) {
    int pipe_fds[2];
    NBT_TRUE(pipe(pipe_fds) == 0);
    pid_t pid = fork();
    if (pid == 0) {
      nbs_seg *c = nbt_attach(fd);
      nbs_coll *g = join(c, 8, 2, 1);
      nbt_tell(pipe_fds[1], 1);
      for (uint64_t n = 1;; n = n * 5 % 300007) all_operations(g, n);
    }
    (void)nbt_hear(pipe_fds[0]);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    /* Before the other can die: of a group whose members are all dead a new one is made. */
    nbs_coll *g = join(s, 8, 2, 0);
    pid_t killer = fork();
    if (killer == 0) {
      nbsi_sleep_ns((uint64_t)(round * 700000));
      kill(pid, SIGKILL);
      _exit(0);
    }
    int32_t *buf = calloc(300007, 4);
    int rc = NBS_OK;
    for (uint64_t n = 1; rc == NBS_OK; n = n * 5 % 300007) {
      rc = run(g, NBS_COLL_BROADCAST, NBS_I32, 0, 0, buf, buf, n * 4, 20);
      if (rc == NBS_OK) rc = run(g, NBS_COLL_REDUCE, NBS_I32, 0, 0, buf, buf, n * 4, 20);
      if (rc == NBS_OK) break; /* the other goes on alone, and dies there */
    }
    NBT_TRUE(rc == NBS_OK || rc == NBS_EDEAD);
    NBT_EQ(nbt_reap(killer), 0);
    NBT_EQ(nbt_reap(pid), -SIGKILL);
    NBT_OK(nbs_coll_leave(g));
    free(buf);
    for (uint32_t i = 0; i < s->h->slots_used; i++)
      if (nbsi_low(s->slots[i].word) != NBSI_SLOT_FREE && i != s->slot)
        NBT_OK(nbs_recover(s, nbsi_word(nbsi_gen(s->slots[i].word), i)));
    NBT_EQ(nbt_stats(s).n_objects, 0);
  }
}

int main(void) {
  fd = nbt_create(64 << 20);
  s = nbt_attach(fd);
  NBT_RUN(all_ranks_all_sizes);
  NBT_RUN(groups_come_and_go);
  NBT_RUN(a_death_in_each_operation);
  NBT_RUN(disagreement_is_told_to_all);
  NBT_RUN(a_refusal_is_told_to_all);
  NBT_RUN(what_all_took_part_in_is_through_though_the_group_ended);
  NBT_RUN(a_rank_that_left);
  NBT_RUN(alone_too_long);
  NBT_RUN(a_rank_that_never_joins);
  NBT_RUN(stored_data_are_lent);
  NBT_RUN(storm);
  NBT_CHECK(s);
  nbs_detach(s);
  close(fd);
  return 0;
}
