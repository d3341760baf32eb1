/* ROWS rows times a weight that is stored in codes: out[m, n] = sum over k of x[m, k] w[n, k], plus bias[n].

   Compiled for one ROWS, one of BFLOAT16, FLOAT16 and FLOAT32 (of x and out), and one form of the weight:
   INT8      w = code * scale[n]: codes int8 [n, k], scale float32 [n]; sums in float32
   DYNAMIC   with INT8: x is rounded to codes too, code = x / scale to nearest even, scale = largest / 127 in float32 for
             each row, as exactly as its contract has it; sums in int32
   INT4      GROUP columns share a scale: w = (code - 8) * scale, or with ASYMMETRIC code * scale + minimum; codes uint8
             [n, k / 2], columns c and c + 16 of each 32 in one byte, the first in its low bits; scale and minimum
             float16 [n, k / GROUP]; sums in float32
   Each code is read once. What it stands for is worked out in registers, in float32. The vectors are those of the target
   that this is compiled for: AVX-512 VNNI, AVX-512, AVX2, or what the compiler has in plain C. */

#include "row_numbers.c"

#if defined __AVX2__
#include <immintrin.h>
#endif

#define BLOCK 32 /* columns whose codes of 4 bits lie together */
#define HALF (BLOCK / 2)
#define VECTORS (HALF / LANES)
#define TOGETHER 8 /* rows of the weight whose steps are widened together */
#define VECTOR 64 /* codes of 8 bits in a vector of AVX-512 */
#define FLIP 128  /* makes a code without a sign of one with: VNNI multiplies one of each kind */
#define LARGEST 127.0f
#define ROUNDING 12582912.0f /* 1.5 * 2^23: a float32 of that size has no bits below 1, so adding it rounds */

#if defined INT4
typedef uint8_t code;
typedef _Float16 step;
#define BYTES(k) ((k) / 2)
#define STEPS(k) ((k) / GROUP)
#else
typedef int8_t code;
typedef float step;
#define BYTES(k) (k)
#define STEPS(k) 1
#endif
typedef int32_t whole_lanes __attribute__((vector_size(4 * LANES)));

/* HALF codes of a byte each, widened, in VECTORS. */
static inline void wide_codes(const code *p, whole_lanes to[VECTORS]) {
#if defined INT4 && LANES == 16
    *to = (whole_lanes)_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)p));
#elif LANES == 16
    *to = (whole_lanes)_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)p));
#elif defined INT4 && defined __AVX2__
    for (int i = 0; i < VECTORS; i++)
        to[i] = (whole_lanes)_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p + i * LANES)));
#elif defined __AVX2__
    for (int i = 0; i < VECTORS; i++)
        to[i] = (whole_lanes)_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p + i * LANES)));
#else
    int32_t wide[HALF];
    for (int i = 0; i < HALF; i++) wide[i] = p[i];
    memcpy(to, wide, sizeof wide);
#endif
}

typedef struct {
    const code *codes;
    const step *scale, *minimum; /* minimum: null but with ASYMMETRIC */
    long n, k;
} weight;

#if defined DYNAMIC
#if defined __AVX512VNNI__
typedef int8_t digit; /* a code of x as the product takes it */
#define DIGITS(k) (((k) + VECTOR - 1) / VECTOR * VECTOR)
#else
typedef int16_t digit;
#define DIGITS(k) (k)
#endif
#else
typedef float digit;
#define DIGITS(k) (k)
#endif

/* x [ROWS, k] as the product takes it: its numbers, or their codes with zeros behind them. */
typedef struct {
    digit *digits;
    float scale[ROWS];
    int32_t total[ROWS]; /* of a row's codes */
} rows;

#if defined INT4
typedef struct {
    lanes table; /* the sixteen numbers of a group, where one vector holds them */
    float scale, offset;
} group;

static inline group group_of(float scale, float minimum) {
    group of = {.scale = scale, .offset = minimum};
#if LANES == 16 && defined ASYMMETRIC
    of.table = (lanes){0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15} * scale + minimum;
#elif LANES == 16
    of.table = (lanes){-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7} * scale;
#endif
    return of;
}

/* What codes stand for, the lower one of a byte or the one above. */
static inline lanes numbers_of(whole_lanes codes, int above, const group *of) {
#if LANES == 16
    whole_lanes places = above ? codes >> 4 : codes; /* of which the table's look-up takes the low four bits */
    return (lanes)_mm512_permutexvar_ps((__m512i)places, (__m512)of->table);
#else
    return __builtin_convertvector(above ? codes >> 4 : codes & 15, lanes) * of->scale + of->offset;
#endif
}

#if defined __F16C__
static inline float wide_step(step x) { return (float)x; }
#else
static inline float wide_step(step x) { /* its fields in a float's places, then the float's larger bias */
    uint16_t half;
    memcpy(&half, &x, sizeof half);
    const uint32_t bits = (uint32_t)(half & 0x7FFF) << 13, sign = (uint32_t)(half & 0x8000) << 16;
    float wide;
    memcpy(&wide, &bits, sizeof wide);
    wide *= 0x1p112f;
    return sign ? -wide : wide;
}
#endif

/* Steps in float32; `to` has room for LANES more. */
static inline void widen_steps(const step *from, float *to, long count) {
    long i = 0;
#if LANES == 16
    for (; i < count; i += LANES) {
        const __mmask16 there = count - i < LANES ? (1 << (count - i)) - 1 : 0xFFFF;
        _mm512_storeu_ps(to + i, _mm512_cvtph_ps(_mm256_maskz_loadu_epi16(there, from + i)));
    }
#elif LANES == 8 && defined __F16C__
    for (; i + LANES <= count; i += LANES)
        _mm256_storeu_ps(to + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(from + i))));
#endif
    for (; i < count; i++) to[i] = wide_step(from[i]);
}

/* The steps of `columns` rows of the weight in float32; the minimum of a symmetric group is what its code 0 is. */
static inline void read_steps(const weight *w, long column, long columns, float *scale, float *minimum) {
    const long first = column * STEPS(w->k), count = columns * STEPS(w->k);
    widen_steps(w->scale + first, scale, count);
#if defined ASYMMETRIC
    widen_steps(w->minimum + first, minimum, count);
#else
    for (long g = 0; g < count; g++) minimum[g] = -8.0f * scale[g];
#endif
}

static inline void product(const rows *x, const weight *w, long column, const float *scale, const float *minimum,
                           float *out) {
    lanes sums[ROWS][2] = {0};
    const code *row = w->codes + column * BYTES(w->k);
    for (long g = 0; g < STEPS(w->k); g++) {
        const group of = group_of(scale[g], minimum[g]);
#pragma GCC unroll 4
        for (long block = g * GROUP; block < (g + 1) * GROUP; block += BLOCK) {
            whole_lanes codes[VECTORS];
            wide_codes(row + block / 2, codes);
#pragma GCC unroll 4
            for (int i = 0; i < VECTORS; i++) {
                const lanes low = numbers_of(codes[i], 0, &of), high = numbers_of(codes[i], 1, &of);
#pragma GCC unroll 8
                for (int m = 0; m < ROWS; m++) {
                    const float *from = x->digits + m * w->k + block + i * LANES;
                    sums[m][0] += low * *(const lanes *)from;
                    sums[m][1] += high * *(const lanes *)(from + HALF);
                }
            }
        }
    }
#pragma GCC unroll 8
    for (int m = 0; m < ROWS; m++) out[m] = sum(sums[m][0] + sums[m][1]);
}

static inline void dequantise_row(const weight *w, long column, number *out) {
    float scale[STEPS(w->k) + LANES], minimum[STEPS(w->k) + LANES];
    const code *row = w->codes + column * BYTES(w->k);
    read_steps(w, column, 1, scale, minimum);
    for (long block = 0; block < w->k; block += BLOCK) {
        const float step = scale[block / GROUP], least = minimum[block / GROUP];
        for (int i = 0; i < HALF; i++) {
            out[block + i] = narrow((float)(row[block / 2 + i] & 15) * step + least);
            out[block + i + HALF] = narrow((float)(row[block / 2 + i] >> 4) * step + least);
        }
    }
}
#else
static inline void dequantise_row(const weight *w, long column, number *out) {
    for (long i = 0; i < w->k; i++) out[i] = narrow((float)w->codes[column * w->k + i] * w->scale[column]);
}

#if !defined DYNAMIC
static inline void product(const rows *x, const weight *w, long column, const float *scale, const float *minimum,
                           float *out) {
    (void)minimum;
    lanes sums[ROWS][2] = {0};
    const code *row = w->codes + column * w->k;
    long i = 0;
    for (; i + 2 * HALF <= w->k; i += 2 * HALF)
#pragma GCC unroll 2
        for (int part = 0; part < 2; part++) {
            whole_lanes codes[VECTORS];
            wide_codes(row + i + part * HALF, codes);
#pragma GCC unroll 4
            for (int v = 0; v < VECTORS; v++) {
                const lanes wide = __builtin_convertvector(codes[v], lanes);
#pragma GCC unroll 8
                for (int m = 0; m < ROWS; m++)
                    sums[m][part] += wide * *(const lanes *)(x->digits + m * w->k + i + part * HALF + v * LANES);
            }
        }
#pragma GCC unroll 8
    for (int m = 0; m < ROWS; m++) {
        float total = sum(sums[m][0] + sums[m][1]);
        for (long j = i; j < w->k; j++) total += (float)row[j] * x->digits[m * w->k + j];
        out[m] = total * *scale;
    }
}
#elif defined __AVX512VNNI__
/* Sums modulo 2^32, which is exact: a sum of k products of codes is less than 2^31 where k is at most 133,000. */
static inline void product(const rows *x, const weight *w, long column, const float *scale, const float *minimum,
                           float *out) {
    (void)minimum;
    const __m512i flip = _mm512_set1_epi8((char)FLIP);
    const code *row = w->codes + column * w->k;
    __m512i sums[ROWS] = {0};
    long i = 0;
#pragma GCC unroll 2
    for (; i + VECTOR <= w->k; i += VECTOR) {
        __m512i codes = _mm512_xor_si512(_mm512_loadu_si512(row + i), flip);
#pragma GCC unroll 8
        for (int m = 0; m < ROWS; m++)
            sums[m] = _mm512_dpbusd_epi32(sums[m], codes, *(const __m512i *)(x->digits + m * DIGITS(w->k) + i));
    }
    if (i < w->k) {
        __m512i codes = _mm512_xor_si512(_mm512_maskz_loadu_epi8(~0ULL >> (VECTOR - (w->k - i)), row + i), flip);
#pragma GCC unroll 8
        for (int m = 0; m < ROWS; m++)
            sums[m] = _mm512_dpbusd_epi32(sums[m], codes, *(const __m512i *)(x->digits + m * DIGITS(w->k) + i));
    }
#pragma GCC unroll 8
    for (int m = 0; m < ROWS; m++) {
        int32_t total = (int32_t)((uint32_t)_mm512_reduce_add_epi32(sums[m]) - FLIP * (uint32_t)x->total[m]);
        out[m] = (float)total * (x->scale[m] * *scale);
    }
}
#else
static inline void product(const rows *x, const weight *w, long column, const float *scale, const float *minimum,
                           float *out) {
    (void)minimum;
    const code *row = w->codes + column * w->k;
#pragma GCC unroll 8
    for (int m = 0; m < ROWS; m++) {
        const digit *digits = x->digits + m * w->k;
        int32_t total = 0;
        for (long i = 0; i < w->k; i++) total += (int32_t)row[i] * digits[i];
        out[m] = (float)total * (x->scale[m] * *scale);
    }
}
#endif
#endif

#if defined DYNAMIC
static inline void take(rows *to, int m, const number *x, long k) {
    digit *digits = to->digits + m * DIGITS(k);
    uint32_t largest = 0; /* the bits of floats without a sign are in the order of the floats */
    for (long i = 0; i < k; i++) {
        float wide = widen_one(x[i]);
        uint32_t bits;
        memcpy(&bits, &wide, sizeof bits);
        bits &= 0x7FFFFFFF;
        largest = bits > largest ? bits : largest;
    }
    float scale;
    memcpy(&scale, &largest, sizeof scale);
    scale /= LARGEST;
    int32_t total = 0;
    for (long i = 0; i < k; i++) {
        float quotient = scale > 0.0f ? widen_one(x[i]) / scale : 0.0f;
        float whole = (quotient + ROUNDING) - ROUNDING;
        int32_t kept = (int32_t)(whole > LARGEST ? LARGEST : whole < -LARGEST ? -LARGEST : whole);
        digits[i] = (digit)kept;
        total += kept;
    }
    memset(digits + k, 0, sizeof(digit) * (DIGITS(k) - k));
    to->scale[m] = scale;
    to->total[m] = total;
}
#else
static inline void take(rows *to, int m, const number *x, long k) {
    for (long i = 0; i < k; i++) to->digits[m * k + i] = widen_one(x[i]);
}
#endif

static void columns(const rows *x, const weight *w, const number *bias, number *out, long first, long last) {
    const long steps = STEPS(w->k);
#if defined INT4
    float scale[TOGETHER * steps + LANES], minimum[TOGETHER * steps + LANES];
#endif
    float sums[ROWS];
    for (long start = first; start < last; start += TOGETHER) {
        const long stop = start + TOGETHER < last ? start + TOGETHER : last;
#if defined INT4
        read_steps(w, start, stop - start, scale, minimum);
#else
        const float *scale = w->scale + start, *minimum = scale;
#endif
        for (long column = start; column < stop; column++) {
            const long step = (column - start) * steps;
            product(x, w, column, scale + step, minimum + step, sums);
#pragma GCC unroll 8
            for (int m = 0; m < ROWS; m++)
                out[m * w->n + column] = narrow(bias ? sums[m] + widen_one(bias[column]) : sums[m]);
        }
    }
}

/* x [ROWS, k] with dense rows, a stride in numbers between them; bias [n] or null; out [ROWS, n]. The planes of the
   weight are dense. 1 for want of memory. */
int quantized_rows(const number *x, const code *codes, const step *scale, const step *minimum, const number *bias,
                   number *out, long n, long k, long x_stride, int threads) {
    const weight w = {codes, scale, minimum, n, k};
    rows taken = {lines(sizeof(digit) * ROWS * (size_t)DIGITS(k)), {0}, {0}};
    if (!taken.digits) return 1;
    for (int m = 0; m < ROWS; m++) take(&taken, m, x + m * x_stride, k);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int part = 0; part < threads; part++)
        columns(&taken, &w, bias, out, n * part / threads, n * (part + 1) / threads);
    free(taken.digits);
    return 0;
}

/* What the codes stand for, rounded once: out [n, k]. */
void dequantised_rows(const code *codes, const step *scale, const step *minimum, number *out, long n, long k,
                      int threads) {
    const weight w = {codes, scale, minimum, n, k};
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (long column = 0; column < n; column++) dequantise_row(&w, column, out + column * k);
}
