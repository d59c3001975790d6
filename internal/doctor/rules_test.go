package doctor

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// notExamined are settings of contrib/postfix that doctor leaves to the operator, or
// looks at in another way.
var notExamined = []string{
	"mailbox_size_limit", "virtual_mailbox_limit", // of other mail
	"queue_run_delay", "minimal_backoff_time", "maximal_backoff_time", // how soon, not whether
	"smtp_tls_security_level", "smtp_tls_CAfile", // tables of the operator's
	"message_size_limit", "non_smtpd_milters", "pec_milter_refuse_outbox", // compared with others
	"pec-milter_destination_recipient_limit",
}

// TestRulesAreThoseOfContrib: what contrib/postfix sets in main.cf is what doctor wants
// there, and nothing is in one of them alone.
func TestRulesAreThoseOfContrib(t *testing.T) {
	script, err := os.ReadFile("../../contrib/postfix/pec-milter-postfix.sh")
	if err != nil {
		t.Fatal(err)
	}
	applied := map[string]string{}
	setting := regexp.MustCompile(`['"]([a-z0-9A-Z_-]+)=([^'"]*)['"]`)
	continued := strings.ReplaceAll(string(script), "\\\n", " ")
	for line := range strings.Lines(continued) {
		if strings.HasPrefix(strings.TrimSpace(line), "set_main ") || strings.Contains(line, ") set_main ") {
			for _, m := range setting.FindAllStringSubmatch(line, -1) {
				applied[m[1]] = m[2]
			}
		}
	}
	rules := mainRules(300 * time.Second)
	for _, r := range rules {
		if value, found := applied[r.name]; r.name != "relay_recipient_maps" && (!found || value != r.want) {
			t.Errorf("doctor wants %s=%q, contrib/postfix sets %q (%t)", r.name, r.want, value, found)
		}
		if !r.met(r.want) {
			t.Errorf("%s=%q does not meet its own rule", r.name, r.want)
		}
	}
	for name := range applied {
		known := slices.ContainsFunc(rules, func(r rule) bool { return r.name == name })
		if !known && !slices.Contains(notExamined, name) {
			t.Errorf("contrib/postfix sets %s, and doctor does not look at it", name)
		}
	}
	if len(applied) < 25 {
		t.Errorf("found %d settings in contrib/postfix, want all", len(applied))
	}
}

func TestRulesThatLeaveAChoice(t *testing.T) {
	cases := []struct {
		name  string
		meets func(value, want string) bool
		value string
		want  string
		met   bool
	}{
		{"days for hours", sameTime, "1d", "24h", true},
		{"too long", sameTime, "5d", "24h", false},
		{"no unit", sameTime, "24", "24h", false},
		{"none", sameTime, "0", "0h", true},
		{"longer", atLeast, "10m", "300s", true},
		{"shorter", atLeast, "60s", "300s", false},
		{"no time", atLeast, "soon", "300s", false},
		{"more keywords", hasAll, "CHUNKING, dsn, etrn", "chunking,dsn", true},
		{"one missing", hasAll, "chunking", "chunking,dsn", false},
		{"a list of protocols", noOldTLS, "!SSLv2, !SSLv3, !TLSv1, !TLSv1.1", "", true},
		{"the old default", noOldTLS, "!SSLv2, !SSLv3", "", false},
		{"1.3 alone", noOldTLS, ">=TLSv1.3", "", true},
		{"relaying refused later", refusesRelay, "reject_rbl_client a.example, reject_unauth_destination", "", true},
		{"relaying permitted first", refusesRelay, "permit_mynetworks, reject_unauth_destination", "", false},
		{"nothing refused", refusesRelay, "", "", false},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := c.meets(c.value, c.want); got != c.met {
				t.Errorf("%q for %q = %t, want %t", c.value, c.want, got, c.met)
			}
		})
	}
}
