/* What a decoder does to a row between its products: RMSNorm, turning by angles, SwiGLU. All in float32, rounded once.

   Compiled for one of BFLOAT16, FLOAT16 and FLOAT32. The loops are plain, for the compiler to make vectors of. */

#include "row_numbers.c"

#define MANY 16384     /* numbers from which a second thread pays */
#define SMALLEST -87.0f /* e to a smaller power is hardly a float any more */
#define LARGEST_POWER 88.0f
#define WHOLE 12582912.0f /* 1.5 * 2^23: a float32 of that size has no bits below 1, so adding it rounds */
#define LN2_HIGH 0.693359375f /* few bits, so that its multiples are exact */
#define LN2_LOW -2.12194440e-4f

/* e^x by the series of e^r to the seventh power, with x = n ln 2 + r and r at most half of ln 2: within 2e-7. */
static inline float exponential(float x) {
    x = x < SMALLEST ? SMALLEST : x > LARGEST_POWER ? LARGEST_POWER : x;
    const float n = (x * 1.44269504f + WHOLE) - WHOLE;
    const float r = (x - n * LN2_HIGH) - n * LN2_LOW;
    float series = 1.0f + r / 7.0f;
    series = 1.0f + r * (1.0f / 6.0f) * series;
    series = 1.0f + r * (1.0f / 5.0f) * series;
    series = 1.0f + r * (1.0f / 4.0f) * series;
    series = 1.0f + r * (1.0f / 3.0f) * series;
    series = 1.0f + r * (1.0f / 2.0f) * series;
    series = 1.0f + r * series;
    const int32_t bits = ((int32_t)n + 127) << 23;
    float power;
    memcpy(&power, &bits, sizeof power);
    return series * power;
}

/* out may be x. */
static inline void norm_row(const number *x, const number *weight, number *out, long width, float eps) {
    float squares = 0.0f;
#pragma omp simd reduction(+ : squares)
    for (long i = 0; i < width; i++) squares += widen_one(x[i]) * widen_one(x[i]);
    const float factor = 1.0f / __builtin_sqrtf(squares / (float)width + eps);
#pragma omp simd
    for (long i = 0; i < width; i++) out[i] = narrow(widen_one(x[i]) * factor * widen_one(weight[i]));
}

/* One head of `width` channels, whose pairs are halves apart, or neighbours; out may be x. */
static inline void turn_head(const number *x, const float *cos, const float *sin, number *out, long width,
                             int neighbours) {
    const long half = width / 2, step = neighbours ? 2 : 1, apart = neighbours ? 1 : half;
#pragma omp simd
    for (long i = 0; i < half; i++) {
        const float first = widen_one(x[i * step]), second = widen_one(x[i * step + apart]);
        out[i * step] = narrow(first * cos[i] - second * sin[i]);
        out[i * step + apart] = narrow(second * cos[i] + first * sin[i]);
    }
}

/* gate and up [2 width] -> [width] */
static inline void swiglu_row(const number *x, number *out, long width) {
#pragma omp simd
    for (long i = 0; i < width; i++) {
        const float gate = widen_one(x[i]);
        out[i] = narrow(gate / (1.0f + exponential(-gate)) * widen_one(x[width + i]));
    }
}

/* x [rows, width] with dense rows, a stride in numbers between them; weight [width]; out dense. */
void norm_rows(const number *x, const number *weight, number *out, const float *eps, long rows, long width, long stride,
               int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && rows > 1 && rows * width > MANY)
    for (long row = 0; row < rows; row++) norm_row(x + row * stride, weight, out + row * width, width, *eps);
}

/* x [tokens, heads, width] with dense heads, a stride in numbers between tokens; tables float32 [P, width / 2];
   positions [tokens]; out dense. */
void turn_rows(const number *x, const float *cos, const float *sin, const int64_t *positions, number *out, long tokens,
               long heads, long width, long stride, long neighbours, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && tokens > 1 && tokens * heads * width > MANY)
    for (long token = 0; token < tokens; token++) {
        const long angles = positions[token] * (width / 2);
        for (long head = 0; head < heads; head++)
            turn_head(x + token * stride + head * width, cos + angles, sin + angles,
                      out + (token * heads + head) * width, width, (int)neighbours);
    }
}

/* x [rows, 2 width] with dense rows, a stride in numbers between them; out [rows, width], dense. */
void swiglu_rows(const number *x, number *out, long rows, long width, long stride, int threads) {
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && rows > 1 && rows * width > MANY)
    for (long row = 0; row < rows; row++) swiglu_row(x + row * stride, out + row * width, width);
}
