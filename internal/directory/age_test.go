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

// While the directory is too old, lists are fetched at the same times, and count as
// soon as it is not.
func TestRevocationsWhileTheDirectoryIsTooOld(t *testing.T) {
	b := newFetchBench(t)
	now := b.now
	b.config.MaxAge, b.config.Clock = time.Hour, func() time.Time { return now.Add(2 * time.Hour) }
	b.must(os.Chtimes(b.config.LDIF, now, now))
	b.open()
	b.serveWith("/root", nil)
	for range 3 {
		b.revocations.fetchDue(t.Context())
	}
	if b.asked["/sub"] != 1 || b.asked["/root"] != 1 {
		t.Errorf("asked %v, want each once", b.asked)
	}
	b.wantLogged("no current revocation list", 0)
	now = now.Add(-2 * time.Hour)
	b.serveList("/root", b.der(b.pki.root, time.Hour))
	b.want("the directory is young", b.after(5*time.Minute), nil)
	if b.asked["/sub"] != 1 {
		t.Errorf("asked for the list at hand %d times, want once", b.asked["/sub"])
	}
}
