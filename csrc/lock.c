/* lock.c - taking the robust lock, and what happens when its owner died. */
#include "lock.h"

#include <errno.h>
#include <time.h>

#include "repair.h"

#define SPINS     40 /* looks before sleeping; a critical section takes < 1 us */
#define GIVE_UP_S 10

int nbsi_lock_init(nbsi_header *h) {
  pthread_mutexattr_t a;
  if (pthread_mutexattr_init(&a) != 0) return NBS_ESYS;
  int rc = pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
  if (rc == 0) rc = pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
  if (rc == 0) rc = pthread_mutex_init(&h->lock, &a);
  pthread_mutexattr_destroy(&a);
  return rc == 0 ? NBS_OK : NBS_ESYS;
}

static int lock_slowly(pthread_mutex_t *m) {
  for (int i = 0; i < SPINS; i++) {
    nb_pause();
    int rc = pthread_mutex_trylock(m);
    if (rc != EBUSY) return rc;
  }
  struct timespec until;
#if defined(__GLIBC__) && defined(__GLIBC_PREREQ) && !defined(__SANITIZE_THREAD__)
#if __GLIBC_PREREQ(2, 30)
#define HAVE_CLOCKLOCK 1 /* TSan does not know it as a lock */
#endif
#endif
#ifdef HAVE_CLOCKLOCK
  clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += GIVE_UP_S;
  return pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &until);
#else
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += GIVE_UP_S;
  return pthread_mutex_timedlock(m, &until);
#endif
}

int nbsi_lock(nbs_seg *s) {
  pthread_mutex_t *m = &s->h->lock;
  int rc = pthread_mutex_trylock(m);
  if (rc == EBUSY) rc = lock_slowly(m);
  if (rc == ETIMEDOUT) return NBS_ETIMEOUT;
  if (rc == EOWNERDEAD) {
    /* Dying in here is fine: the next one gets EOWNERDEAD again and starts over. */
    NB_FAILPOINT("repair_begin");
    if (nbsi_repair(s) != NBS_OK) s->h->corrupt = 1;
    s->h->n_repairs++;
    NB_FAILPOINT("repair_end");
    rc = pthread_mutex_consistent(m);
    if (rc != 0) {
      pthread_mutex_unlock(m);
      return NBS_ECORRUPT;
    }
  }
  if (rc != 0) return NBS_ECORRUPT;
  if (s->h->corrupt) {
    pthread_mutex_unlock(m);
    return NBS_ECORRUPT;
  }
  return NBS_OK;
}

void nbsi_unlock(nbs_seg *s) { pthread_mutex_unlock(&s->h->lock); }
