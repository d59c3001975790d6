package spool

import (
	"errors"
	"math"
	"strings"
	"testing"
)

// The bodies of a room share its bound, in memory and in files; what is closed
// gives its room back, once. (FP-46)
func TestRoomTotal(t *testing.T) {
	room := &Room{Directory: t.TempDir(), Total: 1000}
	small, large := New(Options{Room: room, Memory: 400}), New(Options{Room: room, Memory: 10})
	for b, size := range map[*Buffer]int{small: 400, large: 600} {
		if _, err := b.Write(pattern(size)); err != nil {
			t.Fatal(err)
		}
	}
	n, err := small.Write([]byte("x"))
	var full *FullError
	if n != 0 || !errors.As(err, &full) || !strings.Contains(err.Error(), "mta.max_spool is 1000") {
		t.Errorf("Write over the room = %d, %v, want 0 and a FullError that names mta.max_spool", n, err)
	}
	if room.Used() != 1000 {
		t.Errorf("Used() = %d, want 1000", room.Used())
	}
	for range 2 {
		large.Close()
	}
	if room.Used() != 400 {
		t.Errorf("Used() after Close = %d, want 400", room.Used())
	}
	next := New(Options{Room: room})
	if _, err := next.Write(pattern(600)); err != nil {
		t.Errorf("Write into the room given back: %v", err)
	}
	next.Close()
	small.Close()
	if room.Used() != 0 {
		t.Errorf("Used() at the end = %d, want 0", room.Used())
	}
}

// A file may not take the last bytes of a disk; what stays in memory needs none.
func TestRoomFree(t *testing.T) {
	room := &Room{Directory: t.TempDir(), Free: math.MaxInt64}
	b := New(Options{Room: room, Memory: 10})
	defer b.Close()
	if _, err := b.Write(pattern(10)); err != nil {
		t.Errorf("Write into memory: %v", err)
	}
	_, err := b.Write([]byte("x"))
	var full *FullError
	if !errors.As(err, &full) || !strings.Contains(err.Error(), "mta.min_free is 9223372036854775807") {
		t.Errorf("Write into a file: %v, want a FullError that names mta.min_free", err)
	}
	if room.Used() != 10 {
		t.Errorf("Used() = %d, want the 10 taken", room.Used())
	}
	room.Free = 1
	other := New(Options{Room: room, Memory: 1})
	defer other.Close()
	if _, err := other.Write(pattern(100)); err != nil {
		t.Errorf("Write with room on the disk: %v", err)
	}
}

// Many small bodies do not fill the memory either: those that are too many go
// into files, and leave room again.
func TestRoomMemory(t *testing.T) {
	room := &Room{Directory: t.TempDir()}
	var all []*Buffer
	for range maxRemembered>>20 + 3 {
		b := New(Options{Room: room, Memory: 1 << 20})
		all = append(all, b)
		if _, err := b.Write(pattern(1 << 20)); err != nil {
			t.Fatal(err)
		}
	}
	files := 0
	for _, b := range all {
		if b.file != nil {
			files++
		}
		b.Close()
	}
	if files != 3 {
		t.Errorf("%d bodies are in files, want 3", files)
	}
	b := New(Options{Room: room, Memory: 1 << 20})
	defer b.Close()
	if _, err := b.Write(pattern(1 << 20)); err != nil || b.file != nil {
		t.Errorf("Write when all are closed: %v, in a file: %v, want memory", err, b.file != nil)
	}
}
