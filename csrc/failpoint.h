/* failpoint.h - dying at a marked point, for the crash tests. Built with -DNB_FAILPOINTS
 * only; in other builds NB_FAILPOINT(name) is nothing. */
#ifndef NBS_FAILPOINT_H
#define NBS_FAILPOINT_H

/* nbsi_failpoint_arm makes this process kill itself when it comes to `name` for the n-th
 * time from now (0: the first). NULL disarms. */
void nbsi_failpoint_arm(const char *name, int n);
/* nbsi_failpoint_linger: before it dies there, it writes one byte to `fd`, stays for `ns`
 * nanoseconds, and writes the time (CLOCK_MONOTONIC ns, 8 bytes). -1: it dies at once. */
void nbsi_failpoint_linger(int fd, long ns);
/* nbsi_failpoint_freeze: instead of dying there, it stops itself (SIGSTOP), and goes on later. */
void nbsi_failpoint_freeze(int on);
/* nbsi_failpoint_call: instead of dying there, it calls this, once, and goes on. */
void nbsi_failpoint_call(void (*instead)(void));
int nbsi_failpoint_hits(void); /* how often the armed point was passed */

/* All marked points; crash_test.c must reach each of them. Ends with NULL. */
extern const char *const nbsi_failpoints[];

#endif
