/* nbt.h - the test kit: checks that tell where they failed, and a fresh segment.
 *
 * A test file has static functions and a main that runs them with NBT_RUN. A failed check
 * ends the process with status 1. */
#ifndef NBT_H
#define NBT_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "failpoint.h"
#include "impl.h"

#define NBT_TRUE(cond)                                                     \
  do {                                                                     \
    if (!(cond)) {                                                         \
      fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #cond); \
      _exit(1);                                                            \
    }                                                                      \
  } while (0)

#define NBT_EQ(expr, value)                                                                \
  do {                                                                                     \
    long long nbt_got = (long long)(expr), nbt_want = (long long)(value);                  \
    if (nbt_got != nbt_want) {                                                             \
      fprintf(stderr, "%s:%d: %s is %lld, not %lld\n", __FILE__, __LINE__, #expr, nbt_got, \
              nbt_want);                                                                   \
      _exit(1);                                                                            \
    }                                                                                      \
  } while (0)

#define NBT_OK(expr) NBT_EQ(expr, NBS_OK)
#define NBT_CHECK(s)                                                          \
  do {                                                                        \
    char nbt_why[256];                                                        \
    if (nbs_check((s), nbt_why, sizeof nbt_why) != NBS_OK) {                  \
      fprintf(stderr, "%s:%d: nbs_check: %s\n", __FILE__, __LINE__, nbt_why); \
      _exit(1);                                                               \
    }                                                                         \
  } while (0)
#define NBT_RUN(test)           \
  do {                          \
    test();                     \
    printf("  ok %s\n", #test); \
    fflush(stdout);             \
  } while (0)

static inline int nbt_create(uint64_t capacity) {
  char why[512] = "";
  int fd = -1;
  if (nbs_create(capacity, 0, &fd, why, sizeof why) != NBS_OK) {
    fprintf(stderr, "nbs_create: %s\n", why);
    _exit(1);
  }
  return fd;
}

static inline nbs_seg *nbt_attach(int fd) {
  char why[512] = "";
  nbs_seg *s = NULL;
  if (nbs_attach(fd, &s, why, sizeof why) != NBS_OK) {
    fprintf(stderr, "nbs_attach: %s\n", why);
    _exit(1);
  }
  return s;
}

static inline nbs_seg *nbt_segment(uint64_t capacity) {
  int fd = nbt_create(capacity);
  nbs_seg *s = nbt_attach(fd);
  close(fd);
  return s;
}

/* nbt_id makes an object id from a number. */
static inline const uint8_t *nbt_id(uint64_t n) {
  static _Thread_local uint8_t id[8][NBS_ID_SIZE];
  static _Thread_local unsigned turn;
  uint8_t *at = id[turn++ % 8];
  memset(at, 0x5a, NBS_ID_SIZE);
  memcpy(at + 20, &n, sizeof n);
  return at;
}

/* nbt_put creates and seals an object of `size` bytes of value `fill`; its handle. */
static inline uint64_t nbt_put(nbs_seg *s, uint64_t id, uint64_t size, uint32_t meta, int fill) {
  uint64_t obj = 0;
  void *data = NULL;
  NBT_OK(nbs_obj_create(s, nbt_id(id), size, meta, 0, NULL, 0, &obj, &data));
  memset(data, fill, size);
  NBT_OK(nbs_obj_seal(s, obj));
  return obj;
}

static inline nbs_stats nbt_stats(nbs_seg *s) {
  nbs_stats st;
  NBT_OK(nbs_get_stats(s, &st));
  return st;
}

/* nbt_reap waits for a child; its exit status, or minus the signal that killed it. */
static inline int nbt_reap(pid_t pid) {
  int status = 0;
  NBT_TRUE(waitpid(pid, &status, 0) == pid);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* A pipe on which a child tells its peer number, so that nobody needs to sleep. */
static inline void nbt_tell(int fd, uint64_t value) {
  NBT_TRUE(write(fd, &value, sizeof value) == sizeof value);
}
static inline uint64_t nbt_hear(int fd) {
  uint64_t value = 0;
  NBT_TRUE(read(fd, &value, sizeof value) == sizeof value);
  return value;
}

#endif
