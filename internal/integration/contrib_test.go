//go:build integration

package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// postfixConfig makes a configuration of Postfix as an operator has one, and
// gives its directory.
func postfixConfig(t *testing.T) string {
	t.Helper()
	if _, err := os.Stat("/etc/postfix"); err != nil {
		skip(t, "no Postfix: contrib/debian/setup.sh installs it")
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "postfix"), 0o755); err != nil {
		t.Fatal(err)
	}
	site := siteConf{Site: &Site{Name: "alfa", Host: "mx.alfa.example", Dir: dir, Ports: Ports{SMTP: 25}}}
	for _, name := range []string{"main.cf", "master.cf"} {
		if err := writeConf(filepath.Join(dir, name), name, site); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{
		"main.cf": "mailbox_size_limit = 51200000\nsmtpd_recipient_restrictions = permit_mynetworks,\n" +
			"    check_recipient_access inline:{{a=b c}}\n# the last line\n",
		"master.cf":             "submission inet n - n - - smtpd\n  -o smtpd_recipient_restrictions=permit_sasl_authenticated,reject\n",
		"postfix/routes":        "# all by their MX\n",
		"pec-milter-tls-policy": "beta.example secure match=mx.beta.example\n.gamma.example verify\n",
	} {
		file, err := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.WriteString(text); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// lookOldIn makes files look a day old: Postfix programs wait before they read one
// that was just written.
func lookOldIn(t *testing.T, dir string) {
	t.Helper()
	old := time.Now().AddDate(0, 0, -1)
	for _, name := range []string{"main.cf", "master.cf"} {
		if err := os.Chtimes(filepath.Join(dir, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
}

// contribPostfix runs contrib/postfix on a configuration.
func contribPostfix(t *testing.T, dir string, arguments ...string) {
	t.Helper()
	lookOldIn(t, dir)
	script := filepath.Join(repositoryDir(t), "contrib", "postfix", "pec-milter-postfix.sh")
	if _, err := run(nil, append([]string{script, "-c", dir}, arguments...)...); err != nil {
		t.Fatal(err)
	}
}

// settings are all that Postfix reads in a configuration.
func settings(t *testing.T, dir string) string {
	t.Helper()
	lookOldIn(t, dir)
	var all strings.Builder
	for _, flag := range []string{"-n", "-M"} {
		out, err := run(nil, "postconf", "-c", dir, flag)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(out)
	}
	return all.String()
}

func postconf(t *testing.T, dir string, arguments ...string) {
	t.Helper()
	if _, err := run(nil, append([]string{"postconf", "-c", dir}, arguments...)...); err != nil {
		t.Fatal(err)
	}
}

func readConfig(t *testing.T, dir string) string {
	t.Helper()
	var all string
	for _, name := range []string{"main.cf", "master.cf"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all += string(text)
	}
	return all
}

func TestPostfixUndoGivesBackTheSameBytes(t *testing.T) {
	dir := postfixConfig(t)
	before := readConfig(t, dir)
	contribPostfix(t, dir, "apply", "alfa.example")
	once := readConfig(t, dir)
	if once == before {
		t.Error("apply changed nothing")
	}
	contribPostfix(t, dir, "apply", "alfa.example")
	if again := readConfig(t, dir); again != once {
		t.Errorf("applied twice:\n%s\nwant, as applied once:\n%s", again, once)
	}
	contribPostfix(t, dir, "undo")
	if got := readConfig(t, dir); got != before {
		t.Errorf("after undo:\n%s\nwant:\n%s", got, before)
	}
	for _, name := range []string{"pec-milter-saved", "pec-milter-domains", "queue/pec-milter"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			t.Errorf("undo left %s", name)
		}
	}
}

func TestPostfixUndoLeavesLaterEdits(t *testing.T) {
	dir := postfixConfig(t)
	contribPostfix(t, dir, "apply", "alfa.example")
	edit := func(dir string) {
		postconf(t, dir, "-e", "biff=yes", "myorigin=later.example")
		postconf(t, dir, "-M", "later/unix=later unix - - n - - smtp")
	}
	edit(dir)
	contribPostfix(t, dir, "undo")

	reference := postfixConfig(t)
	edit(reference)
	got, want := settings(t, dir), strings.ReplaceAll(settings(t, reference), reference, dir)
	if got != want {
		t.Errorf("after edit and undo:\n%s\nwant:\n%s", got, want)
	}
}

func TestPostfixRefusesWhatWouldLoseMail(t *testing.T) {
	tests := []struct{ name, setting, want string }{
		{"unknown users refused", "relay_recipient_maps=inline:{{a=b}}", "relay_recipient_maps is set"},
		{"domain is local", "mydestination=localhost, alfa.example", "alfa.example is in mydestination"},
		{"no certificate", "smtpd_tls_chain_files=", "no certificate"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := postfixConfig(t)
			postconf(t, dir, "-e", test.setting)
			lookOldIn(t, dir)
			before := readConfig(t, dir)
			script := filepath.Join(repositoryDir(t), "contrib", "postfix", "pec-milter-postfix.sh")
			out, err := run(nil, script, "-c", dir, "apply", "alfa.example")
			if err == nil || !strings.Contains(string(out), test.want) {
				t.Errorf("apply said %q (%v), want %q", out, err, test.want)
			}
			if got := readConfig(t, dir); got != before {
				t.Errorf("it changed the files all the same:\n%s", got)
			}
		})
	}
}

// TestPostfixOtherSockets: all of them have another place, and none is left behind.
func TestPostfixOtherSockets(t *testing.T) {
	dir := postfixConfig(t)
	for name, socket := range map[string]string{
		"PEC_ACCESS_DOOR": "inet:127.0.0.1:10025", "PEC_INCOMING_DOOR": "inet:127.0.0.1:10026", "PEC_DELIVERY_DOOR": "inet:127.0.0.1:10024",
		"PEC_SASL": "/sockets/auth",
	} {
		t.Setenv(name, socket)
	}
	contribPostfix(t, dir, "apply", "alfa.example")
	domains, err := os.ReadFile(filepath.Join(dir, "pec-milter-domains"))
	if err != nil {
		t.Fatal(err)
	}
	got := settings(t, dir) + string(domains)
	for _, want := range []string{
		"submission inet n - n - - smtpd", "smtpd_milters=inet:127.0.0.1:10025", "smtpd_milters=inet:127.0.0.1:10026", "non_smtpd_milters = inet:127.0.0.1:10026",
		"outbox.pec-milter.invalid=pec-milter:inet:127.0.0.1:10024", "alfa.example\tpec-milter:inet:127.0.0.1:10024",
		"lmtp_connection_cache_destinations=127.0.0.1:10024", "smtpd_sasl_path=/sockets/auth",
	} {
		if !strings.Contains(squeezed(got), squeezed(want)) {
			t.Errorf("%q is not in\n%s", want, got)
		}
	}
	if strings.Contains(got, "unix:pec-milter") || strings.Contains(got, "private/auth") {
		t.Errorf("sockets below the queue directory are left in\n%s", got)
	}
}

// squeezed has one space for each stretch of white space.
func squeezed(text string) string { return strings.Join(strings.Fields(text), " ") }
