/* A query string read in one pass: its pairs, and its parameters as JSON text.
 *
 * Shared by _scan.c and _line.c. Only clean queries are read: every pair complete, every escape well formed, every
 * text UTF-8. Anything else is declined with NULL, and the general path in Python decides.
 *
 * Memory: the JSON text is written to one buffer that is large enough from the start (see json_capacity), so that no
 * write below checks for room. The input is a bytes object, which always has a NUL after its last byte: loops stop
 * at it without comparing positions, since a NUL is never copied unescaped.
 */
#ifndef INGESTD_QUERY_H
#define INGESTD_QUERY_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define MAX_PAIRS 256
/* Enough for a query of 2.3 KB; a longer one is read on the heap. The fuzzer sets this low, so that both are tried. */
#ifndef STACK_BYTES
#define STACK_BYTES 16384
#endif
#define BLOCK 16 /* bytes examined together */

enum kind { PLAIN, SPECIAL, ESCAPED };

/* PLAIN is copied to JSON, SPECIAL has a meaning in a query or in UTF-8, ESCAPED needs a backslash. */
static const uint8_t KIND[256] = {
    [0 ... 0x1f] = ESCAPED, ['"'] = ESCAPED, ['\\'] = ESCAPED, ['%'] = SPECIAL,
    ['&'] = SPECIAL,        ['+'] = SPECIAL, ['='] = SPECIAL,  [0x80 ... 0xff] = SPECIAL,
};

static const int8_t HEX[256] = {
    [0 ... '0' - 1] = -1,
    0,
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    ['9' + 1 ... 'A' - 1] = -1,
    10,
    11,
    12,
    13,
    14,
    15,
    ['F' + 1 ... 'a' - 1] = -1,
    10,
    11,
    12,
    13,
    14,
    15,
    ['f' + 1 ... 255] = -1,
};

typedef struct {
    const uint8_t *raw; /* in the query */
    Py_ssize_t raw_size;
    uint8_t *json; /* between the quotes of the JSON text */
    Py_ssize_t size;
    int escaped; /* the JSON text has backslashes, so it is not the decoded text */
} text;

typedef struct {
    text name, value;
    int again; /* the number of the next pair of the same name, 0: there is none */
    int last; /* of a name's first pair: the number of its last one */
    int repeated; /* its name has occurred before */
} pair;

/* The byte of a percent escape, -1 if it is malformed. `in` is at the '%'. */
static inline int
unpercent(const uint8_t *in)
{
    int high = HEX[in[1]];
    if (high < 0) /* in[1] may be the NUL at the end: then in[2] is out of bounds */
        return -1;
    int low = HEX[in[2]];
    return low < 0 ? -1 : high << 4 | low;
}

/* Writes a byte that JSON must escape, spelled as orjson spells it: at most 6 bytes. */
static uint8_t *
put_escape(uint8_t *out, int byte)
{
    static const char LETTER[32] = {['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f', ['\r'] = 'r'};
    *out++ = '\\';
    if (byte >= 0x20)
        *out++ = (uint8_t)byte;
    else if (LETTER[byte])
        *out++ = (uint8_t)LETTER[byte];
    else {
        memcpy(out, "u00", 3);
        out[3] = (uint8_t)('0' + (byte >> 4));
        out[4] = (uint8_t)"0123456789abcdef"[byte & 15];
        out += 5;
    }
    return out;
}

/* Copies the rest of a character of several bytes, raw or escaped. NULL where it is not strict UTF-8:
 * the ranges of the second byte (Unicode, table 3-7) keep out overlong forms, surrogates, > U+10FFFF. */
static const uint8_t *
put_character(const uint8_t *in, int lead, uint8_t **out)
{
    int more, low = 0x80, high = 0xbf;
    if (lead >= 0xc2 && lead <= 0xdf)
        more = 1;
    else if (lead >= 0xe0 && lead <= 0xef) {
        more = 2;
        if (lead == 0xe0)
            low = 0xa0;
        else if (lead == 0xed)
            high = 0x9f;
    }
    else if (lead >= 0xf0 && lead <= 0xf4) {
        more = 3;
        if (lead == 0xf0)
            low = 0x90;
        else if (lead == 0xf4)
            high = 0x8f;
    }
    else
        return NULL;
    *(*out)++ = (uint8_t)lead;
    for (; more; more--, low = 0x80, high = 0xbf) {
        int escape = *in == '%';
        int byte = escape ? unpercent(in) : *in;
        if (byte < low || byte > high)
            return NULL;
        *(*out)++ = (uint8_t)byte;
        in += escape ? 3 : 1;
    }
    return in;
}

/* Copies plain bytes up to one that may not be plain. Writes up to BLOCK bytes too many, within the slack. */
static inline const uint8_t *
put_plain(const uint8_t *in, const uint8_t *end, uint8_t **out)
{
#ifdef __SSE2__
    while (end - in >= BLOCK) {
        __m128i block = _mm_loadu_si128((const __m128i *)in);
        _mm_storeu_si128((__m128i *)*out, block);
#define IS(character) _mm_cmpeq_epi8(block, _mm_set1_epi8(character))
        /* the comparison is signed, so it also finds the bytes from 0x80 */
        __m128i found = _mm_cmplt_epi8(block, _mm_set1_epi8(0x20));
        found = _mm_or_si128(found, _mm_or_si128(IS('%'), IS('&')));
        found = _mm_or_si128(found, _mm_or_si128(IS('+'), IS('=')));
        found = _mm_or_si128(found, _mm_or_si128(IS('"'), IS('\\')));
#undef IS
        int mask = _mm_movemask_epi8(found);
        int plain = mask ? __builtin_ctz((unsigned)mask) : BLOCK;
        in += plain;
        *out += plain;
        if (mask)
            return in;
    }
#else
    (void)end;
#endif
    while (KIND[*in] == PLAIN)
        *(*out)++ = *in++;
    return in;
}

/* Copies a name (until '=') or a value (until '&' or the end) as JSON and returns where it ended.
 * NULL where the query is not clean. */
static const uint8_t *
put_text(text *t, const uint8_t *in, const uint8_t *end, uint8_t **cursor, int until)
{
    uint8_t *out = *cursor;
    t->raw = in;
    t->json = out;
    t->escaped = 0;
    for (;;) {
        if (*in != '%') /* escapes come in rows */
            in = put_plain(in, end, &out);
        int byte = *in;
        if (byte == '%') {
            byte = unpercent(in);
            if (byte < 0)
                return NULL;
            in += 3;
        }
        else {
            if (byte == until || in == end)
                break;
            if (byte == '&')
                return NULL; /* an empty pair, or one without '=' */
            if (byte == '+')
                byte = ' ';
            in++;
        }
        if (byte >= 0x80) {
            in = put_character(in, byte, &out);
            if (in == NULL)
                return NULL;
        }
        else if (KIND[byte] == ESCAPED) {
            t->escaped = 1;
            out = put_escape(out, byte);
        }
        else
            *out++ = (uint8_t)byte;
    }
    if (in == end && until == '=')
        return NULL;
    t->raw_size = in - t->raw;
    t->size = out - t->json;
    *cursor = out;
    return in;
}

/* The decoded text: where JSON needed no escape its own bytes, else decoded once more to `scratch`. */
static const uint8_t *
decoded(const text *t, uint8_t *scratch, Py_ssize_t *size)
{
    if (!t->escaped) {
        *size = t->size;
        return t->json;
    }
    uint8_t *out = scratch;
    const uint8_t *in = t->raw, *end = t->raw + t->raw_size;
    while (in < end) {
        int escape = *in == '%';
        *out++ = escape ? (uint8_t)unpercent(in) : *in == '+' ? ' ' : *in;
        in += escape ? 3 : 1;
    }
    *size = out - scratch;
    return scratch;
}

static inline PyObject *
to_str(const text *t, uint8_t *scratch)
{
    Py_ssize_t size;
    const uint8_t *bytes = decoded(t, scratch, &size);
    return PyUnicode_DecodeUTF8((const char *)bytes, size, NULL);
}

/* Eight bytes at a time; the last eight overlap the ones before. Not collision-resistant: see find. */
static uint64_t
hash_of(const uint8_t *p, Py_ssize_t size)
{
#define ODD UINT64_C(0x9e3779b97f4a7c15)
#define MIX(h) (h = (h ^ chunk) * ODD, h ^= h >> 32)
    /* spread, or the size of one short name could make up for the last letter of another */
    uint64_t hash = (uint64_t)size * ODD, chunk = 0;
    if (size >= 8) {
        for (; size > 8; p += 8, size -= 8) {
            memcpy(&chunk, p, 8);
            MIX(hash);
        }
        memcpy(&chunk, p + size - 8, 8);
    }
    else if (size >= 4) {
        uint32_t first, last;
        memcpy(&first, p, 4);
        memcpy(&last, p + size - 4, 4);
        chunk = (uint64_t)first << 32 | last;
    }
    else if (size > 0)
        chunk = (uint64_t)p[0] << 16 | (uint64_t)p[size / 2] << 8 | p[size - 1];
    MIX(hash);
#undef MIX
#undef ODD
    return hash;
}

/* The first and the last character of a macro, as FIRST and LAST in macros.py. */
enum { BEGINS = 1, ENDS = 2 };
static const uint8_t MACRO_EDGE[256] = {
    ['_'] = BEGINS | ENDS, ['$'] = BEGINS | ENDS, ['%'] = BEGINS | ENDS, ['@'] = BEGINS | ENDS, ['{'] = BEGINS,
    ['['] = BEGINS,        ['}'] = ENDS,          [']'] = ENDS,          ['!'] = ENDS,
};

static inline int
may_be_macro(const text *value)
{
    return value->size >= 3 && MACRO_EDGE[value->json[0]] & BEGINS && MACRO_EDGE[value->json[value->size - 1]] & ENDS;
}

typedef struct {
    int count, candidates;
    int repeats; /* pairs whose name has occurred before */
    pair pairs[MAX_PAIRS];
    uint64_t hashes[MAX_PAIRS]; /* of the decoded names */
    uint64_t filter[4]; /* a bit for each hash, by its low byte: a clear bit proves a name new */
    uint16_t candidate[MAX_PAIRS]; /* pairs that may hold an unreplaced macro */
} table;

/* The number of the first pair whose name has this hash, or -1. Two names of one hash are so by one chance in
 * 2^64 or on purpose: the caller compares the names. */
static inline int
find(const table *t, uint64_t hash)
{
    if (t->filter[hash >> 6 & 3] >> (hash & 63) & 1)
        for (int i = 0; i < t->count; i++)
            if (t->hashes[i] == hash)
                return i;
    return -1;
}

/* The number of the first pair of a name, or -1. */
static inline int
find_name(const table *t, const uint8_t *name, Py_ssize_t length, uint8_t *scratch)
{
    Py_ssize_t size;
    int at = find(t, hash_of(name, length));
    if (at < 0)
        return -1;
    const uint8_t *present = decoded(&t->pairs[at].name, scratch, &size);
    return size == length && memcmp(present, name, (size_t)size) == 0 ? at : -1;
}

/* Enters the name of the last pair. 0 where another name has its hash. */
static inline int
enter(table *t, uint8_t *scratch)
{
    Py_ssize_t size, first_size;
    pair *new = &t->pairs[t->count];
    const uint8_t *name = decoded(&new->name, scratch, &size);
    uint64_t hash = hash_of(name, size);
    int at = find(t, hash);
    new->again = 0;
    new->last = t->count;
    new->repeated = at >= 0;
    t->hashes[t->count] = hash;
    t->filter[hash >> 6 & 3] |= UINT64_C(1) << (hash & 63);
    if (at < 0)
        return 1;
    const uint8_t *first = decoded(&t->pairs[at].name, scratch + size, &first_size);
    if (first_size != size || memcmp(first, name, (size_t)size) != 0)
        return 0;
    t->pairs[t->pairs[at].last].again = t->count; /* not by the way of all between: they may be many */
    t->pairs[at].last = t->count;
    t->repeats++;
    return 1;
}

/* Fills the table and writes the JSON text, of which each pair is a member: where `repeats` is not 0 it is
 * not yet the object that is wanted. Returns its end, NULL where the query is not clean. */
static inline uint8_t *
read_pairs(table *t, const uint8_t *in, const uint8_t *end, uint8_t *out)
{
    t->count = t->candidates = t->repeats = 0;
    memset(t->filter, 0, sizeof t->filter);
    *out++ = '{';
    while (in < end || t->count) {
        if (t->count == MAX_PAIRS)
            return NULL;
        pair *p = &t->pairs[t->count];
        *out++ = '"';
        in = put_text(&p->name, in, end, &out, '=');
        if (in == NULL)
            return NULL;
        memcpy(out, "\":\"", 3);
        out += 3;
        in = put_text(&p->value, in + 1, end, &out, '&');
        if (in == NULL)
            return NULL;
        if (!enter(t, out))
            return NULL;
        if (may_be_macro(&p->value))
            t->candidate[t->candidates++] = (uint16_t)t->count;
        t->count++;
        *out++ = '"';
        if (in == end)
            break;
        in++;
        *out++ = ',';
    }
    *out++ = '}';
    return out;
}

/* Bytes of buffer for a query; 0 where no buffer can be as large. Each byte becomes at most six ("\u0001"),
 * the four of '{"' and '"}' are 4 more; behind the text there is room to decode two names of the query once
 * more (the seventh), and for what put_plain writes too much. */
static inline size_t
json_capacity(Py_ssize_t size)
{
    if (size > (PY_SSIZE_T_MAX - 2 * BLOCK) / 16)
        return 0;
    return (size_t)size * 7 + 2 * BLOCK;
}

#endif
