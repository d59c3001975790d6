package legallog

import (
	"path/filepath"
	"testing"

	"github.com/pec-milter/pec-milter/internal/point"
)

// A statement that was read goes on with the connection that a transaction has, also
// with one that was opened later; and a step that is alone leaves nothing when it
// fails.
func TestStatementsAreKept(t *testing.T) {
	log := openFile(t, filepath.Join(t.TempDir(), "log.db"))
	mustAppend(t, log, sampleEvent("first"))
	kept := 0
	log.writer.statements.read.Range(func(any, any) bool { kept++; return true })
	if kept == 0 {
		t.Fatal("no statement was kept")
	}
	held, err := log.db.Conn(ctx)
	if err != nil {
		t.Fatal(err)
	}
	mustAppend(t, log, sampleEvent("second")) // by another connection
	if err := held.Close(); err != nil {
		t.Fatal(err)
	}
	steps := batch(t, "bad")
	log.writer.commit(steps)
	wantError(t, "a step alone", <-steps[0].done, point.ErrConflict)
	mustAppend(t, log, sampleEvent("third"))
	if got := ids(t, log); got != "first second third" {
		t.Errorf("the log has %q, want first second third", got)
	}
}
