package quarantine

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// failing is a message that cannot be written to its end.
type failing struct{ err error }

func (m failing) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(make([]byte, 1<<20))
	if err != nil {
		return int64(n), err
	}
	return int64(n), m.err
}

// TestPutFails: nothing is there, and the next attempt succeeds.
func TestPutFails(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	broken := errors.New("spool broken")
	for _, c := range []struct {
		name    string
		ctx     context.Context
		message io.WriterTo
		want    error
	}{
		{"message broken", t.Context(), failing{broken}, broken},
		{"disk full", t.Context(), failing{syscall.ENOSPC}, syscall.ENOSPC},
		{"context over", gone, strings.NewReader("x"), context.Canceled},
	} {
		t.Run(c.name, func(t *testing.T) {
			q := open(t)
			if err := q.keep(c.ctx, item(1, noon), c.message); !errors.Is(err, c.want) {
				t.Errorf("Put() = %v, want %v", err, c.want)
			}
			if got := files(t, q); len(got) > 0 {
				t.Errorf("files = %v, want none", got)
			}
			put(t, q, item(1, noon), "x")
		})
	}
}

// TestFileLimit: the system itself takes no more bytes, as when a disk is full.
func TestFileLimit(t *testing.T) {
	q := open(t)
	signal.Ignore(syscall.SIGXFSZ)
	defer signal.Reset(syscall.SIGXFSZ)
	var before syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	limited := before
	limited.Cur = 64 << 10
	if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limited); err != nil {
		t.Fatal(err)
	}
	err := q.keep(t.Context(), item(1, noon), strings.NewReader(strings.Repeat("x", 100<<10)))
	if restored := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &before); restored != nil {
		t.Fatal(restored)
	}
	if !errors.Is(err, syscall.EFBIG) {
		t.Errorf("Put() = %v, want %v", err, syscall.EFBIG)
	}
	if got := files(t, q); len(got) > 0 {
		t.Errorf("files = %v, want none", got)
	}
}

// TestCrashBetween: the process died when the message had its name and the
// metadata had none.
func TestCrashBetween(t *testing.T) {
	q := open(t)
	put(t, q, item(1, noon), "message")
	if err := os.Remove(q.path(dayOf(noon), id(1)+".json")); err != nil {
		t.Fatal(err)
	}
	if got := listAll(t, q); len(got) > 0 {
		t.Errorf("List() = %v, want nothing: it has no metadata", got)
	}
	put(t, q, item(1, noon), "another attempt")
	checkWhole(t, q, id(1))
}

func checkWhole(t *testing.T, q *Quarantine, id string) {
	t.Helper()
	item, file, err := q.Open(id)
	if err != nil {
		t.Error(err)
		return
	}
	defer file.Close()
	digest := sha256.New()
	size, err := io.Copy(digest, file)
	if sum := hex.EncodeToString(digest.Sum(nil)); err != nil || sum != item.SHA256 || size != item.Size {
		t.Errorf("message %s has %d bytes with SHA-256 %s (%v), want %d with %s", id, size, sum, err, item.Size, item.SHA256)
	}
}

// TestCrash kills a process that fills a quarantine, again and again: what it
// was told is there is there whole, and nothing is there in part.
func TestCrash(t *testing.T) {
	q := open(t)
	var acknowledged []string
	for round := range 6 {
		acknowledged = append(acknowledged, fillAndKill(t, q.directory, round)...)
	}
	for _, id := range acknowledged {
		checkWhole(t, q, id)
	}
	all := listAll(t, q)
	if len(all) < len(acknowledged) {
		t.Errorf("List() gave %d messages, want at least %d", len(all), len(acknowledged))
	}
	for _, id := range all {
		checkWhole(t, q, id)
	}
	if _, err := q.Expire(t.Context(), time.Now().Add(2*leftover)); err != nil {
		t.Error(err)
	}
	if left, err := filepath.Glob(filepath.Join(q.directory, temporary)); err != nil || len(left) > 0 {
		t.Errorf("left half-written: %v, %v, want nothing", left, err)
	}
}

// fillAndKill gives the ids that the child acknowledged before it died.
func fillAndKill(t *testing.T, directory string, round int) (acknowledged []string) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestCrashChild$")
	child.Env = append(os.Environ(), "QUARANTINE_CRASH="+directory, fmt.Sprintf("QUARANTINE_ROUND=%d", round))
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		acknowledged = append(acknowledged, lines.Text())
		if len(acknowledged) == 10+round {
			time.Sleep(time.Duration(round) * 400 * time.Microsecond)
			child.Process.Kill()
		}
	}
	if err := child.Wait(); err == nil || len(acknowledged) < 10+round {
		t.Fatalf("the child ended by itself after %d messages: %v", len(acknowledged), err)
	}
	return acknowledged
}

// TestCrashChild is the process that TestCrash kills.
func TestCrashChild(t *testing.T) {
	directory := os.Getenv("QUARANTINE_CRASH")
	if directory == "" {
		t.Skip("runs as a child of TestCrash")
	}
	q, err := New(directory)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 1_000_000 {
		sum := sha256.Sum256(fmt.Appendf(nil, "%s %d", os.Getenv("QUARANTINE_ROUND"), n))
		one := item(0, noon.AddDate(0, 0, n%3))
		one.ID = hex.EncodeToString(sum[:])
		put(t, q, one, strings.Repeat(one.ID, 1000))
		fmt.Println(one.ID)
	}
}
