#include "levels.h"

const ck_kernels *ck_kernels_for(int level) {
    switch (level) {
#if defined(__aarch64__)
    case CK_LEVEL_NEON: return &ck_kernels_baseline;
#else
    case CK_LEVEL_SSE: return &ck_kernels_baseline;
#endif
#if defined(__x86_64__)
    case CK_LEVEL_AVX2:
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &ck_kernels_avx2 : 0;
    case CK_LEVEL_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl")
                && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw")
            ? &ck_kernels_avx512 : 0;
#endif
    default: return 0;
    }
}

void ck_combine(const double *partials, long chunks, long count, float *output) {
    for (long i = 0; i < count; i++) {
        double sum = 0;
        for (long chunk = 0; chunk < chunks; chunk++) sum += partials[chunk * count + i];
        output[i] = (float)sum;
    }
}

void ck_norm_combine(const double *partials, const float *origin, long chunks, long channels, long rows, float *mean,
                     float *variance) {
    for (long c = 0; c < channels; c++) {
        double sum = 0, square = 0;
        for (long chunk = 0; chunk < chunks; chunk++) {
            sum += partials[(2 * chunk) * channels + c];
            square += partials[(2 * chunk + 1) * channels + c];
        }
        const double average = sum / (double)rows;
        const double spread = square / (double)rows - average * average;
        mean[c] = (float)((double)origin[c] + average);
        variance[c] = spread < 0 ? 0.0f : (float)spread;   // NaN stays NaN
    }
}

void ck_moments(double *moments, const float *origin, long channels, long rows) {
    for (long c = 0; c < channels; c++) {
        const double average = moments[c] / (double)rows;
        moments[channels + c] -= moments[c] * average;
        moments[c] = (double)origin[c] + average;
    }
    moments[2 * channels] = (double)rows;
}

void ck_moments_combine(double *moments, long chunks, long channels, float *mean, float *variance) {
    const long stride = 2 * channels + 1;
    double rows = moments[2 * channels];
    for (long chunk = 1; chunk < chunks; chunk++) {
        const double *part = moments + chunk * stride;
        const double before = rows, share = part[2 * channels] / (before + part[2 * channels]);
        rows += part[2 * channels];
        for (long c = 0; c < channels; c++) {
            const double shift = part[c] - moments[c];
            moments[c] += shift * share;
            moments[channels + c] += part[channels + c] + shift * shift * (before * share);
        }
    }
    for (long c = 0; c < channels; c++) {
        const double spread = moments[channels + c];
        mean[c] = (float)moments[c];
        variance[c] = spread < 0 ? 0.0f : (float)(spread / rows);   // NaN stays NaN
    }
}

void ck_norm_gradient_combine(double *partials, long chunks, long channels, const float *variance, float epsilon,
                              float *gain_gradient, float *bias_gradient) {
    for (long chunk = 1; chunk < chunks; chunk++) {
        const double *next = partials + chunk * 2 * channels;
        for (long i = 0; i < 2 * channels; i++) partials[i] += next[i];
    }
    for (long c = 0; c < channels; c++) {
        bias_gradient[c] = (float)partials[c];
        gain_gradient[c] =
            (float)(partials[channels + c] / __builtin_sqrt((double)variance[c] + (double)epsilon));
    }
}
