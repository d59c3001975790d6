package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/pec-milter/pec-milter/internal/integration"
)

// The names of the variants.
const (
	plain         = "no milter"
	noop          = "no-op milter"
	openDKIM      = "OpenDKIM"
	amavis        = "amavis, 12 workers"
	certified     = "pec-milter"
	overTCP       = "pec-milter over TCP"
	withToken     = "pec-milter, SoftHSM"
	withSlowToken = "pec-milter, token of 10 ms"
	onServers     = "pec-milter, Redis + PostgreSQL"
	withoutLog    = "pec-milter without a legal log"
	roundTrip     = "pec-milter, round trip"
)

// variant is one way for a message to the sink.
type variant struct {
	name string
	at   *integration.Provider // whose users send
	port int                   // of the submission service
	to   string
	due  int // deliveries to the sink for each message
	// nodes are the providers whose Postfix and signatures a message costs; those
	// of what does not certify are the first alone, without signatures.
	nodes []*integration.Provider
	pids  map[string]int
}

func (v *variant) signs() bool { return v.due > 1 }

// user is who sends.
func (v *variant) user() string { return "mittente@" + v.at.Domain }

// signatures asks the daemons how often they have signed.
func (v *variant) signatures() (calls int64, err error) {
	if !v.signs() {
		return 0, nil
	}
	for _, p := range v.nodes {
		count, err := askSignatures(p)
		if err != nil {
			return 0, fmt.Errorf("signatures of %s: %w", p.Name, err)
		}
		calls += count
	}
	return calls, nil
}

func askSignatures(p *integration.Provider) (int64, error) {
	response, err := daemonClient(p).Get("http://pec-milter/signatures")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var count struct{ Calls int64 }
	err = json.NewDecoder(response.Body).Decode(&count)
	return count.Calls, err
}

// daemonClient reaches what the measured daemon tells of itself.
func daemonClient(p *integration.Provider) *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", p.MeasureSocket())
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}, Timeout: 2 * time.Minute}
}

// logEnds are the ends of the mail logs of the nodes.
func (v *variant) logEnds() ([]int64, error) {
	var ends []int64
	for _, p := range v.nodes {
		end, err := logEnd(p.MailLog())
		if err != nil {
			return nil, err
		}
		ends = append(ends, end)
	}
	return ends, nil
}

// passes counts the queue files since then.
func (v *variant) passes(since []int64) (total int, err error) {
	for i, p := range v.nodes {
		n, err := queuePasses(p.MailLog(), since[i])
		if err != nil {
			return 0, err
		}
		total += n
	}
	return total, nil
}
