// Reading with AVX2 and AVX-512; included by coded.c once.
#if defined(__x86_64__)
#include <immintrin.h>

#define TARGET_AVX2 __attribute__((target("avx2,popcnt")))
#define TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,popcnt")))
#define INLINE inline __attribute__((always_inline))

// A group takes 128 bytes of words at most, and a vector's load may reach 32 further: so many must lie behind `at`. The
// last ones are read from a copy with zeros behind it; what is read beyond the end is noticed and clamped.
typedef struct {
    const uint8_t *at, *end;
    int is_copy;
    uint8_t copy[4 * lanes + 64];
} word_reader;

static INLINE void start_words(word_reader *w, const reader *r) {
    w->at = r->at;
    w->end = r->end;
    w->is_copy = 0;
}

static INLINE void group_words(word_reader *w, reader *r) {
    const ptrdiff_t left = w->end - w->at;
    if (__builtin_expect(left < 2 * lanes + 32, 0)) {
        if (!w->is_copy) {
            memset(w->copy, 0, sizeof w->copy);
            memcpy(w->copy, w->at, (size_t)left);
            w->at = w->copy;
            w->end = w->copy + left;
            w->is_copy = 1;
        } else if (left < 0) {
            w->at = w->end;
            r->is_short = 1;
        }
    }
}

static INLINE void end_words(const word_reader *w, reader *r) {
    if (w->at > w->end) r->is_short = 1;
    r->at = r->is_short ? r->end : r->end - (w->end - w->at);
}

// Lane i of a vector takes word number (set bits below i) where bit i is set.
#define BELOW(m, i)                                                                                                    \
    (((m) & 1) * ((i) > 0) + ((m) >> 1 & 1) * ((i) > 1) + ((m) >> 2 & 1) * ((i) > 2) + ((m) >> 3 & 1) * ((i) > 3)      \
     + ((m) >> 4 & 1) * ((i) > 4) + ((m) >> 5 & 1) * ((i) > 5) + ((m) >> 6 & 1) * ((i) > 6))
#define ROW1(m)                                                                                                        \
    {BELOW(m, 0), BELOW(m, 1), BELOW(m, 2), BELOW(m, 3), BELOW(m, 4), BELOW(m, 5), BELOW(m, 6), BELOW(m, 7)}
#define ROW4(m) ROW1(m), ROW1(m + 1), ROW1(m + 2), ROW1(m + 3)
#define ROW16(m) ROW4(m), ROW4(m + 4), ROW4(m + 8), ROW4(m + 12)
#define ROW64(m) ROW16(m), ROW16(m + 16), ROW16(m + 32), ROW16(m + 48)
static const uint8_t word_places[256][8] = {ROW64(0), ROW64(64), ROW64(128), ROW64(192)};

TARGET_AVX2 static INLINE __m256i step_avx2(const uint32_t *table, __m256i *state, const uint8_t *choice,
                                            const uint8_t **at) {
    const __m256i chosen = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)choice));
    const __m256i slot = _mm256_or_si256(_mm256_and_si256(*state, _mm256_set1_epi32(table_size - 1)),
                                         _mm256_slli_epi32(chosen, table_bits));
    const __m256i entry = _mm256_i32gather_epi32((const int *)table, slot, 4);
    const __m256i frequency = _mm256_and_si256(_mm256_srli_epi32(entry, 8), _mm256_set1_epi32(0xFFF));
    const __m256i x = _mm256_add_epi32(_mm256_mullo_epi32(_mm256_srli_epi32(*state, table_bits), frequency),
                                       _mm256_srli_epi32(entry, 20));
    const __m256i low = _mm256_cmpeq_epi32(_mm256_srli_epi32(x, 16), _mm256_setzero_si256());
    const unsigned mask = (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(low));
    const __m256i places = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)word_places[mask]));
    const __m256i words = _mm256_permutevar8x32_epi32(
        _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)*at)), places);
    *state = _mm256_blendv_epi8(x, _mm256_or_si256(_mm256_slli_epi32(x, 16), words), low);
    *at += 2 * __builtin_popcount(mask);
    return _mm256_and_si256(entry, _mm256_set1_epi32(0xFF));
}

TARGET_AVX2 static INLINE __m256i smooth_avx2(const uint8_t *above, const uint8_t *before) {
    __m256i a = _mm256_avg_epu8(_mm256_loadu_si256((const __m256i *)(above - 1)),
                                _mm256_loadu_si256((const __m256i *)(above + 1)));
    a = _mm256_avg_epu8(a, _mm256_loadu_si256((const __m256i *)above));
    return before ? _mm256_avg_epu8(a, _mm256_loadu_si256((const __m256i *)before)) : a;
}

TARGET_AVX2 static size_t read_groups_avx2(reader *r, const uint8_t *before, size_t width, uint8_t *plane, size_t p,
                                           size_t count) {
    __m256i states[8];
    memcpy(states, r->states, sizeof states);
    word_reader w;
    start_words(&w, r);
    for (; p + lanes <= count; p += lanes) {
        group_words(&w, r);
        uint8_t a[lanes], choice[lanes];
        if (width > lanes && p >= width + 1) {
            for (int half = 0; half < lanes; half += 32)
                _mm256_storeu_si256((__m256i *)(a + half), smooth_avx2(plane + p + half - width,
                                                                       before ? before + p + half : NULL));
        } else {
            activity(plane, before, p, width, a);
        }
        for (int half = 0; half < lanes; half += 32) {
            const __m256i v = _mm256_loadu_si256((const __m256i *)(a + half)), one = _mm256_set1_epi8(1);
            __m256i sum = _mm256_setzero_si256();
            for (int t = 0; t < 3; ++t)
                sum = _mm256_add_epi8(
                    sum, _mm256_min_epu8(_mm256_subs_epu8(v, _mm256_set1_epi8((char)r->thresholds[t])), one));
            _mm256_storeu_si256((__m256i *)(choice + half), sum);
        }
        for (int half = 0; half < 2; ++half) {
            __m256i e[4];
            for (int i = 0; i < 4; ++i)
                e[i] = step_avx2(r->table, &states[4 * half + i], choice + 32 * half + 8 * i, &w.at);
            const __m256i bytes = _mm256_packus_epi16(_mm256_packus_epi32(e[0], e[1]), _mm256_packus_epi32(e[2], e[3]));
            _mm256_storeu_si256((__m256i *)(plane + p + 32 * half),
                                _mm256_permutevar8x32_epi32(bytes, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7)));
        }
    }
    memcpy(r->states, states, sizeof states);
    end_words(&w, r);
    return p;
}

TARGET_AVX512 static INLINE __m128i step_avx512(const uint32_t *table, __m512i *state, __m128i choice,
                                                const uint8_t **at) {
    const __m512i slot = _mm512_or_si512(_mm512_and_si512(*state, _mm512_set1_epi32(table_size - 1)),
                                         _mm512_slli_epi32(_mm512_cvtepu8_epi32(choice), table_bits));
    const __m512i entry = _mm512_i32gather_epi32(slot, table, 4);
    const __m512i frequency = _mm512_and_si512(_mm512_srli_epi32(entry, 8), _mm512_set1_epi32(0xFFF));
    const __m512i x = _mm512_add_epi32(_mm512_mullo_epi32(_mm512_srli_epi32(*state, table_bits), frequency),
                                       _mm512_srli_epi32(entry, 20));
    const __mmask16 low = _mm512_cmplt_epu32_mask(x, _mm512_set1_epi32(1 << 16));
    const __m512i words = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)*at));
    *state = _mm512_mask_or_epi32(x, low, _mm512_slli_epi32(x, 16), _mm512_maskz_expand_epi32(low, words));
    *at += 2 * __builtin_popcount(low);
    return _mm512_cvtepi32_epi8(entry);
}

TARGET_AVX512 static size_t read_groups_avx512(reader *r, const uint8_t *before, size_t width, uint8_t *plane,
                                               size_t p, size_t count) {
    const __m512i one = _mm512_set1_epi8(1);
    __m512i states[4];
    memcpy(states, r->states, sizeof states);
    word_reader w;
    start_words(&w, r);
    for (; p + lanes <= count; p += lanes) {
        group_words(&w, r);
        __m512i a;
        if (width > lanes && p >= width + 1) {
            const uint8_t *above = plane + p - width;
            a = _mm512_avg_epu8(_mm512_loadu_si512(above - 1), _mm512_loadu_si512(above + 1));
            a = _mm512_avg_epu8(a, _mm512_loadu_si512(above));
            if (before) a = _mm512_avg_epu8(a, _mm512_loadu_si512(before + p));
        } else {
            uint8_t slow[lanes];
            activity(plane, before, p, width, slow);
            memcpy(&a, slow, sizeof a);
        }
        __m512i choice = _mm512_setzero_si512();
        for (int t = 0; t < 3; ++t)
            choice = _mm512_add_epi8(
                choice, _mm512_min_epu8(_mm512_subs_epu8(a, _mm512_set1_epi8((char)r->thresholds[t])), one));
        const __m128i e0 = step_avx512(r->table, &states[0], _mm512_extracti32x4_epi32(choice, 0), &w.at);
        const __m128i e1 = step_avx512(r->table, &states[1], _mm512_extracti32x4_epi32(choice, 1), &w.at);
        const __m128i e2 = step_avx512(r->table, &states[2], _mm512_extracti32x4_epi32(choice, 2), &w.at);
        const __m128i e3 = step_avx512(r->table, &states[3], _mm512_extracti32x4_epi32(choice, 3), &w.at);
        _mm_storeu_si128((__m128i *)(plane + p), e0);
        _mm_storeu_si128((__m128i *)(plane + p + 16), e1);
        _mm_storeu_si128((__m128i *)(plane + p + 32), e2);
        _mm_storeu_si128((__m128i *)(plane + p + 48), e3);
    }
    memcpy(r->states, states, sizeof states);
    end_words(&w, r);
    return p;
}
#endif
