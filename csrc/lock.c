/* lock.c - taking the robust lock, and what happens when its owner died. */
#include "lock.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

#include "platform.h"
#include "repair.h"

#define SPINS      40             /* looks before sleeping; a critical section takes < 1 us */
#define LOOK_NS    200000000ull   /* after this long it is looked whether the holder is stopped */
#define GIVE_UP_NS 10000000000ull /* it is, and cannot be helped */

int nbsi_lock_init(nbsi_header *h) {
  pthread_mutexattr_t a;
  if (pthread_mutexattr_init(&a) != 0) return NBS_ESYS;
  int rc = pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
  if (rc == 0) rc = pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
  if (rc == 0) rc = pthread_mutex_init(&h->lock, &a);
  pthread_mutexattr_destroy(&a);
  return rc == 0 ? NBS_OK : NBS_ESYS;
}

int64_t nbsi_lock_holder(nbs_seg *s) {
#ifdef __GLIBC__
  /* The word of a robust futex is its owner's thread id: so the kernel wants it. */
  return nb_atomic_load(&s->h->lock.__data.__lock, SEQ_CST) & 0x3fffffff;
#else
  (void)s;
  return 0;
#endif
}

/* A process that was stopped (SIGSTOP, Ctrl-Z) inside the lock would hold up all others until
 * somebody lets it go on. So whoever has waited for LOOK_NS lets it go on for as long as it has the
 * lock; nbsi_unlock stops it again. What a debugger has stopped stays so. */
static void help_holder_out(nbs_seg *s) {
  int64_t tid = nbsi_lock_holder(s);
  int64_t pid = tid > 0 ? nbsi_pid_of_thread(tid) : -1;
  if (pid <= 0 || pid == nbsi_pid()) return;
  for (uint32_t i = 0; i < nb_atomic_load(&s->h->slots_used, RELAXED); i++) {
    nbsi_slot *p = &s->slots[i];
    if (nb_atomic_load(&p->pid, RELAXED) != pid ||
        nb_atomic_load(&p->pid_ns, RELAXED) != s->pid_ns ||
        nbsi_low(nb_atomic_load(&p->word, ACQUIRE)) != NBSI_SLOT_TAKEN)
      continue;
    uint64_t start_time = nb_atomic_load(&p->start_time, RELAXED);
    /* It stands still, so if it has the lock now it will until it goes on. */
    if (!nbsi_pid_stopped(pid, start_time) || nbsi_lock_holder(s) != tid) return;
    nb_atomic_store(&p->stop_again, 1u, SEQ_CST);
    if (nbsi_pid_signal(pid, start_time, SIGCONT) != 0)
      nb_atomic_store(&p->stop_again, 0u, SEQ_CST);
    return;
  }
}

static int lock_by(pthread_mutex_t *m, uint64_t wait_ns) {
  struct timespec until;
#if defined(__GLIBC__) && defined(__GLIBC_PREREQ) && !defined(__SANITIZE_THREAD__)
#if __GLIBC_PREREQ(2, 30)
#define HAVE_CLOCKLOCK 1 /* TSan does not know it as a lock */
#endif
#endif
#ifdef HAVE_CLOCKLOCK
  clock_gettime(CLOCK_MONOTONIC, &until);
#else
  clock_gettime(CLOCK_REALTIME, &until);
#endif
  uint64_t ns = (uint64_t)until.tv_nsec + wait_ns;
  until.tv_sec += (time_t)(ns / 1000000000ull);
  until.tv_nsec = (long)(ns % 1000000000ull);
#ifdef HAVE_CLOCKLOCK
  return pthread_mutex_clocklock(m, CLOCK_MONOTONIC, &until);
#else
  return pthread_mutex_timedlock(m, &until);
#endif
}

static int lock_slowly(nbs_seg *s) {
  pthread_mutex_t *m = &s->h->lock;
  for (int i = 0; i < SPINS; i++) {
    nb_pause();
    int rc = pthread_mutex_trylock(m);
    if (rc != EBUSY) return rc;
  }
  uint64_t end = nbsi_now_ns() + GIVE_UP_NS;
  for (;;) {
    int rc = lock_by(m, LOOK_NS);
    if (rc != ETIMEDOUT) return rc;
    if (nbsi_now_ns() >= end) return ETIMEDOUT;
    help_holder_out(s);
  }
}

int nbsi_lock(nbs_seg *s) {
  pthread_mutex_t *m = &s->h->lock;
  int rc = pthread_mutex_trylock(m);
  if (rc == EBUSY) rc = lock_slowly(s);
  if (rc == ETIMEDOUT) return NBS_ETIMEOUT;
  if (rc == EOWNERDEAD) {
    /* Dying in here is fine: the next one gets EOWNERDEAD again and starts over. */
    NB_FAILPOINT("repair_begin");
    if (nbsi_repair(s) != NBS_OK) s->h->corrupt = 1;
    s->h->n_repairs++;
    NB_FAILPOINT("repair_end");
    rc = pthread_mutex_consistent(m);
    if (rc != 0) {
      nbsi_unlock(s);
      return NBS_ECORRUPT;
    }
  }
  if (rc != 0) return NBS_ECORRUPT;
  if (s->h->corrupt) {
    nbsi_unlock(s);
    return NBS_ECORRUPT;
  }
  return NBS_OK;
}

void nbsi_unlock(nbs_seg *s) {
  nbsi_slot *me = s->me;
  pthread_mutex_unlock(&s->h->lock);
  /* Whoever was stopped before that was helped out, and sees it here. */
  if (me != NULL && nb_atomic_load(&me->stop_again, RELAXED) != 0 &&
      nb_atomic_exchange(&me->stop_again, 0u, SEQ_CST) != 0)
    nbsi_stop_self();
}
