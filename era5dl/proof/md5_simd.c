/* MD5 of several streams at once, each in one lane of the processor's vector registers.

   One stream leaves most of a core idle, since each of MD5's 64 steps needs the result of the previous one. Eight streams
   in parallel take little more time than one. The algorithm is that of RFC 1321. This file hashes whole blocks only;
   md5.py pads the last block and decides which streams are hashed together.

   For GCC and Clang. If it was not compiled, hashlib is used, one stream at a time. */

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "for little-endian processors"
#endif

#define LANES 8
#define BLOCK 64 /* bytes */

struct stream {
    uint32_t state[4];
    const uint8_t *data; /* input to hash next */
    size_t blocks;       /* length of the input */
};

typedef uint32_t lanes __attribute__((vector_size(4 * LANES)));

static const uint32_t SINES[64] = {
    0xd76aa478, 0xe8c7b756, 0x242070db, 0xc1bdceee, 0xf57c0faf, 0x4787c62a, 0xa8304613, 0xfd469501,
    0x698098d8, 0x8b44f7af, 0xffff5bb1, 0x895cd7be, 0x6b901122, 0xfd987193, 0xa679438e, 0x49b40821,
    0xf61e2562, 0xc040b340, 0x265e5a51, 0xe9b6c7aa, 0xd62f105d, 0x02441453, 0xd8a1e681, 0xe7d3fbc8,
    0x21e1cde6, 0xc33707d6, 0xf4d50d87, 0x455a14ed, 0xa9e3e905, 0xfcefa3f8, 0x676f02d9, 0x8d2a4c8a,
    0xfffa3942, 0x8771f681, 0x6d9d6122, 0xfde5380c, 0xa4beea44, 0x4bdecfa9, 0xf6bb4b60, 0xbebfbc70,
    0x289b7ec6, 0xeaa127fa, 0xd4ef3085, 0x04881d05, 0xd9d4d039, 0xe6db99e5, 0x1fa27cf8, 0xc4ac5665,
    0xf4292244, 0x432aff97, 0xab9423a7, 0xfc93a039, 0x655b59c3, 0x8f0ccc92, 0xffeff47d, 0x85845dd1,
    0x6fa87e4f, 0xfe2ce6e0, 0xa3014314, 0x4e0811a1, 0xf7537e82, 0xbd3af235, 0x2ad7d2bb, 0xeb86d391,
};

/* The functions of the four rounds, one step, and all rounds of a block; for a scalar or for a vector. */
#define F(b, c, d) ((((c) ^ (d)) & (b)) ^ (d))
#define G(b, c, d) ((((b) ^ (c)) & (d)) ^ (c))
#define H(b, c, d) ((b) ^ (c) ^ (d))
#define I(b, c, d) ((c) ^ ((b) | ~(d)))
#define STEP(f, a, b, c, d, word, sine, turn)                                                                          \
    a += f(b, c, d) + (word + sine);                                                                                   \
    a = ((a << turn) | (a >> (32 - turn))) + b;
#define FOUR(f, i, w0, w1, w2, w3, t0, t1, t2, t3)                                                                     \
    STEP(f, a, b, c, d, words[w0], SINES[i], t0)                                                                       \
    STEP(f, d, a, b, c, words[w1], SINES[i + 1], t1)                                                                   \
    STEP(f, c, d, a, b, words[w2], SINES[i + 2], t2)                                                                   \
    STEP(f, b, c, d, a, words[w3], SINES[i + 3], t3)
#define ROUNDS                                                                                                         \
    FOUR(F, 0, 0, 1, 2, 3, 7, 12, 17, 22)                                                                              \
    FOUR(F, 4, 4, 5, 6, 7, 7, 12, 17, 22)                                                                              \
    FOUR(F, 8, 8, 9, 10, 11, 7, 12, 17, 22)                                                                            \
    FOUR(F, 12, 12, 13, 14, 15, 7, 12, 17, 22)                                                                         \
    FOUR(G, 16, 1, 6, 11, 0, 5, 9, 14, 20)                                                                             \
    FOUR(G, 20, 5, 10, 15, 4, 5, 9, 14, 20)                                                                            \
    FOUR(G, 24, 9, 14, 3, 8, 5, 9, 14, 20)                                                                             \
    FOUR(G, 28, 13, 2, 7, 12, 5, 9, 14, 20)                                                                            \
    FOUR(H, 32, 5, 8, 11, 14, 4, 11, 16, 23)                                                                           \
    FOUR(H, 36, 1, 4, 7, 10, 4, 11, 16, 23)                                                                            \
    FOUR(H, 40, 13, 0, 3, 6, 4, 11, 16, 23)                                                                            \
    FOUR(H, 44, 9, 12, 15, 2, 4, 11, 16, 23)                                                                           \
    FOUR(I, 48, 0, 7, 14, 5, 6, 10, 15, 21)                                                                            \
    FOUR(I, 52, 12, 3, 10, 1, 6, 10, 15, 21)                                                                           \
    FOUR(I, 56, 8, 15, 6, 13, 6, 10, 15, 21)                                                                           \
    FOUR(I, 60, 4, 11, 2, 9, 6, 10, 15, 21)

/* Hash one stream, without SIMD. */
static void hash_scalar(struct stream *s, size_t blocks) {
    uint32_t a0 = s->state[0], b0 = s->state[1], c0 = s->state[2], d0 = s->state[3];
    for (size_t block = 0; block < blocks; block++) {
        uint32_t words[16], a = a0, b = b0, c = c0, d = d0;
        memcpy(words, s->data + BLOCK * block, BLOCK);
        ROUNDS
        a0 += a, b0 += b, c0 += c, d0 += d;
    }
    s->state[0] = a0, s->state[1] = b0, s->state[2] = c0, s->state[3] = d0;
}

#if defined(__clang__) || __GNUC__ >= 12
#define SHUFFLE __builtin_shufflevector
#else
#define SHUFFLE(a, b, ...) __builtin_shuffle(a, b, (lanes){__VA_ARGS__})
#endif
#define INLINE static inline __attribute__((always_inline)) /* compiled once for each instruction set below */

/* Transpose eight words of each of eight streams into eight vectors, each with one word of every stream. */
INLINE void transpose(lanes words[8], struct stream *const s[LANES], size_t at) {
    lanes r[8], t[8];
    for (int lane = 0; lane < LANES; lane++)
        memcpy(&r[lane], s[lane]->data + at, sizeof r[lane]);
    for (int i = 0; i < 8; i += 2) {
        t[i] = SHUFFLE(r[i], r[i + 1], 0, 8, 1, 9, 4, 12, 5, 13);
        t[i + 1] = SHUFFLE(r[i], r[i + 1], 2, 10, 3, 11, 6, 14, 7, 15);
    }
    for (int i = 0; i < 8; i += 4)
        for (int k = 0; k < 2; k++) {
            r[i + 2 * k] = SHUFFLE(t[i + k], t[i + 2 + k], 0, 1, 8, 9, 4, 5, 12, 13);
            r[i + 2 * k + 1] = SHUFFLE(t[i + k], t[i + 2 + k], 2, 3, 10, 11, 6, 7, 14, 15);
        }
    for (int i = 0; i < 4; i++) {
        words[i] = SHUFFLE(r[i], r[i + 4], 0, 1, 2, 3, 8, 9, 10, 11);
        words[i + 4] = SHUFFLE(r[i], r[i + 4], 4, 5, 6, 7, 12, 13, 14, 15);
    }
}

INLINE void hash_lanes(struct stream *const s[LANES], size_t blocks) {
    lanes a0 = {0}, b0 = {0}, c0 = {0}, d0 = {0};
    for (int lane = 0; lane < LANES; lane++) {
        const uint32_t *state = s[lane]->state;
        a0[lane] = state[0], b0[lane] = state[1], c0[lane] = state[2], d0[lane] = state[3];
    }
    for (size_t block = 0; block < blocks; block++) {
        lanes words[16], a = a0, b = b0, c = c0, d = d0;
        transpose(words, s, BLOCK * block);
        transpose(words + 8, s, BLOCK * block + BLOCK / 2);
        ROUNDS
        a0 += a, b0 += b, c0 += c, d0 += d;
    }
    for (int lane = 0; lane < LANES; lane++) {
        uint32_t *state = s[lane]->state;
        state[0] = a0[lane], state[1] = b0[lane], state[2] = c0[lane], state[3] = d0[lane];
    }
}

typedef void hash_function(struct stream *const s[LANES], size_t blocks);

static void hash_generic(struct stream *const s[LANES], size_t blocks) { hash_lanes(s, blocks); }

#if defined(__x86_64__) || defined(__i386__)
__attribute__((target("avx2"))) static void hash_avx2(struct stream *const s[LANES], size_t blocks) {
    hash_lanes(s, blocks);
}
__attribute__((target("avx512vl"))) static void hash_avx512(struct stream *const s[LANES], size_t blocks) {
    hash_lanes(s, blocks);
}
static hash_function *best_hash(void) {
    return __builtin_cpu_supports("avx512vl") ? hash_avx512 : __builtin_cpu_supports("avx2") ? hash_avx2 : hash_generic;
}
#else
static hash_function *best_hash(void) { return hash_generic; }
#endif

/* Hash the input of all these streams, up to LANES of them in parallel, and advance their data pointers. */
void md5_advance(struct stream *const *streams, size_t count) {
    hash_function *hash = best_hash();
    struct stream *lane[LANES], idle;
    size_t busy = 0, next = 0;
    for (;;) {
        for (; busy < LANES && next < count; next++)
            if (streams[next]->blocks)
                lane[busy++] = streams[next];
        if (!busy)
            return;
        size_t blocks = lane[0]->blocks;
        for (size_t i = 1; i < busy; i++)
            if (lane[i]->blocks < blocks)
                blocks = lane[i]->blocks;
        if (busy == 1)
            hash_scalar(lane[0], blocks);
        else {
            idle = *lane[0]; /* fills the unused lanes; its result is ignored */
            for (size_t i = busy; i < LANES; i++)
                lane[i] = &idle;
            hash(lane, blocks);
        }
        size_t kept = 0;
        for (size_t i = 0; i < busy; i++) {
            lane[i]->data += BLOCK * blocks;
            lane[i]->blocks -= blocks;
            if (lane[i]->blocks)
                lane[kept++] = lane[i];
        }
        busy = kept;
    }
}
