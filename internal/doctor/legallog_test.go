package doctor

import (
	"errors"
	"testing"
)

func TestSeals(t *testing.T) {
	for _, c := range []struct {
		name string
		late string
		err  error
		want Result
	}{
		{"in time", "", nil, Good},
		{"late", "rows are not sealed since yesterday", nil, Bad},
		{"unreadable", "", errors.New("no such directory"), Bad},
	} {
		if got := Seals(c.late, c.err); got.Result != c.want || c.want == Bad && got.Repair == "" {
			t.Errorf("%s: %v, want %s", c.name, got, c.want)
		}
	}
	if got := Stamps(""); got.Result != NotChecked {
		t.Errorf("no authority: %v, want %s", got, NotChecked)
	}
	if got := Stamps("http://tsa.example/"); got.Result != Good {
		t.Errorf("an authority: %v, want %s", got, Good)
	}
}
