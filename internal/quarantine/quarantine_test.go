package quarantine

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/pec"
)

var noon = time.Date(2026, 3, 14, 11, 0, 0, 0, time.UTC)

func open(t *testing.T) *Quarantine {
	t.Helper()
	q, err := New(filepath.Join(t.TempDir(), "quarantine"))
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// id is the nth id.
func id(n int) string { return fmt.Sprintf("%064x", n) }

func item(n int, at time.Time) Item {
	return Item{
		ID: id(n), Time: at, Door: "access", QueueID: "4Q", PECID: "abc@pec.alfa.example", MessageID: "<m1@client.example>",
		Sender: "mario@pec.alfa.example", Recipients: []string{"anna@pec.beta.example", "x@y"}, Virus: "Eicar-Test", Reason: "virus",
	}
}

func put(t *testing.T, q *Quarantine, item Item, message string) {
	t.Helper()
	if err := q.keep(t.Context(), item, strings.NewReader(message)); err != nil {
		t.Fatal(err)
	}
}

// list gives the ids and the errors.
func list(t *testing.T, q *Quarantine, since, until time.Time) (ids []string, faults []error) {
	t.Helper()
	for item, err := range q.List(t.Context(), since, until) {
		if err != nil {
			faults = append(faults, err)
			continue
		}
		ids = append(ids, item.ID)
	}
	return ids, faults
}

func listAll(t *testing.T, q *Quarantine) []string {
	t.Helper()
	ids, faults := list(t, q, time.Time{}, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	if len(faults) > 0 {
		t.Errorf("List() gave %v", faults)
	}
	return ids
}

// files are all files and directories below, with their modes.
func files(t *testing.T, q *Quarantine) (all []string) {
	t.Helper()
	err := filepath.WalkDir(q.directory, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == q.directory {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		all = append(all, fmt.Sprintf("%s %04o", strings.TrimPrefix(path, q.directory+"/"), info.Mode().Perm()))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestPutAndOpen(t *testing.T) {
	q := open(t)
	want := item(1, pec.LegalTime(noon))
	const message = "Subject: x\r\n\r\n\x00\xff bytes as they are\n\r\r\n"
	put(t, q, want, message)

	got, file, err := q.Open(id(1))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	content, err := io.ReadAll(file)
	if err != nil || string(content) != message {
		t.Errorf("Open() read %q, %v, want %q", content, err, message)
	}
	want.SHA256, want.Size = "9d60627ecf0eda9db79b85f5ca1ba8e52149d165e550f8d2690033167109d15d", int64(len(message))
	if !got.Time.Equal(want.Time) {
		t.Errorf("Open() gave the time %v, want %v", got.Time, want.Time)
	}
	got.Time = want.Time
	if !reflect.DeepEqual(got, want) {
		t.Errorf("Open() = %+v, want %+v", got, want)
	}
}

// TestModes: nobody but the daemon reads it, whatever the umask.
func TestModes(t *testing.T) {
	q := open(t)
	put(t, q, item(1, noon), "x")
	want := []string{"2026 0700", "2026/03 0700", "2026/03/14 0700", "2026/03/14/" + id(1) + ".eml 0600", "2026/03/14/" + id(1) + ".json 0600"}
	if got := files(t, q); !reflect.DeepEqual(got, want) {
		t.Errorf("files = %v, want %v", got, want)
	}
	info, err := os.Stat(q.directory)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode of the directory = %v, %v, want 0700", info.Mode(), err)
	}
}

func TestNewRefusesAnOpenDirectory(t *testing.T) {
	for _, mode := range []os.FileMode{0o755, 0o750, 0o701, 0o770} {
		directory := t.TempDir()
		if err := os.Chmod(directory, mode); err != nil {
			t.Fatal(err)
		}
		if _, err := New(directory); err == nil || !strings.Contains(err.Error(), "chmod 700") {
			t.Errorf("New(mode %o) = %v, want an error that says what to do", mode, err)
		}
	}
}

// TestID is case IN-14: no name from outside becomes a path.
func TestID(t *testing.T) {
	q := open(t)
	for _, id := range []string{
		"", "abc", "../../../../etc/passwd", strings.Repeat("a", 60) + "/../x", strings.Repeat("A", 64), strings.Repeat("g", 64),
		strings.Repeat("a", 64) + "\n", "\n" + strings.Repeat("a", 64), strings.Repeat("a", 64) + "\x00", strings.Repeat("a", 129), "<m1@client.example>",
	} {
		bad := item(1, noon)
		bad.ID = id
		if err := q.keep(t.Context(), bad, strings.NewReader("x")); err == nil {
			t.Errorf("Put(%q) = nil, want an error", id)
		}
		if _, _, err := q.Open(id); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%q) = %v, want an error about the id", id, err)
		}
	}
	if got := files(t, q); len(got) > 0 {
		t.Errorf("files = %v, want none", got)
	}
}

func TestPutNeedsATime(t *testing.T) {
	if err := open(t).keep(t.Context(), item(1, time.Time{}), strings.NewReader("x")); err == nil {
		t.Error("Put() without a time = nil, want an error: it would expire at once")
	}
}

// TestPutAgain: a retry, on the same day or on another, and with other trace
// fields, changes nothing.
func TestPutAgain(t *testing.T) {
	q := open(t)
	put(t, q, item(1, noon), "message")
	before := files(t, q)
	for _, at := range []time.Time{noon, noon.Add(time.Hour), noon.AddDate(0, 1, 0)} {
		again := item(1, at)
		again.QueueID = "another attempt"
		put(t, q, again, "message")
		put(t, q, again, "Received: again\r\nmessage")
	}
	if got := files(t, q); !reflect.DeepEqual(got, before) {
		t.Errorf("files = %v, want %v", got, before)
	}
	got, file, err := q.Open(id(1))
	if err != nil {
		t.Fatal(err)
	}
	file.Close()
	if got.QueueID != "4Q" || !got.Time.Equal(noon) {
		t.Errorf("Open() = %+v, want what came first", got)
	}
	checkWhole(t, q, id(1))
}

func TestOpenUnknown(t *testing.T) {
	q := open(t)
	put(t, q, item(1, noon), "x")
	if _, _, err := q.Open(id(2)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Open(unknown) = %v, want %v", err, fs.ErrNotExist)
	}
}

func TestList(t *testing.T) {
	q := open(t)
	instants := []time.Duration{0, time.Second, 11 * time.Hour, 30 * time.Hour, 40 * 24 * time.Hour, 400 * 24 * time.Hour}
	for n, after := range slices.Backward(instants) {
		put(t, q, item(n, noon.Add(after)), "x")
	}
	for _, c := range []struct {
		name         string
		since, until time.Duration
		want         []string
	}{
		{"all", 0, 500 * 24 * time.Hour, []string{id(0), id(1), id(2), id(3), id(4), id(5)}},
		{"since is in, until is not", time.Second, 30 * time.Hour, []string{id(1), id(2)}},
		{"one instant", time.Second, time.Second + 1, []string{id(1)}},
		{"nothing", 2 * time.Second, 3 * time.Second, nil},
		{"turned round", time.Hour, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, faults := list(t, q, noon.Add(c.since), noon.Add(c.until))
			if !reflect.DeepEqual(got, c.want) || len(faults) > 0 {
				t.Errorf("List() = %v, %v, want %v", got, faults, c.want)
			}
		})
	}
	t.Run("stops when told", func(t *testing.T) {
		for range q.List(t.Context(), noon, noon.AddDate(1, 0, 0)) {
			break
		}
	})
	t.Run("stops with the context", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		for item, err := range q.List(ctx, noon, noon.AddDate(1, 0, 0)) {
			if !errors.Is(err, context.Canceled) {
				t.Errorf("List() = %v, %v, want %v", item, err, context.Canceled)
			}
		}
	})
}

// TestUnreadableMetadata: one bad file does not hide the others.
func TestUnreadableMetadata(t *testing.T) {
	q := open(t)
	put(t, q, item(1, noon), "x")
	put(t, q, item(2, noon), "x")
	put(t, q, item(3, noon), "x")
	for n, text := range map[int]string{1: "", 2: `{"id":"` + id(3) + `"}`} {
		if err := os.WriteFile(q.path(dayOf(noon), id(n)+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := q.Open(id(n)); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open() of unreadable metadata = %v, want an error that says so", err)
		}
	}
	ids, faults := list(t, q, noon, noon.Add(time.Second))
	if !reflect.DeepEqual(ids, []string{id(3)}) || len(faults) != 1 || !strings.Contains(faults[0].Error(), id(1)) || !strings.Contains(faults[0].Error(), id(2)) {
		t.Errorf("List() = %v, %v, want message 3, and one error that names 1 and 2", ids, faults)
	}
}

// TestConcurrent: everybody puts the same messages while others look.
func TestConcurrent(t *testing.T) {
	q := open(t)
	const messages = 10
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for n := range messages {
				if err := q.keep(t.Context(), item(n, noon.AddDate(0, n%3, 0)), strings.NewReader(strings.Repeat("x", n))); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Go(func() {
		for range 100 {
			listAll(t, q)
			if removed, err := q.Expire(t.Context(), noon); removed != 0 || err != nil {
				t.Errorf("Expire() = %d, %v, want 0", removed, err)
			}
		}
	})
	all.Wait()
	if got := len(listAll(t, q)); got != messages {
		t.Errorf("List() gave %d messages, want %d", got, messages)
	}
	if got := files(t, q); len(got) != 1+3+3+2*messages {
		t.Errorf("files = %v, want a year, 3 months, 3 days, and two for each message", got)
	}
}
