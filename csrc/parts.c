/* parts.c - see parts.h. */
#include "parts.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>

#include "atomics.h"

typedef struct {
  void (*run)(void *work, uint32_t part);
  void *work;
  uint32_t n;
  uint32_t next; /* part that nobody has taken yet; atomic */
} parts;

static void *take_parts(void *arg) {
  parts *p = arg;
  for (uint32_t i; (i = nb_atomic_add(&p->next, 1u, RELAXED)) < p->n;) p->run(p->work, i);
  return NULL;
}

void nbsi_run_parts(void (*run)(void *work, uint32_t part), void *work, uint32_t n,
                    uint32_t threads) {
  parts p = {run, work, n, 0};
  pthread_t thread[NBSI_PARTS_THREADS];
  uint32_t started = 0;
  if (threads > NBSI_PARTS_THREADS) threads = NBSI_PARTS_THREADS;
  if (threads > n) threads = n;
  /* The helpers take no signals: Python runs its handlers in threads it knows. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  while (started + 1 < threads && pthread_create(&thread[started], NULL, take_parts, &p) == 0)
    started++;
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  take_parts(&p);
  while (started > 0) pthread_join(thread[--started], NULL);
}
