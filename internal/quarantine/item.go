package quarantine

import (
	"fmt"
	"regexp"
	"time"
)

// Item is what is kept beside an infected message.
type Item struct {
	// ID names the message: 16 to 128 hexadecimal digits in lower case, which
	// the caller made by a hash. Nothing that came from outside is ever a path.
	ID string `json:"id"`
	// Time is when the message came, required: the 30 months run from that day
	// of the legal time of Italy.
	Time time.Time `json:"time"`
	// Door and QueueID are where it came: "access" or "incoming", and the MTA's
	// name for it.
	Door    string `json:"door"`
	QueueID string `json:"queue_id"`
	// PECID is the PEC msgid, without <>, of a message that has one.
	PECID string `json:"pec_msgid,omitempty"`
	// MessageID is the user's Message-ID, with its <>.
	MessageID  string   `json:"message_id,omitempty"`
	Sender     string   `json:"sender"` // reverse path
	Recipients []string `json:"recipients"`
	Virus      string   `json:"virus,omitempty"` // the scanner's name of it
	Reason     string   `json:"reason"`
	// SHA256, in hexadecimal digits, and Size, in bytes, are of the message as
	// it was scanned. Put fills them in.
	SHA256 string `json:"sha256"`
	Size   int64  `json:"size"`
}

var idSyntax = regexp.MustCompile(`^[0-9a-f]{16,128}$`)

// checkID keeps everything but hashes away from file names.
func checkID(id string) error {
	if !idSyntax.MatchString(id) {
		return fmt.Errorf("%.150q is no id: 16 to 128 hexadecimal digits in lower case", id)
	}
	return nil
}
