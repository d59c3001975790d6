// Package spool keeps the body of one message while it is looked at: a small
// one in memory, a large one in a file that has no name, so that nothing is
// left behind by a crash and a message of 100 MB needs no memory.
//
// It knows nothing of mail. It does not make anything durable: until the MTA
// has said 250 the message is the MTA's (or the sender's), never ours.
package spool

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
)

// Options say where and how much a Buffer may keep.
type Options struct {
	// Room is where, together with the bodies of others; nil: the system's
	// directory for temporary files, without bounds.
	Room *Room
	// Memory is the largest body, in bytes, that stays in memory; zero: 256 KiB.
	Memory int64
	// Max is the largest body, in bytes, that is taken at all; zero: no bound.
	Max int64
}

// TooLargeError says that a body is larger than Options.Max.
type TooLargeError struct {
	Max int64 // bytes
}

func (e *TooLargeError) Error() string { return fmt.Sprintf("body is over %d bytes", e.Max) }

// Buffer takes a body as it comes and gives it back as often as it is wanted.
// It is not safe for concurrent writing; Body may be read by many at once.
type Buffer struct {
	options Options
	memory  []byte
	file    *os.File // unlinked; nil while the body is in memory
	size    int64
	hash    hash.Hash
	closed  bool
	err     error // of a Write that failed, or after Close: stays
}

// New makes an empty Buffer. It opens no file yet. The caller closes it.
func New(o Options) *Buffer {
	if o.Memory == 0 {
		o.Memory = 256 << 10
	}
	return &Buffer{options: o, hash: sha256.New()}
}

// Write takes the next bytes of the body, all or, with an error, none of them.
// The error of a body over the bound is a *TooLargeError, that of a room with no
// room left a *FullError, any other one comes from the disk. After an error the body is incomplete: every further Write
// gives the same error.
func (b *Buffer) Write(p []byte) (int, error) {
	if b.err == nil {
		b.err = b.add(p)
	}
	if b.err != nil {
		return 0, b.err
	}
	b.hash.Write(p)
	b.size += int64(len(p))
	return len(p), nil
}

// add takes room for the bytes and keeps them.
func (b *Buffer) add(p []byte) error {
	n := int64(len(p))
	if b.options.Max > 0 && b.size+n > b.options.Max {
		return &TooLargeError{b.options.Max}
	}
	if err := b.options.Room.take(n); err != nil {
		return err
	}
	err := b.store(p)
	if err != nil {
		b.options.Room.giveBack(n)
	}
	return err
}

func (b *Buffer) store(p []byte) error {
	size := b.size + int64(len(p))
	if b.file == nil && size <= b.options.Memory && b.options.Room.remember(int64(len(p))) {
		b.memory = append(b.memory, p...)
		return nil
	}
	if err := b.options.Room.mayWrite(int64(len(p))); err != nil {
		return err
	}
	if b.file == nil {
		if err := b.spill(); err != nil {
			return err
		}
	}
	if _, err := b.file.Write(p); err != nil {
		return fmt.Errorf("writing to the spool file: %w", err)
	}
	return nil
}

// spill moves the body from memory to a file without a name.
func (b *Buffer) spill() error {
	file, err := os.CreateTemp(b.options.Room.directory(), "spool-")
	if err != nil {
		return fmt.Errorf("creating a spool file: %w", err)
	}
	b.file = file
	if err := os.Remove(file.Name()); err != nil {
		return fmt.Errorf("unlinking the spool file: %w", err)
	}
	if _, err := file.Write(b.memory); err != nil {
		return fmt.Errorf("writing to the spool file: %w", err)
	}
	b.forget()
	return nil
}

// forget frees the memory.
func (b *Buffer) forget() {
	b.options.Room.forget(int64(len(b.memory)))
	b.memory = nil
}

// Size is the number of bytes written.
func (b *Buffer) Size() int64 { return b.size }

// Digest is the SHA-256 of the bytes written.
func (b *Buffer) Digest() [sha256.Size]byte { return [sha256.Size]byte(b.hash.Sum(nil)) }

// Body gives the bytes written so far. They can be read at any place, again,
// and by several readers, until Close.
func (b *Buffer) Body() *io.SectionReader {
	if b.file != nil {
		return io.NewSectionReader(b.file, 0, b.size)
	}
	return io.NewSectionReader(bytes.NewReader(b.memory), 0, b.size)
}

// Close frees memory and disk. It may be called again.
func (b *Buffer) Close() error {
	file := b.file
	if !b.closed {
		b.closed = true
		b.options.Room.giveBack(b.size)
	}
	b.forget()
	b.file = nil
	b.err = errors.Join(b.err, fs.ErrClosed)
	if file == nil {
		return nil
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("closing the spool file: %w", err)
	}
	return nil
}
