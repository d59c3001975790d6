package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// macros are the names that m4 has for options, in the line to paste.
var macros = map[string]string{
	"SuperSafe": "confSAFE_QUEUE", "OldStyleHeaders": "confOLD_STYLE_HEADERS", "EightBitMode": "confEIGHT_BIT_HANDLING",
	"MaxHeadersLength": "confMAX_HEADERS_LENGTH", "MaxMimeHeaderLength": "confMAX_MIME_HEADER_LENGTH",
	"NoRecipientAction": "confNO_RCPT_ACTION", "PrivacyOptions": "confPRIVACY_FLAGS", "DeliveryMode": "confDELIVERY_MODE", "DeliverByMin": "confDELIVER_BY_MIN",
	"Timeout.queuereturn": "confTO_QUEUERETURN", "Timeout.queuewarn": "confTO_QUEUEWARN",
	"DoubleBounceAddress": "confDOUBLE_BOUNCE_ADDRESS", "InputMailFilters": "confINPUT_MAIL_FILTERS",
	"AuthOptions": "confAUTH_OPTIONS", "ServerSSLOptions": "confSERVER_SSL_OPTIONS", "ClientSSLOptions": "confCLIENT_SSL_OPTIONS",
	"MaxMessageSize": "confMAX_MESSAGE_SIZE",
}

// sendmailRules are the options that we depend on. contrib/sendmail sets them, and has the
// reasons at length.
func sendmailRules() []rule {
	const changed = "messages would be changed before they are certified"
	const day = "outbox recipients and our own mailboxes must outlast the 24 hours of RFC 6109 section 2.2.2"
	const tls = "users and providers must have TLS 1.2 or later"
	rules := []rule{
		{"SuperSafe", "True", "mail that was accepted could be lost", isTrue},
		{"DeliveryMode", "background", "mail would wait for the next run of the queue, or the client for delivery", begins("b")},
		{"OldStyleHeaders", "False", `To: "A, B" <x> would become two addresses`, isFalse},
		{"EightBitMode", "pass8", "signatures would break on the way out", begins("p")},
		{"MaxHeadersLength", "262144", "large headers would be refused without a signed notice", unboundedOr(262144)},
		{"MaxMimeHeaderLength", "0/0", changed, unlimited},
		{"NoRecipientAction", "none", changed, begins("n")},
		{"PrivacyOptions", "needmailhelo,noexpn,novrfy,noetrn,noverb,restrictmailq,restrictqrun,restrictexpand,nobodyreturn",
			"authwarnings, and goaway with it, adds a field: " + changed, noWarnings},
		{"DeliverByMin", "-1", "a client could have a message given up in a minute, and the notices that are owed with it", begins("-")},
		{"Timeout.queuereturn", "5d", day, atLeastOf(48 * time.Hour)},
		{"DoubleBounceAddress", "", "bounces of bounces would be mail of nobody's", nil},
		{"AuthOptions", "A,p,y", "passwords would pass in clear", needsPrivacy},
		{"ServerSSLOptions", "+SSL_OP_NO_SSLv2 +SSL_OP_NO_SSLv3 +SSL_OP_NO_TLSv1 +SSL_OP_NO_TLSv1_1 +SSL_OP_CIPHER_SERVER_PREFERENCE", tls, noOldSSL},
		{"ClientSSLOptions", "+SSL_OP_NO_SSLv2 +SSL_OP_NO_SSLv3 +SSL_OP_NO_TLSv1 +SSL_OP_NO_TLSv1_1", tls, noOldSSL},
	}
	for _, class := range []string{"", ".normal", ".urgent", ".non-urgent", ".dsn"} {
		if class != "" {
			rules = append(rules, rule{"Timeout.queuereturn" + class, "5d", day, atLeastOf(48 * time.Hour)})
		}
		rules = append(rules, rule{"Timeout.queuewarn" + class, "0", "senders would get unsigned warnings", noTime})
	}
	return rules
}

// sendmailDefaults are the values of options that are not written; the empty text for
// all others.
var sendmailDefaults = map[string]string{
	"supersafe": "True", "maxmimeheaderlength": "0/0", "norecipientaction": "none", "maxheaderslength": "32768",
	"deliverbymin": "0", "oldstyleheaders": "False", "deliverymode": "background", "doublebounceaddress": "postmaster",
}

func isTrue(value, _ string) bool  { return strings.EqualFold(value, "true") || value == "" }
func isFalse(value, _ string) bool { return value != "" && strings.ContainsAny(value[:1], "FfNn") }

func begins(letter string) func(value, want string) bool {
	return func(value, _ string) bool { return strings.HasPrefix(strings.ToLower(value), letter) }
}

func unboundedOr(least int64) func(value, want string) bool {
	return func(value, _ string) bool {
		n, err := strconv.ParseInt(value, 10, 64)
		return err == nil && (n <= 0 || n >= least)
	}
}

func unlimited(value, _ string) bool { return value == "0/0" || value == "0" }

// noWarnings: no X-Authentication-Warning is added.
func noWarnings(value, _ string) bool {
	flags := list(strings.ToLower(value))
	return !slices.Contains(flags, "authwarnings") && !slices.Contains(flags, "goaway")
}

// needsPrivacy: p, no password in clear.
func needsPrivacy(value, _ string) bool { return strings.Contains(value, "p") }

func noOldSSL(value, _ string) bool {
	return hasAll(strings.ReplaceAll(value, "+", ","), "ssl_op_no_tlsv1,ssl_op_no_tlsv1_1")
}

func noTime(value, _ string) bool {
	d, ok := sendmailTime(value)
	return ok && d == 0
}

func atLeastOf(least time.Duration) func(value, want string) bool {
	return func(value, _ string) bool {
		d, ok := sendmailTime(value)
		return ok && d >= least
	}
}

// sendmailTime reads a time of Sendmail's: "5d", "1h30m"; "0" is none. Without a unit the
// option tells, and it is not understood.
func sendmailTime(text string) (total time.Duration, ok bool) {
	if text == "0" {
		return 0, true
	}
	number := ""
	for n := range len(text) {
		unit, isUnit := timeUnits[text[n]]
		switch {
		case text[n] >= '0' && text[n] <= '9':
			number += text[n : n+1]
		case isUnit && number != "":
			count, _ := strconv.Atoi(number) // digits; what is too large is not met
			total, number = total+time.Duration(count)*unit, ""
		default:
			return 0, false
		}
	}
	return total, text != "" && number == ""
}

// checkOptions compares the options. Where one is not written its place is the file.
func (c *sendmailCF) checkOptions() (found []Finding) {
	for _, r := range sendmailRules() {
		value, given := c.options[strings.ToLower(r.name)]
		if !given {
			value = cfValue{sendmailDefaults[strings.ToLower(r.name)], c.file}
			if strings.Contains(r.name, "queuewarn") || strings.Contains(r.name, "queuereturn.") {
				continue // as the option without a class, or none
			}
		}
		found = append(found, judgeOption(r, value))
	}
	return found
}

func judgeOption(r rule, value cfValue) Finding {
	check := "sendmail." + r.name
	if !r.met(value.text) {
		macro := macros[strings.TrimSuffix(r.name, classOf(r.name))]
		macro += strings.ToUpper(strings.NewReplacer("-", "", ".", "_").Replace(classOf(r.name)))
		return bad(check, pasteLine("define(`%s', `%s')dnl", macro, r.want), "it is %q: %s", value.text, r.why).at(value.place)
	}
	return good(check, "%q", value.text)
}

// classOf is the ending of a time-out that is of one class of mail: ".urgent".
func classOf(name string) string {
	if first := strings.IndexByte(name, '.'); first != strings.LastIndexByte(name, '.') {
		return name[strings.LastIndexByte(name, '.'):]
	}
	return ""
}

// pasteLine is the repair by a line of sendmail.mc.
func pasteLine(format string, values ...any) string {
	return "write " + fmt.Sprintf(format, values...) + " into sendmail.mc behind contrib/sendmail's file, then " + makeAgain
}

// makeAgain puts a changed sendmail.mc in force, on Debian.
const makeAgain = "make -C /etc/mail && systemctl restart sendmail"
