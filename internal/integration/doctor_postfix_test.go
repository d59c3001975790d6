//go:build integration

package integration

import (
	"cmp"
	"context"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/pec-milter/pec-milter/internal/doctor"
)

// applyPostfix makes the configuration of a provider, and gives its directory.
func applyPostfix(t *testing.T) string {
	t.Helper()
	t.Setenv("PEC_INCOMING", "127.0.0.1:25") // it has that one already
	dir := postfixConfig(t)
	contribPostfix(t, dir, "apply", "alfa.example")
	return dir
}

// examinePostfix gives what doctor finds in a configuration made for alfa.example,
// by the names of the checks.
func examinePostfix(t *testing.T, dir string, domains ...string) map[string]doctor.Finding {
	t.Helper()
	lookOldIn(t, dir)
	postfix := doctor.Postfix{Directory: dir, Run: func(ctx context.Context, input, name string, arguments ...string) ([]byte, error) {
		command := exec.CommandContext(ctx, name, arguments...)
		command.Stdin = strings.NewReader(input)
		return command.Output()
	}}
	socket := func(name string) doctor.Socket {
		return doctor.Socket{Network: "unix", Address: filepath.Join(dir, "queue/pec-milter", name+".sock")}
	}
	found := map[string]doctor.Finding{}
	for _, f := range postfix.Check(t.Context(), doctor.MTA{
		Access: socket("access"), Incoming: socket("incoming"), Delivery: socket("delivery"),
		Inject: "127.0.0.1:10027", Domains: domains, Peers: []string{"beta.example", "pec.gamma.example"}, ContentTimeout: 300 * time.Second,
	}) {
		if f.Result == doctor.Bad || found[f.Check].Check == "" {
			found[f.Check] = f
		}
	}
	return found
}

// badOnes are the names of the checks that are bad.
func badOnes(found map[string]doctor.Finding) (names []string) {
	for name, f := range found {
		if f.Result == doctor.Bad {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// setting is a check of one setting, of main.cf or of a service.
var setting = regexp.MustCompile(`^postfix\.(.+/inet\.)?([a-z0-9_]+)$`)

// TestDoctorFindsEverySetting: what contrib/postfix makes is good. Each setting, made
// wrong, is found, and the repairs that doctor prints make all good again.
func TestDoctorFindsEverySetting(t *testing.T) {
	dir := applyPostfix(t)
	applied := examinePostfix(t, dir, "alfa.example")
	if bad := badOnes(applied); bad != nil {
		t.Fatalf("contrib/postfix was applied, and doctor finds bad: %q", bad)
	}
	broken := 0
	for check := range applied {
		m := setting.FindStringSubmatch(check)
		if m == nil || slices.Contains([]string{"access", "incoming", "inject"}, m[2]) {
			continue
		}
		if check == "postfix.submissions/inet.smtpd_tls_security_level" {
			continue // smtpd_tls_wrappermode goes before it
		}
		broken++
		flag, name := "-e", m[2]
		if service, found := strings.CutSuffix(m[1], "."); found {
			flag, name = "-P", service+"/"+m[2]
		}
		value := map[string]string{`"yes"`: "no", `"no"`: "yes"}[applied[check].What]
		postconf(t, dir, flag, name+"="+cmp.Or(value, "nonsense"))
		found := examinePostfix(t, dir, "alfa.example")
		if bad := badOnes(found); len(bad) == 0 {
			t.Errorf("%s is wrong, and doctor finds nothing", name)
		}
		for _, bad := range badOnes(found) {
			repairPostfix(t, dir, found[bad].Repair)
		}
	}
	if bad := badOnes(examinePostfix(t, dir, "alfa.example")); bad != nil {
		t.Errorf("everything is repaired, and doctor finds bad: %q", bad)
	}
	if broken < 40 {
		t.Errorf("broke %d settings, want all", broken)
	}
}

// repairPostfix runs a repair, but for the reload.
func repairPostfix(t *testing.T, dir, repair string) {
	t.Helper()
	if strings.HasPrefix(repair, "contrib/postfix/pec-milter-postfix.sh -c "+dir+" apply ") {
		contribPostfix(t, dir, "apply", "alfa.example")
		return
	}
	command, reload, found := strings.Cut(repair, " && ")
	if !found || reload != "postfix -c "+dir+" reload" {
		t.Fatalf("repair %q does not reload", repair)
	}
	lookOldIn(t, dir)
	if _, err := run(nil, "sh", "-c", command); err != nil {
		t.Fatal(err)
	}
}

// TestDoctorFindsRoutesAndServices: what is no single setting.
func TestDoctorFindsRoutesAndServices(t *testing.T) {
	cases := []struct {
		name    string
		flag    string
		setting string
		domain  string
		want    []string
	}{
		{"another domain", "-e", "biff=no", "beta.example", []string{"postfix.relay_domains.beta.example", "postfix.transport_maps.beta.example"}},
		{"local domain", "-e", "mydestination=alfa.example", "alfa.example", []string{"postfix.relay_domains.alfa.example"}},
		{"no transport", "-e", "transport_maps=inline:{{alfa.example=smtp:[192.0.2.1]}}", "alfa.example",
			[]string{"postfix.transport_maps.alfa.example", "postfix.transport_maps.outbox.pec-milter.invalid"}},
		{"cleanup for itself", "-P", "cleanup/unix/message_drop_headers=bcc", "alfa.example", []string{"postfix.cleanup/unix.message_drop_headers"}},
		{"milter for itself", "-P", "submission/inet/smtpd_milters=$braces", "alfa.example",
			[]string{"postfix.submission/inet.smtpd_milters"}},
		{"inject refuses large receipts", "-P", "127.0.0.1:10027/inet/message_size_limit=1000000", "alfa.example",
			[]string{"postfix.127.0.0.1:10027/inet.message_size_limit"}},
		{"inject with a milter", "-P", "127.0.0.1:10027/inet/smtpd_milters=unix:pec-milter/incoming.sock", "alfa.example",
			[]string{"postfix.127.0.0.1:10027/inet.smtpd_milters"}},
		{"no TLS", "-P", "submission/inet/smtpd_tls_security_level=may", "alfa.example",
			[]string{"postfix.submission/inet.smtpd_tls_security_level"}},
		{"no inject", "-MX", "127.0.0.1:10027/inet", "alfa.example", []string{"postfix.inject"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := applyPostfix(t)
			postconf(t, dir, "-e", "braces={ unix:pec-milter/access.sock, default_action=accept }")
			postconf(t, dir, c.flag, c.setting)
			if got := badOnes(examinePostfix(t, dir, c.domain)); !slices.Equal(got, c.want) {
				t.Errorf("doctor finds bad: %q, want %q", got, c.want)
			}
		})
	}
}
