package explore

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// scenario is a world to start from, and what may happen by itself.
type scenario struct {
	*party   // whose doors these are
	name     string
	start    *world
	mail     letter          // what the client submits; its zero value: there is no client
	ticks    []time.Duration // after which the timer works, each after the one before
	order    order
	infected bool     // the antivirus finds something in everything
	full     []string // mailboxes that take nothing
	before   []string // what is in the mailboxes, and has left, at the start
	// eager injects the acceptance at the end of the message, when nobody knows
	// whether the MTA will keep it: to see that this is found.
	eager bool
	// database gives the SQL authority of a run; nil: that of its world.
	database func(*host) authority
}

// authority is what legallog gives to the doors.
type authority interface {
	point.Log
	point.Records
}

// authority is the SQL database that the doors of a run work with.
func (h *host) authority() authority {
	if h.database != nil {
		return h.database(h)
	}
	return sql{h}
}

// epoch is when every scenario begins: in whole microseconds, as the database has
// its times.
var epoch = time.Date(2026, 3, 14, 9, 26, 53, 123456000, time.UTC)

// The people: mario and carla are alfa's, anna is beta's.
const (
	mario = "mario@pec.alfa.example"
	carla = "carla@pec.alfa.example"
	anna  = "anna@pec.beta.example"
)

// compose is a message as a client submits it.
func (p *parties) compose(from string, to ...string) letter {
	text := fmt.Sprintf("From: <%s>\r\nTo: %s\r\nSubject: Prova\r\nDate: Sat, 14 Mar 2026 10:26:49 +0100\r\n"+
		"Message-ID: <m1@client.example>\r\n\r\nBuongiorno.\r\n", from, strings.Join(to, ", "))
	return letter{from, strings.Join(to, ","), p.contents.keep([]byte(text))}
}

// scenarios are all that is explored.
func (p *parties) scenarios() []*scenario {
	return []*scenario{
		p.submission("a submission to a colleague", carla), p.submission("a submission to another provider", anna),
		p.refusal(), p.envelope(), p.twoTransactions(), p.infectedEnvelope(), p.fullMailbox(), p.notices(),
		p.late(pec.ServerAcceptance), p.late(pec.Delivery),
	}
}

func newWorldAt(now time.Time) *world { return &world{now: now} }

func (p *parties) submission(name string, to ...string) *scenario {
	return &scenario{party: p.alfa, name: name, start: newWorldAt(epoch), mail: p.compose(mario, to...)}
}

func (p *parties) refusal() *scenario {
	s := p.submission("a submission that is refused", carla)
	s.infected = true
	return s
}

// envelope: a peer's envelope for two of ours.
func (p *parties) envelope() *scenario {
	s := &scenario{party: p.alfa, name: "an envelope for two", start: newWorldAt(epoch)}
	sent := p.sent(anna, mario, carla)
	s.start.peers = []letter{{sent[0].From, sent[0].To + "," + sent[1].To, sent[0].Sum}}
	return s
}

// twoTransactions: the same envelope comes for each recipient apart.
func (p *parties) twoTransactions() *scenario {
	s := p.envelope()
	s.name = "an envelope in two transactions"
	s.start.peers = p.sent(anna, mario, carla)
	return s
}

func (p *parties) infectedEnvelope() *scenario {
	s := p.envelope()
	s.name, s.infected = "an infected envelope", true
	return s
}

func (p *parties) fullMailbox() *scenario {
	s := p.envelope()
	s.name, s.full = "an envelope for a full mailbox", []string{carla}
	return s
}

// sent are the envelopes that beta sends to alfa's users, by recipient.
func (p *parties) sent(from string, to ...string) []letter {
	s := &scenario{party: p.beta, name: "sent", start: newWorldAt(epoch), mail: p.compose(from, to...)}
	return s.played().leaving(p.alfa)
}

// notices: beta's notices of a message that mario has sent.
func (p *parties) notices() *scenario {
	alfa := p.submission("the notices of another provider", anna)
	w := alfa.played()
	beta := &scenario{party: p.beta, name: "received", start: newWorldAt(epoch)}
	beta.start.peers = w.leaving(p.beta)
	s := &scenario{party: p.alfa, name: alfa.name, start: w}
	w.peers = beta.played().leaving(p.alfa)
	for _, l := range w.peers {
		s.before = append(s.before, (&run{scenario: s}).lines(l)...)
	}
	return s
}

// late: of beta's notices one kind comes alone, at any time or never within a day.
func (p *parties) late(kind pec.Kind) *scenario {
	s := p.notices()
	s.name = string(kind) + " comes late"
	s.ticks = []time.Duration{12*time.Hour + time.Minute, 11*time.Hour + 30*time.Minute}
	s.start.peers = slices.DeleteFunc(s.start.peers, func(l letter) bool { return s.contents.get(l.Sum).kind() != kind })
	s.before = nil
	for _, l := range s.start.peers {
		s.before = append(s.before, (&run{scenario: s}).lines(l)...)
	}
	return s
}

// played is the world after all that happens by itself, and where nothing goes
// wrong.
func (s *scenario) played() *world {
	w := s.start
	for !w.atRest() || s.mail.Sum != "" && !w.client.Told {
		r := &run{scenario: s, w: w.copy(), action: s.actions(w, Bounds{Attempts: 1})[0]}
		newHost().perform(r)
		if len(r.violated) > 0 {
			panic(strings.Join(r.violated, "\n"))
		}
		w = r.w
	}
	return w
}

// leaving is what a world has sent to the users of a party.
func (w *world) leaving(to *party) []letter {
	var all []letter
	for _, l := range w.left.all() {
		if pec.Domain(l.To) == to.identity.Domain {
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b letter) int { return strings.Compare(a.To+a.Sum, b.To+b.Sum) })
	return all
}
