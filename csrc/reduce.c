/* reduce.c - see reduce.h. Plain loops that the compiler turns into vectors, once for the
 * processors of today and once for all.
 *
 * As NumPy does it: whole numbers wrap around, MIN and MAX hand on NaN, the sum of bools is
 * "or" and their product "and". Half precision is computed in float and rounded to nearest
 * even after each step, as NumPy rounds it. */
#include "reduce.h"

#include <string.h>

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#define NO_DEPENDENCE _Pragma("GCC ivdep")
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(__SANITIZE_ADDRESS__) && \
    !defined(__SANITIZE_THREAD__)
#define FAST __attribute__((target_clones("avx2", "default")))
#endif
#elif defined(__clang__)
#define NO_DEPENDENCE _Pragma("clang loop vectorize(assume_safety)")
#endif
#ifndef FAST
#define FAST
#endif

/* Arrays of users may lie anywhere and may be looked at as any type. */
#define ANYWHERE __attribute__((aligned(1), may_alias))
typedef uint8_t ANYWHERE a_u8;
typedef int8_t ANYWHERE a_i8;
typedef uint16_t ANYWHERE a_u16;
typedef int16_t ANYWHERE a_i16;
typedef uint32_t ANYWHERE a_u32;
typedef int32_t ANYWHERE a_i32;
typedef uint64_t ANYWHERE a_u64;
typedef int64_t ANYWHERE a_i64;
typedef float ANYWHERE a_f32;
typedef double ANYWHERE a_f64;

/* ------------------------------------------------------- half precision */

static inline float from_bits(uint32_t u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}
static inline uint32_t to_bits(float f) {
  uint32_t u;
  memcpy(&u, &f, 4);
  return u;
}

/* Exponents are moved by a multiplication, which gets subnormal numbers right as well. */
static inline float f16_load(uint16_t h) {
  uint32_t bits = (uint32_t)(h & 0x7fff) << 13;
  float f = from_bits(bits) * 0x1p112f;
  uint32_t special =
      (h & 0x7c00) == 0x7c00 ? 0x7f800000u | (uint32_t)(h & 0x3ff) << 13 : to_bits(f);
  return from_bits(special | (uint32_t)(h & 0x8000) << 16);
}

static inline uint16_t f16_store(float f) {
  uint32_t u = to_bits(f), sign = u >> 16 & 0x8000, a = u & 0x7fffffff;
  /* Normal: rebias and round to nearest even by adding. Overflows run into infinity. */
  uint32_t normal = (a - 0x38000000u + 0xfffu + (a >> 13 & 1)) >> 13;
  /* Subnormal: adding 0.5 lines the bits up, and the addition rounds. */
  uint32_t small = to_bits(from_bits(a) + 0.5f) - 0x3f000000u;
  uint32_t h = a < 0x38800000u ? small : normal;
  h = a >= 0x47800000u ? 0x7c00u : h;
  h = a > 0x7f800000u ? 0x7e00u : h;
  return (uint16_t)(h | sign);
}

static inline float bf16_load(uint16_t h) { return from_bits((uint32_t)h << 16); }

static inline uint16_t bf16_store(float f) {
  uint32_t u = to_bits(f);
  uint32_t rounded = (u + 0x7fffu + (u >> 16 & 1)) >> 16;
  return (uint16_t)((u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40u : rounded);
}

/* ---------------------------------------------------------------- kernels */

/* One function per type and operation: `x` and `y` are the elements, `expr` the result. */
#define KERNEL(name, type, expr)                                               \
  FAST static void name(void *dst, const void *a, const void *b, uint64_t n) { \
    type *d = dst;                                                             \
    const type *p = a, *q = b;                                                 \
    NO_DEPENDENCE                                                              \
    for (uint64_t i = 0; i < n; i++) {                                         \
      type x = p[i], y = q[i];                                                 \
      d[i] = (type)(expr);                                                     \
    }                                                                          \
  }
#define HALF_KERNEL(name, load, store, expr)                                   \
  FAST static void name(void *dst, const void *a, const void *b, uint64_t n) { \
    a_u16 *d = dst;                                                            \
    const a_u16 *p = a, *q = b;                                                \
    NO_DEPENDENCE                                                              \
    for (uint64_t i = 0; i < n; i++) {                                         \
      float x = load(p[i]), y = load(q[i]);                                    \
      d[i] = store(expr);                                                      \
    }                                                                          \
  }

#define LESS(x, y)        ((x) < (y) ? (x) : (y))
#define MORE(x, y)        ((x) > (y) ? (x) : (y))
#define LESS_OR_NAN(x, y) ((x) < (y) || (x) != (x) ? (x) : (y))
#define MORE_OR_NAN(x, y) ((x) > (y) || (x) != (x) ? (x) : (y))

#define WHOLE(w)                                     \
  KERNEL(sum_##w, a_u##w, (uint64_t)x + (uint64_t)y) \
  KERNEL(prod_##w, a_u##w, (uint64_t)x *(uint64_t)y) \
  KERNEL(min_i##w, a_i##w, LESS(x, y))               \
  KERNEL(max_i##w, a_i##w, MORE(x, y))               \
  KERNEL(min_u##w, a_u##w, LESS(x, y))               \
  KERNEL(max_u##w, a_u##w, MORE(x, y))
WHOLE(8)
WHOLE(16)
WHOLE(32)
WHOLE(64)
KERNEL(any_bool, a_u8, (x | y) != 0)
KERNEL(all_bool, a_u8, (x != 0) & (y != 0))

#define REAL(name, type)                      \
  KERNEL(sum_##name, type, x + y)             \
  KERNEL(prod_##name, type, x *y)             \
  KERNEL(min_##name, type, LESS_OR_NAN(x, y)) \
  KERNEL(max_##name, type, MORE_OR_NAN(x, y))
REAL(f32, a_f32)
REAL(f64, a_f64)

#define HALF(name)                                                      \
  HALF_KERNEL(sum_##name, name##_load, name##_store, x + y)             \
  HALF_KERNEL(prod_##name, name##_load, name##_store, x *y)             \
  HALF_KERNEL(min_##name, name##_load, name##_store, LESS_OR_NAN(x, y)) \
  HALF_KERNEL(max_##name, name##_load, name##_store, MORE_OR_NAN(x, y))
HALF(f16)
HALF(bf16)

/* Complex numbers lie as pairs; their sum is that of twice as many real ones. */
#define COMPLEX_PRODUCT(name, type)                                            \
  FAST static void name(void *dst, const void *a, const void *b, uint64_t n) { \
    type *d = dst;                                                             \
    const type *p = a, *q = b;                                                 \
    NO_DEPENDENCE                                                              \
    for (uint64_t i = 0; i < n; i += 2) {                                      \
      type re = p[i] * q[i] - p[i + 1] * q[i + 1];                             \
      type im = p[i] * q[i + 1] + p[i + 1] * q[i];                             \
      d[i] = re;                                                               \
      d[i + 1] = im;                                                           \
    }                                                                          \
  }
COMPLEX_PRODUCT(prod_c64, a_f32)
COMPLEX_PRODUCT(prod_c128, a_f64)

typedef void kernel(void *, const void *, const void *, uint64_t);
typedef struct {
  uint32_t size;   /* bytes of an element */
  uint32_t scalar; /* bytes of what a kernel counts */
  kernel *op[4];   /* SUM, PRODUCT, MIN, MAX */
} element;

static const element elements[NBS_N_TYPES] = {
    [NBS_BOOL] = {1, 1, {any_bool, all_bool, all_bool, any_bool}},
    [NBS_I8] = {1, 1, {sum_8, prod_8, min_i8, max_i8}},
    [NBS_U8] = {1, 1, {sum_8, prod_8, min_u8, max_u8}},
    [NBS_I16] = {2, 2, {sum_16, prod_16, min_i16, max_i16}},
    [NBS_U16] = {2, 2, {sum_16, prod_16, min_u16, max_u16}},
    [NBS_I32] = {4, 4, {sum_32, prod_32, min_i32, max_i32}},
    [NBS_U32] = {4, 4, {sum_32, prod_32, min_u32, max_u32}},
    [NBS_I64] = {8, 8, {sum_64, prod_64, min_i64, max_i64}},
    [NBS_U64] = {8, 8, {sum_64, prod_64, min_u64, max_u64}},
    [NBS_F16] = {2, 2, {sum_f16, prod_f16, min_f16, max_f16}},
    [NBS_BF16] = {2, 2, {sum_bf16, prod_bf16, min_bf16, max_bf16}},
    [NBS_F32] = {4, 4, {sum_f32, prod_f32, min_f32, max_f32}},
    [NBS_F64] = {8, 8, {sum_f64, prod_f64, min_f64, max_f64}},
    [NBS_C64] = {8, 4, {sum_f32, prod_c64, NULL, NULL}},
    [NBS_C128] = {16, 8, {sum_f64, prod_c128, NULL, NULL}},
};

uint32_t nbsi_element_size(uint32_t type) { return type < NBS_N_TYPES ? elements[type].size : 0; }

int nbsi_reducible(uint32_t type, uint32_t op) {
  if (type >= NBS_N_TYPES) return 0;
  if (op == NBS_AVERAGE) return type >= NBS_F16;
  return op < 4 && elements[type].op[op] != NULL;
}

void nbsi_reduce(void *dst, const void *a, const void *b, uint64_t bytes, uint32_t type,
                 uint32_t op) {
  const element *e = &elements[type];
  e->op[op == NBS_AVERAGE ? NBS_SUM : op](dst, a, b, bytes / e->scalar);
}

void nbsi_average(void *dst, uint64_t bytes, uint32_t type, uint32_t n) {
  a_f32 *f = dst;
  a_f64 *d = dst;
  a_u16 *h = dst;
  float by = (float)n;
  switch (type) {
    case NBS_F16:
      for (uint64_t i = 0; i < bytes / 2; i++) h[i] = f16_store(f16_load(h[i]) / by);
      break;
    case NBS_BF16:
      for (uint64_t i = 0; i < bytes / 2; i++) h[i] = bf16_store(bf16_load(h[i]) / by);
      break;
    case NBS_F32:
    case NBS_C64:
      for (uint64_t i = 0; i < bytes / 4; i++) f[i] /= by;
      break;
    default: /* NBS_F64, NBS_C128 */
      for (uint64_t i = 0; i < bytes / 8; i++) d[i] /= (double)n;
  }
}
