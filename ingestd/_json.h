/* Recognises JSON that is valid beyond doubt, after RFC 8259. Text that it declines may be valid all the same:
 * numbers with an exponent or many digits, escaped surrogates, deep nesting. orjson decides about those.
 *
 * Each function is given where something begins and where the text ends, and returns where it ends, or NULL.
 * Behind the text there is a newline, which is valid nowhere: it ends every loop.
 */
#ifndef INGESTD_JSON_H
#define INGESTD_JSON_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define JSON_DEPTH 64
#define JSON_DIGITS 18

static const char *json_value(const char *at, const char *end, int depth);

static inline const char *
json_blank(const char *at)
{
    while (*at <= ' ' && (*at == ' ' || *at == '\t' || *at == '\r'))
        at++;
    return at;
}

/* Skips plain characters of a string: not `"`, not `\`, 32 to 127. */
static inline const char *
json_plain(const char *at, const char *end)
{
#ifdef __SSE2__
    const __m128i quotes = _mm_set1_epi8('"'), backslashes = _mm_set1_epi8('\\'), blanks = _mm_set1_epi8(' ');
    for (; end - at >= 16; at += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)at);
        __m128i odd = _mm_or_si128(_mm_cmpeq_epi8(bytes, quotes), _mm_cmpeq_epi8(bytes, backslashes));
        int mask = _mm_movemask_epi8(_mm_or_si128(odd, _mm_cmplt_epi8(bytes, blanks))); /* signed, so > 127 too */
        if (mask != 0)
            return at + __builtin_ctz((unsigned)mask);
    }
#else
    (void)end;
#endif
    while ((signed char)*at >= ' ' && *at != '"' && *at != '\\')
        at++;
    return at;
}

/* A character of two to four bytes, well-formed as table 3-7 of the Unicode Standard has it. */
static const char *
json_utf8(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    int more = *at < 0xE0 ? 1 : *at < 0xF0 ? 2 : 3, number;
    if (*at < 0xC2 || *at > 0xF4)
        return NULL;
    for (number = 1; number <= more; number++)
        if ((at[number] & 0xC0) != 0x80)
            return NULL;
    if ((*at == 0xE0 && at[1] < 0xA0) || (*at == 0xED && at[1] > 0x9F))
        return NULL;
    if ((*at == 0xF0 && at[1] < 0x90) || (*at == 0xF4 && at[1] > 0x8F))
        return NULL;
    return text + 1 + more;
}

/* An escape, from its backslash on. */
static const char *
json_escape(const char *at)
{
    int digit;
    switch (at[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return at + 2;
    case 'u':
        for (digit = 2; digit < 6; digit++)
            if (!((at[digit] >= '0' && at[digit] <= '9') || ((at[digit] | 32) >= 'a' && (at[digit] | 32) <= 'f')))
                return NULL;
        return (at[2] | 32) == 'd' && at[3] > '7' ? NULL : at + 6;
    default:
        return NULL;
    }
}

/* From behind a string's opening quote to behind its closing one. */
static const char *
json_string(const char *at, const char *end)
{
    while (at != NULL) {
        at = json_plain(at, end);
        if (*at == '"')
            return at + 1;
        at = *at == '\\' ? json_escape(at) : (signed char)*at < 0 ? json_utf8(at) : NULL;
    }
    return NULL;
}

static const char *
json_digits(const char *at)
{
    const char *start = at;
    while (*at >= '0' && *at <= '9')
        at++;
    return at > start && at - start <= JSON_DIGITS ? at : NULL;
}

static const char *
json_number(const char *at)
{
    const char *start = at + (*at == '-');
    at = json_digits(start);
    if (at == NULL || (*start == '0' && at > start + 1))
        return NULL;
    if (*at == '.')
        at = json_digits(at + 1);
    return at == NULL || *at == 'e' || *at == 'E' ? NULL : at;
}

static const char *
json_word(const char *at, const char *end, const char *word, size_t size)
{
    return (size_t)(end - at) >= size && memcmp(at, word, size) == 0 ? at + size : NULL;
}

/* The members of an object or array, from one on to behind the closing bracket. */
static const char *
json_members(const char *at, const char *end, char close, int depth)
{
    while (depth > 0) {
        if (close == '}') {
            if (*at != '"' || (at = json_string(at + 1, end)) == NULL)
                return NULL;
            at = json_blank(at);
            if (*at != ':')
                return NULL;
            at = json_blank(at + 1);
        }
        at = *at == '"' ? json_string(at + 1, end) : json_value(at, end, depth - 1);
        if (at == NULL)
            return NULL;
        at = json_blank(at);
        if (*at == close)
            return at + 1;
        if (*at != ',')
            return NULL;
        at = json_blank(at + 1);
    }
    return NULL;
}

/* An object or array from behind its opening bracket on. */
static const char *
json_within(const char *at, const char *end, char close, int depth)
{
    at = json_blank(at);
    return *at == close ? at + 1 : json_members(at, end, close, depth);
}

static const char *
json_value(const char *at, const char *end, int depth)
{
    switch (*at) {
    case '"':
        return json_string(at + 1, end);
    case '{':
        return json_within(at + 1, end, '}', depth);
    case '[':
        return json_within(at + 1, end, ']', depth);
    case 't':
        return json_word(at, end, "true", 4);
    case 'f':
        return json_word(at, end, "false", 5);
    case 'n':
        return json_word(at, end, "null", 4);
    default:
        return json_number(at);
    }
}

#endif
