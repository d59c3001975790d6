//go:build integration

package integration

import (
	"bufio"
	"cmp"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/pec-milter/pec-milter/internal/legallog"
	"github.com/pec-milter/pec-milter/internal/point"
	"github.com/pec-milter/pec-milter/pec"
)

// item names one thing that a letter may bring into a mailbox.
type item struct {
	box  string // whose: "sender", "service", or the recipient's address
	kind pec.Kind
	by   string // domain of the provider that signed it
}

// due is an item that is owed, and how often.
type due struct {
	item
	times   int
	foreign bool // in a mailbox that is not ours: a second copy is no fault
}

// found is what there is in the mailboxes about one letter.
type found map[item]int

// standard is what a letter to these recipients owes when all has ended well.
func standard(w *World, to []string) func(found) []due {
	alfa := w.Provider("alfa").Domain
	all := []due{{item{"sender", pec.Acceptance, alfa}, 1, false}}
	certified := map[string]int{}
	for _, r := range to {
		site := w.SiteOf(r)
		all = append(all, due{item{r, pec.Envelope, alfa}, 1, site.ordinary})
		if !site.ordinary {
			certified[site.Domain]++
		}
	}
	for domain, n := range certified {
		all = append(all, due{item{"sender", pec.Delivery, domain}, n, false}, due{item{"service", pec.ServerAcceptance, domain}, 1, false})
	}
	return func(found) []due { return all }
}

// tally is what the oracle has counted.
type tally struct {
	letters                                                  int
	lost, noticeWithoutMessage, messageWithoutNotice, double int
	foreignDouble                                            int // copies at the ordinary domain; no fault
	wrong                                                    int // anything else
	told                                                     []string
}

func (t *tally) tell(n *int, format string, arguments ...any) {
	*n++
	if len(t.told) < 40 {
		t.told = append(t.told, fmt.Sprintf(format, arguments...))
	}
}

func (t *tally) faultless() bool {
	return t.lost+t.noticeWithoutMessage+t.messageWithoutNotice+t.double+t.wrong == 0
}

// judge compares what the clients were told with what there is.
func (s *faultStage) judge(l *load, owed func(found) []due) (*tally, error) {
	t := &tally{letters: len(l.sent)}
	boxes, err := s.look(l)
	if err != nil {
		return nil, err
	}
	for _, w := range l.sent {
		t.letter(w, boxes[w.id], owed)
		delete(boxes, w.id)
	}
	for id, items := range boxes {
		t.tell(&t.wrong, "%s: %v in the mailboxes, and nobody sent it", id, items)
	}
	return t, s.judgeLogs(t, l)
}

// letter judges one. What nobody was told 250 of may be in the queue all the same,
// but then whole.
func (t *tally) letter(w *letter, there found, owed func(found) []due) {
	if w.refused != nil {
		t.tell(&t.wrong, "%s: refused for good: %v", w.id, w.refused)
		return
	}
	if !w.accepted && len(there) == 0 {
		return
	}
	left := maps.Clone(there)
	for _, d := range owed(there) {
		t.item(w, d, there[d.item])
		delete(left, d.item)
	}
	for i, n := range left {
		t.tell(&t.wrong, "%s: %d of %v, which nobody owes", w.id, n, i)
	}
	t.untrue(w, there)
}

// item judges one thing that is owed for a letter, and is there n times.
func (t *tally) item(w *letter, d due, n int) {
	switch {
	case n < d.times && d.kind == pec.Envelope:
		t.tell(&t.lost, "%s: no %v (accepted %v)", w.id, d.item, w.accepted)
	case n < d.times:
		t.tell(&t.messageWithoutNotice, "%s: %d of %v, want %d", w.id, n, d.item, d.times)
	case n > d.times && d.foreign:
		t.foreignDouble += n - d.times
	case n > d.times:
		t.tell(&t.double, "%s: %d of %v, want %d", w.id, n, d.item, d.times)
	}
}

// untrue counts the notices that speak of what is not there.
func (t *tally) untrue(w *letter, there found) {
	envelopes := map[string]int{} // by the recipient's domain
	total := 0
	for i, n := range there {
		if i.kind == pec.Envelope {
			envelopes[pec.Domain(i.box)] += n
			total += n
		}
	}
	for i, n := range there {
		if i.kind != pec.Envelope && total == 0 || i.kind == pec.Delivery && n > envelopes[i.by] {
			t.tell(&t.noticeWithoutMessage, "%s: %d of %v, envelopes %v", w.id, n, i, envelopes)
		}
	}
}

// look reads all mailboxes of a load: what there is, by the letters' Message-IDs.
func (s *faultStage) look(l *load) (map[string]found, error) {
	boxes := map[string]found{}
	read := func(name, user string) error {
		site := s.world.SiteOf(user)
		return eachMessage(site.home(Local(user)), func(h mail.Header) {
			id := cmp.Or(h.Get(pec.HeaderReference), h.Get("Message-ID"))
			if !strings.HasPrefix(id, "<"+l.name+".") {
				return
			}
			if boxes[id] == nil {
				boxes[id] = found{}
			}
			kind := cmp.Or(h.Get(pec.HeaderReceipt), h.Get(pec.HeaderTransport), "ordinary")
			boxes[id][item{name, pec.Kind(kind), signerOf(h)}]++
		})
	}
	err := read("service", l.alfa.MailReceipt)
	for client := range l.clients {
		err = errors.Join(err, read("sender", l.sender(client)))
	}
	for _, r := range l.to {
		err = errors.Join(err, read(r, r))
	}
	return boxes, err
}

func signerOf(h mail.Header) string {
	from := h.Get("From")
	return strings.TrimSuffix(from[strings.LastIndex(from, "@")+1:], ">")
}

// eachMessage reads the headers of all messages of a Maildir in a home directory.
func eachMessage(home string, each func(mail.Header)) error {
	for _, part := range []string{"new", "cur"} {
		dir := filepath.Join(home, "Maildir", part)
		entries, err := os.ReadDir(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue // nothing has come yet
		}
		if err != nil {
			return err
		}
		for _, entry := range entries {
			file, err := os.Open(filepath.Join(dir, entry.Name()))
			if err != nil {
				return err
			}
			message, err := mail.ReadMessage(bufio.NewReader(file))
			file.Close()
			if err != nil {
				return fmt.Errorf("%s: %w", file.Name(), err)
			}
			each(message.Header)
		}
	}
	return nil
}

// judgeLogs audits the legal logs about a load: by the rules for finished
// messages; each delivery and each notice was logged before it was done; and the
// acceptance has the time of its message.
func (s *faultStage) judgeLogs(t *tally, l *load) error {
	for _, p := range s.world.Providers {
		_, rows, err := p.LegalLog()
		if err != nil {
			return err
		}
		byID := map[string][]LogRow{}
		for _, row := range rows {
			if strings.HasPrefix(row.Reference, "<"+l.name+".") {
				byID[row.ID] = append(byID[row.ID], row)
			}
		}
		var finished []LogRow
		for id, rows := range byID {
			if isVoid(rows) {
				continue // its accept was never given, or never heard: no message has this id
			}
			finished = append(finished, rows...)
			for _, fault := range outOfOrder(rows) {
				t.tell(&t.wrong, "log of %s: %s: %s", p.Name, id, fault)
			}
		}
		for b, err := range new(legallog.Audit).Breaches(asRows(finished)) {
			if err != nil {
				return err
			}
			t.tell(&t.wrong, "log of %s: %v", p.Name, b)
		}
	}
	return nil
}

// isVoid tells whether all that a log has of an id is that it was begun.
func isVoid(rows []LogRow) bool {
	return !slices.ContainsFunc(rows, func(r LogRow) bool {
		return r.Kind != point.EventAccepted && r.Kind != point.EventReceived && r.Kind != point.EventRepeated
	})
}

// outOfOrder finds results that have no earlier row that announced them.
func outOfOrder(rows []LogRow) (faults []string) {
	announced := map[string]bool{}
	var accepted time.Time
	for _, r := range rows {
		switch r.Kind {
		case point.EventAccepted:
			accepted = r.Time
		case point.EventDelivering:
			announced["to "+r.Delivered+r.NoticeID] = true
		case point.EventDelivered:
			if !announced["to "+r.Delivered+r.NoticeID] {
				faults = append(faults, "delivered to "+r.Delivered+" without a row before")
			}
		case point.EventIssuing:
			announced[r.NoticeID] = true
		case point.EventIssued:
			if !announced[r.NoticeID] {
				faults = append(faults, string(r.Notice)+" without a row before")
			}
			if r.Notice == pec.Acceptance && !r.Time.Equal(accepted) {
				faults = append(faults, fmt.Sprintf("acceptance has %v, the message %v", r.Time, accepted))
			}
		}
	}
	return faults
}

func asRows(rows []LogRow) iter.Seq2[legallog.Row, error] {
	return func(yield func(legallog.Row, error) bool) {
		for n, r := range rows {
			row := legallog.Row{Seq: int64(n), Event: point.Event{
				Time: r.Time, Kind: r.Kind, Door: r.Door, ID: r.ID, Reference: r.Reference, Notice: r.Notice, NoticeID: r.NoticeID,
				Sender: r.Sender, Recipients: r.Recipients, Subject: r.Subject, Delivered: r.Delivered, TakenFor: r.TakenFor, Detail: r.Detail,
			}}
			if !yield(row, nil) {
				return
			}
		}
	}
}
