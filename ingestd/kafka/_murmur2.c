/* murmur2 for Python, where it takes longer than everything else that is done for a record. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include "_murmur2.h"

static PyObject *
murmur2(PyObject *module, PyObject *key)
{
    char *data;
    Py_ssize_t length;
    (void)module;
    if (PyBytes_AsStringAndSize(key, &data, &length) < 0)
        return NULL;
    return PyLong_FromUnsignedLong(murmur2_hash((const unsigned char *)data, (size_t)length));
}

static PyMethodDef methods[] = {
    {"murmur2", murmur2, METH_O, "murmur2(key: bytes) -> int\n\nThe key's hash, 0 to 2**32 - 1."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_murmur2", .m_size = 0, .m_methods = methods, .m_slots = slots,
};

PyMODINIT_FUNC
PyInit__murmur2(void)
{
    return PyModuleDef_Init(&definition);
}
