// Median edge predictor for wider elements, included once per type by cfilters.c. The same arithmetic as the 8-bit one.

static inline CF_INLINE CF_ELEMENT CF_NAME(channel)(const CF_ELEMENT *pixel, size_t channel, size_t channels) {
#if CF_BITS == 16
    if (channels >= 3 && channel < 3) {
        if (channel == 0) return pixel[1];
        return (CF_ELEMENT)(pixel[channel == 1 ? 0 : 2] - pixel[1] + 32768);
    }
#endif
    (void)channels;
    return CF_FOLD(pixel[channel]);
}

static inline CF_INLINE CF_ELEMENT CF_NAME(median)(CF_ELEMENT a, CF_ELEMENT b, CF_ELEMENT c) {
    CF_ELEMENT low = a < b ? a : b, high = a < b ? b : a;
    CF_ELEMENT raised = c < low ? low : c;
    return (CF_ELEMENT)(a + b - (raised > high ? high : raised));
}

void CF_NAME(cf_predict)(const CF_ELEMENT *picture, size_t height, size_t width, size_t channels,
                         CF_ELEMENT *residuals) {
    for (size_t k = 0; k < channels; ++k) {
        for (size_t y = 0; y < height; ++y) {
            const CF_ELEMENT *row = picture + y * width * channels;
            const CF_ELEMENT *above = y ? row - width * channels : NULL;
            CF_ELEMENT a = 0, c = 0;
            for (size_t x = 0; x < width; ++x) {
                CF_ELEMENT value = CF_NAME(channel)(row + x * channels, k, channels);
                CF_ELEMENT b = above ? CF_NAME(channel)(above + x * channels, k, channels) : 0;
                CF_ELEMENT r = (CF_ELEMENT)(value - CF_NAME(median)(a, b, c));
                *residuals++ = (CF_ELEMENT)((CF_ELEMENT)(r << 1) ^ (CF_ELEMENT)(-(r >> (CF_BITS - 1))));
                a = value;
                c = b;
            }
        }
    }
}

void CF_NAME(cf_unpredict)(const CF_ELEMENT *residuals, size_t height, size_t width, size_t channels,
                           CF_ELEMENT *picture) {
    // First the predictor, with transformed values left in place, then one pass back to elements.
    for (size_t k = 0; k < channels; ++k) {
        for (size_t y = 0; y < height; ++y) {
            CF_ELEMENT *row = picture + y * width * channels + k;
            const CF_ELEMENT *above = y ? row - width * channels : NULL;
            CF_ELEMENT a = 0, c = 0;
            for (size_t x = 0; x < width; ++x) {
                CF_ELEMENT b = above ? above[x * channels] : 0;
                CF_ELEMENT z = *residuals++;
                CF_ELEMENT r = (CF_ELEMENT)((z >> 1) ^ (CF_ELEMENT)(-(z & 1)));
                a = (CF_ELEMENT)(CF_NAME(median)(a, b, c) + r);
                row[x * channels] = a;
                c = b;
            }
        }
    }
    const size_t pixels = height * width;
#if CF_BITS == 16
    if (channels >= 3)
        for (size_t i = 0; i < pixels; ++i) {
            CF_ELEMENT *p = picture + i * channels, green = p[0];
            p[0] = (CF_ELEMENT)(p[1] + green - 32768);
            p[2] = (CF_ELEMENT)(p[2] + green - 32768);
            p[1] = green;
        }
#else
    for (size_t i = 0; i < pixels * channels; ++i) picture[i] = CF_UNFOLD(picture[i]);
#endif
}
