package lmtpdeliver

import (
	"regexp"
	"strings"
)

// dotString is a local part that needs no quotes (RFC 5321 section 4.1.2; RFC
// 6531 section 3.3 adds the characters beyond ASCII).
var dotString = regexp.MustCompile(`^[^\s"(),.:;<>@\[\\\][:cntrl:]]+(\.[^\s"(),.:;<>@\[\\\][:cntrl:]]+)*$`)

// quoted gives an address the quotes back that go-smtp takes from its local
// part, so that it is again what the MTA sent.
func quoted(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 || dotString.MatchString(address[:at]) {
		return address
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(address[:at]) + `"` + address[at:]
}
