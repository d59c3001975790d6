// Package pec reads, builds and verifies the messages of Italian certified
// mail (posta elettronica certificata) as described by RFC 6109 and by the
// technical rules of the DM 2 November 2005.
//
// It works on values and readers alone: it opens no file and no connection,
// reads no clock and no random numbers; what it needs of these is handed to
// it. It never re-serialises a message: what came in goes out byte for byte.
//
// It does not decide what to do with a message: the order of steps of a
// provider's doors is not here.
package pec
