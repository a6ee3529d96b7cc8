/* The whole line of the usual event in one call: a clean query, ASCII headers, no body.
 *
 * Anything else is declined with None, and the general path in source.py makes the line. None is always right; a
 * line that differs from that of the general path (but for its id, which is a new one each time) never is.
 * tests/unit/sources/test_line.py compares the two.
 *
 * Memory: every piece is written to a buffer whose size is computed beforehand from the sizes of the pieces (see
 * line_capacity), six times the input for JSON text.
 */
#include "../_event.h"
#include "_query.h"

#include <pthread.h>
#include <sys/random.h>

/* A larger line is made on the heap. The fuzzer sets this low, so that both are tried. */
#ifndef LINE_BYTES
#define LINE_BYTES 8192
#endif
/* as in event_time.py */
#define AUTO_MS 100000000000LL
#define LAST_MS 10000000000000LL

enum unit { AUTO, SECONDS, MILLISECONDS };

typedef struct {
    PyObject_HEAD
    PyObject *source; /* ,"source":"ocean","route": */
    PyObject *kind; /* ,"type":"click","method": */
    PyObject *node; /* ,"node":"host/1" */
    PyObject *prefix; /* of the bytes that dup_key is a hash of */
    PyObject *dedup; /* a tuple of tuples: names that make a click id, together */
    PyObject *volatiles; /* a tuple: the starts of pairs that change from repeat to repeat */
    PyObject *is_macro; /* str to bool: macros.is_macro */
    PyObject *null_like; /* a frozenset: null_values.NULL_LIKE */
    PyObject *is_null; /* str to bool: null_values.is_null */
    PyObject *digest; /* bytes to 32 hexadecimal digits */
    PyObject *clock; /* the name of the parameter with the platform's time, or None */
    int unit, keep_raw;
    long long stale_after, future_after;
} maker;

/* One request: the arguments of `line`. */
typedef struct {
    const uint8_t *bytes;
    Py_ssize_t size;
} piece;

typedef struct {
    piece method, path, route, raw, client_ip, forwarded, agent, signature;
    long long received_ns;
    PyObject *count_macro;
} request;

/* Everything about a request that is needed before its line can be written. */
typedef struct {
    const table *t;
    const uint8_t *json;
    Py_ssize_t json_size;
    uint8_t *scratch;
    long long received_at, event_at; /* event_at 0: unknown */
    const char *clock_flag;
    PyObject *dup_key;
    uint16_t macro[MAX_PAIRS]; /* the pairs whose parameter is an unreplaced macro */
    int macros;
} finding;

enum { ERROR = -1, ODD = 0, FINE = 1 };

/* macros: whole values only, see macros.py. That __X__ is one is decided here, about all others it is asked. */

/* MAX_LENGTH in macros.py */
#define MAX_MACRO 128

static inline int
is_upper(uint8_t c)
{
    return c >= 'A' && c <= 'Z';
}
static inline int
is_letter(uint8_t c)
{
    return is_upper(c & 0xdf);
}
static inline int
is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

/* __X__ __A_B__, _X_ _A_B_: words of letters and digits, one underscore between two; between single ones in
 * capitals, and not beginning with a digit */
static int
is_underscored(const uint8_t *p, const uint8_t *end)
{
    int two = p[1] == '_', word = 0;
    if (two ? end - p < 5 || end[-1] != '_' || end[-2] != '_' : end[-1] != '_' || !is_upper(p[1]))
        return 0;
    for (p += 1 + two, end -= 1 + two; p < end; p++) {
        if ((two ? is_letter(*p) : is_upper(*p)) || is_digit(*p))
            word = 1;
        else if (*p == '_' && word)
            word = 0;
        else
            return 0;
    }
    return word;
}

/* Calls a predicate of Python's with an ASCII text. 1, 0, or ERROR. */
static int
ask(PyObject *predicate, const uint8_t *p, Py_ssize_t size)
{
    PyObject *text = PyUnicode_DecodeASCII((const char *)p, size, NULL);
    PyObject *answer = text ? PyObject_CallOneArg(predicate, text) : NULL;
    int yes = answer ? PyObject_IsTrue(answer) : ERROR;
    Py_XDECREF(text);
    Py_XDECREF(answer);
    return yes;
}

/* 1, 0, or ERROR. */
static int
is_macro(const maker *m, const text *value)
{
    if (!may_be_macro(value) || value->escaped || value->size > MAX_MACRO)
        return 0;
    const uint8_t *p = value->json, *end = p + value->size;
    if (*p == '_')
        return is_underscored(p, end);
    for (; p < end; p++) /* JSON in a parameter has the edges of a macro, too */
        if (!is_letter(*p) && !is_digit(*p) && strchr("_{}$[]%@!.:?|-", *p) == NULL)
            return 0;
    return ask(m->is_macro, value->json, value->size);
}

/* In the order of the parameters; a repeated one is a macro where one of its values is. */
static int
find_macros(const maker *m, finding *f)
{
    const table *t = f->t;
    f->macros = 0;
    for (int i = 0; i < (t->repeats ? t->count : t->candidates); i++) {
        int pair = t->repeats ? i : t->candidate[i];
        if (t->candidates == 0 || t->pairs[pair].repeated)
            continue;
        int at = pair, found;
        while ((found = is_macro(m, &t->pairs[at].value)) == 0 && t->pairs[at].again)
            at = t->pairs[at].again;
        if (found == ERROR)
            return ERROR;
        if (found)
            f->macro[f->macros++] = (uint16_t)pair;
    }
    return FINE;
}

/* the platform's time */

/* Whether Python's int() certainly refuses a text: it has a byte that no number has. */
static int
is_no_number(const uint8_t *p, Py_ssize_t size)
{
    for (Py_ssize_t i = 0; i < size; i++)
        if (p[i] < 0x80 && p[i] > ' ' && !is_digit(p[i]) && p[i] != '_' && p[i] != '+' && p[i] != '-')
            return 1;
    return size == 0;
}

static int
read_clock(const maker *m, finding *f)
{
    f->event_at = 0;
    f->clock_flag = NULL;
    if (m->clock == Py_None)
        return FINE;
    int at = find_name(f->t, (const uint8_t *)PyBytes_AS_STRING(m->clock), PyBytes_GET_SIZE(m->clock), f->scratch);
    if (at < 0)
        return FINE;
    const text *value = &f->t->pairs[at].value;
    if (value->escaped) /* it may hold white space, which int() skips */
        return ODD;
    long long number = 0;
    for (Py_ssize_t i = 0; i < value->size; i++) {
        if (!is_digit(value->json[i]) || i == 15)
            return is_no_number(value->json, value->size) ? FINE : ODD;
        number = number * 10 + (value->json[i] - '0');
    }
    if (m->unit == SECONDS || (m->unit == AUTO && number < AUTO_MS))
        number *= 1000;
    if (number <= 0 || number >= LAST_MS)
        return FINE;
    f->event_at = number;
    if (f->received_at - number > m->stale_after)
        f->clock_flag = "stale";
    else if (number - f->received_at > m->future_after)
        f->clock_flag = "future";
    return FINE;
}

/* dup_key: equal for repeats */

/* As MAX_LENGTH in null_values.py. */
#define MAX_NULL 128

/* What may stand around a word, and what a value without content is made of: _AROUND and _ZEROS there. */
enum { AROUND = 1, ZERO = 2 };
static const uint8_t NOTHING[256] = {
    [0 ... ' '] = AROUND, [0x7f] = AROUND, ['('] = AROUND, [')'] = AROUND, ['['] = AROUND, [']'] = AROUND,
    ['{'] = AROUND,       ['}'] = AROUND,  ['<'] = AROUND, ['>'] = AROUND, ['"'] = AROUND, ['\''] = AROUND,
    ['0'] = ZERO,         ['-'] = ZERO,    [':'] = ZERO,   ['.'] = ZERO,   ['_'] = ZERO,
};

/* null_values.is_null of a text, 1, 0, or ERROR. What is not ASCII is left to it. */
static int
is_null(const maker *m, const uint8_t *p, Py_ssize_t size)
{
    if (size > 4 * MAX_NULL) /* bytes of UTF-8 */
        return 0;
    uint8_t any = 0;
    for (Py_ssize_t i = 0; i < size; i++)
        any |= p[i];
    if (any >= 0x80) {
        PyObject *text = PyUnicode_DecodeUTF8((const char *)p, size, NULL);
        PyObject *answer = text ? PyObject_CallOneArg(m->is_null, text) : NULL;
        int yes = answer ? PyObject_IsTrue(answer) : ERROR;
        Py_XDECREF(text);
        Py_XDECREF(answer);
        return yes;
    }
    if (size > MAX_NULL)
        return 0;
    const uint8_t *end = p + size;
    while (p < end && NOTHING[*p] == AROUND)
        p++;
    while (p < end && NOTHING[end[-1]] == AROUND)
        end--;
    uint8_t lower[MAX_NULL];
    Py_ssize_t zeros = 0;
    for (size = 0; p + size < end; size++) {
        lower[size] = is_upper(p[size]) ? p[size] | 0x20 : p[size];
        zeros += NOTHING[p[size]] == ZERO;
    }
    if (zeros == size)
        return 1;
    PyObject *text = PyUnicode_DecodeASCII((const char *)lower, size, NULL);
    int found = text ? PySet_Contains(m->null_like, text) : ERROR;
    Py_XDECREF(text);
    return found;
}

/* The value of a parameter's first pair, if it names something: null_values.real. 1, 0, or ERROR. */
static int
is_real(const maker *m, const text *value, uint8_t *scratch)
{
    int macro = is_macro(m, value);
    if (macro)
        return macro == ERROR ? ERROR : 0;
    Py_ssize_t size;
    const uint8_t *bytes = decoded(value, scratch, &size);
    int null = is_null(m, bytes, size);
    return null == ERROR ? ERROR : !null;
}

static int
name_at(const finding *f, PyObject *name)
{
    return find_name(f->t, (const uint8_t *)PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name), f->scratch);
}

/* The prefix, the click id's values with a NUL between them: a new reference, NULL with an exception. */
static PyObject *
joined(const maker *m, const finding *f, PyObject *names)
{
    PyObject *all = NULL;
    Py_ssize_t count = PyTuple_GET_SIZE(names);
    for (uint8_t *out = NULL;;) { /* once to measure, once to write */
        Py_ssize_t total = PyBytes_GET_SIZE(m->prefix);
        for (Py_ssize_t i = 0; i < count; i++) {
            int at = name_at(f, PyTuple_GET_ITEM(names, i));
            Py_ssize_t size = 4;
            const uint8_t *value = (const uint8_t *)"None";
            if (at >= 0)
                value = decoded(&f->t->pairs[at].value, f->scratch, &size);
            if (out != NULL) {
                if (i)
                    out[total] = 0;
                memcpy(out + total + (i > 0), value, (size_t)size);
            }
            total += size + (i > 0);
        }
        if (out != NULL)
            return all;
        all = PyBytes_FromStringAndSize(NULL, total);
        if (all == NULL)
            return NULL;
        out = (uint8_t *)PyBytes_AS_STRING(all);
        memcpy(out, PyBytes_AS_STRING(m->prefix), (size_t)PyBytes_GET_SIZE(m->prefix));
    }
}

static int
is_volatile(const maker *m, const uint8_t *pair, Py_ssize_t size)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(m->volatiles); i++) {
        PyObject *start = PyTuple_GET_ITEM(m->volatiles, i);
        Py_ssize_t length = PyBytes_GET_SIZE(start);
        if (length <= size && memcmp(pair, PyBytes_AS_STRING(start), (size_t)length) == 0)
            return 1;
    }
    return 0;
}

/* A query without its volatile pairs. */
static uint8_t *
put_steady(const maker *m, uint8_t *out, piece raw)
{
    const uint8_t *in = raw.bytes, *end = raw.bytes + raw.size;
    for (int kept = 0;;) {
        const uint8_t *next = memchr(in, '&', (size_t)(end - in));
        Py_ssize_t size = (next ? next : end) - in;
        if (!is_volatile(m, in, size)) {
            if (kept)
                *out++ = '&';
            memcpy(out, in, (size_t)size);
            out += size;
            kept = 1;
        }
        if (next == NULL)
            return out;
        in = next + 1;
    }
}

/* The prefix, the route and the query without its volatile pairs. */
static PyObject *
whole_query(const maker *m, const request *r)
{
    Py_ssize_t prefix = PyBytes_GET_SIZE(m->prefix);
    PyObject *all = PyBytes_FromStringAndSize(NULL, prefix + r->route.size + r->raw.size + 2);
    if (all == NULL)
        return NULL;
    uint8_t *start = (uint8_t *)PyBytes_AS_STRING(all), *out = start;
    memcpy(out, PyBytes_AS_STRING(m->prefix), (size_t)prefix);
    out += prefix;
    memcpy(out, r->route.bytes, (size_t)r->route.size);
    out += r->route.size;
    *out++ = 0;
    out = put_steady(m, out, r->raw);
    *out++ = 0;
    if (out - start != PyBytes_GET_SIZE(all))
        _PyBytes_Resize(&all, out - start); /* sets `all` to NULL where it fails */
    return all;
}

static int
make_dup_key(const maker *m, const request *r, finding *f)
{
    PyObject *made_of = NULL;
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(m->dedup) && made_of == NULL; i++) {
        PyObject *names = PyTuple_GET_ITEM(m->dedup, i);
        int at = name_at(f, PyTuple_GET_ITEM(names, 0));
        int real = at < 0 ? 0 : is_real(m, &f->t->pairs[at].value, f->scratch);
        if (real == ERROR)
            return ERROR;
        if (!real)
            continue;
        for (Py_ssize_t k = 1; k < PyTuple_GET_SIZE(names); k++) { /* Python would write a list here */
            at = name_at(f, PyTuple_GET_ITEM(names, k));
            if (at >= 0 && f->t->pairs[at].again)
                return ODD;
        }
        made_of = joined(m, f, names);
        if (made_of == NULL)
            return ERROR;
    }
    if (made_of == NULL && (made_of = whole_query(m, r)) == NULL)
        return ERROR;
    f->dup_key = PyObject_CallOneArg(m->digest, made_of);
    Py_DECREF(made_of);
    if (f->dup_key == NULL)
        return ERROR;
    if (PyUnicode_Check(f->dup_key) && PyUnicode_IS_COMPACT_ASCII(f->dup_key) &&
        PyUnicode_GET_LENGTH(f->dup_key) == DUP_KEY_SIZE)
        return FINE;
    Py_CLEAR(f->dup_key);
    PyErr_SetString(PyExc_TypeError, "digest must return 32 hexadecimal digits");
    return ERROR;
}

/* the id: UUIDv7 (RFC 9562, 5.7). The 12 bits of rand_a are the time's next ones (6.2, method 3); ids of one time
 * are kept in order by adding to rand_b (6.2, method 2). */

#define RAND_B 62

typedef struct {
    uint64_t time, random; /* 48 bits of ms and 12 of its parts; rand_b */
} event_id;

static _Thread_local struct {
    uint64_t numbers[32]; /* 256 bytes: getrandom(2) is not interrupted by signals up to that */
    int left;
    event_id last;
} pool;

static void
empty_pool(void)
{
    memset(&pool, 0, sizeof pool);
}

static int
make_id(event_id *id, long long received_ns)
{
    if (pool.left == 0) {
        if (getrandom(pool.numbers, sizeof pool.numbers, 0) != (ssize_t)sizeof pool.numbers) {
            PyErr_SetFromErrno(PyExc_OSError);
            return ERROR;
        }
        pool.left = (int)(sizeof pool.numbers / sizeof *pool.numbers);
    }
    uint64_t number = pool.numbers[--pool.left], ns = (uint64_t)received_ns;
    id->time = ns / 1000000 << 12 | ns % 1000000 * 4096 / 1000000;
    if (id->time == pool.last.time) /* at most 2^32 more: the top bit, clear at first, is room for 2^29 ids */
        id->random = (pool.last.random + 1 + (number >> 32)) & ((UINT64_C(1) << RAND_B) - 1);
    else
        id->random = number >> (64 - RAND_B + 1);
    pool.last = *id;
    return FINE;
}

static uint8_t *
put_hex(uint8_t *out, uint64_t number, int digits)
{
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4)
        *out++ = (uint8_t)"0123456789abcdef"[number >> shift & 15];
    return out;
}

static uint8_t *
put_id(uint8_t *out, event_id id)
{
    out = put_hex(out, id.time >> 28, 8);
    *out++ = '-';
    out = put_hex(out, id.time >> 12 & 0xffff, 4);
    *out++ = '-';
    out = put_hex(out, 0x7000 | (id.time & 0xfff), 4);
    *out++ = '-';
    out = put_hex(out, 0x8000 | id.random >> 48, 4);
    *out++ = '-';
    return put_hex(out, id.random & UINT64_C(0xffffffffffff), 12);
}

/* the line */

static inline uint8_t *
put(uint8_t *out, const void *bytes, Py_ssize_t size)
{
    memcpy(out, bytes, (size_t)size);
    return out + size;
}

#define PUT(out, literal) put(out, literal, sizeof literal - 1)

static uint8_t *
put_object(uint8_t *out, PyObject *bytes)
{
    return put(out, PyBytes_AS_STRING(bytes), PyBytes_GET_SIZE(bytes));
}

static uint8_t *
put_number(uint8_t *out, long long number)
{
    uint8_t digits[20];
    int size = 0;
    do
        digits[size++] = (uint8_t)('0' + number % 10);
    while (number /= 10);
    while (size)
        *out++ = digits[--size];
    return out;
}

/* A JSON string of bytes that are one character each (ISO-8859-1). */
static uint8_t *
put_string(uint8_t *out, piece p)
{
    *out++ = '"';
    for (const uint8_t *in = p.bytes, *end = in + p.size; in < end; in++) {
        if (KIND[*in] == ESCAPED)
            out = put_escape(out, *in);
        else if (*in < 0x80)
            *out++ = *in;
        else {
            *out++ = (uint8_t)(0xc0 | *in >> 6);
            *out++ = (uint8_t)(0x80 | (*in & 0x3f));
        }
    }
    *out++ = '"';
    return out;
}

/* The parameters where a name stands twice: all its values in a list, at the first one's place. */
static uint8_t *
put_gathered(uint8_t *out, const table *t)
{
    *out++ = '{';
    for (int i = 0; i < t->count; i++) {
        const pair *p = &t->pairs[i];
        if (p->repeated)
            continue;
        if (i)
            *out++ = ',';
        *out++ = '"';
        out = put(out, p->name.json, p->name.size);
        out = PUT(out, "\":");
        if (p->again)
            *out++ = '[';
        for (int at = i;; *out++ = ',') {
            *out++ = '"';
            out = put(out, t->pairs[at].value.json, t->pairs[at].value.size);
            *out++ = '"';
            at = t->pairs[at].again;
            if (at == 0)
                break;
        }
        if (p->again)
            *out++ = ']';
    }
    *out++ = '}';
    return out;
}

/* Bytes a line may have. A text becomes at most six times as long and two quotes; all that is fixed together
 * has less than 512; a flag of a macro has its name and nine more; gathering adds two a parameter. */
static size_t
line_capacity(const maker *m, const request *r, const finding *f)
{
    Py_ssize_t texts = r->method.size + r->path.size + r->route.size + r->client_ip.size + r->forwarded.size +
                       r->agent.size + r->signature.size + (m->keep_raw ? r->raw.size : 0);
    Py_ssize_t fixed = PyBytes_GET_SIZE(m->source) + PyBytes_GET_SIZE(m->kind) + PyBytes_GET_SIZE(m->node);
    Py_ssize_t flags = 0;
    for (int i = 0; i < f->macros; i++)
        flags += f->t->pairs[f->macro[i]].name.size + 9;
    return (size_t)(512 + texts * 6 + fixed + flags + f->json_size + (f->t->repeats ? 2 * f->t->count : 0));
}

static uint8_t *
put_flags(uint8_t *out, const finding *f)
{
    *out++ = '[';
    for (int i = 0; i < f->macros; i++) {
        const text *name = &f->t->pairs[f->macro[i]].name;
        out = PUT(out, "\"macro:");
        out = put(out, name->json, name->size);
        out = PUT(out, "\",");
    }
    if (f->clock_flag) {
        *out++ = '"';
        out = put(out, f->clock_flag, (Py_ssize_t)strlen(f->clock_flag));
        out = PUT(out, "\",");
    }
    if (out[-1] == ',')
        out--;
    *out++ = ']';
    return out;
}

static uint8_t *
put_line(uint8_t *out, const maker *m, const request *r, const finding *f, event_id id)
{
    out = PUT(out, LINE_START);
    out = put_id(out, id);
    out = PUT(out, "\",\"dup_key\":\"");
    out = put(out, PyUnicode_DATA(f->dup_key), DUP_KEY_SIZE);
    out = PUT(out, "\",\"received_at\":");
    out = put_number(out, f->received_at);
    out = PUT(out, ",\"event_at\":");
    out = f->event_at ? put_number(out, f->event_at) : PUT(out, "null");
    out = put_object(out, m->source);
    out = put_string(out, r->route);
    out = put_object(out, m->kind);
    out = put_string(out, r->method);
    out = PUT(out, ",\"path\":");
    out = put_string(out, r->path);
    out = PUT(out, ",\"params\":");
    out = f->t->repeats ? put_gathered(out, f->t) : put(out, f->json, f->json_size);
    if (m->keep_raw && r->raw.size) {
        out = PUT(out, ",\"raw\":");
        out = put_string(out, r->raw);
    }
    out = PUT(out, ",\"client_ip\":");
    out = put_string(out, r->client_ip);
    out = PUT(out, ",\"forwarded_for\":");
    out = put_string(out, r->forwarded);
    out = PUT(out, ",\"user_agent\":");
    out = put_string(out, r->agent);
    out = PUT(out, ",\"signature\":\"");
    out = put(out, r->signature.bytes, r->signature.size);
    out = PUT(out, "\",\"flags\":");
    out = put_flags(out, f);
    out = put_object(out, m->node);
    return PUT(out, "}\n");
}

static int
count_macros(const request *r, const finding *f)
{
    for (int i = 0; i < f->macros; i++) {
        PyObject *name = to_str(&f->t->pairs[f->macro[i]].name, f->scratch);
        PyObject *done = name ? PyObject_CallOneArg(r->count_macro, name) : NULL;
        Py_XDECREF(name);
        if (done == NULL)
            return ERROR;
        Py_DECREF(done);
    }
    return FINE;
}

static PyObject *
written(const maker *m, const request *r, const finding *f)
{
    event_id id;
    if (make_id(&id, r->received_ns) == ERROR || count_macros(r, f) == ERROR)
        return NULL;
    uint8_t stack[LINE_BYTES], *buffer = stack;
    size_t capacity = line_capacity(m, r, f);
    if (capacity > sizeof stack && (buffer = PyMem_Malloc(capacity)) == NULL)
        return PyErr_NoMemory();
    uint8_t *end = put_line(buffer, m, r, f, id);
    PyObject *line = PyBytes_FromStringAndSize((const char *)buffer, end - buffer);
    if (buffer != stack)
        PyMem_Free(buffer);
    return line;
}

/* `buffer`: of json_capacity. */
static PyObject *
line_of(const maker *m, const request *r, uint8_t *buffer)
{
    table t;
    finding f;
    uint8_t *end = read_pairs(&t, r->raw.bytes, r->raw.bytes + r->raw.size, buffer);
    if (end == NULL)
        Py_RETURN_NONE;
    f.t = &t;
    f.json = buffer;
    f.json_size = end - buffer;
    f.scratch = end;
    f.received_at = r->received_ns / 1000000;
    if (read_clock(m, &f) == ODD)
        Py_RETURN_NONE;
    switch (make_dup_key(m, r, &f)) {
    case ERROR:
        return NULL;
    case ODD:
        Py_RETURN_NONE;
    }
    PyObject *line = find_macros(m, &f) == ERROR ? NULL : written(m, r, &f);
    Py_DECREF(f.dup_key);
    return line;
}

/* arguments */

static int
from_bytes(piece *p, PyObject *object)
{
    if (!PyBytes_Check(object))
        return ERROR;
    p->bytes = (const uint8_t *)PyBytes_AS_STRING(object);
    p->size = PyBytes_GET_SIZE(object);
    return FINE;
}

/* ODD where a text is not ASCII. */
static int
from_str(piece *p, PyObject *object)
{
    if (!PyUnicode_Check(object))
        return ERROR;
    if (!PyUnicode_IS_COMPACT_ASCII(object))
        return ODD;
    p->bytes = PyUnicode_DATA(object);
    p->size = PyUnicode_GET_LENGTH(object);
    return FINE;
}

static int
is_ascii(piece p)
{
    uint8_t all = 0;
    for (Py_ssize_t i = 0; i < p.size; i++)
        all |= p.bytes[i];
    return all < 0x80;
}

static int
read_request(request *r, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 10 || from_bytes(&r->method, args[0]) == ERROR || from_bytes(&r->raw, args[3]) == ERROR ||
        from_bytes(&r->forwarded, args[5]) == ERROR || from_bytes(&r->agent, args[6]) == ERROR ||
        !PyLong_Check(args[7])) {
        PyErr_SetString(PyExc_TypeError, "line: see _line.pyi for its arguments");
        return ERROR;
    }
    r->received_ns = PyLong_AsLongLong(args[7]);
    if (r->received_ns == -1 && PyErr_Occurred())
        return ERROR;
    r->count_macro = args[9];
    int fine = r->received_ns >= 0 && is_ascii(r->method) && is_ascii(r->forwarded) && is_ascii(r->agent);
    struct {
        piece *piece;
        PyObject *object;
    } texts[] = {{&r->path, args[1]}, {&r->route, args[2]}, {&r->client_ip, args[4]}, {&r->signature, args[8]}};
    for (int i = 0; i < 4; i++) {
        int read = from_str(texts[i].piece, texts[i].object);
        if (read == ERROR) {
            PyErr_SetString(PyExc_TypeError, "line: see _line.pyi for its arguments");
            return ERROR;
        }
        fine &= read;
    }
    return fine;
}

static PyObject *
line(PyObject *self, PyObject *const *args, Py_ssize_t nargs)
{
    request r;
    switch (read_request(&r, args, nargs)) {
    case ERROR:
        return NULL;
    case ODD:
        Py_RETURN_NONE;
    }
    uint8_t stack[STACK_BYTES], *buffer = stack;
    size_t capacity = json_capacity(r.raw.size);
    if (capacity == 0)
        return PyErr_NoMemory();
    if (capacity > sizeof stack && (buffer = PyMem_Malloc(capacity)) == NULL)
        return PyErr_NoMemory();
    PyObject *result = line_of((const maker *)self, &r, buffer);
    if (buffer != stack)
        PyMem_Free(buffer);
    return result;
}

/* the maker */

static int
are_bytes(PyObject *tuple)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); i++)
        if (!PyBytes_Check(PyTuple_GET_ITEM(tuple, i)))
            return 0;
    return 1;
}

static int
are_groups(PyObject *tuple)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(tuple); i++) {
        PyObject *group = PyTuple_GET_ITEM(tuple, i);
        if (!PyTuple_Check(group) || PyTuple_GET_SIZE(group) == 0 || !are_bytes(group))
            return 0;
    }
    return 1;
}

static PyObject *
maker_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"source",      "kind",         "node",     "prefix", "dedup", "volatiles",
                            "is_macro",    "null_like",    "is_null",  "digest", "clock", "unit",
                            "stale_after", "future_after", "keep_raw", NULL};
    PyObject *o[11];
    const char *unit;
    long long stale_after, future_after;
    int keep_raw;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "$SSSSO!O!OO!OOOsLLp:LineMaker", names, &o[0], &o[1], &o[2], &o[3],
                                     &PyTuple_Type, &o[4], &PyTuple_Type, &o[5], &o[6], &PyFrozenSet_Type, &o[7],
                                     &o[8], &o[9], &o[10], &unit, &stale_after, &future_after, &keep_raw))
        return NULL;
    if (!are_groups(o[4]) || !are_bytes(o[5]) || (o[10] != Py_None && !PyBytes_Check(o[10]))) {
        PyErr_SetString(PyExc_TypeError, "LineMaker: dedup is a tuple of tuples of bytes, clock bytes or None");
        return NULL;
    }
    maker *m = (maker *)type->tp_alloc(type, 0);
    if (m == NULL)
        return NULL;
    PyObject **fields[] = {&m->source,   &m->kind,      &m->node,    &m->prefix, &m->dedup, &m->volatiles,
                           &m->is_macro, &m->null_like, &m->is_null, &m->digest, &m->clock};
    for (int i = 0; i < 11; i++)
        *fields[i] = Py_NewRef(o[i]);
    m->unit = strcmp(unit, "s") == 0 ? SECONDS : strcmp(unit, "ms") == 0 ? MILLISECONDS : AUTO;
    m->stale_after = stale_after;
    m->future_after = future_after;
    m->keep_raw = keep_raw;
    return (PyObject *)m;
}

/* Not tracked by the garbage collector: it refers to configuration only, which does not refer to it. */
static void
maker_dealloc(PyObject *self)
{
    maker *m = (maker *)self;
    PyTypeObject *type = Py_TYPE(self);
    PyObject *fields[] = {m->source,   m->kind,      m->node,    m->prefix, m->dedup, m->volatiles,
                          m->is_macro, m->null_like, m->is_null, m->digest, m->clock};
    for (int i = 0; i < 11; i++)
        Py_XDECREF(fields[i]);
    type->tp_free(self);
    Py_DECREF(type);
}

PyDoc_STRVAR(maker_doc, "Makes the lines of one source's events. See ingestd/sources/_line.pyi.");
PyDoc_STRVAR(line_doc, "One event's line, or None: the general path must make it.");

static PyMethodDef maker_methods[] = {
    {"line", (PyCFunction)(void (*)(void))line, METH_FASTCALL, line_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot maker_slots[] = {
    {Py_tp_new, maker_new},
    {Py_tp_dealloc, maker_dealloc},
    {Py_tp_methods, maker_methods},
    {Py_tp_doc, (void *)maker_doc},
    {0, NULL},
};

static PyType_Spec maker_spec = {
    .name = "ingestd.sources._line.LineMaker",
    .basicsize = sizeof(maker),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = maker_slots,
};

static int
add_maker(PyObject *module)
{
    if (pthread_atfork(NULL, NULL, empty_pool) != 0) { /* a child process must not make the same ids */
        PyErr_NoMemory();
        return -1;
    }
    PyObject *type = PyType_FromModuleAndSpec(module, &maker_spec, NULL);
    int added = type == NULL ? -1 : PyModule_AddObjectRef(module, "LineMaker", type);
    Py_XDECREF(type);
    return added;
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, add_maker},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_line",
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__line(void)
{
    return PyModuleDef_Init(&definition);
}
