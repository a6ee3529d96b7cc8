/* Event lines to the records of Kafka batches, by partition: ingestd/kafka/packer.py says what and why. Here a
 * record costs a tenth of a microsecond; what is unusual about a line is left to ingestd/kafka/batches.py.
 *
 * A record (Kafka protocol guide, "Record Batch", magic 2), all integers zigzag varints:
 *   length | attributes 0 (1 byte) | timestamp less the batch's first | offset in the batch | key length (-1: none),
 *   key | value length, value | count of headers, each: name length, name, value length, value
 */

#define _GNU_SOURCE /* memmem */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#include "../_event.h"

static const char SOURCE[] = "\"source\":\"";
enum { SOURCE_SIZE = sizeof SOURCE - 1 };

enum { BATCH_HEADER = 61, HOUR_MS = 3600000, VARINT = 10 };

typedef struct {
    Py_ssize_t source;
    int64_t hour;
    int64_t events, bytes;
    PyObject *ids; /* a list, or NULL where they are not asked for */
} Group;

typedef struct {
    unsigned char *data;
    Py_ssize_t used, room;
    int64_t count, first, latest;
    Group *groups;
    Py_ssize_t group_count, group_room, last_group;
} Open; /* the batch of a partition that is being filled */

typedef struct {
    Open *open;
    Py_ssize_t partitions;
} Place;

typedef struct {
    PyObject *name;
    Py_ssize_t place;
} Source;

typedef struct {
    PyObject_HEAD
    Py_ssize_t limit;
    int with_ids;
    PyObject *numbers; /* name of a source -> its number */
    Source *sources;
    Py_ssize_t source_count, source_room, last_source;
    Place *places;
    Py_ssize_t place_count;
    PyObject *sealed;
} Packer;

typedef struct {
    const unsigned char *key; /* NULL: none */
    Py_ssize_t key_size;
    const unsigned char *line;
    Py_ssize_t size;
    const unsigned char *trace; /* NULL: none */
    Py_ssize_t trace_size;
    Py_ssize_t source;
    int64_t time;
} Record;

/* murmur2 as Kafka's Java client computes it (org.apache.kafka.common.utils.Utils.murmur2): chooses the partition
 * of a key. */
static uint32_t
murmur2(const unsigned char *data, size_t length)
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

/* Room for `need` elements of `size` bytes, doubled as it grows. Returns -1 with MemoryError. */
static int
grow(void **data, Py_ssize_t *room, Py_ssize_t need, size_t size)
{
    if (need <= *room)
        return 0;
    Py_ssize_t wanted = *room > need / 2 ? *room * 2 : need;
    if (wanted > PY_SSIZE_T_MAX / (Py_ssize_t)size) {
        PyErr_NoMemory();
        return -1;
    }
    void *grown = PyMem_Realloc(*data, (size_t)wanted * size);
    if (grown == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    *data = grown;
    *room = wanted;
    return 0;
}

static unsigned char *
varint(unsigned char *out, int64_t value)
{
    uint64_t rest = (uint64_t)value << 1 ^ (uint64_t)(value >> 63);
    while (rest >= 0x80) {
        *out++ = (unsigned char)(rest | 0x80);
        rest >>= 7;
    }
    *out++ = (unsigned char)rest;
    return out;
}

static Py_ssize_t
varint_size(int64_t value)
{
    unsigned char scratch[VARINT];
    return varint(scratch, value) - scratch;
}

static unsigned char *
text(unsigned char *out, const void *data, Py_ssize_t size)
{
    out = varint(out, size);
    memcpy(out, data, (size_t)size);
    return out + size;
}

static Py_ssize_t
text_size(Py_ssize_t size)
{
    return varint_size(size) + size;
}

static void
clear_groups(Open *open)
{
    for (Py_ssize_t i = 0; i < open->group_count; i++)
        Py_CLEAR(open->groups[i].ids);
    open->group_count = open->last_group = 0;
}

/* The batch goes to the sealed ones, and the next one begins. Returns -1 with an exception. */
static int
seal(Packer *self, Py_ssize_t place, Py_ssize_t partition)
{
    Open *open = &self->places[place].open[partition];
    if (open->count == 0)
        return 0;
    PyObject *groups = PyList_New(open->group_count);
    if (groups == NULL)
        return -1;
    for (Py_ssize_t i = 0; i < open->group_count; i++) {
        Group *group = &open->groups[i];
        PyObject *one = Py_BuildValue("(nLLLO)", group->source, (long long)group->hour, (long long)group->events,
                                      (long long)group->bytes, group->ids ? group->ids : Py_None);
        if (one == NULL) {
            Py_DECREF(groups);
            return -1;
        }
        PyList_SET_ITEM(groups, i, one);
    }
    PyObject *batch = Py_BuildValue("(nny#LLLN)", place, partition, (const char *)open->data, open->used,
                                    (long long)open->count, (long long)open->first, (long long)open->latest, groups);
    if (batch == NULL)
        return -1;
    int failed = PyList_Append(self->sealed, batch);
    Py_DECREF(batch);
    if (failed)
        return -1;
    clear_groups(open);
    open->used = 0;
    open->count = 0;
    return 0;
}

/* Count the record under its source and hour. Returns -1 with an exception. */
static int
tally(Packer *self, Open *open, const Record *record)
{
    int64_t hour = record->time / HOUR_MS;
    Group *group = NULL;
    if (open->group_count) {
        group = &open->groups[open->last_group];
        if (group->source != record->source || group->hour != hour) {
            group = NULL;
            for (Py_ssize_t i = 0; i < open->group_count && group == NULL; i++)
                if (open->groups[i].source == record->source && open->groups[i].hour == hour)
                    group = &open->groups[open->last_group = i];
        }
    }
    if (group == NULL) {
        if (grow((void **)&open->groups, &open->group_room, open->group_count + 1, sizeof(Group)) < 0)
            return -1;
        PyObject *ids = NULL;
        if (self->with_ids && (ids = PyList_New(0)) == NULL)
            return -1;
        open->last_group = open->group_count++;
        group = &open->groups[open->last_group];
        *group = (Group){record->source, hour, 0, 0, ids};
    }
    if (group->ids != NULL) {
        PyObject *id = PyBytes_FromStringAndSize((const char *)record->line + ID_AT, ID_SIZE);
        if (id == NULL)
            return -1;
        int failed = PyList_Append(group->ids, id);
        Py_DECREF(id);
        if (failed)
            return -1;
    }
    group->events++;
    group->bytes += record->size + 1;
    return 0;
}

/* Add a record to the batch of its partition, sealing that first where it would grow too large.
 * Returns -1 with an exception. */
static int
put(Packer *self, Py_ssize_t place, Py_ssize_t partition, const Record *record)
{
    Open *open = &self->places[place].open[partition];
    PyObject *source = self->sources[record->source].name;
    Py_ssize_t source_size = PyBytes_GET_SIZE(source);
    Py_ssize_t fixed = 1 + (record->key ? text_size(record->key_size) : 1) + text_size(record->size) + 1 +
                       (3 + text_size(ID_SIZE)) + (7 + text_size(source_size)) + (2 + 2) +
                       (record->trace ? 12 + text_size(record->trace_size) : 0);
    Py_ssize_t length = fixed + varint_size(open->count ? record->time - open->first : 0) + varint_size(open->count);
    if (open->count && BATCH_HEADER + open->used + text_size(length) > self->limit) {
        if (seal(self, place, partition) < 0)
            return -1;
        length = fixed + 2;
    }
    if (open->count == 0)
        open->first = open->latest = record->time;
    if (grow((void **)&open->data, &open->room, open->used + text_size(length), 1) < 0)
        return -1;
    if (tally(self, open, record) < 0)
        return -1;
    unsigned char *out = varint(open->data + open->used, length);
    *out++ = 0;
    out = varint(out, record->time - open->first);
    out = varint(out, open->count);
    out = record->key ? text(out, record->key, record->key_size) : varint(out, -1);
    out = text(out, record->line, record->size);
    out = varint(out, record->trace ? 4 : 3);
    out = text(text(out, "id", 2), record->line + ID_AT, ID_SIZE);
    out = text(text(out, "source", 6), PyBytes_AS_STRING(source), source_size);
    out = text(text(out, "v", 1), "1", 1);
    if (record->trace)
        out = text(text(out, "traceparent", 11), record->trace, record->trace_size);
    open->used = out - open->data;
    if (record->time > open->latest)
        open->latest = record->time;
    open->count++;
    return 0;
}

/* The number of a source: -1 where it is not known, -2 with an exception. */
static Py_ssize_t
source_number(Packer *self, const unsigned char *name, Py_ssize_t size)
{
    if (self->source_count) {
        PyObject *last = self->sources[self->last_source].name;
        if (PyBytes_GET_SIZE(last) == size && memcmp(PyBytes_AS_STRING(last), name, (size_t)size) == 0)
            return self->last_source;
    }
    PyObject *key = PyBytes_FromStringAndSize((const char *)name, size);
    if (key == NULL)
        return -2;
    PyObject *number = PyDict_GetItemWithError(self->numbers, key);
    Py_DECREF(key);
    if (number == NULL)
        return PyErr_Occurred() ? -2 : -1;
    return self->last_source = PyLong_AsSsize_t(number);
}

/* The partition of a key, the one Java's default partitioner chooses. */
static Py_ssize_t
partition_of(const unsigned char *key, Py_ssize_t size, Py_ssize_t partitions)
{
    return (Py_ssize_t)((murmur2(key, (size_t)size) & 0x7fffffffu) % (uint64_t)partitions);
}

/* Read an event line into `record`, but for key and trace. 1: done; 0: it is not for us; -1 with an exception. */
static int
read_line(Packer *self, const unsigned char *line, Py_ssize_t size, Record *record)
{
    if (size < FIXED_SIZE || memcmp(line, LINE_START, LINE_START_SIZE) != 0)
        return 0;
    int64_t time = 0;
    for (int i = 0; i < RECEIVED_AT_SIZE; i++) {
        unsigned char digit = (unsigned char)(line[RECEIVED_AT + i] - '0');
        if (digit > 9)
            return 0;
        time = time * 10 + digit;
    }
    const unsigned char *end = line + size;
    const unsigned char *name = memmem(line + FIXED_SIZE, (size_t)(size - FIXED_SIZE), SOURCE, SOURCE_SIZE);
    if (name == NULL)
        return 0;
    name += SOURCE_SIZE;
    const unsigned char *quote = memchr(name, '"', (size_t)(end - name));
    if (quote == NULL)
        return 0;
    Py_ssize_t source = source_number(self, name, quote - name);
    if (source < 0)
        return source == -2 ? -1 : 0;
    *record = (Record){.line = line, .size = size, .source = source, .time = time};
    return 1;
}

PyDoc_STRVAR(pack_doc, "pack(payload, start) -> int\n\nPack lines from `start` on; returns where it stopped.");

static PyObject *
pack(Packer *self, PyObject *const *arguments, Py_ssize_t count)
{
    char *data;
    Py_ssize_t size, start;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "pack(payload, start)");
        return NULL;
    }
    if (PyBytes_AsStringAndSize(arguments[0], &data, &size) < 0)
        return NULL;
    if ((start = PyLong_AsSsize_t(arguments[1])) == -1 && PyErr_Occurred())
        return NULL;
    if (start < 0 || start > size) {
        PyErr_SetString(PyExc_ValueError, "start is outside the payload");
        return NULL;
    }
    const unsigned char *at = (const unsigned char *)data + start, *end = (const unsigned char *)data + size;
    while (at < end) {
        const unsigned char *stop = memchr(at, '\n', (size_t)(end - at));
        if (stop == NULL)
            stop = end;
        if (stop > at) {
            Record record;
            int found = read_line(self, at, stop - at, &record);
            if (found < 0)
                return NULL;
            if (!found)
                break;
            record.key = at + DUP_KEY_AT;
            record.key_size = DUP_KEY_SIZE;
            Py_ssize_t place = self->sources[record.source].place;
            Py_ssize_t partition = partition_of(record.key, record.key_size, self->places[place].partitions);
            if (put(self, place, partition, &record) < 0)
                return NULL;
        }
        at = stop < end ? stop + 1 : end;
    }
    return PyLong_FromSsize_t(at - (const unsigned char *)data);
}

PyDoc_STRVAR(put_doc, "put(line, key, turn, trace) -> bool\n\nPack one line with a key and a trace of its own.");

static PyObject *
put_one(Packer *self, PyObject *arguments)
{
    char *line, *key, *trace;
    Py_ssize_t size, key_size, trace_size, turn;
    Record record;
    if (!PyArg_ParseTuple(arguments, "y#z#nz#", &line, &size, &key, &key_size, &turn, &trace, &trace_size))
        return NULL;
    if (turn < 0) {
        PyErr_SetString(PyExc_ValueError, "a turn is 0 or more");
        return NULL;
    }
    int found = read_line(self, (const unsigned char *)line, size, &record);
    if (found < 0)
        return NULL;
    if (!found)
        Py_RETURN_FALSE;
    record.key = (const unsigned char *)key;
    record.key_size = key_size;
    record.trace = (const unsigned char *)trace;
    record.trace_size = trace_size;
    Py_ssize_t place = self->sources[record.source].place;
    Py_ssize_t partitions = self->places[place].partitions;
    Py_ssize_t partition = key ? partition_of(record.key, key_size, partitions) : turn % partitions;
    if (put(self, place, partition, &record) < 0)
        return NULL;
    Py_RETURN_TRUE;
}

PyDoc_STRVAR(route_doc, "route(source, place, partitions)\n\nA source's events go to the topic numbered `place`.");

static PyObject *
route(Packer *self, PyObject *arguments)
{
    PyObject *source;
    Py_ssize_t place, partitions;
    if (!PyArg_ParseTuple(arguments, "Snn", &source, &place, &partitions))
        return NULL;
    if (place < 0 || place > self->place_count || partitions < 1 || partitions > 1 << 20 ||
        (place < self->place_count && self->places[place].partitions != partitions)) {
        PyErr_SetString(PyExc_ValueError, "places are numbered one after the other and do not change");
        return NULL;
    }
    int known = PyDict_Contains(self->numbers, source);
    if (known < 0)
        return NULL;
    if (known) {
        PyErr_SetString(PyExc_ValueError, "the source has a place");
        return NULL;
    }
    if (grow((void **)&self->sources, &self->source_room, self->source_count + 1, sizeof(Source)) < 0)
        return NULL;
    if (place == self->place_count) {
        Py_ssize_t room = self->place_count;
        if (grow((void **)&self->places, &room, place + 1, sizeof(Place)) < 0)
            return NULL;
        Open *open = PyMem_Calloc((size_t)partitions, sizeof(Open));
        if (open == NULL)
            return PyErr_NoMemory();
        self->places[self->place_count++] = (Place){open, partitions};
    }
    PyObject *number = PyLong_FromSsize_t(self->source_count);
    if (number == NULL)
        return NULL;
    int failed = PyDict_SetItem(self->numbers, source, number);
    Py_DECREF(number);
    if (failed)
        return NULL;
    self->sources[self->source_count++] = (Source){Py_NewRef(source), place};
    Py_RETURN_NONE;
}

PyDoc_STRVAR(take_doc, "take() -> list\n\nAll batches so far, a partition's in order.");

static PyObject *
take(Packer *self, PyObject *nothing)
{
    (void)nothing;
    PyObject *fresh = PyList_New(0);
    if (fresh == NULL)
        return NULL;
    for (Py_ssize_t place = 0; place < self->place_count; place++)
        for (Py_ssize_t partition = 0; partition < self->places[place].partitions; partition++)
            if (seal(self, place, partition) < 0) {
                Py_DECREF(fresh);
                return NULL;
            }
    PyObject *sealed = self->sealed;
    self->sealed = fresh;
    return sealed;
}

static PyObject *
new(PyTypeObject *type, PyObject *arguments, PyObject *named)
{
    static char *names[] = {"limit", "with_ids", NULL};
    Py_ssize_t limit;
    int with_ids;
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "np", names, &limit, &with_ids))
        return NULL;
    Packer *self = (Packer *)type->tp_alloc(type, 0);
    if (self == NULL)
        return NULL;
    self->limit = limit;
    self->with_ids = with_ids;
    self->numbers = PyDict_New();
    self->sealed = PyList_New(0);
    if (self->numbers == NULL || self->sealed == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static void
dealloc(Packer *self)
{
    PyTypeObject *type = Py_TYPE(self);
    for (Py_ssize_t place = 0; place < self->place_count; place++) {
        for (Py_ssize_t partition = 0; partition < self->places[place].partitions; partition++) {
            Open *open = &self->places[place].open[partition];
            clear_groups(open);
            PyMem_Free(open->groups);
            PyMem_Free(open->data);
        }
        PyMem_Free(self->places[place].open);
    }
    PyMem_Free(self->places);
    for (Py_ssize_t i = 0; i < self->source_count; i++)
        Py_DECREF(self->sources[i].name);
    PyMem_Free(self->sources);
    Py_XDECREF(self->numbers);
    Py_XDECREF(self->sealed);
    type->tp_free(self);
    Py_DECREF(type);
}

static PyMethodDef methods[] = {
    {"route", (PyCFunction)(void (*)(void))route, METH_VARARGS, route_doc},
    {"pack", (PyCFunction)(void (*)(void))pack, METH_FASTCALL, pack_doc},
    {"put", (PyCFunction)(void (*)(void))put_one, METH_VARARGS, put_doc},
    {"take", (PyCFunction)(void (*)(void))take, METH_NOARGS, take_doc},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot packer_slots[] = {
    {Py_tp_new, new},
    {Py_tp_dealloc, dealloc},
    {Py_tp_methods, methods},
    {Py_tp_doc, "Packer(limit, with_ids): see ingestd/kafka/packer.py"},
    {0, NULL},
};

static PyType_Spec packer_spec = {
    .name = "ingestd.kafka._packer.Packer",
    .basicsize = sizeof(Packer),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = packer_slots,
};

static int
fill(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&packer_spec);
    if (type == NULL)
        return -1;
    int failed = PyModule_AddObjectRef(module, "Packer", type);
    Py_DECREF(type);
    return failed;
}

static PyModuleDef_Slot slots[] = {{Py_mod_exec, fill}, {0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_packer",
    .m_size = 0,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__packer(void)
{
    return PyModuleDef_Init(&definition);
}
