/* parts.c - see parts.h. */
#include "parts.h"

#include <pthread.h>
#include <signal.h>

typedef struct {
  void (*run)(void *part);
  void *part;
} start;

static void *in_thread(void *arg) {
  start *s = arg;
  s->run(s->part);
  return NULL;
}

void nbsi_run_parts(void (*run)(void *part), void *parts, size_t each, uint32_t n) {
  start of[NBSI_PARTS_MAX];
  pthread_t thread[NBSI_PARTS_MAX];
  int started[NBSI_PARTS_MAX] = {0};
  /* The helpers take no signals: Python runs its handlers in threads it knows. */
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  for (uint32_t i = 1; i < n; i++) {
    of[i] = (start){run, (char *)parts + i * each};
    started[i] = pthread_create(&thread[i], NULL, in_thread, &of[i]) == 0;
  }
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  run(parts);
  for (uint32_t i = 1; i < n; i++) {
    if (started[i])
      pthread_join(thread[i], NULL);
    else
      run((char *)parts + i * each);
  }
}
