// Entropy coding of the predictor's residuals: range asymmetric numeral systems with 64 interleaved states, so that one
// vector instruction serves sixteen of them, and four tables of frequencies a channel, of which the neighbours'
// residuals choose one. The payload is described in Sources/Shards/FORMAT.md.
//
// **Source:** J. Duda, "Asymmetric numeral systems", arXiv 1311.2540; F. Giesen, "Interleaved entropy coders", arXiv
// 1402.3392, sections 3 and 4.
#include "cfilters.h"

#include <string.h>

enum {
    lanes = 64,
    table_bits = 11,
    table_size = 1 << table_bits,
    tables = 4,
};
// A state lies in 2^16 … 2^32 - 1 between symbols; one word of 16 bits at most goes in or out with each.
static const uint32_t lower_bound = 1u << 16;

size_t cf_coded_bound(size_t count, size_t channels) {
    // At most 11 bits a symbol, as none has a frequency of 0.
    return 4 * lanes + 2 * count + channels * (3 + tables * (1 + 2 * 256));
}

size_t cf_coded_scratch_bytes(void) { return (tables * table_size + 16) * sizeof(uint32_t); }

// ---- which table ----

// Residuals around positions p … p + 63, smoothed: those above, beside them, and in the channel before.
static inline __attribute__((always_inline)) void activity(const uint8_t *plane, const uint8_t *before, size_t p,
                                                           size_t width, uint8_t out[lanes]) {
    uint8_t above[lanes + 2] = {0};
    // Narrower rows would be read before they are there.
    if (width > lanes) {
        // Element 0 is the one above and to the left of position p.
        const size_t skip = p < width + 1 ? width + 1 - p : 0;
        if (skip < lanes + 2) memcpy(above + skip, plane + p + skip - width - 1, lanes + 2 - skip);
    }
    uint8_t other[lanes] = {0};
    if (before) memcpy(other, before + p, lanes);
    for (int i = 0; i < lanes; ++i) {
        const unsigned sides = (above[i] + above[i + 2] + 1u) >> 1, up = (sides + above[i + 1] + 1u) >> 1;
        out[i] = (uint8_t)(before ? (up + other[i] + 1u) >> 1 : up);
    }
}

static inline __attribute__((always_inline)) unsigned choose(unsigned activity, const uint8_t thresholds[3]) {
    return (activity > thresholds[0]) + (activity > thresholds[1]) + (activity > thresholds[2]);
}

// ---- writing ----

// Frequencies that sum to table_size, at least 1 for what occurs.
static void quantize(const uint32_t *counts, uint16_t *frequencies) {
    uint64_t total = 0;
    for (int s = 0; s < 256; ++s) total += counts[s];
    memset(frequencies, 0, 256 * sizeof *frequencies);
    if (total == 0) {
        frequencies[0] = table_size;
        return;
    }
    int64_t sum = 0;
    for (int s = 0; s < 256; ++s) {
        if (counts[s] == 0) continue;
        const uint64_t share = (counts[s] * (uint64_t)table_size + total / 2) / total;
        frequencies[s] = (uint16_t)(share ? share : 1);
        sum += frequencies[s];
    }
    // What is over or missing goes, one by one, where it costs least or helps most: by counts / frequency.
    while (sum != table_size) {
        int best = -1;
        for (int s = 0; s < 256; ++s) {
            if (frequencies[s] == 0 || (sum > table_size && frequencies[s] == 1)) continue;
            if (best < 0) {
                best = s;
                continue;
            }
            const uint64_t a = (uint64_t)counts[s] * frequencies[best], b = (uint64_t)counts[best] * frequencies[s];
            if (sum > table_size ? a < b : a > b) best = s;
        }
        frequencies[best] += sum > table_size ? -1 : 1;
        sum += sum > table_size ? -1 : 1;
    }
}

static uint8_t *put_frequencies(uint8_t *out, const uint16_t *frequencies) {
    int last = 255;
    while (last > 0 && frequencies[last] == 0) --last;
    *out++ = (uint8_t)last;
    for (int s = 0; s <= last; ++s) {
        if (frequencies[s] >= 128) *out++ = (uint8_t)(128 + (frequencies[s] >> 8));
        *out++ = (uint8_t)frequencies[s];
    }
    return out;
}

typedef struct {
    uint8_t thresholds[3];
    uint16_t frequencies[tables][256];
    uint16_t starts[tables][256];
} model;

static void make_model(model *m, const uint8_t *plane, const uint8_t *before, size_t count, size_t width) {
    uint8_t a[lanes];
    uint32_t histogram[256] = {0};
    for (size_t p = 0; p < count; p += lanes) {
        activity(plane, before, p, width, a);
        for (size_t i = 0; i < lanes && p + i < count; ++i) ++histogram[a[i]];
    }
    // A quarter of the symbols for each table, as far as possible.
    size_t seen = 0;
    int next = 0;
    for (int v = 0; v < 256; ++v) {
        seen += histogram[v];
        while (next < 3 && 4 * seen >= (size_t)(next + 1) * count) m->thresholds[next++] = (uint8_t)v;
    }
    uint32_t counts[tables][256] = {{0}};
    for (size_t p = 0; p < count; p += lanes) {
        activity(plane, before, p, width, a);
        for (size_t i = 0; i < lanes && p + i < count; ++i) ++counts[choose(a[i], m->thresholds)][plane[p + i]];
    }
    for (int t = 0; t < tables; ++t) {
        quantize(counts[t], m->frequencies[t]);
        unsigned start = 0;
        for (int s = 0; s < 256; ++s) {
            m->starts[t][s] = (uint16_t)start;
            start += m->frequencies[t][s];
        }
    }
}

size_t cf_code8(const uint8_t *residuals, size_t plane, size_t width, size_t channels, uint8_t *payload,
                size_t room) {
    // Models first; then words from the end backwards, because the decoder reads what was written last.
    uint8_t *head = payload;
    uint32_t states[lanes];
    for (int i = 0; i < lanes; ++i) states[i] = lower_bound;
    uint8_t *const end = payload + room;
    uint8_t *words = end;
    for (size_t k = 0; k < channels; ++k) {
        model m;
        make_model(&m, residuals + k * plane, k ? residuals + (k - 1) * plane : NULL, plane, width);
        memcpy(head, m.thresholds, 3);
        head += 3;
        for (int t = 0; t < tables; ++t) head = put_frequencies(head, m.frequencies[t]);
    }
    for (size_t k = channels; k-- > 0;) {
        const uint8_t *values = residuals + k * plane, *before = k ? values - plane : NULL;
        model m;
        make_model(&m, values, before, plane, width);
        for (size_t group = (plane + lanes - 1) / lanes; group-- > 0;) {
            uint8_t a[lanes];
            activity(values, before, group * lanes, width, a);
            size_t i = plane - group * lanes < lanes ? plane - group * lanes : lanes;
            while (i-- > 0) {
                const unsigned t = choose(a[i], m.thresholds), s = values[group * lanes + i];
                const uint32_t f = m.frequencies[t][s];
                uint32_t x = states[i];
                if (x >= (uint64_t)f << (32 - table_bits)) {
                    const uint16_t word = (uint16_t)x;
                    words -= 2;
                    memcpy(words, &word, 2);
                    x >>= 16;
                }
                states[i] = ((x / f) << table_bits) + x % f + m.starts[t][s];
            }
        }
    }
    memcpy(head, states, sizeof states);
    head += sizeof states;
    memmove(head, words, (size_t)(end - words));
    return (size_t)(head - payload) + (size_t)(end - words);
}

// ---- reading ----

typedef struct {
    const uint8_t *at, *end;
    uint32_t *table;
    uint8_t thresholds[3];
    // Whether words were read that are not there.
    int is_short;
    uint32_t states[lanes];
} reader;

typedef uint32_t entries __attribute__((vector_size(64)));
static const entries first_places = {
    0, 1u << 20, 2u << 20, 3u << 20, 4u << 20, 5u << 20, 6u << 20, 7u << 20,
    8u << 20, 9u << 20, 10u << 20, 11u << 20, 12u << 20, 13u << 20, 14u << 20, 15u << 20,
};

// Symbol in bits 0 … 7, frequency in 8 … 19, place within the symbol's range in 20 … 30. Without a table the
// frequencies are only checked and passed over.
static int take_table(const uint8_t **at, const uint8_t *end, uint32_t *table) {
    const uint8_t *p = *at;
    if (p == end) return 0;
    const unsigned last = *p++;
    unsigned sum = 0;
    for (unsigned s = 0; s <= last; ++s) {
        if (p == end) return 0;
        unsigned f = *p++;
        if (f >= 128) {
            if (p == end) return 0;
            f = (f - 128) << 8 | *p++;
        }
        if (f > table_size - sum) return 0;
        if (table) {
            // Sixteen at a time; what is written too far the next symbol writes over, or nobody reads.
            entries next = (s | f << 8) + first_places;
            for (unsigned i = 0; i < f; i += 16, next += 16u << 20) memcpy(table + sum + i, &next, sizeof next);
        }
        sum += f;
    }
    *at = p;
    return sum == table_size;
}

static inline __attribute__((always_inline)) uint8_t read_symbol(reader *r, uint32_t *state, unsigned choice) {
    uint32_t x = *state;
    const uint32_t entry = r->table[choice << table_bits | (x & (table_size - 1))];
    x = (x >> table_bits) * (entry >> 8 & 0xFFF) + (entry >> 20);
    if (x < lower_bound) {
        uint16_t word = 0;
        if (r->end - r->at >= 2) {
            memcpy(&word, r->at, 2);
            r->at += 2;
        } else {
            r->is_short = 1;
        }
        x = x << 16 | word;
    }
    *state = x;
    return (uint8_t)entry;
}

// Positions p … p + count - 1, count at most 64.
static void read_group(reader *r, const uint8_t *before, size_t width, uint8_t *plane, size_t p, size_t count) {
    uint8_t a[lanes];
    activity(plane, before, p, width, a);
    for (size_t i = 0; i < count; ++i) plane[p + i] = read_symbol(r, &r->states[i], choose(a[i], r->thresholds));
}

static size_t read_groups_plain(reader *r, const uint8_t *before, size_t width, uint8_t *plane, size_t p,
                                size_t count) {
    for (; p + lanes <= count; p += lanes) {
        // A group takes 128 bytes of words at most; where they are there, nothing has to branch on the symbols.
        if (r->end - r->at < 2 * lanes) {
            read_group(r, before, width, plane, p, lanes);
            continue;
        }
        uint8_t a[lanes];
        activity(plane, before, p, width, a);
        for (int i = 0; i < lanes; ++i) a[i] = (uint8_t)choose(a[i], r->thresholds);
        const uint8_t *at = r->at;
        const uint32_t *table = r->table;
        for (int i = 0; i < lanes; ++i) {
            uint32_t x = r->states[i];
            const uint32_t entry = table[(unsigned)a[i] << table_bits | (x & (table_size - 1))];
            uint16_t word;
            memcpy(&word, at, 2);
            x = (x >> table_bits) * (entry >> 8 & 0xFFF) + (entry >> 20);
            const uint32_t low = x < lower_bound;
            at += 2 * low;
            r->states[i] = x << 16 * low | (word & -low);
            a[i] = (uint8_t)entry;
        }
        memcpy(plane + p, a, lanes);
        r->at = at;
    }
    return p;
}

#include "coded_wide.h"

int cf_uncode8(int level, const uint8_t *payload, size_t count, size_t plane, size_t width, size_t channels,
               uint8_t *residuals, void *scratch) {
    reader r = {.end = payload + count, .table = scratch};
    // Models stand before states and words: a first pass finds where they end.
    const uint8_t *head = payload;
    for (size_t k = 0; k < channels; ++k) {
        if (r.end - head < 3) return 0;
        head += 3;
        for (int t = 0; t < tables; ++t)
            if (!take_table(&head, r.end, NULL)) return 0;
    }
    if ((size_t)(r.end - head) < sizeof r.states) return 0;
    memcpy(r.states, head, sizeof r.states);
    r.at = head + sizeof r.states;
    head = payload;
    for (size_t k = 0; k < channels; ++k) {
        memcpy(r.thresholds, head, 3);
        head += 3;
        for (int t = 0; t < tables; ++t) take_table(&head, r.end, r.table + t * table_size);
        uint8_t *values = residuals + k * plane;
        const uint8_t *before = k ? values - plane : NULL;
        size_t p = 0;
#if defined(__x86_64__)
        if (level == CF_LEVEL_AVX512) p = read_groups_avx512(&r, before, width, values, p, plane);
        if (level == CF_LEVEL_AVX2) p = read_groups_avx2(&r, before, width, values, p, plane);
#endif
        p = read_groups_plain(&r, before, width, values, p, plane);
        if (p < plane) read_group(&r, before, width, values, p, plane - p);
    }
    // What was written began with these states and used every word.
    for (int i = 0; i < lanes; ++i)
        if (r.states[i] != lower_bound) return 0;
    return !r.is_short && r.at == r.end;
}
