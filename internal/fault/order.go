package fault

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/internal/effect"
)

// Order is a fault as it is asked for: <point>:<n>:<act>, or
// <point>:<n>:hang:<duration>. The zero value asks for none.
type Order struct {
	Point  string // one of Points
	N      int    // the n-th time that the point is reached; from 1
	Onward bool   // "n+": that time and every later one
	Act    Act
	Length time.Duration // of a Hang; 0: HangTime
}

// Act is what happens at a point.
type Act string

// The acts.
const (
	// Kill ends the process with SIGKILL.
	Kill Act = "kill"
	// Err is an error of the effect; at a socket, a connection that breaks.
	Err Act = "err"
	// Hang lasts for HangTime, or as long as was asked for, or until the context of the effect ends: then it
	// is an error. Otherwise the effect goes on, late. What has no context (the
	// key, the directory, a socket) always hangs the whole time, as a token does
	// that cannot be stopped.
	Hang Act = "hang"
)

func acts() []Act { return []Act{Kill, Err, Hang} }

// ParseOrder reads an order; the empty text is none. The error of a point that
// does not exist names all that do.
func ParseOrder(text string) (Order, error) {
	text = strings.TrimSpace(text)
	if text == "" {
		return Order{}, nil
	}
	fields := strings.Split(text, ":")
	var length time.Duration
	if len(fields) == 4 && fields[2] == string(Hang) {
		length, _ = time.ParseDuration(fields[3])
	}
	if len(fields) != 3 && length <= 0 {
		return Order{}, fmt.Errorf("fault %q: write <point>:<n>:<act>, for instance inject.after:1:kill, or sign.before:1:hang:5s", text)
	}
	count, onward := strings.CutSuffix(fields[1], "+")
	n, err := strconv.Atoi(count)
	o := Order{Point: fields[0], N: n, Onward: onward, Act: Act(fields[2]), Length: length}
	if err != nil || n < 1 {
		err = fmt.Errorf("%q is no count: write 1, 2 … for that time, 1+ for that time and every later one", fields[1])
	}
	if !slices.Contains(Points(), o.Point) {
		err = errors.Join(err, fmt.Errorf("there is no point %q; there are: %s", o.Point, strings.Join(Points(), ", ")))
	}
	if !slices.Contains(acts(), o.Act) {
		err = errors.Join(err, fmt.Errorf("there is no act %q; there are: %v", o.Act, acts()))
	}
	if err != nil {
		return Order{}, fmt.Errorf("fault %q: %w", text, err)
	}
	return o, nil
}

// due tells whether it is to happen the n-th time that its point is reached.
func (o Order) due(n int) bool { return n == o.N || o.Onward && n > o.N }

// before is the point at which an effect, or a reply, is not done yet; after is
// where it is done and nobody has learned of it.
func before(name string) string { return name + ".before" }
func after(name string) string  { return name + ".after" }

// The points at the sockets, which package point does not see. The first part is
// the name of the door.
const (
	endOfMessage = ".end-of-message" // the MTA has shown the whole message
	newBody      = ".new-body"       // half of a frame with the new body is written
	accept       = ".accept"         // the accept of a message, with .before and .after
	reply        = ".reply"          // a reply to a message by LMTP, with .before and .after
)

// Points are all points at which a fault can be injected.
func Points() []string {
	var points []string
	for _, e := range effect.All() {
		points = append(points, before(string(e)), after(string(e)))
	}
	for _, door := range []string{"access", "incoming"} {
		points = append(points, door+endOfMessage, door+newBody, before(door+accept), after(door+accept))
	}
	return append(points, before("delivery"+reply), after("delivery"+reply))
}
