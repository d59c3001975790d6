package doctor

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
)

// someDomains is how many domains a finding names.
const someDomains = 10

// checkPeers: mail goes to the other providers by TLS, and to nobody else who says
// that he is one.
func (c *postfixSettings) checkPeers(ctx context.Context, domains []string) Finding {
	const name = "smtp_tls_policy_maps"
	check := "postfix." + name
	if len(domains) == 0 {
		return notChecked(check, "the providers directory names no other provider, or cannot be read")
	}
	open, err := c.inClear(ctx, domains)
	if err != nil {
		return bad(check, c.applyAgain(), "%v", err).at(c.place(nil, name))
	}
	if len(open) == 0 {
		return good(check, "mail to the %d domains of other providers goes by TLS that is verified", len(domains))
	}
	named := open[:min(len(open), someDomains)]
	return bad(check, c.closeRepair(named), "mail to %s goes without TLS that is mandatory and verified (%d of the %d domains of other providers): whoever is between could read it",
		strings.Join(named, ", "), len(open), len(domains)).at(c.place(nil, name))
}

// checkOwnPolicies: a client of master.cf with policies of its own, by which mail may go,
// has none of those that were looked at.
func (c *postfixSettings) checkOwnPolicies() (found []Finding) {
	const name = "smtp_tls_policy_maps"
	for _, s := range c.services {
		if own, given := s.own[name]; given && s.program == "smtp" && own != c.main[name] {
			found = append(found, bad("postfix."+s.id+"."+name, "postconf "+c.flag()+"-PX '"+s.id+"/"+name+"' && postfix "+c.flag()+"reload",
				"it is %q, and not what main.cf has: mail to other providers that goes by it would not be by TLS that is verified", own).at(c.place(s, name)))
		}
	}
	return found
}

// closeRepair is the command that makes TLS toward domains mandatory. It stands in the
// first table that is a text.
func (c *postfixSettings) closeRepair(domains []string) string {
	for _, table := range list(c.main["smtp_tls_policy_maps"]) {
		kind, file, _ := strings.Cut(table, ":")
		edit := "printf '%s verify\\n' " + strings.Join(domains, " ") + " >>" + file
		switch kind {
		case "texthash":
			return edit + " && postfix " + c.flag() + "reload"
		case "hash", "btree", "lmdb", "cdb", "dbm":
			return edit + " && postmap " + c.flag() + table
		}
	}
	return c.applyAgain()
}

// inClear gives those of the domains to which mail may go in clear, or to a server whose
// certificate nobody has verified.
func (c *postfixSettings) inClear(ctx context.Context, domains []string) (open []string, err error) {
	routes, err := c.lookUpAll(ctx, c.main["transport_maps"], domains)
	if err != nil {
		return nil, err
	}
	hops, all := map[string][]string{}, []string{}
	for _, domain := range domains {
		hops[domain] = c.hops(domain, routes[domain])
		all = append(all, hops[domain]...)
	}
	policies, err := c.lookUpAll(ctx, c.main["smtp_tls_policy_maps"], all)
	if err != nil {
		return nil, err
	}
	for _, domain := range domains {
		if slices.ContainsFunc(hops[domain], func(hop string) bool { return !c.closed(policies[hop]) }) {
			open = append(open, domain)
		}
	}
	return open, nil
}

// hops are the destinations that Postfix looks for in its policies: those of the route
// ("transport:hop, hop"), else the relay, else the domain.
func (c *postfixSettings) hops(domain, route string) (found []string) {
	_, hops, _ := strings.Cut(route, ":")
	if hops == "" {
		hops = c.main["relayhost"]
	}
	if found = list(hops); found == nil {
		found = []string{domain}
	}
	return found
}

// closed tells whether a policy ("secure match=..."), or where there is none the
// setting for everybody, is TLS that is mandatory and verified.
func (c *postfixSettings) closed(policy string) bool {
	level := c.main["smtp_tls_security_level"]
	if fields := strings.Fields(policy); len(fields) > 0 {
		level = fields[0]
	}
	return slices.Contains([]string{"verify", "secure", "fingerprint", "dane-only"}, level)
}

// lookUpAll looks for names in tables, each by itself and then by the domains above it,
// as Postfix does: "a.example", ".example". It asks each table once, for a directory
// has many domains.
func (c *postfixSettings) lookUpAll(ctx context.Context, tables string, names []string) (map[string]string, error) {
	answers := map[string]string{}
	for _, table := range list(tables) {
		var keys strings.Builder
		for _, name := range names {
			for _, key := range above(name) {
				if answers[key] == "" {
					keys.WriteString(key + "\n")
				}
			}
		}
		if err := c.ask(ctx, table, keys.String(), answers); err != nil {
			return nil, err
		}
	}
	found := map[string]string{}
	for _, name := range names {
		for _, key := range slices.Backward(above(name)) {
			if answers[key] != "" {
				found[name] = answers[key]
			}
		}
	}
	return found, nil
}

// ask asks one table for all keys, and adds what it has to the answers.
func (c *postfixSettings) ask(ctx context.Context, table, keys string, answers map[string]string) error {
	out, err := c.runWith(ctx, keys, "postmap", "-q", "-", table)
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) && failed.ExitCode() == 1 && onlyWarnings(failed.Stderr) {
		return nil // it has none of them
	}
	if err != nil {
		return fmt.Errorf("asking %s: %w", table, err)
	}
	for line := range strings.Lines(out) {
		if key, value, found := strings.Cut(strings.TrimSpace(line), "\t"); found {
			answers[key] = strings.TrimSpace(value)
		}
	}
	return nil
}

// above is a name and the domains above it.
func above(name string) []string {
	keys := []string{name}
	for rest := name; !strings.HasPrefix(name, "["); {
		_, parent, found := strings.Cut(rest, ".")
		if !found || parent == "" {
			break
		}
		keys, rest = append(keys, "."+parent), parent
	}
	return keys
}
