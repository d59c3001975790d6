// Package pec reads, builds and verifies the messages of Italian certified
// mail (posta elettronica certificata) as described by RFC 6109 and by the
// technical rules of the DM 2 November 2005.
//
// It works on values and readers alone: it opens no file and no connection,
// reads no clock and no random numbers; what it needs of these is handed to
// it. It never re-serialises a message: what came in goes out byte for byte.
// Bodies stay where they are (Body): memory does not grow with a message.
//
// # Reading
//
// ReadMessage splits bytes into header and body, Structure reads the tree of MIME
// parts, strictly: what two readers could take for two messages is refused.
//
// # Verifying
//
// A PEC message is multipart/signed, with a detached CMS signature of a provider
// over a multipart/mixed that has the certification data (daticert.xml) and, in
// an envelope and some receipts, the original message (postacert.eml).
//
//   - Verify makes all checks that can be made of a message, new or archived, and
//     reports each: what was found, with which certificate, why it failed, or why
//     it was not made. Report.Genuine is the verdict.
//   - Classify goes through the same steps for a provider's door: nothing is left
//     out, and what cannot be told now is an error (ErrRevocationUnknown).
//   - WalkPEC finds the PEC messages inside an ordinary one.
//   - VerifySignature and Parts do one thing each: the signature, then what it is
//     over. Trust.Provider judges whose it is.
//
// Trust is what signers are judged by: the providers directory (Directory), the
// authorities, their revocation lists, and the time from which SHA-1 is refused.
//
// Errors of reading, which say nothing of the message, are told from faults of the
// message: those wrap ErrHeader, ErrStructure, ErrNotSigned, ErrBadSignature,
// ErrWeakDigest, ErrNotInDirectory, ErrExpired, ErrChain, ErrRevoked,
// ErrCertificationData, ErrNoCertificationData, ErrEncoding or ErrForm.
//
// # Building
//
// NewEnvelope, NewNotice and NewAnomaly make a Draft, which an Issuer signs. The
// same input gives the same bytes. FormalExceptions says why a submission may not
// be certified (RFC 6109 section 3.1.1).
//
// It does not decide what to do with a message: the order of steps of a
// provider's doors is not here.
package pec
