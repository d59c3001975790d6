//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/doctor"
)

// sendmailConfiguration has m4 make a sendmail.cf of the tests' sendmail.mc for
// alfa.example, and gives its path.
func sendmailConfiguration(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat(sendmailMacros); err != nil {
		skip(t, "no Sendmail: contrib/debian/setup.sh test puts it there")
	}
	needs(t, "m4")
	dir := t.TempDir()
	site := &Site{Name: "alfa", Domain: "alfa.example", Host: "mx.alfa.example", Dir: dir,
		Ports: Ports{SMTP: 25, Submission: 587, Submissions: 465, Inject: 10027}}
	conf := sendmailConf{siteConf{Site: site, Contrib: filepath.Join(repositoryDir(t), "contrib")}, sendmailMacros, dir, nil}
	mc, cf := filepath.Join(dir, "sendmail.mc"), filepath.Join(dir, "sendmail.cf")
	if err := writeConf(mc, "sendmail.mc", conf); err != nil {
		t.Fatal(err)
	}
	if err := makeConfiguration(mc, cf); err != nil {
		t.Fatal(err)
	}
	return cf
}

// examineSendmail gives what doctor finds, by the names of the checks: what is bad, if
// anything is.
func examineSendmail(t *testing.T, cf, sockets string) map[string]doctor.Finding {
	t.Helper()
	socket := func(name string) doctor.Socket {
		return doctor.Socket{Network: "unix", Address: filepath.Join(sockets, name+".sock")}
	}
	found := map[string]doctor.Finding{}
	for _, f := range (&doctor.Sendmail{File: cf}).Check(doctor.MTA{
		Access: socket("access"), Incoming: socket("incoming"), Delivery: socket("delivery"), Lifetime: socket("lifetime"),
		Inject: "127.0.0.1:10027", Domains: []string{"alfa.example"}, ContentTimeout: 300 * time.Second,
	}) {
		if f.Result == doctor.Bad || found[f.Check].Check == "" {
			found[f.Check] = f
		}
	}
	return found
}

// TestCheckConfigSendmail: what contrib/sendmail makes is good, and each of the broken
// configurations is found, with the place where it is broken and the line to paste.
func TestCheckConfigSendmail(t *testing.T) {
	cf := sendmailConfiguration(t)
	sockets := filepath.Join(filepath.Dir(cf), "queue", "pec-milter")
	good, err := os.ReadFile(cf)
	if err != nil {
		t.Fatal(err)
	}
	found := examineSendmail(t, cf, sockets)
	if bad := badOnes(found); bad != nil || len(found) < 30 {
		t.Fatalf("contrib/sendmail, and doctor finds bad: %v of %d", bad, len(found))
	}
	cases := readBrokenMTAs(t, "sendmail.txt")
	if len(cases) < 50 {
		t.Fatalf("%d broken configurations, want 50 at least", len(cases))
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			broken, place := breakSendmail(t, string(good), sockets, c)
			writeFile(t, cf, []byte(broken))
			check, what, _ := strings.Cut(c.says, ": ")
			found := examineSendmail(t, cf, sockets)[check]
			if found.Result != doctor.Bad || !strings.HasPrefix(found.What, what) {
				t.Fatalf("check-config says %+v, want bad: %s", found, c.says)
			}
			if want := cf + place; found.Where != want {
				t.Errorf("check-config says it is at %s, want %s", found.Where, want)
			}
			if found.Repair == "" {
				t.Error("no line to paste")
			}
		})
	}
}

// breakSendmail makes the edits, and gives the place that must be named, ":LINE:COLUMN";
// empty: the file.
func breakSendmail(t *testing.T, text, sockets string, c brokenMTA) (broken, place string) {
	t.Helper()
	escapes := strings.NewReplacer(`\\`, `\`, `\n`, "\n", `\t`, "\t",
		"{{door}}", filepath.Join(sockets, "delivery.sock"), "{{lifetime}}", filepath.Join(sockets, "lifetime.sock"))
	at := -1
	for _, edit := range c.edits {
		before, change := len(text), edit[1]
		if edit[0] == "change" {
			from, to, _ := strings.Cut(edit[1], " => ")
			before, change = strings.Index(text, escapes.Replace(from)), to
			if before < 0 {
				t.Fatalf("sendmail.cf has no %q", escapes.Replace(from))
			}
			text = text[:before] + escapes.Replace(to) + text[before+len(escapes.Replace(from)):]
		} else {
			text += edit[1] + "\n"
		}
		if mark := strings.Index(escapes.Replace(change), "^"); mark >= 0 {
			at = before + mark
			text = text[:at] + text[at+1:]
		}
	}
	if c.at != "" && c.at != "file" {
		at = strings.Index(text, "\n"+escapes.Replace(c.at)) + 1
	}
	if at < 0 {
		return text, ""
	}
	line := strings.Count(text[:at], "\n") + 1
	column := at - strings.LastIndexByte(text[:at], '\n')
	return text, ":" + strconv.Itoa(line) + ":" + strconv.Itoa(column)
}

// TestExampleSendmail: the example of contrib/sendmail is made without a complaint, and is
// what doctor wants. Its paths are those of a machine with Debian's package.
func TestExampleSendmail(t *testing.T) {
	dir := t.TempDir()
	if _, err := os.Stat(sendmailMacros); err != nil {
		skip(t, "no Sendmail: contrib/debian/setup.sh test puts it there")
	}
	contrib := filepath.Join(repositoryDir(t), "contrib", "sendmail")
	text, err := os.ReadFile(filepath.Join(contrib, "sendmail.mc"))
	if err != nil {
		t.Fatal(err)
	}
	here := strings.NewReplacer("/usr/share/sendmail/cf/", sendmailMacros, "/etc/mail/m4/pec-milter.m4", filepath.Join(contrib, "pec-milter.m4"))
	mc, cf := filepath.Join(dir, "sendmail.mc"), filepath.Join(dir, "sendmail.cf")
	writeFile(t, mc, []byte("include(`"+sendmailMacros+"debian/autoconf.m4')dnl\n"+here.Replace(string(text))))
	if err := makeConfiguration(mc, cf); err != nil {
		t.Fatal(err)
	}
	found := examineSendmail(t, cf, "/run/pec-milter")
	if bad := badOnes(found); !slices.Equal(bad, nil) {
		t.Errorf("the example, and doctor finds bad: %v", found[bad[0]])
	}
}
