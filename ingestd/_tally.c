/* Counts a manifest's rows over whole lines, off the GIL: a finished file is read again while the loop goes on.
 *
 * A line that does not look like ours to the letter is handed back, for Python to judge (tally.Tally).
 * XXH3-128 after its specification (github.com/Cyan4973/xxHash, doc/xxhash_spec.md), for an id's 36 bytes only.
 */

#define _GNU_SOURCE /* memmem */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#include "_event.h"
#include "_json.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "little-endian machines only; others run the same in Python"
#endif

typedef unsigned __int128 u128;

#define SOURCE "\"source\":\""
#define TO_DUP_KEY "\",\"dup_key\":\""
#define TO_RECEIVED_AT "\",\"received_at\":"
#define HOUR_MS 3600000
#define MAX_DIGITS 18

typedef struct {
    const char *source;
    size_t source_size;
    int64_t hour;
    uint64_t events, bytes;
    u128 hash;
} Row;

typedef struct {
    Py_ssize_t start, end; /* in the block, without the newline */
} Line;

typedef struct {
    Row *rows;
    Line *left;
    uint64_t *ids; /* the low halves of the ids' hashes */
    size_t rows_used, rows_room, left_used, left_room, ids_used, ids_room, last;
    int whole; /* only lines that are valid JSON are counted */
    int no_memory;
} Tally;

static uint64_t
read64(const char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t
folded(const char *at, uint64_t secret_low, uint64_t secret_high)
{
    u128 product = (u128)(read64(at) ^ secret_low) * (read64(at + 8) ^ secret_high);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

static uint64_t
avalanche(uint64_t h)
{
    h ^= h >> 37;
    h *= 0x165667919E3779F9ULL;
    return h ^ h >> 32;
}

/* XXH3-128, seed 0, of 33 to 64 bytes: here always 36. */
static u128
id_hash(const char *id)
{
    /* The default secret's first 64 bytes. */
    static const uint64_t secret[8] = {
        0xBE4BA423396CFEB8ULL, 0x1CAD21F72C81017CULL, 0xDB979083E96DD4DEULL, 0x1F67B3B7A4A44072ULL,
        0x78E5C0CC4EE679CBULL, 0x2172FFCC7DD05A82ULL, 0x8E2443F7744608B8ULL, 0x4C263A81E69035E0ULL,
    };
    const uint64_t prime1 = 0x9E3779B185EBCA87ULL, prime2 = 0xC2B2AE3D27D4EB4FULL, prime4 = 0x85EBCA77C2B2AE63ULL;
    const char *end = id + ID_SIZE;
    uint64_t low = ID_SIZE * prime1, high = 0, h_low, h_high;

    low += folded(id + 16, secret[4], secret[5]);
    low ^= read64(end - 32) + read64(end - 24);
    high += folded(end - 32, secret[6], secret[7]);
    high ^= read64(id + 16) + read64(id + 24);

    low += folded(id, secret[0], secret[1]);
    low ^= read64(end - 16) + read64(end - 8);
    high += folded(end - 16, secret[2], secret[3]);
    high ^= read64(id) + read64(id + 8);

    h_low = low + high;
    h_high = low * prime1 + high * prime4 + ID_SIZE * prime2;
    return (u128)(0 - avalanche(h_high)) << 64 | avalanche(h_low);
}

/* Room for one more; 0 where there is no memory. */
static int
grow(void **items, size_t *room, size_t used, size_t size)
{
    void *larger;
    if (used < *room)
        return 1;
    larger = realloc(*items, (*room ? *room * 2 : 64) * size);
    if (larger == NULL)
        return 0;
    *room = *room ? *room * 2 : 64;
    *items = larger;
    return 1;
}

/* The row of a source and hour. A block has few of them, and neighbours are mostly of the same. */
static Row *
row_of(Tally *tally, const char *source, size_t size, int64_t hour)
{
    Row *row;
    size_t tried, at = tally->last;
    for (tried = 0; tried < tally->rows_used; tried++) {
        row = &tally->rows[at];
        if (row->hour == hour && row->source_size == size && memcmp(row->source, source, size) == 0) {
            tally->last = at;
            return row;
        }
        at = at + 1 < tally->rows_used ? at + 1 : 0;
    }
    if (!grow((void **)&tally->rows, &tally->rows_room, tally->rows_used, sizeof(Row)))
        return NULL;
    tally->last = tally->rows_used++;
    row = &tally->rows[tally->last];
    memset(row, 0, sizeof *row);
    row->source = source;
    row->source_size = size;
    row->hour = hour;
    return row;
}

/* Whether a line whose first key and `received_at` are in their places is valid JSON, with all in its place. */
static int
is_whole(const char *line, const char *end)
{
    const char *at = line + RECEIVED_AT;
    if (json_plain(line + ID_AT, end) != line + ID_AT + ID_SIZE ||
        memcmp(line + ID_AT + ID_SIZE, TO_DUP_KEY, sizeof TO_DUP_KEY - 1) != 0 ||
        json_plain(line + DUP_KEY_AT, end) != line + DUP_KEY_AT + DUP_KEY_SIZE ||
        memcmp(line + DUP_KEY_AT + DUP_KEY_SIZE, TO_RECEIVED_AT, sizeof TO_RECEIVED_AT - 1) != 0)
        return 0;
    at = json_number(at);
    return at != NULL && *at == ',' && json_members(json_blank(at + 1), end, '}', JSON_DEPTH) == end;
}

/* Count a line without its newline; 0 where it is left to Python. */
static int
count(Tally *tally, const char *line, size_t size)
{
    const char *end = line + size, *at, *source;
    int64_t moment = 0;
    u128 hash;
    Row *row;
    if (size <= RECEIVED_AT || memcmp(line, LINE_START, LINE_START_SIZE) != 0)
        return 0;
    for (at = line + RECEIVED_AT; at < end && *at >= '0' && *at <= '9'; at++) {
        if (at - line >= RECEIVED_AT + MAX_DIGITS)
            return 0;
        moment = moment * 10 + (*at - '0');
    }
    if (at == line + RECEIVED_AT || at == end || *at != ',')
        return 0;
    source = memmem(at, (size_t)(end - at), SOURCE, sizeof SOURCE - 1);
    if (source == NULL)
        return 0;
    source += sizeof SOURCE - 1;
    for (at = source; at < end && *at != '"'; at++)
        if ((signed char)*at < 0) /* is it UTF-8? Python knows */
            return 0;
    if (at == end || (tally->whole && !is_whole(line, end)))
        return 0;
    row = row_of(tally, source, (size_t)(at - source), moment / HOUR_MS);
    if (row == NULL || !grow((void **)&tally->ids, &tally->ids_room, tally->ids_used, sizeof(uint64_t))) {
        tally->no_memory = 1;
        return 0;
    }
    hash = id_hash(line + ID_AT);
    tally->ids[tally->ids_used++] = (uint64_t)hash;
    row->events++;
    row->bytes += size + 1;
    row->hash += hash;
    return 1;
}

/* Count all lines that end with a newline. */
static void
count_all(Tally *tally, const char *data, size_t size)
{
    const char *at = data, *end = data + size, *newline;
    while (!tally->no_memory && at < end && (newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        if (!count(tally, at, (size_t)(newline - at))) {
            if (grow((void **)&tally->left, &tally->left_room, tally->left_used, sizeof(Line)))
                tally->left[tally->left_used++] = (Line){at - data, newline - data};
            else
                tally->no_memory = 1;
        }
        at = newline + 1;
    }
}

static PyObject *
listed(const Tally *tally)
{
    PyObject *rows = PyList_New(0), *left = PyList_New(0), *item;
    size_t number;
    for (number = 0; rows != NULL && number < tally->rows_used; number++) {
        const Row *row = &tally->rows[number];
        item = Py_BuildValue("s#LKKy#", row->source, (Py_ssize_t)row->source_size, (long long)row->hour,
                             (unsigned long long)row->events, (unsigned long long)row->bytes, (const char *)&row->hash,
                             (Py_ssize_t)sizeof row->hash);
        if (item == NULL || PyList_Append(rows, item) < 0)
            Py_CLEAR(rows);
        Py_XDECREF(item);
    }
    for (number = 0; left != NULL && number < tally->left_used; number++) {
        item = Py_BuildValue("nn", tally->left[number].start, tally->left[number].end);
        if (item == NULL || PyList_Append(left, item) < 0)
            Py_CLEAR(left);
        Py_XDECREF(item);
    }
    if (rows != NULL && left != NULL)
        return Py_BuildValue("NNy#", rows, left, tally->ids_used ? (const char *)tally->ids : "",
                             (Py_ssize_t)(tally->ids_used * sizeof(uint64_t)));
    Py_XDECREF(rows);
    Py_XDECREF(left);
    return NULL;
}

static PyObject *
count_lines(PyObject *module, PyObject *arguments)
{
    Tally tally = {0};
    PyObject *result = NULL;
    Py_buffer block;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y*p", &block, &tally.whole))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    count_all(&tally, block.buf, (size_t)block.len);
    Py_END_ALLOW_THREADS
    if (tally.no_memory)
        PyErr_NoMemory();
    else
        result = listed(&tally);
    free(tally.rows);
    free(tally.left);
    free(tally.ids);
    PyBuffer_Release(&block);
    return result;
}

/* How many of the values are there before; -1 where there is no memory. They are hashes: their low bits do. */
static Py_ssize_t
repeated(const char *ids, size_t count)
{
    size_t room = 16, number, at, zeros = 0;
    Py_ssize_t found = 0;
    uint64_t *table, id;
    while (room < 2 * count)
        room *= 2;
    table = calloc(room, sizeof *table);
    if (table == NULL)
        return -1;
    for (number = 0; number < count; number++) {
        id = read64(ids + number * sizeof id);
        if (id == 0) { /* a place that is free */
            found += zeros++ > 0;
            continue;
        }
        for (at = id & (room - 1); table[at] != 0 && table[at] != id; at = (at + 1) & (room - 1))
            ;
        found += table[at] == id;
        table[at] = id;
    }
    free(table);
    return found;
}

static PyObject *
count_repeats(PyObject *module, PyObject *arguments)
{
    Py_buffer ids;
    Py_ssize_t found;
    (void)module;
    if (!PyArg_ParseTuple(arguments, "y*", &ids))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    found = repeated(ids.buf, (size_t)ids.len / sizeof(uint64_t));
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&ids);
    return found < 0 ? PyErr_NoMemory() : PyLong_FromSsize_t(found);
}

static PyMethodDef methods[] = {
    {"count_repeats", count_repeats, METH_VARARGS, "See ingestd.tally.count_repeats_in_python."},
    {"count_lines", count_lines, METH_VARARGS, "See ingestd.tally.count_lines_in_python."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_tally", .m_size = 0, .m_methods = methods, .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__tally(void)
{
    return PyModuleDef_Init(&definition);
}
