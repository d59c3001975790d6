package spool

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestBuffer(t *testing.T) {
	tests := []struct {
		name     string
		size     int
		chunk    int
		wantFile bool
	}{
		{"empty", 0, 1, false},
		{"one byte", 1, 1, false},
		{"just in memory", 1000, 7, false},
		{"one byte too many", 1001, 7, true},
		{"one large write", 5000, 5000, true},
		{"large", 100_000, 999, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := pattern(tt.size)
			directory := t.TempDir()
			b := New(Options{Room: &Room{Directory: directory}, Memory: 1000})
			defer b.Close()
			for rest := want; len(rest) > 0; {
				n := min(tt.chunk, len(rest))
				if _, err := b.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			if got := b.file != nil; got != tt.wantFile {
				t.Errorf("in a file: %v, want %v", got, tt.wantFile)
			}
			if tt.wantFile && b.memory != nil {
				t.Error("memory is kept beside the file")
			}
			if names, _ := filepath.Glob(filepath.Join(directory, "*")); len(names) != 0 {
				t.Errorf("spool directory has %v, want nothing", names)
			}
			for range 2 { // it can be read again
				got, err := io.ReadAll(b.Body())
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("read %d bytes (%v), want the %d written", len(got), err, len(want))
				}
			}
			if b.Size() != int64(tt.size) || b.Body().Size() != int64(tt.size) {
				t.Errorf("Size() = %d, Body().Size() = %d, want %d", b.Size(), b.Body().Size(), tt.size)
			}
			if got := b.Digest(); got != sha256.Sum256(want) {
				t.Errorf("Digest() = %x, want %x", got, sha256.Sum256(want))
			}
		})
	}
}

func TestMax(t *testing.T) {
	for name, memory := range map[string]int64{"in memory": 1000, "in a file": 10} {
		t.Run(name, func(t *testing.T) {
			b := New(Options{Room: &Room{Directory: t.TempDir()}, Memory: memory, Max: 100})
			defer b.Close()
			if _, err := b.Write(pattern(100)); err != nil {
				t.Fatalf("Write of just the maximum: %v", err)
			}
			for range 2 {
				n, err := b.Write([]byte("x"))
				var large *TooLargeError
				if n != 0 || !errors.As(err, &large) || large.Max != 100 {
					t.Errorf("Write over the maximum = %d, %v, want 0 and a TooLargeError of 100", n, err)
				}
			}
		})
	}
}

func TestClose(t *testing.T) {
	b := New(Options{Room: &Room{Directory: t.TempDir()}, Memory: 10})
	if _, err := b.Write(pattern(100)); err != nil {
		t.Fatal(err)
	}
	body := b.Body()
	for range 2 {
		if err := b.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	}
	if _, err := io.ReadAll(body); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("reading after Close: %v, want %v", err, fs.ErrClosed)
	}
	if _, err := b.Write([]byte("x")); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("writing after Close: %v, want %v", err, fs.ErrClosed)
	}
}

func TestNoDirectory(t *testing.T) {
	directory := filepath.Join(t.TempDir(), "gone")
	b := New(Options{Room: &Room{Directory: directory}, Memory: 10})
	defer b.Close()
	_, err := b.Write(pattern(11))
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), directory) {
		t.Errorf("Write = %v, want an error that names %s", err, directory)
	}
	if _, again := b.Write(nil); again != err {
		t.Errorf("second Write = %v, want the same error", again)
	}
}

func TestDiskFull(t *testing.T) {
	b := New(Options{Memory: 1})
	defer b.Close()
	if _, err := b.Write(pattern(2)); err != nil {
		t.Fatal(err)
	}
	readOnly, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	b.file.Close()
	b.file = readOnly // a file that takes no bytes, as a full disk
	if n, err := b.Write([]byte("x")); n != 0 || err == nil {
		t.Errorf("Write = %d, %v, want 0 and an error", n, err)
	}
	if b.Size() != 2 {
		t.Errorf("Size() = %d, want 2", b.Size())
	}
}

// A body of 200 MB may cost the memory of a small one only.
func TestMemory(t *testing.T) {
	b := New(Options{Room: &Room{Directory: t.TempDir()}})
	defer b.Close()
	before := heap()
	chunk := pattern(64 << 10)
	for range 200 << 20 / len(chunk) {
		if _, err := b.Write(chunk); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := io.Copy(io.Discard, b.Body()); err != nil {
		t.Fatal(err)
	}
	if grown := heap() - before; grown > 16<<20 {
		t.Errorf("heap has grown by %d bytes for a body of %d", grown, b.Size())
	}
}

// heap is what has been allocated so far, freed or not: 200 MB cannot hide.
func heap() int64 {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.TotalAlloc)
}

func pattern(size int) []byte {
	p := make([]byte, size)
	for i := range p {
		p[i] = byte(i ^ i>>8)
	}
	return p
}
