/* murmur2 as Kafka's Java client computes it (org.apache.kafka.common.utils.Utils.murmur2), which chooses
 * the partition of a key. */

#ifndef INGESTD_MURMUR2_H
#define INGESTD_MURMUR2_H

#include <stddef.h>
#include <stdint.h>

static inline uint32_t
murmur2_hash(const unsigned char *data, size_t length)
{
    const uint32_t seed = 0x9747b28cu, m = 0x5bd1e995u;
    uint32_t h = seed ^ (uint32_t)length;
    while (length >= 4) {
        /* byte by byte: the order is the algorithm's, not the machine's */
        uint32_t k = (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
        k *= m;
        k ^= k >> 24;
        k *= m;
        h *= m;
        h ^= k;
        data += 4;
        length -= 4;
    }
    switch (length) {
    case 3:
        h ^= (uint32_t)data[2] << 16;
        /* fall through */
    case 2:
        h ^= (uint32_t)data[1] << 8;
        /* fall through */
    case 1:
        h ^= data[0];
        h *= m;
    }
    h ^= h >> 13;
    h *= m;
    return h ^ h >> 15;
}

#endif
