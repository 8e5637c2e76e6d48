/* ring_test.c - messages: order, wrap, full, size limits, revoking, ends that go away. */
#include <pthread.h>
#include <sys/mman.h>

#include "nbt.h"
#include "platform.h"

static nbs_seg *owner, *worker;
static uint32_t chan;

static void open_pair(uint32_t ring_bytes) {
  int fd = nbt_create(1 << 20);
  owner = nbt_attach(fd);
  worker = nbt_attach(fd);
  close(fd);
  NBT_OK(nbs_chan_open(owner, nbs_self(worker), ring_bytes, &chan));
}

static void close_pair(void) {
  NBT_CHECK(owner);
  nbs_detach(owner);
  NBT_CHECK(worker);
  NBT_EQ(nbt_stats(worker).n_slots, 1);
  nbs_detach(worker);
}

static int send_task(uint64_t seq, const void *p, uint32_t n, uint64_t *ticket) {
  return nbs_send(owner, chan, NBS_MSG_TASK, 0, seq, 0, 0, p, n, NULL, 0, ticket);
}

static void the_two_that_are_sent_most(void) {
  open_pair(4096);
  nbs_msg m;
  void *payload;
  unsigned char buf[4096];
  NBT_EQ(nbs_send_task(owner, chan, 3, 42, 7, 99, "hello", 5), 0);
  int64_t second = nbs_send_task(owner, chan, 0, 43, 7, 1, NULL, 0);
  NBT_TRUE(second > 0);
  NBT_EQ(nbs_take(worker, &m, &payload), 1);
  NBT_EQ(m.seq, 42);
  NBT_EQ(m.kind, NBS_MSG_TASK);
  NBT_EQ(m.flags, 3);
  NBT_EQ(m.a, 7);
  NBT_EQ(m.b, 99);
  NBT_TRUE(m.len == 5 && memcmp(payload, "hello", 5) == 0);
  NBT_OK(nbs_revoke(owner, chan, (uint64_t)second));
  NBT_EQ(nbs_take(worker, &m, &payload), 0);
  NBT_OK(nbs_send_result(worker, chan, NBS_RESULT_ERROR, 42, 1234, "no", 2));
  NBT_EQ(nbs_recv_many(owner, buf, sizeof buf), 40);
  memcpy(&m, buf, sizeof m);
  NBT_EQ(m.seq, 42);
  NBT_EQ(m.kind, NBS_MSG_RESULT);
  NBT_EQ(m.flags, NBS_RESULT_ERROR);
  NBT_EQ(m.b, 1234);
  NBT_TRUE(m.len == 2 && memcmp(buf + sizeof m, "no", 2) == 0);
  while (nbs_send_task(owner, chan, 0, 44, 0, 0, buf, 512) >= 0) continue;
  NBT_EQ(nbs_send_task(owner, chan, 0, 44, 0, 0, buf, 512), NBS_EAGAIN);
  close_pair();
}

/* What others have written to the worker's files goes before the result of a task that ran long
 * enough for it; and the result goes all the same when its sender says so. */
static void words_before_a_result(void) {
  open_pair(4096);
  nbs_msg m;
  void *payload;
  int fd[2] = {memfd_create("a", 0), memfd_create("b", 0)};
  uint64_t read[2] = {0, 0};
  NBT_OK(nbs_watch_words(worker, fd[0], fd[1], read));
  for (int i = 0; i < 2; i++) {
    NBT_OK(send_task(1, "x", 1, NULL));
    NBT_EQ(nbs_take(worker, &m, &payload), 1);
    NBT_EQ(ftruncate(fd[i], (off_t)read[i] + 1), 0);
    usleep(2 * NBS_WORDS_AFTER_NS / 1000);
    NBT_EQ(nbs_send_result(worker, chan, 0, 1, 0, "y", 1), NBS_EWORDS);
    NBT_EQ(nbs_send_result(worker, chan, 0, 1, NBS_WORDS_AFTER_NS, "y", 1), NBS_EWORDS);
    NBT_OK(nbs_send_result(worker, chan, 0, 1, NBS_WORDS_AFTER_NS - 1, "y", 1));
    NBT_OK(nbs_send(worker, chan, NBS_MSG_RESULT, 0, 1, 0, 0, "y", 1, NULL, 0, NULL));
    read[i]++;
    NBT_OK(nbs_send_result(worker, chan, 0, 1, NBS_WORDS_AFTER_NS, "y", 1));
  }
  NBT_EQ(ftruncate(fd[0], 0), 0);
  NBT_OK(nbs_watch_words(worker, -1, -1, NULL));
  NBT_OK(nbs_send_result(worker, chan, 0, 1, NBS_WORDS_AFTER_NS, "y", 1));
  for (int i = 0; i < 2; i++) close(fd[i]);
  close_pair();
}

/* The same of items: they wait when time has passed since the task began and since the last one. */
static void words_before_an_item(void) {
  open_pair(4096);
  nbs_msg m;
  void *payload;
  int fd[2] = {memfd_create("a", 0), memfd_create("b", 0)};
  uint64_t read[2] = {0, 0};
  NBT_OK(nbs_watch_words(worker, fd[0], fd[1], read));
  NBT_OK(send_task(1, "x", 1, NULL));
  NBT_EQ(nbs_take(worker, &m, &payload), 1);
  for (uint32_t i = 0; i < 2; i++) {
    usleep(2 * NBS_WORDS_AFTER_NS / 1000);
    NBT_OK(nbs_send_item(worker, chan, NBS_MSG_OTHER, 0, 1, i, "y", 1));
    NBT_EQ(ftruncate(fd[i], 1), 0);
    usleep(2 * NBS_WORDS_AFTER_NS / 1000);
    NBT_EQ(nbs_send_item(worker, chan, NBS_MSG_OTHER, 0, 1, i, "y", 1), NBS_EWORDS);
    NBT_OK(nbs_send(worker, chan, NBS_MSG_OTHER, 0, 1, i, 0, "y", 1, NULL, 0, NULL));
    read[i] = 1;
  }
  NBT_OK(nbs_watch_words(worker, -1, -1, NULL));
  NBT_OK(nbs_send_item(worker, chan, NBS_MSG_OTHER, 0, 1, 2, "y", 1));
  for (int i = 0; i < 2; i++) close(fd[i]);
  close_pair();
}

static void there_and_back(void) {
  open_pair(4096);
  nbs_msg m;
  void *payload;
  unsigned char buf[4096];
  NBT_EQ(nbs_take(worker, &m, &payload), 0);
  NBT_OK(nbs_send(owner, chan, NBS_MSG_TASK, 3, 42, 7, 99, "hello ", 6, "world", 5, NULL));
  NBT_EQ(nbs_take(worker, &m, &payload), 1);
  NBT_EQ(m.len, 11);
  NBT_EQ(m.chan, chan);
  NBT_EQ(m.seq, 42);
  NBT_EQ(m.kind, NBS_MSG_TASK);
  NBT_EQ(m.flags, 3);
  NBT_EQ(m.a, 7);
  NBT_EQ(m.b, 99);
  NBT_TRUE(memcmp(payload, "hello world", 11) == 0);
  uint64_t seq, start;
  NBT_EQ(nbs_running(owner, chan, &seq, &start), 1);
  nbs_running_task all[4];
  NBT_EQ(nbs_running_list(worker, all, 4), 1);
  NBT_EQ(all[0].seq, seq);
  NBT_EQ(all[0].start_ns, start);
  NBT_EQ(all[0].flags, 3);
  NBT_EQ(all[0].a, 7);
  NBT_EQ(all[0].owner, nbs_self(owner));
  NBT_EQ(all[0].worker, nbs_self(worker));
  NBT_EQ(nbs_running_list(worker, all, 0), 0);
  NBT_EQ(seq, 42);
  NBT_TRUE(start != 0 && start <= nbsi_now_ns());
  NBT_OK(nbs_send(worker, chan, NBS_MSG_RESULT, 0, 42, 0, 0, "yes", 3, NULL, 0, NULL));
  NBT_EQ(nbs_running(owner, chan, &seq, &start), 0);
  NBT_EQ(nbs_running_list(worker, all, 4), 0);
  NBT_EQ(nbs_recv_many(owner, buf, sizeof buf), 40);
  nbs_msg *r = (nbs_msg *)(void *)buf;
  NBT_EQ(r->seq, 42);
  NBT_TRUE(r->b > 0); /* measured */
  NBT_TRUE(memcmp(buf + sizeof *r, "yes", 3) == 0);
  NBT_EQ(nbs_recv_many(owner, buf, sizeof buf), 0);
  int64_t c[NBS_N_COUNTERS];
  NBT_OK(nbs_counters(owner, c));
  NBT_EQ(c[NBS_CTR_SUBMITTED], 1);
  NBT_EQ(c[NBS_CTR_FINISHED], 1);
  NBT_EQ(c[NBS_CTR_TAKEN], 1);
  NBT_EQ(c[NBS_CTR_REPLIED], 1);
  close_pair();
}

/* Messages of all lengths through a small ring, many times round, with contents checked. */
static void wrap(void) {
  open_pair(4096);
  uint32_t max = nbs_chan_max_payload(owner, chan);
  NBT_EQ(max, 4096 / 2 - 40);
  unsigned char *p = malloc(max + 1);
  NBT_EQ(send_task(0, p, max + 1, NULL), NBS_ETOOBIG);
  uint64_t sent = 0, got = 0;
  while (got < 20000) {
    uint32_t n = (uint32_t)(sent * 37 % (max + 1));
    memset(p, (int)(sent & 0xff), n);
    int rc = send_task(sent, p, n, NULL);
    if (rc == NBS_OK) {
      sent++;
      continue;
    }
    NBT_EQ(rc, NBS_EAGAIN); /* full: now the worker takes all */
    nbs_msg m;
    void *payload;
    while (nbs_take(worker, &m, &payload) == 1) {
      NBT_EQ(m.seq, got);
      NBT_EQ(m.len, got * 37 % (max + 1));
      for (uint32_t i = 0; i < m.len; i++) NBT_EQ(((unsigned char *)payload)[i], got & 0xff);
      got++;
    }
    NBT_EQ(got, sent);
  }
  free(p);
  close_pair();
}

/* The largest message always fits into an empty ring, wherever its end stands. */
static void largest_at_any_place(void) {
  open_pair(4096);
  uint32_t max = nbs_chan_max_payload(owner, chan);
  unsigned char *p = calloc(1, max);
  nbs_msg m;
  void *payload;
  for (uint64_t i = 0; i < 3000; i++) {
    NBT_OK(send_task(2 * i, p, (uint32_t)(i % 50), NULL));
    NBT_EQ(nbs_take(worker, &m, &payload), 1);
    NBT_EQ(nbs_take(worker, &m, &payload), 0);
    NBT_OK(send_task(2 * i + 1, p, max, NULL));
    NBT_EQ(nbs_take(worker, &m, &payload), 1);
    NBT_EQ(m.len, max);
    NBT_EQ(nbs_take(worker, &m, &payload), 0);
  }
  free(p);
  close_pair();
}

static void taking_back(void) {
  open_pair(4096);
  uint64_t t[3];
  nbs_msg m;
  void *payload;
  for (uint64_t i = 0; i < 3; i++) NBT_OK(send_task(i, "abc", 3, &t[i]));
  NBT_OK(nbs_revoke(owner, chan, t[1]));
  NBT_EQ(nbs_revoke(owner, chan, t[1]), NBS_ESTATE);
  NBT_EQ(nbs_revoke(worker, chan, t[1]), NBS_ESTATE);
  NBT_EQ(nbs_revoke(owner, chan, t[2] + 4096), NBS_EINVAL);
  NBT_EQ(nbs_take(worker, &m, &payload), 1);
  NBT_EQ(m.seq, 0);
  NBT_EQ(nbs_revoke(owner, chan, t[0]), NBS_ESTATE);
  NBT_EQ(nbs_take(worker, &m, &payload), 1);
  NBT_EQ(m.seq, 2);
  NBT_EQ(nbs_take(worker, &m, &payload), 0);
  /* A stale ticket, its place in the ring overwritten by payload that looks like a record
   * waiting at that position. */
  uint64_t fake[64];
  for (int round = 0; round < 100; round++) {
    for (int i = 0; i < 64; i++) fake[i] = t[0] | NBSI_PENDING;
    NBT_OK(send_task(9, fake, sizeof fake, NULL));
    NBT_EQ(nbs_revoke(owner, chan, t[0]), NBS_ESTATE);
    NBT_EQ(nbs_take(worker, &m, &payload), 1);
    for (int i = 0; i < 64; i++) NBT_EQ(((uint64_t *)payload)[i], t[0]);
  }
  close_pair();
}

static void drains_in_pieces(void) {
  open_pair(8192);
  unsigned char big[2000] = {0}, buf[2100];
  for (uint64_t i = 0; i < 3; i++)
    NBT_OK(nbs_send(worker, chan, 16, 0, i, 0, 0, big, sizeof big, NULL, 0, NULL));
  for (uint64_t i = 0; i < 3; i++) {
    NBT_EQ(nbs_wait(owner, NBS_READY_OWNED, 0), NBS_READY_OWNED);
    NBT_EQ(nbs_recv_many(owner, buf, sizeof buf), 2032);
    NBT_EQ(((nbs_msg *)(void *)buf)->seq, i);
  }
  NBT_EQ(nbs_recv_many(owner, buf, sizeof buf), 0);
  close_pair();
}

static void round_robin(void) {
  open_pair(4096);
  uint32_t second;
  NBT_OK(nbs_chan_open(owner, nbs_self(worker), 4096, &second));
  for (uint64_t i = 0; i < 40; i++) NBT_OK(send_task(i, "x", 1, NULL));
  nbs_msg m;
  void *payload;
  NBT_EQ(nbs_take(worker, &m, &payload), 1);
  NBT_OK(nbs_send(owner, second, NBS_MSG_TASK, 0, 100, 0, 0, "y", 1, NULL, 0, NULL));
  int turns = 0; /* a busy channel does not keep another waiting for long */
  do {
    NBT_EQ(nbs_take(worker, &m, &payload), 1);
    turns++;
  } while (m.chan != second);
  NBT_TRUE(turns <= 20);
  close_pair();
}

static void ends_go_away(void) {
  open_pair(4096);
  unsigned char buf[4096];
  nbs_msg m;
  void *payload;
  NBT_EQ(nbs_chan_peer(owner, chan), nbs_self(worker));
  NBT_EQ(nbs_chan_peer(worker, chan), nbs_self(owner));
  NBT_OK(send_task(1, "x", 1, NULL));
  NBT_EQ(nbs_take(worker, &m, &payload), 1);
  NBT_EQ(nbs_chan_close(worker, chan), NBS_ESTATE);
  NBT_OK(nbs_chan_close(owner, chan));
  NBT_EQ(nbs_chan_close(owner, chan), NBS_ENOTFOUND);
  NBT_EQ(nbs_send(worker, chan, NBS_MSG_RESULT, 0, 1, 0, 0, "y", 1, NULL, 0, NULL), NBS_EDEAD);
  NBT_EQ(nbs_wait(worker, NBS_READY_SERVED, 0), NBS_READY_SERVED); /* it is told */
  NBT_EQ(nbs_take(worker, &m, &payload), 0);
  NBT_EQ(nbt_stats(owner).n_channels, 0);
  NBT_EQ(nbs_send(worker, chan, 16, 0, 1, 0, 0, "y", 1, NULL, 0, NULL), NBS_ENOTFOUND);
  int64_t c[NBS_N_COUNTERS];
  NBT_OK(nbs_counters(owner, c));
  NBT_EQ(c[NBS_CTR_TAKEN], c[NBS_CTR_REPLIED]);
  uint32_t old = chan;
  NBT_OK(nbs_chan_open(owner, nbs_self(worker), 4096, &chan));
  NBT_TRUE(chan != old);
  NBT_EQ(nbs_send(owner, old, 16, 0, 1, 0, 0, "y", 1, NULL, 0, NULL), NBS_ENOTFOUND);
  /* What a worker sent before it left can still be read; then the owner learns. */
  NBT_OK(nbs_send(worker, chan, 16, 0, 5, 0, 0, "z", 1, NULL, 0, NULL));
  nbs_detach(worker);
  NBT_EQ(nbs_recv_many(owner, buf, sizeof buf), 40);
  NBT_EQ(send_task(1, "x", 1, NULL), NBS_EDEAD);
  NBT_EQ(nbs_chan_peer(owner, chan), 0);
  NBT_OK(nbs_chan_close(owner, chan));
  NBT_EQ(nbt_stats(owner).n_channels, 0);
  NBT_CHECK(owner);
  nbs_detach(owner);
}

/* An actor's thread is in the middle of a message when the owner leaves, and its main thread sees
 * that. */
static void owner_leaves_in_a_send(void) {
  nbs_msg m;
  void *payload;
  NBT_OK(nbs_chan_close(owner, chan));
  NBT_EQ(nbs_wait(worker, NBS_READY_SERVED, 0), NBS_READY_SERVED);
  NBT_EQ(nbs_take(worker, &m, &payload), 0);
  NBT_EQ(nbt_stats(owner).n_channels, 1); /* its rings are nobody else's yet */
}

static void let_go_after_the_last_send(void) {
  nbs_msg m;
  void *payload;
  open_pair(4096);
  NBT_OK(send_task(1, "x", 1, NULL));
  NBT_EQ(nbs_take(worker, &m, &payload), 1);
  nbsi_failpoint_call(owner_leaves_in_a_send);
  nbsi_failpoint_arm("send", 0);
  NBT_OK(nbs_send(worker, chan, NBS_MSG_RESULT, 0, 1, 0, 0, "y", 1, NULL, 0, NULL));
  nbsi_failpoint_call(NULL);
  NBT_EQ(nbs_wait(worker, NBS_READY_SERVED, 0), NBS_READY_SERVED);
  NBT_EQ(nbs_take(worker, &m, &payload), 0);
  NBT_EQ(nbt_stats(owner).n_channels, 0);
  int64_t c[NBS_N_COUNTERS];
  NBT_OK(nbs_counters(owner, c));
  NBT_EQ(c[NBS_CTR_TAKEN], c[NBS_CTR_REPLIED]);
  nbs_detach(worker);
  nbs_detach(owner);
}

static void many_channels(void) {
  open_pair(4096);
  static uint32_t chans[NBS_MAX_CHANNELS];
  uint32_t n = 0, extra;
  while (n < NBS_MAX_CHANNELS - 1)
    NBT_OK(nbs_chan_open(owner, nbs_self(worker), 4096, &chans[n++]));
  NBT_EQ(nbs_chan_open(owner, nbs_self(worker), 4096, &extra), NBS_ELIMIT);
  for (uint32_t i = 0; i < n; i += 7)
    NBT_OK(nbs_send(owner, chans[i], 16, 0, i, 0, 0, "x", 1, NULL, 0, NULL));
  nbs_msg m;
  void *payload;
  uint32_t got = 0;
  while (nbs_take(worker, &m, &payload) == 1) {
    NBT_EQ(m.chan, chans[m.seq]);
    got++;
  }
  NBT_EQ(got, (n + 6) / 7);
  for (uint32_t i = 0; i < n; i++) NBT_OK(nbs_chan_close(owner, chans[i]));
  NBT_EQ(nbs_take(worker, &m, &payload), 0);
  NBT_EQ(nbt_stats(owner).n_channels, 1);
  close_pair();
}

/* Owner and worker race for each message: exactly one gets it. */
#define RACES 100000
static unsigned char taken[RACES];
static void *racing_worker(void *arg) {
  nbs_msg m;
  void *payload;
  (void)arg;
  for (;;) {
    int rc = nbs_take(worker, &m, &payload);
    if (rc == 0) continue;
    NBT_EQ(rc, 1);
    if (m.kind != NBS_MSG_TASK) return NULL;
    taken[m.seq]++;
  }
}

static void revoke_against_take(void) {
  open_pair(4096);
  pthread_t t;
  static unsigned char revoked[RACES];
  NBT_EQ(pthread_create(&t, NULL, racing_worker, NULL), 0);
  for (uint64_t i = 0; i < RACES; i++) {
    uint64_t ticket;
    while (send_task(i, "x", 1, &ticket) == NBS_EAGAIN) nbsi_yield();
    for (uint64_t k = 0; k < i % 64; k++) nb_pause();
    revoked[i] = nbs_revoke(owner, chan, ticket) == NBS_OK;
  }
  while (nbs_send(owner, chan, 16, 0, 0, 0, 0, NULL, 0, NULL, 0, NULL) == NBS_EAGAIN) nbsi_yield();
  pthread_join(t, NULL);
  uint32_t n = 0;
  for (uint32_t i = 0; i < RACES; i++) {
    NBT_EQ(taken[i] + revoked[i], 1);
    n += revoked[i];
  }
  printf("  %u of %u revoked\n", n, RACES);
  close_pair();
}

int main(void) {
  NBT_RUN(there_and_back);
  NBT_RUN(the_two_that_are_sent_most);
  NBT_RUN(words_before_a_result);
  NBT_RUN(words_before_an_item);
  NBT_RUN(wrap);
  NBT_RUN(largest_at_any_place);
  NBT_RUN(taking_back);
  NBT_RUN(drains_in_pieces);
  NBT_RUN(round_robin);
  NBT_RUN(ends_go_away);
  NBT_RUN(let_go_after_the_last_send);
  NBT_RUN(many_channels);
  NBT_RUN(revoke_against_take);
  return 0;
}
