package fault

import (
	"strings"
	"testing"
	"time"
)

func TestParseOrder(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       Order
		wrong      string // what the error says; empty: none
	}{
		{"none", "", Order{}, ""},
		{"empty file", "\n", Order{}, ""},
		{"effect", "inject.after:3:kill\n", Order{Point: "inject.after", N: 3, Act: Kill}, ""},
		{"onward", "store.before:2+:err", Order{Point: "store.before", N: 2, Onward: true, Act: Err}, ""},
		{"milter", "access.end-of-message:1:hang", Order{Point: "access.end-of-message", N: 1, Act: Hang}, ""},
		{"short hang", "sign.before:1:hang:1500ms", Order{Point: "sign.before", N: 1, Act: Hang, Length: 1500 * time.Millisecond}, ""},
		{"hang for nothing", "sign.before:1:hang:0s", Order{}, "write <point>:<n>:<act>"},
		{"hang for no duration", "sign.before:1:hang:long", Order{}, "write <point>:<n>:<act>"},
		{"LMTP", "delivery.reply.after:1:kill", Order{Point: "delivery.reply.after", N: 1, Act: Kill}, ""},
		{"unknown point", "stored.after:1:kill", Order{}, "no point \"stored.after\"; there are: directory.before, "},
		{"effect without side", "inject:1:kill", Order{}, "no point \"inject\""},
		{"point of another door", "delivery.end-of-message:1:kill", Order{}, "no point"},
		{"unknown act", "inject.after:1:stop", Order{}, "no act \"stop\"; there are: [kill err hang]"},
		{"count 0", "inject.after:0:kill", Order{}, "\"0\" is no count"},
		{"no number", "inject.after:one:kill", Order{}, "\"one\" is no count"},
		{"too short", "inject.after:1", Order{}, "write <point>:<n>:<act>"},
		{"too long", "inject.after:1:kill:now", Order{}, "write <point>:<n>:<act>"},
		{"all wrong", "x:y:z", Order{}, "no act \"z\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := ParseOrder(c.text)
			if got != c.want {
				t.Errorf("ParseOrder(%q) = %+v, want %+v", c.text, got, c.want)
			}
			if (err != nil) != (c.wrong != "") || err != nil && !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("ParseOrder(%q): error %v, want one with %q", c.text, err, c.wrong)
			}
		})
	}
}

func TestDue(t *testing.T) {
	for _, c := range []struct {
		order Order
		want  string // for the 1st, 2nd … time
	}{
		{Order{N: 1}, "yn n"}, {Order{N: 3}, "nnyn"}, {Order{N: 2, Onward: true}, "nyyy"},
	} {
		for n, want := range strings.ReplaceAll(c.want, " ", "n") {
			if got := c.order.due(n + 1); got != (want == 'y') {
				t.Errorf("%+v at time %d: %v, want %c", c.order, n+1, got, want)
			}
		}
	}
}
