/* What the kernels for few rows share, which include it: numbers of BFLOAT16, FLOAT16 or FLOAT32, one or LANES of them
   at a time, widened to float32 and rounded back once, with the vectors that GCC and Clang have on every processor. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined __AVX512F__ /* as many as a register holds */
#define LANES 16
#elif defined __AVX__
#define LANES 8
#else
#define LANES 4
#endif
#define LINE 64 /* bytes of the cache: an aligned vector lies in one */

typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4)));
typedef uint32_t bits32 __attribute__((vector_size(4 * LANES)));

#if defined BFLOAT16
typedef uint16_t number;
#elif defined FLOAT16
typedef _Float16 number;
#else
typedef float number;
#endif
typedef number numbers __attribute__((vector_size(sizeof(number) * LANES), aligned(sizeof(number))));

#if defined BFLOAT16
static inline lanes widen(const number *p) {
    return (lanes)(__builtin_convertvector(*(const numbers *)p, bits32) << 16);
}

static inline float widen_one(number x) {
    uint32_t bits = (uint32_t)x << 16;
    float wide;
    memcpy(&wide, &bits, sizeof wide);
    return wide;
}

static inline number narrow(float x) { /* halves to even */
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if (x != x) return (number)((bits >> 16) | 0x40);
    return (number)((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16);
}
#else
static inline lanes widen(const number *p) { return __builtin_convertvector(*(const numbers *)p, lanes); }
static inline float widen_one(number x) { return (float)x; }
static inline number narrow(float x) { return (number)x; }
#endif

typedef float quarter_lanes __attribute__((vector_size(16)));
#if LANES == 16
typedef float half_lanes __attribute__((vector_size(32)));
static inline quarter_lanes folded(lanes x) {
    half_lanes y = __builtin_shufflevector(x, x, 0, 1, 2, 3, 4, 5, 6, 7) +
                   __builtin_shufflevector(x, x, 8, 9, 10, 11, 12, 13, 14, 15);
    return __builtin_shufflevector(y, y, 0, 1, 2, 3) + __builtin_shufflevector(y, y, 4, 5, 6, 7);
}
#elif LANES == 8
static inline quarter_lanes folded(lanes x) {
    return __builtin_shufflevector(x, x, 0, 1, 2, 3) + __builtin_shufflevector(x, x, 4, 5, 6, 7);
}
#else
static inline quarter_lanes folded(lanes x) { return x; }
#endif

static inline float sum(lanes x) {
    quarter_lanes y = folded(x);
    return (y[0] + y[2]) + (y[1] + y[3]);
}

/* Memory for so many bytes, in whole lines of the cache; null where there is none. */
static inline void *lines(size_t bytes) { return aligned_alloc(LINE, (bytes + LINE - 1) / LINE * LINE); }
