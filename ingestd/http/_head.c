/* One whole request, as nginx nearly always sends it, read in one pass.
 *
 * `recognize` takes the bytes of one data_received. Where they are exactly one GET, or one POST with its body, in
 * the plain form that nginx writes, it fills in the headers and returns the other parts. For anything else the
 * answer is None, and httptools, the parser of record, takes the same bytes. So a doubt may always end in None;
 * what must never happen is a part that differs from what httptools reads. tests/commands/fuzz_head.py holds one
 * against the other.
 *
 * Declined on purpose: other methods and versions, a target that is not printable ASCII from '/' on or has a
 * fragment, header values with anything but printable ASCII or with other white space than the one space in
 * front, and every header that frames or ends something but one plain Content-Length.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>
#include <strings.h>

#ifndef MAX_FIELDS
#define MAX_FIELDS 64
#endif

/* RFC 9110, 5.6.2: the bytes a header's name may have. */
static const uint8_t TOKEN[256] = {
    ['!'] = 1, ['#'] = 1, ['$'] = 1, ['%'] = 1,         ['&'] = 1,         ['\''] = 1,
    ['*'] = 1, ['+'] = 1, ['-'] = 1, ['.'] = 1,         ['^'] = 1,         ['_'] = 1,
    ['`'] = 1, ['|'] = 1, ['~'] = 1, ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1,
};

typedef struct {
    const uint8_t *bytes;
    Py_ssize_t size;
} piece;

typedef struct {
    piece name, value;
} field;

typedef struct {
    int is_post, count;
    piece target, body;
    long long length; /* of the body by Content-Length, -1 without */
    field fields[MAX_FIELDS];
} head;

static int
is_named(piece name, const char *text)
{
    return (size_t)name.size == strlen(text) && strncasecmp((const char *)name.bytes, text, (size_t)name.size) == 0;
}

/* Names of what frames or ends a request, which the parser of record is to judge. */
static int
is_framing(piece name)
{
    switch (name.size) {
    case 6:
        return is_named(name, "Expect");
    case 7:
        return is_named(name, "Upgrade");
    case 10:
        return is_named(name, "Connection");
    case 16:
        return is_named(name, "Proxy-Connection");
    case 17:
        return is_named(name, "Transfer-Encoding");
    default:
        return 0;
    }
}

/* -1 where it is not a plain number of at most nine digits. */
static long long
number_of(piece digits)
{
    long long number = 0;
    if (digits.size > 9)
        return -1;
    for (Py_ssize_t i = 0; i < digits.size; i++) {
        if (digits.bytes[i] < '0' || digits.bytes[i] > '9')
            return -1;
        number = number * 10 + (digits.bytes[i] - '0');
    }
    return number;
}

/* Each of these returns where it stopped, or NULL where the request is declined. The bytes object ends with a NUL,
 * at which every loop stops. */

static const uint8_t *
read_request_line(head *h, const uint8_t *in, const uint8_t *end)
{
    if (end - in < 16) /* "GET / HTTP/1.1" and its line end */
        return NULL;
    h->is_post = memcmp(in, "POST ", 5) == 0;
    if (!h->is_post && memcmp(in, "GET ", 4) != 0)
        return NULL;
    in += h->is_post ? 5 : 4;
    if (*in != '/')
        return NULL;
    h->target.bytes = in;
    while (*in > 0x20 && *in < 0x7f && *in != '#')
        in++;
    h->target.size = in - h->target.bytes;
    return end - in >= 11 && memcmp(in, " HTTP/1.1\r\n", 11) == 0 ? in + 11 : NULL;
}

static const uint8_t *
read_field(field *f, const uint8_t *in, const uint8_t *end)
{
    f->name.bytes = in;
    while (TOKEN[*in])
        in++;
    f->name.size = in - f->name.bytes;
    if (f->name.size == 0 || end - in < 2 || in[0] != ':' || in[1] != ' ')
        return NULL;
    f->value.bytes = in += 2;
    while (*in >= 0x20 && *in < 0x7f)
        in++;
    f->value.size = in - f->value.bytes;
    if (f->value.size == 0 || f->value.bytes[0] == ' ' || in[-1] == ' ' || end - in < 2 || in[0] != '\r' ||
        in[1] != '\n')
        return NULL;
    return in + 2;
}

static const uint8_t *
read_head(head *h, const uint8_t *in, const uint8_t *end)
{
    h->count = 0;
    h->length = -1;
    in = read_request_line(h, in, end);
    while (in != NULL && *in != '\r') {
        field *f = &h->fields[h->count++];
        if (h->count == MAX_FIELDS || (in = read_field(f, in, end)) == NULL || is_framing(f->name))
            return NULL;
        if (f->name.size == 14 && is_named(f->name, "Content-Length")) {
            if (h->length >= 0 || (h->length = number_of(f->value)) < 0)
                return NULL;
        }
    }
    return in != NULL && end - in >= 2 && in[1] == '\n' ? in + 2 : NULL;
}

/* Objects that nearly every request needs, made once: bytes objects remember their hash. */
static const char *const USUAL[] = {
    "Host",           "X-Real-IP",       "X-Forwarded-For", "User-Agent",
    "Accept",         "Accept-Encoding", "Accept-Language", "Content-Type",
    "Content-Length", "Referer",         "Cookie",          "traceparent",
};
enum { USUAL_COUNT = sizeof USUAL / sizeof *USUAL };

typedef struct {
    PyObject *names[USUAL_COUNT];
    PyObject *get, *post, *empty;
} constants;

static PyObject *
bytes_of(piece p)
{
    return PyBytes_FromStringAndSize((const char *)p.bytes, p.size);
}

/* A new reference, NULL with an exception. */
static PyObject *
name_of(const constants *c, piece p)
{
    for (int i = 0; i < USUAL_COUNT; i++) {
        const char *usual = PyBytes_AS_STRING(c->names[i]);
        if (PyBytes_GET_SIZE(c->names[i]) == p.size && memcmp(usual, p.bytes, (size_t)p.size) == 0)
            return Py_NewRef(c->names[i]);
    }
    return bytes_of(p);
}

/* 0, or -1 with an exception. */
static int
fill(const constants *c, PyObject *headers, const head *h)
{
    for (int i = 0; i < h->count; i++) {
        PyObject *name = name_of(c, h->fields[i].name), *value = bytes_of(h->fields[i].value);
        int failed = name == NULL || value == NULL || PyDict_SetItem(headers, name, value) < 0;
        Py_XDECREF(name);
        Py_XDECREF(value);
        if (failed)
            return -1;
    }
    return 0;
}

static PyObject *
recognize(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    if (nargs != 2 || !PyBytes_Check(args[0]) || !PyDict_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "recognize(data: bytes, headers: dict[bytes, bytes])");
        return NULL;
    }
    head h;
    const uint8_t *in = (const uint8_t *)PyBytes_AS_STRING(args[0]), *end = in + PyBytes_GET_SIZE(args[0]);
    h.body.bytes = read_head(&h, in, end);
    if (h.body.bytes == NULL)
        Py_RETURN_NONE;
    h.body.size = end - h.body.bytes;
    if (h.body.size != (h.length < 0 ? 0 : h.length))
        Py_RETURN_NONE;
    const constants *c = PyModule_GetState(module);
    if (fill(c, args[1], &h) < 0)
        return NULL;
    PyObject *target = bytes_of(h.target), *parts = NULL;
    PyObject *body = h.body.size ? bytes_of(h.body) : Py_NewRef(c->empty);
    if (target != NULL && body != NULL)
        parts = PyTuple_Pack(3, h.is_post ? c->post : c->get, target, body);
    Py_XDECREF(target);
    Py_XDECREF(body);
    return parts;
}

PyDoc_STRVAR(recognize_doc, "Method, target and body of one whole request, or None: see ingestd/http/_head.pyi.");

static PyMethodDef methods[] = {
    {"recognize", (PyCFunction)(void (*)(void))recognize, METH_FASTCALL, recognize_doc},
    {NULL, NULL, 0, NULL},
};

static int
make_constants(PyObject *module)
{
    constants *c = PyModule_GetState(module);
    for (int i = 0; i < USUAL_COUNT; i++)
        if ((c->names[i] = PyBytes_FromString(USUAL[i])) == NULL || PyObject_Hash(c->names[i]) == -1)
            return -1;
    c->get = PyBytes_FromString("GET");
    c->post = PyBytes_FromString("POST");
    c->empty = PyBytes_FromString("");
    return c->get == NULL || c->post == NULL || c->empty == NULL ? -1 : 0;
}

/* Not followed by the garbage collector: it holds bytes objects alone. */
static void
free_constants(void *module)
{
    constants *c = PyModule_GetState(module);
    for (int i = 0; i < USUAL_COUNT; i++)
        Py_CLEAR(c->names[i]);
    Py_CLEAR(c->get);
    Py_CLEAR(c->post);
    Py_CLEAR(c->empty);
}

static PyModuleDef_Slot slots[] = {
    {Py_mod_exec, make_constants},
#ifdef Py_mod_multiple_interpreters
    {Py_mod_multiple_interpreters, Py_MOD_PER_INTERPRETER_GIL_SUPPORTED},
#endif
#ifdef Py_mod_gil
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_head", .m_size = sizeof(constants),
    .m_methods = methods,  .m_slots = slots,  .m_free = free_constants,
};

PyMODINIT_FUNC
PyInit__head(void)
{
    return PyModuleDef_Init(&definition);
}
