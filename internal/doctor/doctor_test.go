package doctor

import (
	"strings"
	"testing"
)

// want checks a finding: its result, a text that it has, and that it says how to
// repair it if and only if it is bad.
func want(t *testing.T, got Finding, result Result, text string) {
	t.Helper()
	if got.Result != result || !strings.Contains(got.What, text) {
		t.Errorf("got %q, want %s with %q", got, result, text)
	}
	if (got.Repair != "") != (got.Result == Bad) {
		t.Errorf("repair of %q is %q", got, got.Repair)
	}
}

func TestFindingIsOneLine(t *testing.T) {
	const line = "bad          disk: it is full; repair: rm it"
	if got := bad("disk", "rm it", "it is %s", "full").String(); got != line {
		t.Errorf("String() = %q, want %q", got, line)
	}
	const fine = "not checked  clock: nobody tells"
	if got := notChecked("clock", "nobody tells").String(); got != fine {
		t.Errorf("String() = %q, want %q", got, fine)
	}
}
