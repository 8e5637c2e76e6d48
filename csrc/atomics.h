/* atomics.h - every atomic access to shared words, with its memory order spelled out.
 *
 * One choke point, so that a schedule explorer can be put under all of them, and so that
 * a review can list them with grep. Orders: RELAXED for hints and for words guarded by
 * the lock, ACQUIRE/RELEASE for publishing data, SEQ_CST where two sides each store one
 * word and load the other's (Dekker): x86 would hide a missing fence there, ARM not. */
#ifndef NBS_ATOMICS_H
#define NBS_ATOMICS_H

#include <stdint.h>

#define NB_RELAXED __ATOMIC_RELAXED
#define NB_ACQUIRE __ATOMIC_ACQUIRE
#define NB_RELEASE __ATOMIC_RELEASE
#define NB_ACQ_REL __ATOMIC_ACQ_REL
#define NB_SEQ_CST __ATOMIC_SEQ_CST

#define nb_atomic_load(p, order)        __atomic_load_n((p), NB_##order)
#define nb_atomic_store(p, v, order)    __atomic_store_n((p), (v), NB_##order)
#define nb_atomic_exchange(p, v, order) __atomic_exchange_n((p), (v), NB_##order)
#define nb_atomic_add(p, v, order)      __atomic_fetch_add((p), (v), NB_##order)
#define nb_atomic_sub(p, v, order)      __atomic_fetch_sub((p), (v), NB_##order)
#define nb_atomic_or(p, v, order)       __atomic_fetch_or((p), (v), NB_##order)
#define nb_atomic_and(p, v, order)      __atomic_fetch_and((p), (v), NB_##order)
/* True when *p held *expected and now holds v; else *expected is what *p holds. */
#define nb_atomic_cas(p, expected, v, order) \
  __atomic_compare_exchange_n((p), (expected), (v), 0, NB_##order, NB_ACQUIRE)

#ifdef __SANITIZE_THREAD__
/* TSan does not model fences; a read-modify-write of one word orders as strongly. */
extern uint32_t nbsi_tsan_fence_word;
#define nb_atomic_fence() ((void)nb_atomic_add(&nbsi_tsan_fence_word, 0u, SEQ_CST))
#else
#define nb_atomic_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)
#endif

/* What a spinning thread does between two looks. */
static inline void nb_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield" ::: "memory");
#else
  __asm__ __volatile__("" ::: "memory");
#endif
}

#endif
