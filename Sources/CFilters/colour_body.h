// Augmentation of float pictures and cutting with enlargement, included once per instruction level by cfilters.c, which
// defines CF(name). Contraction is off and sums have a fixed shape, so that all levels give the same bits.

#define CF_SELECT(mask, a, b) ((vf16)(((mask) & (__typeof__(mask))(a)) | (~(mask) & (__typeof__(mask))(b))))
#define CF_ALL(x) ((vf16){0} + (x))
// One instruction each; the compiler's own functions also ask for NaN.
#define CF_LEAST(a, b) CF_SELECT((a) < (b), a, b)
#define CF_MOST(a, b) CF_SELECT((a) > (b), a, b)

static inline CF_INLINE vf16 CF(clip)(vf16 v) {
    return CF_LEAST(CF_MOST(v, CF_ALL(0.0f)), CF_ALL(1.0f));
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
    for (; i < pixels; ++i) {
        const float *pixel = values + 3 * i;
        sum += 0.299f * pixel[0] + 0.587f * pixel[1] + 0.114f * pixel[2];
    }
    return sum;
}

// Adds noise to `count` values, of which the first has the number `first`, a multiple of 64. Four bytes of a hash, of
// mean 255 / 2 and variance (256² - 1) / 12 each, give four values: the rows of a Hadamard matrix times them, which have
// one variance, no correlation with each other, and are nearly normal, within 3.46 deviations.
// **Source** of the hash: C. Wellons, "lowbias32".
static void CF(noise)(const cf_colour *c, float *values, size_t count, size_t first) {
    const vu16 lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    const float scale = c->noise * 6.765874e-3f;
    for (size_t i = 0; i < count; i += 64) {
        vu16 x = lane * 0x9E3779B9u + ((uint32_t)((first + i) / 4) * 0x9E3779B9u + c->noise_key);
        x ^= x >> 16;
        x *= 0x7FEB352Du;
        x ^= x >> 15;
        x *= 0x846CA68Bu;
        x ^= x >> 16;
        const vi16 b0 = (vi16)(x & 255), b1 = (vi16)(x >> 8 & 255), b2 = (vi16)(x >> 16 & 255), b3 = (vi16)(x >> 24);
        const vi16 p = b0 + b1, q = b2 + b3, m = b0 - b1, n = b2 - b3;
        const vi16 sums[4] = {p + q - 510, p - q, m + n, m - n};
        float block[64];
        const size_t left = count - i < 64 ? count - i : 64;
        float *at = left == 64 ? values + i : block;
        if (left < 64) {
            memset(block, 0, sizeof block);
            memcpy(block, values + i, 4 * left);
        }
        for (int k = 0; k < 4; ++k) {
            vf16 v;
            memcpy(&v, at + 16 * k, 64);
            v = CF(clip)(v + __builtin_convertvector(sums[k], vf16) * scale);
            memcpy(at + 16 * k, &v, 64);
        }
        if (left < 64) memcpy(values + i, block, 4 * left);
    }
}

// Everything but noise.
static inline CF_INLINE void CF(mix_block)(const cf_colour *c, vf16 p[3]) {
    if (c->contrast != 1) {
        for (int k = 0; k < 3; ++k) p[k] = CF(clip)(c->mean + c->contrast * (p[k] - c->mean));
    }
    if (c->saturation != 1) {
        vf16 gray = CF(gray)(p[0], p[1], p[2]);
        for (int k = 0; k < 3; ++k) p[k] = CF(clip)(gray + c->saturation * (p[k] - gray));
    }
    if (c->turn != 0) {
        vf16 most = CF_MOST(p[1], p[2]), least = CF_LEAST(p[1], p[2]);
        most = CF_MOST(p[0], most), least = CF_LEAST(p[0], least);
        // The hue in sixths of the circle, times the chroma, so that nothing is divided. Grays have none.
        vf16 chroma = most - least, circle = 6.0f * chroma;
        vf16 hue = 4.0f * chroma + (p[0] - p[1]);
        hue = CF_SELECT(most == p[1], 2.0f * chroma + (p[2] - p[0]), hue);
        hue = CF_SELECT(most == p[0], p[1] - p[2], hue);
        // Hues begin at -1; turned by 1 … 7 they end below 12, and wrap once at most.
        hue += (c->turn < 1 ? c->turn + 6 : c->turn) * chroma;
        hue = CF_SELECT(hue >= circle, hue - circle, hue);
        vf16 part[3] = {
            __builtin_elementwise_abs(hue - 3.0f * chroma) - chroma,
            2.0f * chroma - __builtin_elementwise_abs(hue - 2.0f * chroma),
            2.0f * chroma - __builtin_elementwise_abs(hue - 4.0f * chroma),
        };
        for (int k = 0; k < 3; ++k) {
            part[k] = least + CF_MOST(part[k], CF_ALL(0.0f));
            p[k] = CF_LEAST(part[k], most);
        }
    }
    for (int k = 0; k < 3; ++k) {
        if (c->gain[k] != 1) p[k] = CF(clip)(p[k] * c->gain[k]);
    }
    if (c->order[0] != 0 || c->order[1] != 1 || c->order[2] != 2) {
        vf16 q[3] = {p[c->order[0]], p[c->order[1]], p[c->order[2]]};
        for (int k = 0; k < 3; ++k) p[k] = q[k];
    }
}

static int CF(mixes)(const cf_colour *c) {
    return c->contrast != 1 || c->saturation != 1 || c->turn != 0 || c->gain[0] != 1 || c->gain[1] != 1
        || c->gain[2] != 1 || c->order[0] != 0 || c->order[1] != 1 || c->order[2] != 2;
}

static void CF(mix)(const cf_colour *change, float *values, size_t pixels) {
    vf16 p[3];
    size_t i = 0;
    for (; i + 16 <= pixels; i += 16) {
        CF(take_pixels)(values + 3 * i, &p[0], &p[1], &p[2]);
        CF(mix_block)(change, p);
        CF(put_pixels)(values + 3 * i, p[0], p[1], p[2]);
    }
    if (i == pixels) return;
    float rest[48] = {0};
    memcpy(rest, values + 3 * i, 12 * (pixels - i));
    CF(take_pixels)(rest, &p[0], &p[1], &p[2]);
    CF(mix_block)(change, p);
    CF(put_pixels)(rest, p[0], p[1], p[2]);
    memcpy(values + 3 * i, rest, 12 * (pixels - i));
}

static void CF(colour)(const cf_colour *change, float *values, size_t pixels) {
    if (CF(mixes)(change)) CF(mix)(change, values, pixels);
    if (change->noise != 0) CF(noise)(change, values, 3 * pixels, 0);
}

// ---- bytes ----

static double CF(gray8)(const uint8_t *picture, const cf_layout *layout, const float *table) {
    const size_t count = layout->channels * layout->width;
    // Sums of integers: exact, whatever their order.
    uint64_t sums[3] = {0};
    double unit = 1.0 / 255;
    if (table) {
        uint32_t fixed[768];
        for (int i = 0; i < 768; ++i) fixed[i] = (uint32_t)(table[i] * 0x1p24f + 0.5f);
        unit = 0x1p-24;
        const size_t second = layout->channels == 3 ? 1 : 0;
        for (size_t y = 0; y < layout->height; ++y) {
            const uint8_t *row = picture + y * layout->stride;
            for (size_t i = 0; i < count; i += layout->channels) {
                sums[0] += fixed[row[i]];
                sums[1] += fixed[256 + row[i + second]];
                sums[2] += fixed[512 + row[i + 2 * second]];
            }
        }
    } else {
        for (size_t y = 0; y < layout->height; ++y) {
            const uint8_t *row = picture + y * layout->stride;
            // 48 bytes hold 16 pixels, and 16 bits hold 257 such sums.
            size_t i = 0;
            if (layout->channels == 3) {
                while (i + 48 <= count) {
                    vs16 part[3] = {{0}};
                    const size_t end = i + 48 * 256 < count ? i + 48 * 256 : count;
                    for (; i + 48 <= end; i += 48) {
                        for (int k = 0; k < 3; ++k) {
                            v16 v;
                            memcpy(&v, row + i + 16 * k, 16);
                            part[k] += __builtin_convertvector(v, vs16);
                        }
                    }
                    for (int k = 0; k < 48; ++k) sums[k % 3] += part[k / 16][k % 16];
                }
                for (; i < count; ++i) sums[i % 3] += row[i];
            } else {
                for (; i < count; ++i) sums[0] += row[i];
            }
        }
        if (layout->channels == 1) sums[1] = sums[2] = sums[0];
    }
    return (0.299 * (double)sums[0] + 0.587 * (double)sums[1] + 0.114 * (double)sums[2]) * unit
        / ((double)layout->width * (double)layout->height);
}

static void CF(picture8)(const uint8_t *picture, const cf_layout *layout, const float *table, const cf_colour *change,
                         float *out, float *scratch) {
    const size_t width = layout->width, channels = layout->channels, step = (width + 15) / 16 * 16;
    const size_t second = channels == 3 ? 1 : 0;
    const int mixes = change && CF(mixes)(change);
    size_t noisy = 0;
    for (size_t y = 0; y < layout->height; ++y) {
        const uint8_t *row = picture + y * layout->stride;
        float *line = out + 3 * width * y;
        const ptrdiff_t next = layout->is_mirrored ? -(ptrdiff_t)channels : (ptrdiff_t)channels;
        const uint8_t *pixel = layout->is_mirrored ? row + channels * (width - 1) : row;
        if (mixes && table) {
            // Channel by channel in scratch memory that stays in cache.
            float *r = scratch, *g = r + step, *b = g + step;
            for (size_t x = 0; x < width; ++x, pixel += next) {
                r[x] = table[pixel[0]];
                g[x] = table[256 + pixel[second]];
                b[x] = table[512 + pixel[2 * second]];
            }
            for (size_t x = 0; x < width; x += 16) {
                vf16 p[3];
                memcpy(&p[0], r + x, 64);
                memcpy(&p[1], g + x, 64);
                memcpy(&p[2], b + x, 64);
                CF(mix_block)(change, p);
                if (x + 16 <= width) {
                    CF(put_pixels)(line + 3 * x, p[0], p[1], p[2]);
                } else {
                    float rest[48];
                    CF(put_pixels)(rest, p[0], p[1], p[2]);
                    memcpy(line + 3 * x, rest, 12 * (width - x));
                }
            }
        } else if (table) {
            for (size_t x = 0; x < width; ++x, pixel += next) {
                line[3 * x] = table[pixel[0]];
                line[3 * x + 1] = table[256 + pixel[second]];
                line[3 * x + 2] = table[512 + pixel[2 * second]];
            }
        } else if (!layout->is_mirrored) {
            CF(expand8)(row, width, channels, line);
        } else if (channels == 3) {
            CF(expand8_mirrored)(row, 1, width, line, (uint8_t *)scratch);
        } else {
            for (size_t x = 0; x < width; ++x, pixel += next)
                line[3 * x] = line[3 * x + 1] = line[3 * x + 2] = (float)pixel[0] / 255.0f;
        }
        if (mixes && !table) CF(mix)(change, line, width);
        if (change && change->noise != 0) {
            const size_t end = y + 1 == layout->height ? 3 * width * (y + 1) : 3 * width * (y + 1) / 64 * 64;
            CF(noise)(change, out + noisy, end - noisy, noisy);
            noisy = end;
        }
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

static const cf_table CF(table) = {
    CF(predict8), CF(unpredict8), CF(split_bits), CF(join_bits), CF(expand8), CF(expand16), CF(expand8_mirrored),
    CF(picture8), CF(gray8), CF(gray_sum), CF(colour), CF(window8),
};

#undef CF_SELECT
#undef CF_ALL
#undef CF_LEAST
#undef CF_MOST
