/* interrupts.c - whether a SIGINT came from this process itself.
 *
 * Python's handlers are not told who sent a signal. So a handler of ours stands in front of
 * the one that Python has installed, counts what others sent, and calls that. */
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "atomics.h"
#include "impl.h"

static struct sigaction behind; /* what was installed before */
static uint32_t by_others;      /* since it was last asked */

static void note_sender(int signo, siginfo_t *info, void *context) {
  (void)context;
  if (info->si_pid != getpid()) nb_atomic_add(&by_others, 1, SEQ_CST);
  behind.sa_handler(signo);
}

int nbs_interrupted_itself(void) {
  struct sigaction now;
  if (sigaction(SIGINT, NULL, &now) != 0) return 0;
  if (now.sa_flags & SA_SIGINFO) {
    return now.sa_sigaction == note_sender && nb_atomic_exchange(&by_others, 0, SEQ_CST) == 0;
  }
  if (now.sa_handler == SIG_IGN || now.sa_handler == SIG_DFL) return 0;
  behind = now;
  now.sa_flags |= SA_SIGINFO;
  now.sa_sigaction = note_sender;
  sigaction(SIGINT, &now, NULL);
  return 0;
}
