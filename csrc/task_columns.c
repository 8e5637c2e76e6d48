/* Tasks as columns: event records into the columns of nbray/events/task_table.py, and rows out of
 * them. The same as there, for the many records that say nothing new but "sent" and "ended": the
 * thread that does this shares Python's interpreter with the cell that submits the tasks, and here
 * it leaves the interpreter to that. */
#include <stdlib.h>
#include <string.h>

#include "impl.h"

enum { WAITS_FOR_PLACE = 1, SENT = 2, DONE = 4, FAILED = 5, CANCELLED = 6 };
enum { ERROR_FLAG = 1, CANCELLED_FLAG = 2 };

static void touch(nbs_task_table *t, uint32_t at) {
  if (!t->is_changed[at]) {
    t->is_changed[at] = 1;
    t->changed[t->n_changed++] = at;
  }
}

static void move(nbs_task_table *t, uint32_t at, uint8_t state) {
  t->moved[t->state[at]]--;
  t->moved[state]++;
  t->state[at] = state;
  touch(t, at);
}

/* The row of a task of the owner; -1: it is not known. */
static int64_t row_of(const nbs_task_table *t, uint64_t seq) {
  uint64_t place = seq - t->base;
  return seq >= t->base && place < t->n_dense ? t->dense[place] : -1;
}

static int64_t worker_of(const nbs_task_table *t, uint64_t peer) {
  for (uint32_t i = 0; i < t->n_peers; i++)
    if (t->peers[i] == peer) return i;
  return -1;
}

static void sent(nbs_task_table *t, uint32_t at, const nbs_event *e) {
  t->function[at] = (uint32_t)t->functions[e->a];
  if (t->made[at] == 0) t->made[at] = t->submitted[at]; /* it was there when it was sent before */
  t->submitted[at] = (int64_t)e->t_ns;
  if (t->state[at] < DONE) {
    move(t, at, SENT);
  } else if ((int64_t)e->t_ns > t->end[at]) { /* it is run again */
    t->attempt[at]++;
    t->start[at] = t->end[at] = 0;
    move(t, at, SENT);
  } else { /* the end was read before the beginning: each process has a ring of its own */
    touch(t, at);
  }
}

static void ended(nbs_task_table *t, uint32_t at, const nbs_event *e, int64_t worker) {
  int64_t end = (int64_t)e->t_ns, start = (int64_t)(e->t_ns - e->dur_ns);
  if (end < t->submitted[at] || end < t->start[at]) { /* an earlier run, read late */
    t->attempt[at]++;
    touch(t, at);
    return;
  }
  if (t->state[at] >= DONE && t->end[at] > 0 && t->end[at] <= start) t->attempt[at]++;
  t->start[at] = start;
  t->end[at] = end;
  t->worker[at] = (int32_t)worker;
  move(t, at, e->flags & CANCELLED_FLAG ? CANCELLED : e->flags & ERROR_FLAG ? FAILED : DONE);
}

static int by_number(const void *a, const void *b) {
  uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return (x > y) - (x < y);
}

uint64_t nbs_tasks_unknown(const nbs_task_table *t, const nbs_event *e, uint64_t n, uint64_t *out) {
  uint64_t found = 0, kept = 0;
  int ascends = 1;
  for (uint64_t i = 0; i < n; i++) {
    if (e[i].kind != NBS_EV_SUBMIT || e[i].owner != t->owner || e[i].seq < t->base) continue;
    if (row_of(t, e[i].seq) >= 0) continue;
    if (found > 0 && e[i].seq <= out[found - 1]) ascends = 0;
    out[found++] = e[i].seq;
  }
  if (ascends) return found;
  qsort(out, found, sizeof *out,
        by_number); /* one that waited for input was sent after later ones */
  for (uint64_t i = 0; i < found; i++)
    if (kept == 0 || out[i] != out[kept - 1]) out[kept++] = out[i];
  return kept;
}

uint64_t nbs_tasks_take(nbs_task_table *t, const nbs_event *e, uint64_t n) {
  for (uint64_t i = 0; i < n; i++) {
    uint16_t kind = e[i].kind;
    if (kind == NBS_EV_INPUT || kind == NBS_EV_PARENT) {
      t->left[t->n_left++] = (uint32_t)(t->first + i);
      continue;
    }
    if (kind == NBS_EV_LOST) return i; /* rare, and told in the order of what else is told of it */
    if (kind != NBS_EV_SUBMIT && kind != NBS_EV_RESULT) continue;
    if (e[i].owner != t->owner) return i;
    int64_t at = row_of(t, e[i].seq);
    if (at < 0) return i;
    if (kind == NBS_EV_SUBMIT) {
      if (e[i].a >= t->n_functions || t->functions[e[i].a] < 0) return i;
      sent(t, (uint32_t)at, &e[i]);
    } else {
      int64_t worker = worker_of(t, e[i].process);
      if (worker < 0) return i;
      ended(t, (uint32_t)at, &e[i], worker);
    }
  }
  return n;
}

#pragma pack(push, 1)
typedef struct {
  uint32_t index, function;
  int32_t parent, worker;
  uint8_t state, zero;
  uint16_t attempt;
  double submitted, start, end, made;
} row;
#pragma pack(pop)
_Static_assert(sizeof(row) == 52, "a row is part of the panel's frames");

void nbs_tasks_rows(nbs_task_table *t, const uint32_t *chosen, uint64_t n, uint8_t *out) {
  for (uint64_t i = 0; i < n; i++) {
    uint32_t at = chosen[i];
    row one = {.index = at,
               .function = t->function[at],
               .parent = t->parent[at],
               .worker = t->worker[at],
               .state = t->state[at],
               .attempt = t->attempt[at],
               .submitted = (double)t->submitted[at] / 1e6,
               .start = (double)t->start[at] / 1e6,
               .end = (double)t->end[at] / 1e6,
               .made = (double)t->made[at] / 1e6};
    memcpy(out + i * sizeof one, &one, sizeof one);
    t->is_changed[at] = 0;
  }
}

uint64_t nbs_tasks_span(const uint64_t *owners, const uint64_t *numbers, uint64_t n, uint64_t owner,
                        uint64_t *low, uint64_t *high) {
  uint64_t found = 0;
  *low = UINT64_MAX;
  *high = 0;
  for (uint64_t i = 0; i < n; i++) {
    if (owners[i] != owner) continue;
    found++;
    if (numbers[i] < *low) *low = numbers[i];
    if (numbers[i] > *high) *high = numbers[i];
  }
  return found;
}

void nbs_tasks_number(const uint64_t *owners, const uint64_t *numbers, uint64_t n, uint64_t owner,
                      int32_t first, uint64_t base, int32_t *dense) {
  for (uint64_t i = 0; i < n; i++)
    if (owners[i] == owner) dense[numbers[i] - base] = first + (int32_t)i;
}
