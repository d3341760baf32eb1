/* All layers of a decoder for a few new tokens of each sequence, in one call: RMSNorm, products, turning, storing keys
   and values, attention, SwiGLU, and the sums of the residual stream. Each result is rounded to the dtype where it would
   be if the kernels were called one by one.

   Compiled for one of BFLOAT16, FLOAT16 and FLOAT32 and one HEAD_DIM. Products are functions of the kernels for few
   rows, linear_rows.c and quantized_rows.c, each compiled for its format. Structures have fields of 8 bytes alone. */

#include "decode_rows.c"

typedef int dense_product(const number *x, const number *w, const number *bias, number *out, long n, long k,
                          long x_stride, long w_stride, int threads);
typedef int coded_product(const number *x, const void *codes, const void *scale, const void *minimum,
                          const number *bias, number *out, long n, long k, long x_stride, int threads);

typedef struct {
    void *function;
    const void *weight, *scale, *minimum, *bias; /* scale: null of a weight in the dtype */
    long n, k, stride;
} product;

typedef struct {
    const number *attention_norm, *mlp_norm, *query_norm, *key_norm; /* the last two: null where there are none */
    const float *cos, *sin;                                          /* [positions, HEAD_DIM / 2] */
    number *keys, *values;                                           /* blocks of the cache */
    long window;
    product qkv, output, gate_up, down;
} layer;

static inline int multiply(const product *by, const number *x, number *out, int threads) {
    if (!by->scale)
        return ((dense_product *)by->function)(x, by->weight, by->bias, out, by->n, by->k, by->k, by->stride, threads);
    return ((coded_product *)by->function)(x, by->weight, by->scale, by->minimum, by->bias, out, by->n, by->k, by->k,
                                           threads);
}

/* Heads [heads, HEAD_DIM] of one token: normed where there is a weight, turned, and written to `to`. */
static inline void place_heads(number *x, long heads, const number *norm, const float *cos, const float *sin, float eps,
                               number *to, long apart) {
    for (long head = 0; head < heads; head++) {
        number *from = x + head * HEAD_DIM;
        if (norm) norm_row(from, norm, from, HEAD_DIM, eps);
        turn_head(from, cos, sin, to + head * apart, HEAD_DIM, 0);
    }
}

/* Queries of all tokens are turned where they lie; keys and values go to their places in the cache. */
static void store(const layer *at, number *qkv, const int32_t *lengths, const shape *of, float eps) {
    const long width = (of->q_heads + 2 * of->kv_heads) * HEAD_DIM;
    for (long row = 0; row < of->batch * of->new; row++) {
        const long b = row / of->new, position = lengths[b] - of->new + row % of->new;
        const float *cos = at->cos + position * (HEAD_DIM / 2), *sin = at->sin + position * (HEAD_DIM / 2);
        number *q = qkv + row * width, *k = q + of->q_heads * HEAD_DIM, *v = k + of->kv_heads * HEAD_DIM;
        place_heads(q, of->q_heads, at->query_norm, cos, sin, eps, q, HEAD_DIM);
        place_heads(k, of->kv_heads, at->key_norm, cos, sin, eps,
                    at->keys + b * of->k_batch + position * of->k_token, of->k_head);
        for (long head = 0; head < of->kv_heads; head++)
            memcpy(at->values + b * of->v_batch + position * of->v_token + head * of->v_head, v + head * HEAD_DIM,
                   sizeof(number) * HEAD_DIM);
    }
}

static inline void add(number *x, const number *branch, long count) {
#pragma omp simd
    for (long i = 0; i < count; i++) x[i] = narrow(widen_one(x[i]) + widen_one(branch[i]));
}

/* x [batch * new, hidden], dense, is what goes in and what comes out. lengths [batch], new tokens counted; strides of q
   and out in the shape are those of qkv and of its attention here. scale_eps: of scores, and of RMSNorm. 1 for want of
   memory. */
int layer_rows(const layer *layers, number *x, const int32_t *lengths, const shape *given, const float *scale_eps,
               long count, long hidden, long inner, int threads) {
    const long rows = given->batch * given->new, heads = given->q_heads * HEAD_DIM;
    const long width = heads + 2 * given->kv_heads * HEAD_DIM, widest = width > 2 * inner ? width : 2 * inner;
    const long narrow_width = heads > hidden ? heads : hidden;
    const float eps = scale_eps[1];
    number *wide = lines(sizeof(number) * (size_t)(rows * (widest + inner + 2 * narrow_width)));
    if (!wide) return 1;
    number *inner_rows = wide + rows * widest, *normed = inner_rows + rows * inner, *branch = normed + rows * narrow_width;
    int failed = 0;
    for (const layer *at = layers; at < layers + count && !failed; at++) {
        shape of = *given;
        of.window = at->window;
        for (long row = 0; row < rows; row++)
            norm_row(x + row * hidden, at->attention_norm, normed + row * hidden, hidden, eps);
        failed |= multiply(&at->qkv, normed, wide, threads);
        store(at, wide, lengths, &of, eps);
        failed |= decode_rows(wide, at->keys, at->values, normed, lengths, &of, scale_eps, threads);
        failed |= multiply(&at->output, normed, branch, threads);
        add(x, branch, rows * hidden);
        for (long row = 0; row < rows; row++)
            norm_row(x + row * hidden, at->mlp_norm, normed + row * hidden, hidden, eps);
        failed |= multiply(&at->gate_up, normed, wide, threads);
        for (long row = 0; row < rows; row++) swiglu_row(wide + row * 2 * inner, inner_rows + row * inner, inner);
        failed |= multiply(&at->down, inner_rows, branch, threads);
        add(x, branch, rows * hidden);
    }
    free(wide);
    return failed;
}
