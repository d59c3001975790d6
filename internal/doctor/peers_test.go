package doctor

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestAbove(t *testing.T) {
	for name, want := range map[string][]string{
		"pec.alfa.example": {"pec.alfa.example", ".alfa.example", ".example"},
		"example":          {"example"},
		"[192.0.2.1]:25":   {"[192.0.2.1]:25"},
		"[mx.example]:587": {"[mx.example]:587"},
		"mx.beta.example.": {"mx.beta.example.", ".beta.example.", ".example."},
	} {
		if got := above(name); !slices.Equal(got, want) {
			t.Errorf("above(%q) = %q, want %q", name, got, want)
		}
	}
}

// TestCheckPeers: a directory of many domains costs one question to each table, and the
// repair can be pasted.
func TestCheckPeers(t *testing.T) {
	var domains []string
	for n := range 5000 {
		domains = append(domains, fmt.Sprintf("d%d.example", n))
	}
	asked := 0
	run := func(_ context.Context, input, _ string, arguments ...string) ([]byte, error) {
		asked++
		var out strings.Builder
		for key := range strings.Lines(input) {
			if key != "d7.example\n" && strings.HasPrefix(key, "d") && arguments[2] == "texthash:/policy" {
				fmt.Fprintf(&out, "%s\tsecure\n", strings.TrimSpace(key))
			}
		}
		return []byte(out.String()), nil
	}
	c := &postfixSettings{Postfix: &Postfix{Run: run}, main: map[string]string{
		"smtp_tls_policy_maps": "texthash:/policy", "smtp_tls_security_level": "may", "transport_maps": "hash:/routes",
	}}
	found := c.checkPeers(t.Context(), domains)
	want(t, found, Bad, "mail to d7.example goes without TLS")
	if asked != 2 || found.Repair != "printf '%s verify\\n' d7.example >>/policy && postfix reload" {
		t.Errorf("asked %d times, repair %q", asked, found.Repair)
	}
	c.main["smtp_tls_security_level"] = "verify"
	want(t, c.checkPeers(t.Context(), domains), Good, "5000 domains")
	want(t, c.checkPeers(t.Context(), nil), NotChecked, "no other provider")
}
