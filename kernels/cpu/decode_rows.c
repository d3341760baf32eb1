/* Attention of a few new tokens of each sequence over keys and values that lie in one block a sequence.

   Compiled for one of BFLOAT16, FLOAT16 and FLOAT32 and one HEAD_DIM. Everything is in float32 and rounded once. Keys are cut into chunks whose softmax is worked out apart, so that threads share the work of one
   sequence; the cut does not depend on the number of threads, nor do results. */

#include "small_rows.c"

#define CHUNK 128                 /* keys */
#define VECTORS (HEAD_DIM / LANES) /* of a head; channels from WHOLE_VECTORS on are more */
#define WHOLE_VECTORS (VECTORS * LANES)
#define PARTIAL (HEAD_DIM + LANES) /* numbers that a chunk leaves for a query: weighted values, then largest and total */

typedef struct {
    long batch, q_heads, kv_heads, new; /* `new` tokens of each sequence have queries */
    long longest, window, causal;       /* window: keys that a query sees, 0 for all; longest: of the lengths */
    long q_batch, q_head, q_token;      /* strides in numbers; channels are dense */
    long k_batch, k_token, k_head, v_batch, v_token, v_head;
    long out_batch, out_head, out_token;
} shape;

typedef struct {
    long first, last;
} range;

/* Keys that a query sees of a chunk. */
static inline range seen(const shape *of, long length, long token, long chunk) {
    const long position = length - of->new + token, end = of->causal ? position + 1 : length;
    range keys = {chunk * CHUNK, (chunk + 1) * CHUNK};
    if (of->window && position - of->window + 1 > keys.first) keys.first = position - of->window + 1;
    if (end < keys.last) keys.last = end;
    return keys;
}

/* What one query takes of the keys of a chunk. */
static inline void attend_chunk(const number *q, const number *k, const number *v, long k_token, long v_token,
                                range keys, float scale, float *partial) {
    lanes query[VECTORS + 1], values[VECTORS + 1] = {0};
    float more[LANES] = {0};
    float weights[CHUNK], largest = -__builtin_inff(), total = 0.0f;
    const long count = keys.last - keys.first;
#pragma GCC unroll 16
    for (int i = 0; i < VECTORS; i++) query[i] = widen(q + i * LANES);
    for (long j = 0; j < count; j++) {
        const number *key = k + (keys.first + j) * k_token;
        lanes products = {0};
#pragma GCC unroll 16
        for (int i = 0; i < VECTORS; i++) products += query[i] * widen(key + i * LANES);
        float product = sum(products);
        for (int i = WHOLE_VECTORS; i < HEAD_DIM; i++) product += widen_one(q[i]) * widen_one(key[i]);
        weights[j] = product * scale;
    }
    for (long j = 0; j < count; j++) largest = weights[j] > largest ? weights[j] : largest;
#pragma omp simd reduction(+ : total)
    for (long j = 0; j < count; j++) {
        weights[j] = exponential(weights[j] - largest);
        total += weights[j];
    }
    for (long j = 0; j < count; j++) {
        const number *value = v + (keys.first + j) * v_token;
#pragma GCC unroll 16
        for (int i = 0; i < VECTORS; i++) values[i] += weights[j] * widen(value + i * LANES);
        for (int i = WHOLE_VECTORS; i < HEAD_DIM; i++) more[i - WHOLE_VECTORS] += weights[j] * widen_one(value[i]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < VECTORS; i++) *(lanes *)(partial + i * LANES) = values[i];
    for (int i = WHOLE_VECTORS; i < HEAD_DIM; i++) partial[i] = more[i - WHOLE_VECTORS];
    partial[HEAD_DIM] = largest;
    partial[HEAD_DIM + 1] = total;
}

/* The chunks of one query together; a query that sees no key gets zeros. */
static inline void merge(const float *partial, long chunks, long apart, number *out) {
    float values[HEAD_DIM] = {0}, largest = -__builtin_inff(), total = 0.0f;
    for (long c = 0; c < chunks; c++)
        if (partial[c * apart + HEAD_DIM] > largest) largest = partial[c * apart + HEAD_DIM];
    for (long c = 0; c < chunks; c++) {
        const float *of = partial + c * apart;
        if (of[HEAD_DIM + 1] == 0.0f) continue;
        const float weight = exponential(of[HEAD_DIM] - largest);
        total += weight * of[HEAD_DIM + 1];
        for (int i = 0; i < HEAD_DIM; i++) values[i] += weight * of[i];
    }
    const float factor = total == 0.0f ? 0.0f : 1.0f / total;
    for (int i = 0; i < HEAD_DIM; i++) out[i] = narrow(values[i] * factor);
}

/* q and out: heads of HEAD_DIM; k and v: blocks of keys and values; lengths [batch], new tokens counted. 1 for want of
   memory. */
int decode_rows(const number *q, const number *k, const number *v, number *out, const int32_t *lengths,
                const shape *of, const float *scale, int threads) {
    const long chunks = (of->longest + CHUNK - 1) / CHUNK, group = of->q_heads / of->kv_heads;
    const long rows = of->batch * of->q_heads * of->new, items = of->batch * of->kv_heads * chunks;
    float *partial = lines(sizeof(float) * (size_t)(rows * chunks) * PARTIAL);
    if (!partial) return 1;
#pragma omp parallel num_threads(threads) if (threads > 1 && rows * of->longest * HEAD_DIM > MANY)
    {
#pragma omp for schedule(static)
        for (long item = 0; item < items; item++) {
            const long chunk = item % chunks, kv_head = item / chunks % of->kv_heads, b = item / chunks / of->kv_heads;
            for (long head = kv_head * group; head < (kv_head + 1) * group; head++)
                for (long token = 0; token < of->new; token++) {
                    const long row = (b * of->q_heads + head) * of->new + token;
                    attend_chunk(q + b * of->q_batch + head * of->q_head + token * of->q_token,
                                 k + b * of->k_batch + kv_head * of->k_head,
                                 v + b * of->v_batch + kv_head * of->v_head, of->k_token, of->v_token,
                                 seen(of, lengths[b], token, chunk), *scale,
                                 partial + (row * chunks + chunk) * PARTIAL);
                }
        }
#pragma omp for schedule(static)
        for (long row = 0; row < rows; row++) {
            const long token = row % of->new, head = row / of->new % of->q_heads, b = row / of->new / of->q_heads;
            merge(partial + row * chunks * PARTIAL, chunks, PARTIAL,
                  out + b * of->out_batch + head * of->out_head + token * of->out_token);
        }
    }
    free(partial);
    return 0;
}
