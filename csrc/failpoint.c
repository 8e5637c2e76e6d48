/* failpoint.c - see failpoint.h. */
#include "failpoint.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void nbsi_failpoint(const char *name);

static const char *armed;
static int countdown, hits;

const char *const nbsi_failpoints[] = {
    "promise",       "promise_done",  "create",        "create_done",    "seal",
    "seal_done",     "delete",        "hold_add",      "hold_drop",      "hold_clear",
    "entry_free",    "give_up",       "arena_extend",  "slot_take",      "slot_taken",
    "recovering",    "reclaim_entry", "fold",          "fold_done",      "chan_open",
    "chan_opened",   "chan_free",     "chan_leave",    "send",           "sent",
    "pin_add",       "pin_drop",      "spill",         "spill_done",     "restore",
    "restore_begun", "restored",      "restored_done", "restore_failed", "restore_drop",
    "repromise",     "repair_begin",  "repair_middle", "repair_end",     NULL};

void nbsi_failpoint_arm(const char *name, int n) {
  armed = name;
  countdown = n;
  hits = 0;
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
  kill(getpid(), SIGKILL);
  for (;;) pause();
}
