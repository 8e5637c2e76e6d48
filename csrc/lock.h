/* lock.h - the one lock of the segment.
 *
 * A robust process-shared mutex. Whoever finds that its owner died repairs everything
 * derived (repair.c) before anyone else gets in. Never held across Python code or a
 * system call that may take long. */
#ifndef NBS_LOCK_H
#define NBS_LOCK_H

#include "impl.h"

int nbsi_lock_init(nbsi_header *h);

/* nbsi_lock: NBS_OK with the lock held; NBS_ECORRUPT or NBS_ETIMEOUT (its owner is alive
 * but has been stopped for 10 s, and could not be helped out of it) without it. */
int nbsi_lock(nbs_seg *s);
void nbsi_unlock(nbs_seg *s);
int64_t nbsi_lock_holder(nbs_seg *s); /* thread id; 0: nobody, or unknown */

#endif
