# Bytes objects keep their bytes aligned, and setup.py compiles nothing where words are big-endian.
cdef inline const unsigned int* words_of(bytes data, Py_ssize_t count):
    return <const unsigned int*><const unsigned char*>data
