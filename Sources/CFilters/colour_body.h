// Augmentation of float pictures and cutting with enlargement, included once per instruction level by cfilters.c, which
// defines CF(name). Contraction is off and sums have a fixed shape, so that all levels give the same bits.

#define CF_SELECT(mask, a, b) ((vf16)(((mask) & (__typeof__(mask))(a)) | (~(mask) & (__typeof__(mask))(b))))
#define CF_ALL(x) ((vf16){0} + (x))

static inline CF_INLINE vf16 CF(clip)(vf16 v) {
    return __builtin_elementwise_min(__builtin_elementwise_max(v, CF_ALL(0.0f)), CF_ALL(1.0f));
}

static inline CF_INLINE vf16 CF(gray)(vf16 r, vf16 g, vf16 b) { return 0.299f * r + 0.587f * g + 0.114f * b; }

// 16 pixels as three vectors of channels, and back. x: any lane.
static inline CF_INLINE void CF(take_pixels)(const float *p, vf16 *r, vf16 *g, vf16 *b) {
    vf16 u, v, w, t;
    memcpy(&u, p, 64);
    memcpy(&v, p + 16, 64);
    memcpy(&w, p + 32, 64);
    t = __builtin_shufflevector(u, v, 0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 0, 0, 0, 0, 0);
    *r = __builtin_shufflevector(t, w, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 17, 20, 23, 26, 29);
    t = __builtin_shufflevector(u, v, 1, 4, 7, 10, 13, 16, 19, 22, 25, 28, 31, 0, 0, 0, 0, 0);
    *g = __builtin_shufflevector(t, w, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 18, 21, 24, 27, 30);
    t = __builtin_shufflevector(u, v, 2, 5, 8, 11, 14, 17, 20, 23, 26, 29, 0, 0, 0, 0, 0, 0);
    *b = __builtin_shufflevector(t, w, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 16, 19, 22, 25, 28, 31);
}

static inline CF_INLINE void CF(put_pixels)(float *p, vf16 r, vf16 g, vf16 b) {
    vf16 t, u, v, w;
    t = __builtin_shufflevector(r, g, 0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5);
    u = __builtin_shufflevector(t, b, 0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15);
    t = __builtin_shufflevector(r, g, 21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26);
    v = __builtin_shufflevector(t, b, 0, 21, 2, 3, 22, 5, 6, 23, 8, 9, 24, 11, 12, 25, 14, 15);
    t = __builtin_shufflevector(r, g, 0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0);
    w = __builtin_shufflevector(t, b, 26, 1, 2, 27, 4, 5, 28, 7, 8, 29, 10, 11, 30, 13, 14, 31);
    memcpy(p, &u, 64);
    memcpy(p + 16, &v, 64);
    memcpy(p + 32, &w, 64);
}

static double CF(gray_sum)(const float *values, size_t pixels) {
    double sum = 0;
    size_t i = 0;
    while (i + 16 <= pixels) {
        // Short enough for float32 to lose nothing that shows.
        vf16 part = {0};
        size_t end = i + 16 * 64 < pixels ? i + 16 * 64 : pixels;
        for (; i + 16 <= end; i += 16) {
            vf16 r, g, b;
            CF(take_pixels)(values + 3 * i, &r, &g, &b);
            part += CF(gray)(r, g, b);
        }
        for (int k = 0; k < 16; ++k) sum += part[k];
    }
    for (; i < pixels; ++i) sum += 0.299f * values[3 * i] + 0.587f * values[3 * i + 1] + 0.114f * values[3 * i + 2];
    return sum;
}

// How much of the chroma a channel lacks: 0 near its own hue, 1 opposite; `offset` + `hue` in sixths of the circle.
static inline CF_INLINE vf16 CF(lack)(float offset, vf16 hue) {
    vf16 k = hue + offset;
    k = CF_SELECT(k < 0.0f, k + 6.0f, k);
    k = CF_SELECT(k >= 6.0f, k - 6.0f, k);
    k = CF_SELECT(k >= 6.0f, k - 6.0f, k);
    return CF(clip)(__builtin_elementwise_min(k, 4.0f - k));
}

// Four bytes of a hash of the element's number: their sum is nearly normal, within 3.46 deviations.
// Source of the hash: C. Wellons, "lowbias32".
static inline CF_INLINE vf16 CF(normal)(vu16 element, uint32_t key) {
    vu16 x = element * 0x9E3779B9u + key;
    x ^= x >> 16;
    x *= 0x7FEB352Du;
    x ^= x >> 15;
    x *= 0x846CA68Bu;
    x ^= x >> 16;
    vu16 sum = (x & 255) + (x >> 8 & 255) + (x >> 16 & 255) + (x >> 24);
    // Each has mean 255/2 and variance (256² - 1)/12.
    return (__builtin_convertvector(sum, vf16) - 510.0f) * 6.765874e-3f;
}

static inline CF_INLINE void CF(colour_block)(const cf_colour *c, vf16 p[3], uint32_t first) {
    if (c->contrast != 1) {
        for (int k = 0; k < 3; ++k) p[k] = CF(clip)(c->mean + c->contrast * (p[k] - c->mean));
    }
    if (c->saturation != 1) {
        vf16 gray = CF(gray)(p[0], p[1], p[2]);
        for (int k = 0; k < 3; ++k) p[k] = CF(clip)(gray + c->saturation * (p[k] - gray));
    }
    if (c->turn != 0) {
        vf16 most = __builtin_elementwise_max(p[0], __builtin_elementwise_max(p[1], p[2]));
        vf16 least = __builtin_elementwise_min(p[0], __builtin_elementwise_min(p[1], p[2]));
        vf16 chroma = most - least;
        // Grays have no hue; any will do, as it is multiplied by no chroma.
        vf16 per = 1.0f / CF_SELECT(chroma > 0.0f, chroma, CF_ALL(1.0f));
        vf16 hue = 4.0f + (p[0] - p[1]) * per;
        hue = CF_SELECT(most == p[1], 2.0f + (p[2] - p[0]) * per, hue);
        hue = CF_SELECT(most == p[0], (p[1] - p[2]) * per, hue);
        hue += c->turn;
        p[0] = CF(clip)(most - chroma * CF(lack)(5, hue));
        p[1] = CF(clip)(most - chroma * CF(lack)(3, hue));
        p[2] = CF(clip)(most - chroma * CF(lack)(1, hue));
    }
    for (int k = 0; k < 3; ++k) {
        if (c->gain[k] != 1) p[k] = CF(clip)(p[k] * c->gain[k]);
    }
    vf16 q[3] = {p[c->order[0]], p[c->order[1]], p[c->order[2]]};
    if (c->noise != 0) {
        vu16 element = {0, 3, 6, 9, 12, 15, 18, 21, 24, 27, 30, 33, 36, 39, 42, 45};
        element += 3 * first;
        for (int k = 0; k < 3; ++k) q[k] = CF(clip)(q[k] + c->noise * CF(normal)(element + (uint32_t)k, c->noise_key));
    }
    for (int k = 0; k < 3; ++k) p[k] = q[k];
}

static void CF(colour)(const cf_colour *change, float *values, size_t pixels) {
    vf16 p[3];
    size_t i = 0;
    for (; i + 16 <= pixels; i += 16) {
        CF(take_pixels)(values + 3 * i, &p[0], &p[1], &p[2]);
        CF(colour_block)(change, p, (uint32_t)i);
        CF(put_pixels)(values + 3 * i, p[0], p[1], p[2]);
    }
    if (i == pixels) return;
    float rest[48] = {0};
    memcpy(rest, values + 3 * i, 12 * (pixels - i));
    CF(take_pixels)(rest, &p[0], &p[1], &p[2]);
    CF(colour_block)(change, p, (uint32_t)i);
    CF(put_pixels)(rest, p[0], p[1], p[2]);
    memcpy(values + 3 * i, rest, 12 * (pixels - i));
}

// Tables of 256 floats for each of three channels.
static void CF(expand8_table)(const uint8_t *picture, size_t pixels, size_t channels, const float *table, float *out) {
    size_t second = channels == 3 ? 1 : 0;
    for (size_t i = 0; i < pixels; ++i, picture += channels, out += 3) {
        out[0] = table[picture[0]];
        out[1] = table[256 + picture[second]];
        out[2] = table[512 + picture[2 * second]];
    }
}

// The last column's store would reach behind the picture, so it goes float by float.
static inline CF_INLINE void CF(blend_row)(const cf_window *w, const float *row, const float *weights,
                                           const uint32_t *lefts, const uint32_t *rights, float *out) {
    for (size_t x = 0; x < w->width; ++x) {
        vf4 a, b;
        memcpy(&a, row + lefts[x], 16);
        memcpy(&b, row + rights[x], 16);
        vf4 v = a + weights[x] * (b - a);
        v = __builtin_elementwise_min(v, (vf4){0} + 1.0f);
        if (x + 1 < w->width) {
            memcpy(out + 3 * x, &v, 16);
        } else {
            for (int k = 0; k < 3; ++k) out[3 * x + k] = v[k];
        }
    }
}

static inline CF_INLINE double CF(u)(const cf_window *w, size_t x) {
    return (double)(w->is_mirrored ? w->width - 1 - x : x) + 0.5 - (double)w->width / 2;
}

static inline CF_INLINE size_t CF(inside)(double place, size_t count) {
    return place < 0 ? 0 : place >= (double)count ? count - 1 : (size_t)place;
}

static void CF(window8)(const uint8_t *picture, const cf_window *w, const float *table, float *out, float *scratch) {
    size_t sw = w->source_width, sh = w->source_height;
    if (w->step_y == 0) {
        float *row = scratch, *weights = row + 3 * sw + 4;
        uint32_t *lefts = (uint32_t *)(weights + w->width), *rights = lefts + w->width;
        for (size_t x = 0; x < w->width; ++x) {
            double at = w->center_x + w->step_x * CF(u)(w, x) - 0.5, whole = __builtin_floor(at);
            weights[x] = (float)(at - whole);
            lefts[x] = (uint32_t)(3 * CF(inside)(whole, sw));
            rights[x] = (uint32_t)(3 * CF(inside)(whole + 1, sw));
        }
        for (size_t y = 0; y < w->height; ++y) {
            double v = (double)y + 0.5 - (double)w->height / 2;
            double at = w->center_y + w->step_x * v - 0.5, whole = __builtin_floor(at);
            float down = (float)(at - whole);
            const uint8_t *a = picture + 3 * sw * CF(inside)(whole, sh);
            const uint8_t *b = picture + 3 * sw * CF(inside)(whole + 1, sh);
            if (table) {
                for (size_t i = 0; i < 3 * sw; i += 3) {
                    for (size_t k = 0; k < 3; ++k) {
                        float upper = table[256 * k + a[i + k]], lower = table[256 * k + b[i + k]];
                        row[i + k] = upper + down * (lower - upper);
                    }
                }
            } else {
                for (size_t i = 0; i < 3 * sw; ++i) {
                    float upper = a[i], lower = b[i];
                    row[i] = (upper + down * (lower - upper)) * (1.0f / 255.0f);
                }
            }
            CF(blend_row)(w, row, weights, lefts, rights, out + 3 * w->width * y);
        }
        return;
    }
    for (size_t y = 0; y < w->height; ++y) {
        double v = (double)y + 0.5 - (double)w->height / 2;
        for (size_t x = 0; x < w->width; ++x, out += 3) {
            double u = CF(u)(w, x);
            double px = w->center_x + w->step_x * u - w->step_y * v - 0.5, wx = __builtin_floor(px);
            double py = w->center_y + w->step_y * u + w->step_x * v - 0.5, wy = __builtin_floor(py);
            float right = (float)(px - wx), down = (float)(py - wy);
            size_t l = 3 * CF(inside)(wx, sw), r = 3 * CF(inside)(wx + 1, sw);
            const uint8_t *a = picture + 3 * sw * CF(inside)(wy, sh), *b = picture + 3 * sw * CF(inside)(wy + 1, sh);
            for (size_t k = 0; k < 3; ++k) {
                float al = a[l + k], ar = a[r + k], bl = b[l + k], br = b[r + k], unit = 1.0f / 255.0f;
                if (table) {
                    const float *t = table + 256 * k;
                    al = t[a[l + k]], ar = t[a[r + k]], bl = t[b[l + k]], br = t[b[r + k]], unit = 1;
                }
                float upper = al + right * (ar - al), lower = bl + right * (br - bl);
                float value = (upper + down * (lower - upper)) * unit;
                out[k] = value < 1 ? value : 1;
            }
        }
    }
}

#undef CF_SELECT
#undef CF_ALL
