/* The copy and the triad of STREAM (McCalpin, 1995) in single precision, with ordinary stores: no non-temporal hints. */

void stream_copy(float *restrict a, const float *restrict b, long n) {
#pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i++) a[i] = b[i];
}

void stream_triad(float *restrict a, const float *restrict b, const float *restrict c, float s, long n) {
#pragma omp parallel for schedule(static)
    for (long i = 0; i < n; i++) a[i] = b[i] + s * c[i];
}
