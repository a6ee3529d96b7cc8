/* Where the first keys of an event's line stand, for all that is written in C: the slices of event.py.
 *
 * tests/unit/test_event.py holds the two together.
 */
#ifndef INGESTD_EVENT_H
#define INGESTD_EVENT_H

#define LINE_START "{\"v\":1,\"id\":\""

enum {
    LINE_START_SIZE = sizeof LINE_START - 1,
    ID_AT = 13,
    ID_SIZE = 36,
    DUP_KEY_AT = 62,
    DUP_KEY_SIZE = 32,
    RECEIVED_AT = 110,
    RECEIVED_AT_SIZE = 13, /* digits, from 2001 until 2286 */
    FIXED_SIZE = RECEIVED_AT + RECEIVED_AT_SIZE,
};

#endif
