package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// rule is a setting of the MTA that we depend on. contrib/postfix and contrib/sendmail
// set them, and have the reasons at length; a test keeps the two the same.
type rule struct {
	name string
	want string // what contrib sets
	why  string // what happens otherwise
	// meets tells whether another value does as well; nil: only want does.
	meets func(value, want string) bool
}

func (r rule) met(value string) bool {
	return value == r.want || r.meets != nil && r.meets(value, r.want)
}

// mainRules are those for everything that passes this Postfix.
func mainRules(contentTimeout time.Duration) []rule {
	return slices.Concat(originalRules(), milterRules(contentTimeout), []rule{
		{"maximal_queue_lifetime", "24h", "RFC 6109 section 2.2.2 gives a message 24 hours", sameTime},
		{"bounce_queue_lifetime", "24h", "RFC 6109 section 2.2.2 gives a message 24 hours", sameTime},
		{"delay_warning_time", "0h", "senders would get unsigned warnings", sameTime},
		{"soft_bounce", "no", "nobody would learn what cannot be delivered", nil},
		{"enable_long_queue_ids", "yes", "a queue id in the legal log would name several messages", nil},
		{"smtpd_tls_protocols", ">=TLSv1.2", "users and providers must have TLS 1.2 or later", noOldTLS},
		{"smtpd_tls_mandatory_protocols", ">=TLSv1.2", "users and providers must have TLS 1.2 or later", noOldTLS},
		{"smtp_tls_mandatory_protocols", ">=TLSv1.2", "users and providers must have TLS 1.2 or later", noOldTLS},
		{"relay_recipient_maps", "", "the senders to unknown users of ours would get no signed notice", nil},
	})
}

// originalRules keep messages as they are, byte for byte.
func originalRules() []rule {
	const changed = "messages would be changed before they are certified"
	const broken = "signatures would break on the way out"
	return []rule{
		{"local_header_rewrite_clients", "", changed, nil},
		{"always_add_missing_headers", "no", changed, nil},
		{"message_drop_headers", "", "a Bcc would vanish that must be refused", nil},
		{"message_reject_characters", `\0`, "something else would be certified than what goes on", nil},
		{"disable_mime_input_processing", "yes", "long headers of parts would be cut", nil},
		{"smtp_line_length_limit", "0", broken, nil},
		{"lmtp_line_length_limit", "0", broken, nil},
		{"disable_mime_output_conversion", "yes", broken, nil},
		{"smtpd_forbid_bare_newline", "reject", "messages could be smuggled in, or lose a line", nil},
		{"smtpd_forbid_bare_newline_exclusions", "", "messages could be smuggled in, or lose a line", nil},
		{"smtpd_discard_ehlo_keywords", "chunking,dsn", "bare newlines would come in, and delivery reports be promised that nobody gets", hasAll},
		{"smtputf8_enable", "no", "addresses would come in that certification data have no form for", nil},
	}
}

func milterRules(contentTimeout time.Duration) []rule {
	return []rule{
		{"milter_default_action", "tempfail", "mail would pass uncertified, or be lost, while pec-milter is down", nil},
		{"milter_protocol", "6", "pec-milter would not be asked as it must be", nil},
		{"milter_content_timeout", fmt.Sprintf("%.0fs", contentTimeout.Seconds()),
			"it is less than mta.content_timeout: Postfix would give up before us", atLeast},
		{"internal_mail_filter_classes", "", "Postfix's own bounces would be judged like mail from the world", nil},
	}
}

// doorRules are those of every service that pec-milter judges or feeds.
func doorRules() []rule {
	return []rule{
		{"receive_override_options", "no_address_mappings", "receipts would name addresses that nobody wrote", hasAll},
		{"content_filter", "", "certified mail would be changed", nil},
		{"smtpd_proxy_filter", "", "certified mail would be changed", nil},
	}
}

func accessRules() []rule {
	return append(doorRules(),
		rule{"smtpd_sasl_auth_enable", "yes", "no user could submit", nil})
}

func incomingRules() []rule {
	return append(doorRules(),
		rule{"smtpd_sasl_auth_enable", "no", "what comes here is never a user's", nil},
		rule{"smtpd_relay_restrictions", "reject_unauth_destination", "mail would be relayed past the access door", refusesRelay})
}

func injectRules() []rule {
	return append(doorRules(),
		rule{"smtpd_milters", "", "notices would be judged like mail from the world, and never leave", nil})
}

// hasAll: the list has all items that are wanted, whatever else.
func hasAll(value, want string) bool {
	items := list(strings.ToLower(value))
	return !slices.ContainsFunc(list(want), func(item string) bool { return !slices.Contains(items, item) })
}

// noOldTLS understands both ways to write a list of protocols.
func noOldTLS(value, _ string) bool {
	return value == ">=TLSv1.3" || hasAll(value, "!sslv2,!sslv3,!tlsv1,!tlsv1.1")
}

// refusesRelay: nothing is permitted before strangers' domains are refused.
func refusesRelay(value, _ string) bool {
	for _, item := range list(value) {
		switch {
		case item == "reject_unauth_destination" || item == "defer_unauth_destination" || item == "reject":
			return true
		case strings.HasPrefix(item, "permit"):
			return false
		}
	}
	return false
}

func sameTime(value, want string) bool {
	v, ok := postfixTime(value)
	w, _ := postfixTime(want)
	return ok && v == w
}

func atLeast(value, want string) bool {
	v, ok := postfixTime(value)
	w, _ := postfixTime(want)
	return ok && v >= w
}

// timeUnits are those of both MTAs.
var timeUnits = map[byte]time.Duration{
	's': time.Second, 'm': time.Minute, 'h': time.Hour, 'd': 24 * time.Hour, 'w': 7 * 24 * time.Hour,
}

// postfixTime reads a time of Postfix's: "300s", "24h", "1d". Without a unit it
// depends on the setting, and is not understood, but for 0.
func postfixTime(text string) (time.Duration, bool) {
	if text == "" || text == "0" {
		return 0, text == "0"
	}
	n, err := strconv.Atoi(text[:len(text)-1])
	unit, found := timeUnits[text[len(text)-1]]
	return time.Duration(n) * unit, err == nil && found
}

// checkMain looks at main.cf, and at each service that does otherwise.
func (c *postfixSettings) checkMain(want MTA) (found []Finding) {
	for _, r := range mainRules(want.ContentTimeout) {
		found = append(found, c.judge(nil, r))
		for _, s := range c.services {
			if _, own := s.own[r.name]; own && c.concerns(s, want) && !r.met(s.own[r.name]) {
				found = append(found, c.judge(s, r))
			}
		}
	}
	return found
}

// concerns tells whether certified mail passes the service: all may have it but
// SMTP services that neither door nor inject belongs to.
func (c *postfixSettings) concerns(s *service, want MTA) bool {
	return s.program != "smtpd" || c.asks(s, want.Access) != nil || c.asks(s, want.Incoming) != nil || isInject(s, want.Inject)
}

// judge compares one setting, of a service or of main.cf (nil).
func (c *postfixSettings) judge(s *service, r rule) Finding {
	check, settings := "postfix."+r.name, c.main
	value, known := settings[r.name]
	if s != nil {
		check, value = "postfix."+s.id+"."+r.name, s.value(r.name)
	}
	switch {
	case !known:
		return bad(check, "use Postfix 3.7.11 or later", "this Postfix does not know it: %s", r.why)
	case !r.met(value):
		return bad(check, c.repair(s, r.name, r.want), "it is %q: %s", value, r.why).at(c.place(s, r.name))
	}
	return good(check, "%q", value)
}
