package account

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// A file that is bad does not take the place of a good one, which goes on being
// looked at.
func TestMove(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	first := write("first", "mario@alfa.example mario active refuse\n")
	second := write("second", "anna@alfa.example anna active refuse\n")
	reserved := write("reserved", "service@alfa.example anna active refuse\n")
	file, err := Open(first, []string{"service@alfa.example"}, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{reserved, write("bad", "nonsense\n"), filepath.Join(dir, "nowhere")} {
		if err := file.Move(bad); err == nil {
			t.Errorf("Move(%s) succeeded", bad)
		}
		if !file.Owns("mario", "mario@alfa.example") {
			t.Errorf("after Move(%s) mario owns nothing", bad)
		}
	}
	if err := file.Move(second); err != nil {
		t.Fatal(err)
	}
	if file.Owns("mario", "mario@alfa.example") || !file.Owns("anna", "anna@alfa.example") {
		t.Error("the second file is not in force")
	}
	write("second", "anna@alfa.example anna active refuse\nugo@alfa.example ugo active refuse\n")
	if !file.Owns("ugo", "ugo@alfa.example") {
		t.Error("a change of the second file is not seen")
	}
}
