/* A query string in, its parameters as JSON text out, in one pass: see query.py.
 *
 * Where a query is not clean, or has a name twice, the answer is None, and the general path in query.py decides.
 * None is always right; a result that differs from that of the general path never is. tests/unit/sources/
 * test_scan.py compares the two.
 */
#include "_query.h"

/* The value of the parameter of this name (a new reference), None where there is no such parameter. */
static PyObject *
value_of(const table *t, PyObject *name, uint8_t *scratch)
{
    int at = find_name(t, (const uint8_t *)PyBytes_AS_STRING(name), PyBytes_GET_SIZE(name), scratch);
    return at < 0 ? Py_NewRef(Py_None) : to_str(&t->pairs[at].value, scratch);
}

static PyObject *
wanted_values(const table *t, PyObject *wanted, uint8_t *scratch)
{
    Py_ssize_t count = PyTuple_GET_SIZE(wanted);
    PyObject *values = PyTuple_New(count);
    for (Py_ssize_t i = 0; values != NULL && i < count; i++) {
        PyObject *value = value_of(t, PyTuple_GET_ITEM(wanted, i), scratch);
        if (value == NULL)
            Py_CLEAR(values);
        else
            PyTuple_SET_ITEM(values, i, value);
    }
    return values;
}

static PyObject *
candidates(const table *t, uint8_t *scratch)
{
    PyObject *all = PyTuple_New(t->candidates);
    for (int i = 0; all != NULL && i < t->candidates; i++) {
        const pair *p = &t->pairs[t->candidate[i]];
        PyObject *name = to_str(&p->name, scratch);
        PyObject *value = name ? to_str(&p->value, scratch) : NULL;
        PyObject *both = value ? PyTuple_Pack(2, name, value) : NULL;
        Py_XDECREF(name);
        Py_XDECREF(value);
        if (both == NULL)
            Py_CLEAR(all);
        else
            PyTuple_SET_ITEM(all, i, both);
    }
    return all;
}

static PyObject *
results(const table *t, PyObject *wanted, const uint8_t *json, uint8_t *end)
{
    PyObject *all = NULL, *values = NULL, *macros = NULL;
    PyObject *encoded = PyBytes_FromStringAndSize((const char *)json, end - json);
    if (encoded != NULL)
        values = wanted_values(t, wanted, end);
    if (values != NULL)
        macros = candidates(t, end);
    if (macros != NULL)
        all = PyTuple_Pack(3, encoded, values, macros);
    Py_XDECREF(encoded);
    Py_XDECREF(values);
    Py_XDECREF(macros);
    return all;
}

static PyObject *
scan(PyObject *module, PyObject *const *args, Py_ssize_t nargs)
{
    (void)module;
    if (nargs != 2 || !PyBytes_Check(args[0]) || !PyTuple_Check(args[1])) {
        PyErr_SetString(PyExc_TypeError, "scan(query, wanted) takes bytes and a tuple of bytes");
        return NULL;
    }
    PyObject *wanted = args[1];
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(wanted); i++)
        if (!PyBytes_Check(PyTuple_GET_ITEM(wanted, i))) {
            PyErr_SetString(PyExc_TypeError, "scan: each wanted name must be bytes");
            return NULL;
        }
    const uint8_t *query = (const uint8_t *)PyBytes_AS_STRING(args[0]);
    Py_ssize_t size = PyBytes_GET_SIZE(args[0]);
    uint8_t stack[STACK_BYTES], *buffer = stack;
    size_t capacity = json_capacity(size);
    if (capacity == 0)
        return PyErr_NoMemory();
    if (capacity > sizeof stack && (buffer = PyMem_Malloc(capacity)) == NULL)
        return PyErr_NoMemory();
    table t;
    uint8_t *end = read_pairs(&t, query, query + size, buffer);
    PyObject *result = end && !t.repeats ? results(&t, wanted, buffer, end) : Py_NewRef(Py_None);
    if (buffer != stack)
        PyMem_Free(buffer);
    return result;
}

PyDoc_STRVAR(scan_doc, "scan(query, wanted, /)\n--\n\nSee ingestd.sources.query.");

static PyMethodDef methods[] = {
    {"scan", (PyCFunction)(void (*)(void))scan, METH_FASTCALL, scan_doc},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
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
    .m_name = "_scan",
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__scan(void)
{
    return PyModuleDef_Init(&definition);
}
