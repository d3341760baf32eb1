/* ROWS rows times a weight: out[m, n] = sum over k of x[m, k] w[n, k], plus bias[n]; sums in float32, rounded once.

   Each row of the weight is read once, which is what a processor's memory serves fastest in few streams. Compiled for
   one ROWS and one of BFLOAT16, FLOAT16 and FLOAT32. UNROLL: sums for each row of x, so that an addition need not wait
   for the one before. COLUMNS: rows of the weight that are read together, so that x is loaded once for them. */

#include "row_numbers.c"

/* WIDTH columns of out from `column` on; x is [ROWS, k] in float32 and dense. WIDTH is known when this is compiled. */
static inline __attribute__((always_inline)) void together(const float *x, const number *w, const number *bias,
                                                           number *out, long n, long k, long w_stride, long column,
                                                           const int WIDTH) {
    const number *row = w + column * w_stride;
    lanes sums[ROWS][COLUMNS][UNROLL] = {0};
    float total[ROWS][COLUMNS];
    long i = 0;
    for (; i + UNROLL * LANES <= k; i += UNROLL * LANES)
#pragma GCC unroll 8
        for (int part = 0; part < UNROLL; part++)
#pragma GCC unroll 8
            for (int c = 0; c < WIDTH; c++) {
                lanes weight = widen(row + c * w_stride + i + part * LANES);
#pragma GCC unroll 8
                for (int m = 0; m < ROWS; m++)
                    sums[m][c][part] += weight * *(const lanes *)(x + m * k + i + part * LANES);
            }
#pragma GCC unroll 8
    for (int m = 0; m < ROWS; m++)
#pragma GCC unroll 8
        for (int c = 0; c < WIDTH; c++) {
#pragma GCC unroll 8
            for (int part = 1; part < UNROLL; part++) sums[m][c][0] += sums[m][c][part];
            total[m][c] = sum(sums[m][c][0]);
        }
    for (; i < k; i++)
#pragma GCC unroll 8
        for (int c = 0; c < WIDTH; c++)
#pragma GCC unroll 8
            for (int m = 0; m < ROWS; m++) total[m][c] += widen_one(row[c * w_stride + i]) * x[m * k + i];
#pragma GCC unroll 8
    for (int m = 0; m < ROWS; m++)
#pragma GCC unroll 8
        for (int c = 0; c < WIDTH; c++)
            out[m * n + column + c] = narrow(bias ? total[m][c] + widen_one(bias[column + c]) : total[m][c]);
}

/* Columns first to last - 1 of out. */
static void columns(const float *x, const number *w, const number *bias, number *out, long n, long k, long w_stride,
                    long first, long last) {
    long column = first;
    for (; column + COLUMNS <= last; column += COLUMNS) together(x, w, bias, out, n, k, w_stride, column, COLUMNS);
    for (; column < last; column++) together(x, w, bias, out, n, k, w_stride, column, 1);
}

/* x [ROWS, k] and w [n, k] with dense rows, strides in numbers; bias [n] or null; out [ROWS, n]. 1 for want of memory. */
int linear_rows(const number *x, const number *w, const number *bias, number *out, long n, long k, long x_stride,
                long w_stride, int threads) {
    float *wide = lines(sizeof(float) * ROWS * (size_t)k);
    if (!wide) return 1;
    for (long m = 0; m < ROWS; m++)
        for (long i = 0; i < k; i++) wide[m * k + i] = widen_one(x[m * x_stride + i]);
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1)
    for (int part = 0; part < threads; part++)
        columns(wide, w, bias, out, n, k, w_stride, n * part / threads, n * (part + 1) / threads);
    free(wide);
    return 0;
}
