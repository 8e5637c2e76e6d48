/* failpoint.c - see failpoint.h. */
#include "failpoint.h"

#include <signal.h>
#include <stdio.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

void nbsi_failpoint(const char *name);

static const char *armed;
static int countdown, hits;

/* clang-format off */
const char *const nbsi_failpoints[] = {
    "promise",       "promise_done",  "create",        "create_done",    "seal",
    "seal_done",     "delete",        "hold_add",      "hold_drop",      "hold_clear",
    "entry_free",    "give_up",       "arena_extend",  "slot_take",      "slot_taken",
    "recovering",    "reclaim_entry", "fold",          "fold_done",      "chan_open",
    "chan_opened",   "chan_free",     "chan_leave",    "send",           "sent",
    "pin_add",       "pin_drop",      "spill",         "spill_done",     "restore",
    "restore_begun", "restored",      "restored_done", "restore_failed", "restore_drop",
    "repromise",     "coll_look",     "repair_begin",  "repair_middle",  "repair_end",
    NULL};
/* clang-format on */

void nbsi_failpoint_arm(const char *name, int n) {
  armed = name;
  countdown = n;
  hits = 0;
}

static int linger_fd = -1;
static long linger_ns;

void nbsi_failpoint_linger(int fd, long ns) {
  linger_fd = fd;
  linger_ns = ns;
}

static int freeze;

void nbsi_failpoint_freeze(int on) { freeze = on; }

static void (*call)(void);

void nbsi_failpoint_call(void (*instead)(void)) { call = instead; }

static void linger(void) {
  struct timespec t = {linger_ns / 1000000000, linger_ns % 1000000000};
  uint64_t now;
  if (write(linger_fd, "x", 1) != 1) abort();
  nanosleep(&t, NULL);
  clock_gettime(CLOCK_MONOTONIC, &t);
  now = (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
  if (write(linger_fd, &now, sizeof now) != sizeof now) abort();
}

int nbsi_failpoint_hits(void) { return hits; }

void nbsi_failpoint(const char *name) {
  int known = 0;
  for (int i = 0; nbsi_failpoints[i] != NULL; i++) known |= strcmp(nbsi_failpoints[i], name) == 0;
  if (!known) {
    fprintf(stderr, "failpoint %s is not in the table\n", name);
    abort();
  }
  if (armed == NULL || strcmp(armed, name) != 0) return;
  hits++;
  if (countdown-- > 0) return;
  if (call != NULL) {
    armed = NULL;
    call();
    return;
  }
  if (freeze) {
    armed = NULL; /* once */
    kill(getpid(), SIGSTOP);
    return;
  }
  if (linger_fd >= 0) linger();
  kill(getpid(), SIGKILL);
  for (;;) pause();
}
