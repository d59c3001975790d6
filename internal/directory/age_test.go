package directory

import (
	"errors"
	"os"
	"testing"
	"time"
)

// TestMaxAge: a directory that is too old is no more judged by, until a new one
// comes; one that was refused is none.
func TestMaxAge(t *testing.T) {
	b := newBench(t)
	now := b.pki.now
	b.config.MaxAge, b.config.Clock = 72*time.Hour, func() time.Time { return now }
	touch := func() { b.must(os.Chtimes(b.config.LDIF, now, now)) }
	touch()
	b.open()
	now = now.Add(72 * time.Hour)
	b.current()
	now = now.Add(time.Minute)
	if _, err := b.source.Current(); !errors.Is(err, ErrTooOld) {
		t.Errorf("Current = %v, want ErrTooOld", err)
	}
	b.put(b.config.LDIF, "")
	touch()
	if _, err := b.source.Current(); !errors.Is(err, ErrTooOld) {
		t.Errorf("Current after a bad new version = %v, want ErrTooOld", err)
	}
	if got := b.source.Written(); !got.Equal(b.pki.now) {
		t.Errorf("written %v, want %v", got, b.pki.now)
	}
	b.put(b.config.LDIF, write(t, b.pki.providers()))
	touch()
	b.current()
}
