package main

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestChoose(t *testing.T) {
	all := scenarios()
	for _, c := range []struct {
		name string
		want int
	}{{"", 0}, {"all", len(all)}, {all[0].name, 1}, {all[len(all)-1].name, 1}} {
		got, err := choose(c.name)
		if err != nil || len(got) != c.want {
			t.Errorf("choose(%q) = %d scenarios, %v; want %d", c.name, len(got), err, c.want)
		}
		if c.want == 1 && (len(got) != 1 || got[0].name != c.name) {
			t.Errorf("choose(%q) = %v, want that one", c.name, got)
		}
	}
	_, err := choose("no-such")
	if err == nil {
		t.Fatal("choose(no-such) gives no error")
	}
	for _, s := range all {
		if !strings.Contains(err.Error(), s.name) {
			t.Errorf("choose(no-such) = %v, which does not name %s", err, s.name)
		}
	}
}

// TestScenarios: each can be told by its name, and its rows by what they show.
func TestScenarios(t *testing.T) {
	names := map[string]bool{"": true, "all": true}
	for _, s := range append(scenarios(), mainJob()) {
		if names[s.name] || len(s.name) > nameWidth {
			t.Errorf("name %q is taken, or has more than %d letters", s.name, nameWidth)
		}
		names[s.name] = true
		if len(s.due) == 0 || s.play == nil || s.shows == "" {
			t.Errorf("%s: nothing is due, played or shown", s.name)
		}
		for _, d := range s.due {
			if short := d.short(); fit(short) != short {
				t.Errorf("%s: %q does not fit into the table: %d letters, want at most %d",
					s.name, short, utf8.RuneCountInString(short), cellWidth)
			}
		}
	}
}
