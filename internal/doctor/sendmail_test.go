package doctor

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestRulesAreThoseOfContribSendmail: the rules that doctor wants are those that
// contrib/sendmail writes.
func TestRulesAreThoseOfContribSendmail(t *testing.T) {
	text, err := os.ReadFile("../../contrib/sendmail/pec-milter.m4")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		begin string
		want  []string
	}{{"PUSHDIVERT(3)\n", routingRules}, {"SLocal_check_rcpt\n", recipientRules}, {"Specnotify\n", notifyRules}} {
		_, rest, found := strings.Cut(string(text), c.begin)
		block, _, _ := strings.Cut(rest, "POPDIVERT")
		if !found || block == "" {
			t.Fatalf("contrib/sendmail has no %q", c.begin)
		}
		var got []string
		for line := range strings.Lines(block) {
			got = append(got, sides(strings.TrimSpace(line[1:])))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("contrib/sendmail writes %q, doctor wants %q", got, c.want)
		}
	}
}

// TestOptionsAreThoseOfContribSendmail: likewise for the options.
func TestOptionsAreThoseOfContribSendmail(t *testing.T) {
	text, err := os.ReadFile("../../contrib/sendmail/pec-milter.m4")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range sendmailRules() {
		if !r.met(r.want) {
			t.Errorf("%s=%q does not meet its own rule", r.name, r.want)
		}
		f := judgeOption(r, cfValue{"z,goaway", ""})
		_, line, _ := strings.Cut(f.Repair, "write ")
		line, _, _ = strings.Cut(line, "dnl into")
		if f.Result != Bad || !strings.Contains(string(text), line+"\n") {
			t.Errorf("doctor would have %q written, and contrib/sendmail has no such line", line)
		}
	}
}

func TestSendmailTime(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"5d": 5 * 24 * time.Hour, "1h30m": 90 * time.Minute, "0": 0, "2w": 14 * 24 * time.Hour, "10s": 10 * time.Second,
		"": -1, "5": -1, "d": -1, "5d3": -1, "5x": -1, "-5d": -1,
	} {
		got, ok := sendmailTime(text)
		if ok != (want >= 0) || ok && got != want {
			t.Errorf("sendmailTime(%q) = %v, %t, want %v", text, got, ok, want)
		}
	}
}

// TestReadSendmailCF: continued lines, comments, names that come twice, places.
func TestReadSendmailCF(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sendmail.cf")
	text := "# comment\nO EightBitMode=mime\nO  EightBitMode = pass8\n" +
		"O DaemonPortOptions=Name=A, Port=25,\n# in between\n\tInputMailFilters=x;y\n" +
		"Xa, S=local:/a b, F=\nMm,\tP=[IPC], L=990,\n\t\tA=FILE /x,y\nC{D}One two\nCwthree\nKk socket unix:/x\n" +
		"Sone=3\nR$*\t\t$: $1\tcomment\nR$+  $*\t$#x\nO PrivacyOptions=\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := readSendmailCF(file)
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]cfValue{
		"pass8 3:18":          c.options["eightbitmode"],
		"x;y 6:19":            c.daemons[0].fields['I'],
		"25 4:34":             c.daemons[0].fields['P'],
		" 7:21":               c.filters["a"].fields['F'],
		"990 8:16":            c.mailers["m"].fields['L'],
		"FILE /x,y 9:5":       c.mailers["m"].fields['A'],
		"two 10:9":            c.classes["D"][1],
		"three 11:3":          c.classes["w"][0],
		"socket unix:/x 12:1": c.maps["k"],
		"$* => $: $1 14:1":    c.rulesets["one"][0],
		"$+ $* => $#x 15:1":   c.rulesets["one"][1],
		" 16:18":              c.options["privacyoptions"],
	} {
		if has := got.text + " " + strings.TrimPrefix(got.place, file+":"); has != name {
			t.Errorf("read %q, want %q", has, name)
		}
	}
	if c.daemons[0].name != "A" || c.mailers["m"].name != "m" {
		t.Errorf("names %q and %q, want A and m", c.daemons[0].name, c.mailers["m"].name)
	}
}

// FuzzSendmailCF: whatever is in the file, doctor ends and says where.
func FuzzSendmailCF(f *testing.F) {
	f.Add("O DaemonPortOptions=Name=PEC-INJECT, Port=10027\n\tA=1\nXa,F=,\nM\nC{\nCw\nK\nQ\nS\nR\nR\t\t\n")
	f.Add(" \nO\nX\nC\n=,=,\nMx, P=[IPC], A=FILE\n")
	f.Fuzz(func(t *testing.T, text string) {
		file := filepath.Join(t.TempDir(), "cf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, found := range (&Sendmail{File: file}).Check(MTA{Inject: "127.0.0.1:10027", Domains: []string{"alfa.example"}}) {
			if found.Result == Bad && (found.Repair == "" || !strings.HasPrefix(found.Where, file)) {
				t.Errorf("bad without a place or a repair: %v", found)
			}
		}
	})
}
