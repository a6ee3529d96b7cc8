/* murmur2 as Kafka's Java client computes it (org.apache.kafka.common.utils.Utils.murmur2), which chooses
 * the partition of a key. In Python it takes longer than everything else that is done for a record. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

static const uint32_t SEED = 0x9747b28cu;
static const uint32_t M = 0x5bd1e995u;

static uint32_t
hash(const unsigned char *data, Py_ssize_t length)
{
    uint32_t h = SEED ^ (uint32_t)length;
    while (length >= 4) {
        /* byte by byte: the order is the algorithm's, not the machine's */
        uint32_t k = (uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24;
        k *= M;
        k ^= k >> 24;
        k *= M;
        h *= M;
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
        h *= M;
    }
    h ^= h >> 13;
    h *= M;
    return h ^ h >> 15;
}

static PyObject *
murmur2(PyObject *module, PyObject *key)
{
    char *data;
    Py_ssize_t length;
    (void)module;
    if (PyBytes_AsStringAndSize(key, &data, &length) < 0)
        return NULL;
    return PyLong_FromUnsignedLong(hash((const unsigned char *)data, length));
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
